"""Nothing that comes in over a connection raises, loses a frame or answers it twice; `tools/fuzz_listener.py`
runs the same check for as long as one likes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from fuzz_listener import SEEDS, check

PIECES = st.sampled_from(
    [
        *(b"\x0b", b"\x1c\r", b"\x1c", b"\r", b"\n", b"\0", b"\xff\xfe", b"GET / HTTP/1.1\r\n"),
        *(b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5.1", b"\rPID|1||7^^^H^MR", b"\rMRG|8"),
        *(b"FHS|^~\\&|x\r", b"BHS|^~\\&|y\r", b"BTS|2\r", b"FTS|1\r"),
    ]
)


@given(st.lists(PIECES | st.binary(max_size=8), max_size=30).map(b"".join), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
@example(b"".join(SEEDS), 3)
def test_any_bytes_cut_anywhere(data: bytes, cut: int) -> None:
    check(bytes([cut]) + data)
