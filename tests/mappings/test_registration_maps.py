"""The registration maps, their samples and the analysts' guide: they read and name things that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.formats.hl7v2.parse import parse
from engine.kernel import yamlfile
from engine.mapping import types as T
from engine.mapping.model import Case, Constant, First, Join, Locate, MapDef, Row, Source
from engine.mapping.read import Reader, read_map
from engine.mapping.readmessage import read_message

ROOT = Path(__file__).parents[2]
SEGMENTS = ROOT / "mappings/hl7v2/segments"
MESSAGES = ROOT / "mappings/hl7v2/messages"
SAMPLES = ROOT / "sample_messages/adt"
GUIDE = ROOT / "docs/analysts/maps.md"

OWN = [
    "MSH",
    "SFT",
    "EVN",
    "PID",
    "PD1",
    "NK1",
    "PV1",
    "PV2",
    "MRG",
    "AL1",
    "DG1",
    "IN1",
    "IN3",
    "PR1",
    "ROL",
]
MAPS = sorted(
    p for p in SEGMENTS.glob("*.yaml") if p.stem[:3] in OWN or p.stem in ("PRT_Patient", "PRT_CareTeam")
)
ADT = sorted(MESSAGES.glob("ADT_*.yaml"))
TRIGGERS = [f"A{n:02}" for n in (*range(1, 15), 28, 31, 38, 40)]


def segment_map(path: Path) -> MapDef:
    return read_map(yamlfile.load(path), path.name, "standard", T.has_child)


def sources(rows: tuple[Row, ...]) -> list[Source]:
    """Every source, selector and constant in rows, however deep."""
    out: list[Source] = []

    def source(s: Source | None) -> None:
        if isinstance(s, First):
            for o in s.options:
                source(o)
        elif isinstance(s, Join):
            for p in s.parts:
                source(p)
        elif s is not None:
            out.append(s)

    def case(c: Case) -> None:
        walk(c.rows)

    def walk(found: tuple[Row, ...]) -> None:
        for r in found:
            source(r.source)
            source(r.by)
            for c in r.cases:
                case(c)
            for inner in (r.default, r.failed, r.make_rows, r.children):
                walk(inner)

    walk(rows)
    return out


def rows_of(rows: tuple[Row, ...]) -> list[Row]:
    out: list[Row] = []
    for r in rows:
        out.append(r)
        for inner in (r.default, r.failed, r.make_rows, r.children, *(c.rows for c in r.cases)):
            out += rows_of(inner)
    return out


@pytest.mark.parametrize("path", MAPS, ids=lambda p: p.stem)
def test_segment_map_says_what_its_name_says(path: Path) -> None:
    m = segment_map(path)
    assert m.name == path.stem
    assert path.stem.split("_", 1)[1].startswith(m.to)
    assert len(m.tests) >= 2


@pytest.mark.parametrize("path", MAPS, ids=lambda p: p.stem)
def test_segment_map_names_tables_and_codes_that_exist(path: Path) -> None:
    m = segment_map(path)
    for r in rows_of(m.rows):
        if r.code:
            assert (ROOT / f"terminology/maps/{r.code}.csv").is_file(), f"{r.place}: {r.code}"
    for s in sources(m.rows):
        if isinstance(s, Constant) and "#" in s.text and not s.text.startswith("http"):
            table, code = s.text.split("#")
            codes = (ROOT / f"terminology/systems/{table}.csv").read_text(encoding="utf-8")
            assert re.search(rf"(?:^|,){re.escape(code)},", codes, re.M), s.text


@pytest.mark.parametrize("path", MAPS, ids=lambda p: p.stem)
def test_a_field_is_not_both_mapped_and_ignored(path: Path) -> None:
    m = segment_map(path)
    read = {re.match(r"[A-Z][A-Z0-9]{2}-\d+|", s.text)[0] for s in sources(m.rows) if isinstance(s, Locate)}  # type: ignore[index]
    assert not read & set(m.ignore)


@pytest.mark.parametrize("path", MAPS, ids=lambda p: p.stem)
def test_a_repeating_field_into_a_single_element_says_which_repetition(path: Path) -> None:
    """A single element that reads a repeating field needs (n) or a filter."""
    m = segment_map(path)
    found = []
    for r in m.rows:
        target = T.child_of(m.to, r.target[0].name)
        if len(r.target) == 1 and target is not None and not target.repeats and isinstance(r.source, Locate):
            where = re.fullmatch(r"([A-Z][A-Z0-9]{2})-(\d+)(\.\d+)*", r.source.text)
            if where and T.field_repeats(where[1], int(where[2])) and not r.children:
                found.append(f"{r.place} {r.source.text}")
    assert found == []


@pytest.mark.parametrize("path", ADT, ids=lambda p: p.stem)
def test_message_map_uses_maps_that_exist(path: Path) -> None:
    m = read_message(yamlfile.load(path), path.name, "standard")
    names = {r.name for r in m.resources}
    kinds: dict[str, str] = {}
    for r in m.resources:
        for name in r.rows:
            file = SEGMENTS / f"{name}.yaml"
            assert file.is_file(), f"{r.place}: {name}"
            kinds.setdefault(r.name, str(yamlfile.load(file)["to"]))
            assert kinds[r.name] == str(yamlfile.load(file)["to"]), f"{r.place}: one line makes one type"
        for element, target in r.links:
            assert target.split("(")[0] in names | {"me"}, f"{r.place}: {'.'.join(element)}"
    assert len(m.tests) >= 2


def test_every_event_has_one_map_and_a_sample() -> None:
    served: dict[str, list[str]] = {}
    for path in ADT:
        for kind, event in read_message(yamlfile.load(path), path.name, "standard").triggers:
            assert kind == "ADT"
            served.setdefault(event, []).append(path.stem)
    assert {e: m for e, m in served.items() if len(m) > 1} == {}
    assert set(TRIGGERS) <= set(served)
    sampled = {p.stem.split("_")[1].upper() for p in SAMPLES.glob("*.hl7")}
    assert set(TRIGGERS) <= sampled


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.hl7")), ids=lambda p: p.stem)
def test_sample_is_the_message_its_name_says(path: Path) -> None:
    m = parse(path.read_bytes())
    assert m.segments[0].name == "MSH"
    assert not m.repairs
    assert m.segments[0].field(9).split("^")[1] == path.stem.split("_")[1].upper()


def examples() -> list[tuple[str, str, str]]:
    """(kind, argument, text) of every marked example of the analysts' guide."""
    return [
        (k, a.strip(), t)
        for k, a, t in re.findall(
            r"^```yaml (\w+)([^\n]*)\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S
        )
    ]


@pytest.mark.parametrize("kind, argument, text", examples(), ids=lambda v: str(v)[:24].split("\n")[0])
def test_example_of_the_guide_is_read(kind: str, argument: str, text: str) -> None:
    value: Any = yamlfile.loads(text, "maps.md")
    if kind == "rows":
        rows = Reader(argument, "maps.md", "standard", T.has_child).rows(value)
        assert all(T.child_of(argument, r.target[0].name) for r in rows)
    elif kind == "map":
        assert read_map(value, "maps.md", "standard", T.has_child).tests
    elif kind == "message":
        assert read_message(value, "maps.md", "standard").resources
    else:
        assert kind == "site"
        for name, changes in value["change"].items():
            base = segment_map(SEGMENTS / f"{name}.yaml")
            rows = Reader(base.to, "maps.md", "north_adt", T.has_child).rows(changes)
            assert all(T.child_of(base.to, r.target[0].name) for r in rows)


def test_the_guide_has_examples_of_every_kind() -> None:
    assert {k for k, _, _ in examples()} == {"rows", "map", "message", "site"}
