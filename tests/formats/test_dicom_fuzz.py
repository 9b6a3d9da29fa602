"""Damaged objects through everything that reads one: only FormatError comes out, and soon."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest

from engine.formats.dicom.attributes import from_json, levels, to_json
from engine.formats.dicom.deidentify import deidentified
from engine.formats.dicom.header import header_copy, read_header
from engine.formats.dicom.matching import answer, matches
from engine.formats.dicom.render import render
from engine.formats.dicom.sr import measurements, read_report
from engine.formats.dicom.uids import study_uid_of
from engine.kernel.errors import FormatError
from tests.formats.dicom_samples import samples

_MARKS = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xfe\xff\0\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"SQ\0\0",
)


def _json(raw: bytes) -> None:
    header = read_header(io.BytesIO(raw))
    text = to_json(header)
    assert to_json(from_json(text)) == text
    for level in levels(header):
        to_json(level)


def _match(raw: bytes) -> None:
    header, again = read_header(io.BytesIO(raw)), read_header(io.BytesIO(raw))
    matches(header, again, combined=True)
    answer(header, again, "STUDY")


_STEPS: dict[str, Callable[[bytes], object]] = {
    "copy": lambda raw: header_copy(raw, address="a", size=len(raw), aet="A"),
    "json": _json,
    "match": _match,
    "report": lambda raw: measurements(read_report(read_header(io.BytesIO(raw)))),
    "picture": lambda raw: render(io.BytesIO(raw), max_pixels=1 << 20),
    "anonymous": lambda raw: b"".join(
        deidentified(io.BytesIO(raw), lambda uid: study_uid_of(uid.encode()), burned_in=True)
    ),
}


def _harmed(whole: bytes, chance: random.Random) -> bytes:
    data = bytearray(whole)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(132, len(data))
        match chance.choice("bmdi"):
            case "b":
                data[at] = chance.randrange(256)
            case "m":
                data[at : at + 4] = chance.choice(_MARKS)
            case "d":
                del data[at : at + chance.randint(1, 50)]
            case _:
                start = chance.randrange(len(data))
                data[at:at] = data[start : start + chance.randint(1, 80)]
        if len(data) < 200:
            break
    return bytes(data)


def _run(seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    wholes = [data for path in samples() if 200 < len(data := path.read_bytes()) < 60_000]
    refused = 0
    for _ in range(rounds):
        raw = _harmed(chance.choice(wholes), chance)
        for step in _STEPS.values():
            try:
                step(raw)
            except FormatError:
                refused += 1
    assert 0 < refused < rounds * len(_STEPS)


def test_damaged_objects() -> None:
    _run(1, 300)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_damaged_objects(seed: int) -> None:
    _run(seed, 10_000)
