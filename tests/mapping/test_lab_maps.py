"""The maps of orders, results and specimens: each reads, and every example written in it holds."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.cli.convert import convert_bytes
from engine.formats.hl7v2.groups import Group
from engine.formats.hl7v2.parse import parse
from engine.kernel import yamlfile
from engine.mapping.project import Maps
from engine.mapping.readmessage import read_message
from engine.mapping.run import Run
from engine.mapping.scope import scope_of
from engine.store.listed import stem

ROOT = Path(__file__).parents[2]
SEGMENTS = ROOT / "mappings/hl7v2/segments"
MESSAGES = [ROOT / f"mappings/hl7v2/messages/{n}.yaml" for n in ("ORU_R01", "ORM_O01", "OML_O21")]
FILES = sorted(
    p
    for p in SEGMENTS.glob("*.yaml")
    if p.stem[:3] in ("ORC", "OBR", "OBX", "SPM", "TQ1", "NTE")
    or p.stem in ("PRT_PractitionerRole", "PRT_RelatedPerson", "PRT_Device", "PRT_Observation")
)
HEAD = "MSH|^~\\&|LIS|NORTH|HUB|CDR|20260501120000-0500||ORM^O01|1|P|2.5.1\r"
STEP = re.compile(r"([A-Za-z]+)(?:\(([^)]*)\))?")


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def cases() -> list[Any]:
    found = []
    for path in FILES:
        for t in yamlfile.load(path)["tests"]:
            found.append(pytest.param(path.stem, t, id=f"{path.stem}: {t['name']}"))
    return found


def build(name: str, text: str) -> tuple[dict[str, Any], dict[str, list[str]], list[str]]:
    """Run one segment map over the segments of an example: elements, labels of list entries, flags."""
    message = parse((HEAD + "\r".join(text.splitlines()) + "\r").encode())
    sender = maps().program("standard").sender("urn:test:sender")
    x = Run(message, sender, maps().terminology.tables, {}, lambda kind, system, value: f"{kind}|{value}")
    segment = next(s for s in message.segments if s.name == maps().maps[name].source)
    o: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    fill = maps().program("standard").program.segment(name)
    fill(segment, scope_of(Group("", "", list(message.segments))), x, o, labels)
    return o, labels, [f.text for f in x.flags]


def at(o: Any, labels: dict[str, list[str]], path: str) -> Any:
    """Follow `a(label).b(0).c`; `value` alone stands for any `value[x]`; None where there is nothing."""
    for depth, (name, which) in enumerate(STEP.findall(path)):
        if isinstance(o, list):
            o = o[0] if o else None
        if not isinstance(o, dict):
            return None
        if depth == 0 and name == "value":
            return next((v for k, v in o.items() if k.startswith("value")), None)
        o = o.get(name)
        if which.isdigit():
            o = o[int(which)] if isinstance(o, list) and int(which) < len(o) else None
        elif which and depth == 0 and isinstance(o, list):
            marks = [stem(label) for label in labels.get(name, [])]
            o = o[marks.index(which)] if which in marks else None
    return o


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_file_is_named_after_its_map_and_has_tests(path: Path) -> None:
    data = yamlfile.load(path)
    assert data["map"] == path.stem
    assert len(data["tests"]) >= 2
    assert maps().program("standard", trace=True).program.segment(path.stem)


@pytest.mark.parametrize(("name", "case"), cases())
def test_example(name: str, case: Any) -> None:
    o, labels, flags = build(name, str(case["in"]))
    for path, expected in case["out"].items():
        if path == "flags":
            assert set(expected) <= set(flags), flags
            continue
        found = at(o, labels, path)
        if expected == "absent":
            assert found in (None, [], {}), (path, found)
        elif expected == "set":
            assert found not in (None, [], {}), (path, o)
        else:
            assert str(found) == str(expected), (path, o)


@pytest.mark.parametrize("path", MESSAGES, ids=lambda p: p.stem)
def test_a_message_map_links_what_it_makes(path: Path) -> None:
    message = read_message(yamlfile.load(path), path.name, "standard")
    names = {r.name for r in message.resources}
    for r in message.resources:
        assert {yamlfile.load(SEGMENTS / f"{m}.yaml")["to"] for m in r.rows} != set()
        for element, target in r.links:
            assert target.split("(")[0] in names | {"me"}, f"{r.place}: {'.'.join(element)}"


def message_cases() -> list[Any]:
    return [pytest.param(t, id=f"{p.stem}: {t['name']}") for p in MESSAGES for t in yamlfile.load(p)["tests"]]


@pytest.mark.parametrize("case", message_cases())
def test_example_of_a_message(case: Any) -> None:
    (result,) = convert_bytes(("\r".join(str(case["in"]).splitlines()) + "\r").encode(), maps())
    assert result.error is None and result.bundle is not None
    assert result.report["errors"] == []
    bodies = [e["resource"] for e in result.bundle["entry"]]
    for path, expected in case["out"].items():
        kind, _, inside = path.partition(".")
        found = next((b for b in bodies if b["resourceType"] == kind), None)
        value = at(found, {}, inside) if inside and found else found
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if expected == "absent":
            assert value in (None, [], {}), path
        elif expected == "set":
            assert value not in (None, [], {}), path
        else:
            assert str(value) == str(expected), path
