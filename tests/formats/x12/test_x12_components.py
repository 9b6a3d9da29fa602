"""Components parted by `>` where ISA16 says `:`: read as plainly meant, told, and written back."""

from __future__ import annotations

import pytest
from x12_reading import complaints, read, sample

from engine.formats.x12.addresses import leaves
from engine.formats.x12.segments import emit, read_segments
from engine.formats.x12.stream import stream


def other_mark(name: str) -> bytes:
    """A sample whose components are all parted by `>`, and whose ISA16 still says `:`."""
    head, _, body = sample(name).partition(b"~")
    return head + b"~" + body.replace(b":", b">")


@pytest.mark.parametrize(
    "name", ["837P_professional_claim", "837I_institutional_claim", "837D_dental_claim", "835_payment"]
)
def test_it_is_read_as_meant_and_told(name: str) -> None:
    data = other_mark(name)
    found = complaints(data)
    assert found
    assert {(p.severity, p.level) for p in found} == {("W", 1)}
    segments, trailer, _ = read_segments(data)
    (transaction,) = read(data)[0]
    transaction.tree()
    assert emit(segments, trailer) == data
    plain = read(sample(name))[0][0]
    for written, right in zip(transaction.segments, plain.segments, strict=True):
        for number in range(1, len(right.elements)):
            if ">" in written.get(number):
                assert [written.component(number, k) for k in (1, 2, 3, 4)] == [
                    right.component(number, k) for k in (1, 2, 3, 4)
                ]


def test_its_elements_have_one_address() -> None:
    (transaction,) = read(other_mark("837P_professional_claim"))[0]
    transaction.tree()
    line = next(s for s in transaction.segments if s.name == "SV1")
    given = [(leaf.address, leaf.value) for leaf in leaves(line)]
    assert given[:3] == [("SV1[1]-01", "HC"), ("SV1[1]-01", "99213"), ("SV1[1]-02", "180")]


def test_so_it_is_in_a_stream() -> None:
    claims = [
        item[1] for item in stream(read_segments(other_mark("837P_professional_claim"))[0])
        if isinstance(item, tuple) and item[1].id == "2300"
    ]  # fmt: skip
    assert [claim.segments[0].component(5, 3) for claim in claims] == ["1", "7"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("HC:99213*180", "HC>99213>A>B>C>D>E>F>G>H>I*180"),  # more components than there are
        ("HC:99213*180", "XX>99213*180"),  # no code of the guide
        ("N3*12 HARBOR WAY", "N3*12 HARBOR > WAY"),  # no composite
        ("HC:99213*180", "HC:99>213*180"),  # ISA16's own mark is there
    ],
)
def test_what_is_not_plain_stays(old: str, new: str) -> None:
    (transaction,) = read(sample("837P_professional_claim", (old, new)))[0]
    transaction.tree()
    assert {segment.separators.component for segment in transaction.segments} == {":"}
