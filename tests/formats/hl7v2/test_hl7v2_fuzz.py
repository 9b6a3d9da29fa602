"""Whatever bytes come: only FormatError, nothing lost, undamaged messages come back. The short form of the
fuzzer.
"""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest
from hl7v2_samples import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

TOOL = Path(__file__).resolve().parents[3] / "tools" / "fuzz_hl7v2.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("fuzz_hl7v2", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load_tool()

PARTS = st.sampled_from(
    (
        *(b"MSH|^~\\&|", b"PID|", b"OBX|1|TX|", b"|", b"^", b"~", b"&", b"\\", b"\\.br\\", b"\\X0D\\"),
        *(b"\r", b"\n", b"\r\n", b"\x0b", b"\x1c\r", b"\xef\xbb\xbf", b"BTS|1", b"FHS|^~\\&|", b"ZZ1|"),
        *(b"pid|", b'""', b"\xc3\xa9", b"\xe9", b"\x1b$B;3", b"UNICODE UTF-8", b"~ISO IR87", b"text", b" "),
        b"\x00",
    )
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(data):
    fuzz.check(data)
    fuzz.check(b"MSH|^~\\&|" + data)


@settings(max_examples=400, deadline=None)
@given(st.lists(PARTS, max_size=40).map(b"".join))
def test_bytes_made_of_hl7_pieces(data):
    fuzz.check(data)
    fuzz.check(b"MSH|^~\\&|A|||||||||||||||" + data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 900), st.binary(max_size=4), st.integers(0, 5))
def test_samples_with_a_piece_replaced(name, at, piece, length):
    data = SAMPLES[name].encode()
    fuzz.check(data[:at] + piece + data[at + length :])


@pytest.mark.parametrize("seed", range(4))
def test_mutations_of_the_seeds(seed):
    chance = random.Random(seed)
    for _ in range(400):
        fuzz.check(fuzz.random_bytes(chance))


FOUND = {
    "a bare header name": b"MSH|^~\\&|A\rBHS\rPID|1\r",
    "a bare name that goes on below": b"MSH|^~\\&|A\rMRG\nmore\rPID|1\r",
    "MSH alone, not ASCII": b"MSH\r\xc3",
    "MSH and nothing": b"MSH",
    "end block that frames nothing": b"MSH|^~\\&|A\rMRG|8\x1c\r\r|9",
    "a dot as delimiter": b"MSH.^~\\&.A\rPID.1\rmore\r",
    "a plus as escape character": b"MSH|^~+&|A\rOBX|1|TX|||one\ntwo\n\nthree\r",
}


@pytest.mark.parametrize("data", FOUND.values(), ids=FOUND)
def test_what_fuzzing_has_found(data):
    fuzz.check(data)
