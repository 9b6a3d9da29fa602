"""An 835 of any size, generated while it is read: segments and claims a second, and the most memory it took.

One interchange, one transaction set, so that only a reader that lets go of what it gave can be small. Prints
one JSON object. `python bench/x12_remittance.py --mb 500`
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.formats.x12.envelope import Interchange
from engine.formats.x12.segments import Reader
from engine.formats.x12.stream import stream

SAMPLE = Path(__file__).resolve().parents[1] / "sample_messages/x12/835_payment.x12"


class Remittance:
    """A binary file that is never whole: the sample's head, its two claims again and again, its end."""

    def __init__(self, size: int) -> None:
        text = SAMPLE.read_text("ascii")
        begin, end = text.index("CLP*"), text.index("PLB*")
        self._claims = text[begin:end]
        self._pieces = self._write(text[:begin], text[end:], size)
        self._rest = b""
        self.size = 0

    def _write(self, head: str, tail: str, size: int) -> Iterator[bytes]:
        yield head.encode()
        written, n = len(head), 0
        while written < size:
            many = []
            for _ in range(500):
                n += 1
                many.append(self._claims.replace("NB-77001", f"A{n:09d}").replace("NB-77002", f"B{n:09d}"))
            piece = "".join(many).encode()
            written += len(piece)
            yield piece
        yield tail.encode()

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        out, self._rest = self._rest[:size], self._rest[size:]
        self.size += len(out)
        return out


def main() -> None:
    """Read a generated 835 and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=500)
    size = parser.parse_args().mb << 20
    file = Remittance(size)
    claims = segments = 0
    begin = time.perf_counter()
    for item in stream(Reader(file)):  # type: ignore[arg-type]
        if isinstance(item, Interchange):
            continue
        _, loop = item
        if loop.id == "2100":
            claims += 1
            segments += sum(len(each.segments) for each in loop.walk())
    seconds = time.perf_counter() - begin
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "mb": round(file.size / (1 << 20), 1),
                "seconds": round(seconds, 1),
                "claims": claims,
                "segments_per_s": round(segments / seconds),
                "claims_per_s": round(claims / seconds),
                "mb_per_s": round(file.size / (1 << 20) / seconds, 1),
                "rss_mb": round(rss),
            }
        )
    )


if __name__ == "__main__":
    main()
