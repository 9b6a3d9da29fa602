"""Long transaction sets one claim at a time: the same loops as when held, and nothing held that was given."""

from __future__ import annotations

from pathlib import Path

import pytest
from x12_reading import SAMPLES, read, sample

from engine.formats.x12.envelope import Interchange, Transaction
from engine.formats.x12.segments import read_segments
from engine.formats.x12.stream import OBJECTS, stream
from engine.formats.x12.walk import Loop


def _raw(loop: Loop) -> list[str]:
    return [segment.raw for each in loop.walk() for segment in each.segments]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.x12")), ids=lambda path: path.stem)
def test_streamed_loops_are_the_held_ones(path: Path) -> None:
    data = path.read_bytes() * 2
    held: list[list[str]] = []
    for transaction in read(data)[0]:
        tree = transaction.tree()
        assert tree is not None
        held += [_raw(loop) for loop in tree.find(*OBJECTS.get(transaction.set_id, ("-",)))]
    given, seen, interchanges = [], 0, 0
    for item in stream(read_segments(data)[0]):
        if isinstance(item, Interchange):
            interchanges += 1
            continue
        transaction, loop = item
        seen += len(_raw(loop))
        if loop.id in OBJECTS.get(transaction.set_id, ()):
            given.append(_raw(loop))
        if loop.parent is None:
            assert transaction.counted == seen
            assert transaction.problems == []
            seen = 0
    assert given == held
    assert interchanges == 2


def test_what_was_given_is_not_kept() -> None:
    text = sample("835_payment").decode()
    begin, end = text.index("CLP*NB-77001"), text.index("CLP*NB-77002")
    data = (text[:begin] + text[begin:end] * 50 + text[end:]).encode()
    most = 0
    for item in stream(read_segments(data)[0]):
        if isinstance(item, tuple) and item[1].parent is not None:
            transaction, loop = item
            assert isinstance(transaction, Transaction)
            assert len(transaction.segments) == 1
            most = max(most, len(loop.parent.loops))  # type: ignore[union-attr]
    assert most <= 3
