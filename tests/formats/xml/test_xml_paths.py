"""Paths of map rows: what they find, what they refuse, where things stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from engine.formats.xml.nodes import Node
from engine.formats.xml.paths import read_path
from engine.formats.xml.places import leaves
from engine.kernel.errors import MapError

# ruff: noqa: E501
TEXT = b"""<a xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<b x="1" use="HP"><c code="q"/></b><b x="2"><c value="z" xsi:type="v3:CD" xmlns:v3="urn:hl7-org:v3"/><sdtc:c>t  u</sdtc:c></b>
<d nullFlavor="UNK" use="HP"/><d><e nullFlavor="NI"/></d><d><e>w</e></d></a>"""


@pytest.fixture
def top() -> Node:
    return Node(etree.fromstring(TEXT))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("b/@x", ["1", "2"]),
        ("b(2)/@x", ["2"]),
        ("b(@x=1)/c", ["q"]),
        ("b(@x=1|2)/@x", ["1", "2"]),
        ("b(@x!=1)/@x", ["2"]),
        ("b/c", ["q", "z"]),
        ("b(c/@code=q)/@x", ["1"]),
        ("b(not c/@code)/@x", ["2"]),
        ("b(c and @x=2)/c", ["z"]),
        ("b/sdtc:c", ["t u"]),
        ("b(sdtc:c(text()=t u))/@x", ["2"]),
        ("b/c/@xsi:type", ["CD"]),
        ("b(1)/c/../@x", ["1"]),
        ("/a/b(2)/@x", ["2"]),
        ("*/c/@code", ["q"]),
        ("b(7)/@x", []),
        ("nobody/@x", []),
        ("d/e", ["w"]),
    ],
)
def test_what_a_path_says(top: Node, path: str, said: list[str]) -> None:
    assert read_path(path).texts(top) == said


def test_an_absolute_path_starts_at_the_root_wherever_one_stands(top: Node) -> None:
    inner = read_path("b(2)/c").nodes(top)[0]
    assert read_path("/a/b(1)/@x").texts(inner) == ["1"]
    assert read_path("/other/b").nodes(inner) == []


def test_an_element_says_something_when_it_holds_a_value(top: Node) -> None:
    assert [n.valued for n in top.by("d")] == [False, False, True]
    assert read_path("d").valued(top) and not read_path("d(1)").valued(top)
    assert top.by("b")[0].by("c")[0].valued


def test_kinds_are_what_a_format_says(top: Node) -> None:
    top.by("b")[1].kind = "problem"
    assert read_path("b(is=problem|allergy)/@x").texts(top) == ["2"]


def test_places_are_those_of_the_report(top: Node) -> None:
    places = {leaf.place for leaf in leaves(top.element)}
    for node in top.walk():
        for name in node.element.attrib:
            if not str(name).startswith("{"):
                assert f"{node.place}/@{name}" in places


def test_what_is_closed_is_not_walked_into_and_opens_again(top: Node) -> None:
    b = top.by("b")[0]
    b.close()
    assert read_path("b/c").texts(top) == ["z"] and b.valued
    b.release_inside()
    assert read_path("b/c").texts(top) == ["q", "z"]
    b.forget()
    assert read_path("b/c").texts(top) == ["z"] and top.by("b")[1].place == "/a/b[2]"


@pytest.mark.parametrize("text", ["", "/", "b/", "@x/b", "b(", "b(x y)", "b[1]", "@x(1)", "a//b", "b(@x=)"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(MapError):
        read_path(text)


@given(st.text(alphabet="ab@./()=|! and123:*_x", max_size=30))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = read_path(text)
    except MapError:
        return
    node = Node(etree.fromstring(TEXT))
    assert isinstance(path.texts(node), list)
