"""Every sample: byte for byte back, every segment in a loop, nothing to complain of."""

from __future__ import annotations

from pathlib import Path

import pytest
from x12_reading import SAMPLES, complaints, read, sample

from engine.formats.x12.addresses import leaves, read_address
from engine.formats.x12.segments import emit, read_segments
from engine.formats.x12.tables import NAMES

ALL = sorted(SAMPLES.glob("*.x12"))


def test_there_is_a_sample_of_each_table() -> None:
    seen = {t.table()[0].name for path in ALL for t in read(path.read_bytes())[0]}  # type: ignore[union-attr]
    assert seen == set(NAMES)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_sample_is_right_and_comes_back(path: Path) -> None:
    data = path.read_bytes()
    segments, trailer, problems = read_segments(data)
    assert problems == []
    assert emit(segments, trailer) == data
    assert complaints(data) == []
    for transaction in read(data)[0]:
        tree = transaction.tree()
        assert tree is not None
        landed = [segment for loop in tree.walk() for segment in loop.segments]
        assert sorted(map(id, landed)) == sorted(map(id, transaction.segments))
        assert all(rule is not None for loop in tree.walk() for rule in loop.rules)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_addresses_are_where_values_are(path: Path) -> None:
    data = path.read_bytes()
    for transaction in read(data)[0]:
        seen = set()
        for segment in transaction.segments:
            for leaf in leaves(segment):
                assert data[leaf.begin : leaf.end].decode("latin-1") == leaf.value
                place = read_address(f"2300/{leaf.address}")
                assert place is not None
                assert place.segment == segment.name
                assert (leaf.address, leaf.repetition) not in seen
                seen.add((leaf.address, leaf.repetition))


def test_claims_stand_under_their_patients() -> None:
    tree = read(sample("837P_professional_claim"))[0][0].tree()
    assert tree is not None
    claims = tree.find("2300")
    assert [claim.rule.path for claim in claims] == ["2000A/2000B/2300", "2000A/2000B/2000C/2300"]
    assert [claim.segments[0].get(1) for claim in claims] == ["NB-77001", "NB-77002"]
    subscriber = claims[1].parent.parent  # type: ignore[union-attr]
    assert subscriber is not None
    name = subscriber.find("2010BA")[0].first("NM1")
    assert name is not None
    assert name.get(3) == "TREMBLAY"


@pytest.mark.parametrize(
    ("guide", "name"),
    [
        ("005010X222", "837P"), ("005010X222A2", "837P"), ("005010X298", "837P"), ("005010X223A3", "837I"),
        ("005010X224A2", "837D"), ("005010X999", "837P"),
    ],
)  # fmt: skip
def test_errata_are_known_by_their_prefix(guide: str, name: str) -> None:
    data = sample("837P_professional_claim").replace(b"005010X222A1", guide.encode())
    table, exact = read(data)[0][0].table()
    assert table is not None
    assert (table.name, exact) == (name, guide != "005010X999")


def test_an_unknown_guide_is_told_by_its_lines_and_st03_may_be_absent() -> None:
    data = sample("837I_institutional_claim").replace(b"*005010X223A2~", b"~", 2)
    found = read(data)[0][0].table()
    assert found[0] is not None
    assert (found[0].name, found[1]) == ("837I", False)
    data = sample("837I_institutional_claim", ("ST*837*0001*005010X223A2", "ST*837*0001"))
    assert read(data)[0][0].table()[1] is True
