"""Locations taken apart, and read: repetitions, filters, `only`, subcomponents, segment filters."""

from __future__ import annotations

import pytest
from mapping_maker import small

from engine.kernel.errors import MapError
from engine.mapping import locate as located
from engine.mapping.locate import ABOVE, MINE, TOP, Location, locate, of_mine


def test_parts() -> None:
    assert locate("PID-5.1") == Location("PID", 5, 1)
    assert locate("PID.5.1") == Location("PID", 5, 1)
    assert locate("XPN.1.1") == Location("XPN", 1, 1)
    assert locate("PID-3(2).4.2") == Location("PID", 3, 4, 2, n=2)
    assert locate("PID-3(only)") == Location("PID", 3, only=True)
    assert locate("ORC") == Location("ORC")
    assert locate("PID-3(4.1=MRN and 5=MR|PI).1") == Location(
        "PID", 3, 1, tests=(located.Test(4, 1, ("MRN",)), located.Test(5, 0, ("MR", "PI")))
    )
    assert locate("OBX(3.1=8302-2)-5") == Location("OBX", 5, segment_tests=(located.Test(3, 1, ("8302-2",)),))
    assert locate("PID-3(5!=MR)") == Location("PID", 3, tests=(located.Test(5, 0, ("MR",), True),))


@pytest.mark.parametrize("text", ["pid-5", "name", "identifier(list)", "PID-5-1", "P-1", "PID-", "=x", ""])
def test_what_is_no_location(text: str) -> None:
    assert locate(text) is None


def test_a_filter_that_is_none_is_refused() -> None:
    with pytest.raises(MapError, match="is not understood"):
        locate("PID-3(first)")


@pytest.mark.parametrize(
    ("location", "pid3", "found"),
    [
        ("PID-3(1).1", "A^^^N^MR~B^^^N^PI", "A"),
        ("PID-3(2).1", "A^^^N^MR~B^^^N^PI", "B"),
        ("PID-3(3).1", "A^^^N^MR~B^^^N^PI", None),
        ("PID-3(2).1", "A~", None),
        ("PID-3(5=PI).1", "A^^^N^MR~B^^^N^PI", "B"),
        ("PID-3(5=ZZ).1", "A^^^N^MR~B^^^N^PI", None),
        ("PID-3(5!=MR).1", "A^^^N^MR~B^^^N^PI", "B"),
        ("PID-3(4.1=N and 5=PI).1", "A^^^N^MR~B^^^N&1.2&ISO^PI", "B"),
        ("PID-3(4.2=1.2).1", "A^^^N^MR~B^^^N&1.2&ISO^PI", "B"),
        ("PID-3(only).1", "A^^^N^MR", "A"),
        ("PID-3(only).1", "A^^^N^MR~", "A"),
        ("PID-3(only).1", "A^^^N^MR~B^^^N^PI", None),
        ("PID-3(only).1", '""', None),
        ("PID-3(1).4.2", "A^^^N&1.2&ISO^MR", "1.2"),
        ("PID-3(1).4", "A^^^N&1.2&ISO^MR", "N"),
    ],
)
def test_reading(location: str, pid3: str, found: str | None) -> None:
    out = small(f"language: {location}", f"PID|1||{pid3}")
    assert out.body.get("language") == found


def test_without_a_number_the_first_that_is_there() -> None:
    assert small("language: PID-3.1", "PID|1||~B^^^N^PI")["language"] == "B"


def test_a_segment_filter_finds_its_segment() -> None:
    text = "status: =final\nvalueString: OBX(3.1=8302-2)-5"
    out = small(text, "OBX|1|ST|X||a\nOBX|2|ST|8302-2||b", "Observation", "OBX")
    assert out["valueString"] == "b"
    assert "valueString" not in small(text, "OBX|1|ST|X||a", "Observation", "OBX")


def test_msh_is_numbered_as_people_number_it() -> None:
    out = small("language: MSH-3\nimplicitRules: MSH-9.2", "PID|1")
    assert (out["language"], out["implicitRules"]) == ("APP", "A01")


@pytest.mark.parametrize(
    ("said", "own", "first"),
    [
        (MINE, "1.2.1.3", ["1.2.1.3"]),
        (("x", "y"), "1.2.1.3", ["x"]),
        (TOP, "1.2.1.3", ["1.0"]),
        (TOP, "12.2.1.3", ["12.0"]),
        (TOP, "1.0.0.0", ["1.0"]),  # its own top
        (ABOVE, "1.2.1.3", ["1.2.1.0", "1.2.0"]),
        (ABOVE, "1.2.1.3.2", ["1.2.1.3.0", "1.2.1.0", "1.2.0"]),
        (ABOVE, "1.2.1.0", ["1.2.0"]),  # a channel: its virtual device
        (ABOVE, "1.2.0.0", []),  # a virtual device: nothing but the top
        (ABOVE, "1.0.0.0", []),
        (ABOVE, "1.2.0.1", ["1.2.0.0", "1.2.0"]),  # no channel between
        (TOP, "", []),
        (TOP, "1", []),
        (ABOVE, "a", []),
        (TOP, ".1", []),
        (ABOVE, "1..2", []),
    ],
)
def test_what_the_own_segment_compares_with(said: tuple[str, ...], own: str, first: list[str]) -> None:
    assert [values[0] for values in of_mine(said, own)] == first


def test_the_top_of_a_place_however_many_zeros_it_is_written_with() -> None:
    assert of_mine(TOP, "1.2.1.3") == (("1.0", "1.0.0", "1.0.0.0", "1.0.0.0.0"),)


@pytest.mark.parametrize(
    ("place", "node"),
    [("1.0.0.0", 1), ("1.2.0.0", 1), ("1.2.1.0", 1), ("1.2.1.3", 0), ("1", 0), ("0", 0), ("", 0), ("a.0", 0)],
)
def test_what_looks_like_a_node_of_a_tree(place: str, node: int) -> None:
    found = small("birthDate: {when: PID-4.1 looks like node, from: PID-7}", f"PID|||1|{place}|||20260101")
    assert ("birthDate" in found) == bool(node)
