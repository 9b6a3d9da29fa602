"""The datatype maps: each compiles, and each inline test holds, read as components and as subcomponents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.formats.hl7v2.parse import parse
from engine.kernel import yamlfile
from engine.mapping.project import Maps
from engine.mapping.run import Run

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "mappings/hl7v2/datatypes"
FILES = sorted(FOLDER.glob("*.yaml"))
HEAD = b"MSH|^~\\&|A|NORTH|B|C|20260501120000-0500||ADT^A08|1|P|2.5.1\r"
STEP = re.compile(r"([A-Za-z]+)(?:\((\d+)\))?")


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def run(maps: Maps) -> Run:
    message = parse(HEAD)
    sender = maps.program("standard").sender("urn:test:sender")
    return Run(
        message, sender, maps.terminology.tables, {}, lambda kind, system, value: f"{kind}|{system}|{value}"
    )


def build(maps: Maps, name: str, value: str, level: str = "c") -> Any:
    """Run one datatype map over one raw value; a resource map gives the resource."""
    program = maps.program("standard").program
    x = run(maps)
    parts = value.split("^" if level == "c" else "&")
    fill = program.datatype(name, level)
    definition = maps.maps[name]
    if definition.levels:
        reference = fill(parts, x)
        return {} if reference is None else x.body_of(reference)
    if f"R_{name}_{level}" in program.space:
        o: dict[str, Any] = {}
        fill(parts, x, o, {})
        return o
    return fill(parts, x)


def at(value: Any, path: str) -> Any:
    """Follow `a.b(1).c`; without a number the first of a list; None where there is nothing."""
    for name, index in STEP.findall(path):
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict):
            return None
        value = value["_" + name] if name not in value and "_" + name in value else value.get(name)
        if index:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value


def primitive(holder: Any, path: str) -> Any:
    """The same, with the extensions of a primitive (`family.extension`) read from its companion."""
    steps = path.split(".")
    for i, step in enumerate(steps[:-1]):
        if steps[i + 1].startswith("extension"):
            name = step.split("(")[0]
            inner = at(holder, ".".join(steps[:i])) if i else holder
            inner = inner[0] if isinstance(inner, list) else inner
            if isinstance(inner, dict) and "_" + name in inner:
                return at(inner["_" + name], ".".join(steps[i + 1 :]))
    return at(holder, path)


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(same, found, expected))
    if expected == "set":
        return found not in (None, "", [], {})
    if expected == "absent":
        return found in (None, "", [], {})
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return str(found) == str(expected)


def cases() -> list[Any]:
    out = []
    for path in FILES:
        for n, t in enumerate(yamlfile.load(path).get("tests") or (), 1):
            out.append(pytest.param(path.stem, t, id=f"{path.stem}-{n}"))
    return out


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_file_is_named_after_its_map_compiles_and_has_tests(path: Path, maps: Maps) -> None:
    data = yamlfile.load(path)
    assert data["map"] == path.stem
    assert data["from"] == path.stem.split("_")[0]
    assert len(data["tests"]) >= 2 or path.stem == "SAD_Address"
    for level in "cs":
        assert maps.program("standard").program.datatype(path.stem, level)
        assert maps.program("standard", trace=True).program.datatype(path.stem, level)


@pytest.mark.parametrize(("name", "case"), cases())
def test_inline(name: str, case: Any, maps: Maps) -> None:
    found = build(maps, name, str(case["in"]))
    expected = case["out"]
    if not isinstance(expected, dict):
        assert same(found, expected), found
        return
    for path, value in expected.items():
        assert same(primitive(found or {}, path), value), (path, found)


def test_a_value_inside_a_component_is_read_by_its_subcomponents(maps: Maps) -> None:
    found = build(maps, "CX_Identifier", "77&&&NORTH&MR", "s")
    assert found["value"] == "77"
    assert found["assigner"] == {"display": "NORTH"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_nothing_comes_of_nothing(path: Path, maps: Maps) -> None:
    for empty in ("", '""', "^^^"):
        assert not build(maps, path.stem, empty), empty


def test_a_place_is_known_by_its_whole_path(maps: Maps) -> None:
    program = maps.program("standard").program
    x = run(maps)
    first = program.datatype("PL_Location")(["ICU", "2", "B", "NORTH"], x)
    second = program.datatype("PL_Location")(["3W", "2", "B", "NORTH"], x)
    assert first != second
    assert len({d.id for d in x.drafts}) == 7  # one hospital, two wards, two rooms, two beds
    bed = x.body_of(first)
    assert bed is not None
    room = x.body_of(bed["partOf"])
    assert room is not None
    assert (bed["name"], room["name"]) == ("B", "2")
