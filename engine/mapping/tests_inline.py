"""Inline tests of maps, message maps and sites: a few segments (or one datatype value) in, elements out.

In: `TestDef` records with their `in` text and the expected elements. Out: one `Result` a test, with every
difference said in words. Each test runs the fast program and the traced twin, and fails when the two do not
agree. Paths are element paths: `name.given`, `coding(0).code` (0-based), `telecom(work).use` (the label of a
row), `Encounter(1).status` in message tests; a name without a number means the first. Words: `absent`, `set`,
`cleared`, `flags: [..]`, `refused: ..`, `held: ..`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.fhir import definitions
from engine.formats.hl7v2.dictionary import datatype_names, segment_names
from engine.formats.hl7v2.groups import Group
from engine.formats.hl7v2.parse import Message, parse
from engine.kernel.errors import HubError
from engine.kernel.message import Flag
from engine.mapping.convert import authority_of, headers, map_message, unkeyed
from engine.mapping.model import MapDef, Place, TestDef
from engine.mapping.project import Maps, SiteProgram
from engine.mapping.run import Run, TracedRun
from engine.mapping.scope import scope_of
from engine.mapping.tests_other import run_document, run_element
from engine.mapping.tests_x12 import run_segments, run_transaction
from engine.mapping.traced import plain

__all__ = ["Result", "collect", "run_all", "run_test", "touched"]

HEADER = "MSH|^~\\&|SENDER|FACILITY|HUB|CDR|||ZZZ^Z01|T1|P|2.5.1"
_FAULT = "this is a fault of the engine, please report it"
_DATATYPES = datatype_names() - segment_names()
_STEP = re.compile(r"([A-Za-z][A-Za-z0-9]*(?:\[x\])?)(?:\(([^()]*)\))?")


@dataclass(frozen=True, slots=True)
class Result:
    """One test run; it passed when `differences` is empty."""

    map: str
    name: str
    place: Place
    site: str
    differences: tuple[str, ...]


@dataclass(slots=True)
class _Made:
    """What one run gave: resources by type, and what was noted on the way."""

    bodies: list[dict[str, Any]] = field(
        default_factory=list
    )  # the element tested; in message tests all resources
    value: Any = None  # a datatype map's result
    labels: list[dict[str, Any]] = field(default_factory=list)  # runs parallel to bodies
    flags: list[Flag] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    held: Flag | None = None
    nested: dict[int, tuple[Any, dict[str, list[str]]]] = field(default_factory=dict)


def run_all(maps: Maps, name: str = "", site: str = "") -> Iterator[Result]:
    """Run the inline tests of every map and site, or of the one called `name`, as `site` sees the maps."""
    defined = {m.name: m.tests for m in maps.maps.values()} | {
        m.name: m.tests for m in maps.messages.values()
    }
    for map_name, tests in defined.items():
        if not name or name == map_name:
            for test in tests:
                yield run_test(maps, test, site or "standard")
    if not site:
        for s in maps.sites.values():
            for test in s.tests:
                if not name or name in (s.name, test.map):
                    yield run_test(maps, test, s.name)


def run_test(maps: Maps, test: TestDef, site: str = "standard") -> Result:
    """Run one test fast and traced; a map that does not compile is a difference and not an exception."""
    name = test.map or "the message"
    try:
        fast = _run(maps.program(site), test, False)
        slow = _run(maps.program(site, trace=True), test, True)
    except HubError as e:
        return Result(name, test.name, test.place, site, (str(e),))
    found = [d for path, expected in test.expect for d in _compare(slow, path, expected)]
    found += _twins(fast, slow)
    return Result(name, test.name, test.place, site, tuple(found))


def touched(maps: Maps) -> frozenset[tuple[str, str, str, int]]:
    """Return (FHIR type, element, segment or datatype, field or component) of all that inline tests reach."""
    hits: set[tuple[str, str, str, int]] = set()
    jobs = [(t, "standard") for m in maps.maps.values() for t in m.tests]
    jobs += [(t, "standard") for m in maps.messages.values() for t in m.tests]
    jobs += [(t, s.name) for s in maps.sites.values() for t in s.tests]
    for test, site in jobs:
        try:
            made = _run(maps.program(site, trace=True), test, True)
        except HubError:
            continue
        definition = maps.maps.get(test.map)
        to = definition.to if definition is not None else ""
        for body in made.bodies:
            kind = body.get("resourceType") or to
            for name, value in body.items():
                _reach(hits, kind, name, value)
        if made.value is not None:
            _reach(hits, to, "", made.value)
    return frozenset(hits)


def _reach(hits: set[tuple[str, str, str, int]], kind: str, name: str, value: Any) -> None:
    if isinstance(value, dict):
        for v in value.values():
            _reach(hits, kind, name, v)
    elif isinstance(value, list):
        for v in value:
            _reach(hits, kind, name, v)
    for a in getattr(value, "src", ()):
        stem = name.lstrip("_")
        element = definitions.element(kind, stem) if kind in definitions.types() and stem else None
        shown = element.name.removesuffix("[x]") if element is not None and element.choice else stem
        hits.add((kind, shown, a.segment, a.component if a.segment in _DATATYPES else a.field))


def _twins(fast: _Made, slow: _Made) -> Iterator[str]:
    """Say where the fast program and its twin part; they never may."""
    if plain(slow.value) != fast.value or [plain(b) for b in slow.bodies] != fast.bodies:
        yield f"the fast program and its traced twin give different results: {_FAULT}"
    if [str(c) for c in slow.cleared] != fast.cleared or {f.code for f in slow.flags} != {
        f.code for f in fast.flags
    }:
        yield f"the fast program and its traced twin raise different notes: {_FAULT}"


def _run(program: SiteProgram, test: TestDef, trace: bool) -> _Made:
    kind: type[Run] = TracedRun if trace else Run
    definition = program.resolved.get(test.map)
    if program.library.tree:
        return _other(program, definition, test, trace, run_element, run_document)
    if program.library.types.format == "x12":
        return _other(program, definition, test, trace, run_segments, run_transaction)
    if definition is None:
        return _message(program, test, kind)
    if definition.source in definitions_of_segments(program):
        return _segment(program, definition, test, kind)
    return _datatype(program, definition, test, kind)


def _other(
    program: SiteProgram,
    m: MapDef | None,
    test: TestDef,
    trace: bool,
    run_part: Callable[[SiteProgram, MapDef, TestDef, bool], tuple[Any, Any, Any]],
    run_whole: Callable[[SiteProgram, TestDef, bool], tuple[Any, Any]],
) -> _Made:
    """Run a test over a document or transaction set, or over a piece of one."""
    if m is None:
        x, built = run_whole(program, test, trace)
        made = _Made(flags=built.flags, held=built.held, nested=getattr(x, "nested", {}))
        for d in built.drafts:
            made.bodies.append(d.body)
            made.labels.append({k: list(v) for k, v in d.labels.items()})
        return made
    x, value, labels = run_part(program, m, test, trace)
    made = _Made(flags=x.flags, held=x.held, nested=getattr(x, "nested", {}))
    if isinstance(value, dict):
        made.bodies, made.labels = [value], [labels]
    else:
        made.value = value
    return made


def definitions_of_segments(program: SiteProgram) -> frozenset[str]:
    """Return every segment name that a map may read from, those of the sender included."""
    return segment_names() | frozenset(program.library.z_segments)


def _parsed(text: str) -> Message:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines or not lines[0].startswith("MSH"):
        lines.insert(0, HEADER)
    return parse("\r".join(lines).encode() + b"\r", charset="utf-8")


def _start(program: SiteProgram, message: Message, kind: type[Run]) -> Run:
    return kind(message, program.sender(authority_of(headers(message))), program.tables, {}, unkeyed)


def _datatype(program: SiteProgram, m: MapDef, test: TestDef, kind: type[Run]) -> _Made:
    from engine.mapping.traced import Address, TStr

    x = _start(program, _parsed(HEADER), kind)
    fill = program.program.datatype(m.name)
    raw: str = TStr(test.source, (Address(m.source, 1, 1, 1),)) if x.tracing else test.source
    parts = raw.split("^")
    o: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    value: Any
    if m.levels:
        reference = fill(parts, x)
        value = None if reference is None else x.body_of(reference)
    elif f"R_{m.name}_c" in program.program.space:
        fill(parts, x, o, labels)
        value = o
    else:
        value = fill(parts, x)
    made = _Made(flags=x.flags, cleared=x.cleared, held=x.held, nested=getattr(x, "nested", {}))
    if isinstance(value, dict):
        made.bodies, made.labels = [value], [labels]
    else:
        made.value = value
    if x.fails:
        made.flags = [
            *x.flags,
            *(Flag(code, m.source, "the value is not readable as its type") for code, _ in x.failed_at),
        ]
    return made


def _segment(program: SiteProgram, m: MapDef, test: TestDef, kind: type[Run]) -> _Made:
    message = _parsed(test.source)
    x = _start(program, message, kind)
    scope = scope_of(Group("", "", list(message.segments)))
    segment = next((s for s in message.segments if s.name == m.source), None)
    if segment is None:
        raise HubError(
            f"the test has no {m.source} segment",
            where=str(test.place),
            remedy=f"begin a line of in: with {m.source}|",
        )
    x.where = f"{segment.name}[{segment.n}]"
    o: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    program.program.segment(m.name)(segment, scope, x, o, labels)
    if x.contained:
        o["contained"] = x.contained
    return _Made([o], None, [labels], x.flags, x.cleared, x.held, getattr(x, "nested", {}))


def _message(program: SiteProgram, test: TestDef, kind: type[Run]) -> _Made:
    message = _parsed(test.source)
    runs: list[Run] = []

    def start(*args: Any) -> Run:
        runs.append(kind(*args))
        return runs[-1]

    built = map_message(message, program, unkeyed, "test", start)  # type: ignore[arg-type]
    made = _Made(flags=built.flags, held=built.held, nested=getattr(runs[0], "nested", {}))
    for d in built.drafts:
        made.bodies.append(d.body)
        made.labels.append({k: list(v) for k, v in d.labels.items()})
        made.cleared += d.cleared
    return made


# -- looking ----------------------------------------------------------------------------------------


def _compare(made: _Made, path: str, expected: Any) -> Iterator[str]:
    """Yield every difference between one expectation and what was made."""
    if path == "flags":
        for want in expected if isinstance(expected, list) else [expected]:
            if not any(_same_words(want, f.code) or _same_words(want, f.text) for f in made.flags):
                yield f"flags: expected {want!r}, found {', '.join(f.code for f in made.flags) or 'none'}"
        return
    if path in ("refused", "held"):
        told = made.held
        if told is None or not (_same_words(expected, told.text) or _same_words(expected, told.code)):
            yield f"{path}: expected {expected!r}, found {told.text if told else 'that it goes on'}"
        return
    if path == ".":
        if expected == "absent" and not made.bodies and made.value is None:
            return
        if isinstance(made.value, dict) or made.bodies or not _equal(made.value, expected):
            found = made.bodies[0] if made.bodies else made.value
            yield f"expected {_shown(expected)}, found {_shown(plain(found))}"
        return
    if expected == "cleared" and isinstance(expected, str):
        if path not in {re.sub(r"\(\)$", "", str(c)) for c in made.cleared}:
            yield f"{path}: expected an explicit delete, found {', '.join(map(str, made.cleared)) or 'none'}"
        return
    yield from _expect(collect(made, path), path, expected, made)


def _expect(found: list[Any], path: str, expected: Any, made: _Made) -> Iterator[str]:
    if isinstance(expected, dict):
        for k, v in expected.items():
            yield from _compare(made, f"{path}.{k}", v)
    elif isinstance(expected, str) and expected == "absent" and not getattr(expected, "quoted", False):
        if found:
            yield f"{path}: expected nothing, found {_shown(plain(found[0]))}"
    elif isinstance(expected, str) and expected == "set" and not getattr(expected, "quoted", False):
        if not found:
            yield f"{path}: expected something, found nothing"
    elif isinstance(expected, list):
        if len(found) != len(expected) or not all(map(_equal, found, expected)):
            yield f"{path}: expected {_shown(plain(expected))}, found {_shown(plain(found))}"
    elif not found:
        yield f"{path}: expected {_shown(expected)}, found nothing"
    elif not _equal(found[0], expected):
        yield f"{path}: expected {_shown(expected)}, found {_shown(plain(found[0]))}"


def collect(made: _Made, path: str) -> list[Any]:
    """Return the values at an element path, labels and positions resolved."""
    steps = [(m[1], m[2]) for m in _STEP.finditer(path)]
    spots = list(zip(made.bodies, made.labels, strict=True))
    if steps and steps[0][0] in definitions.resource_types():
        kind, which = steps.pop(0)
        spots = [s for s in spots if s[0].get("resourceType") == kind]
        if which is not None:
            spots = spots[int(which) : int(which) + 1] if which.isdigit() else []
        if not steps:
            return [b for b, _ in spots]
    found: list[Any] = []
    for body, labels in spots:
        found += _walk(body, labels, steps, made)
    return found


def _walk(
    at: Any, labels: dict[str, list[str]], steps: list[tuple[str, str | None]], made: _Made
) -> list[Any]:
    (name, which), rest = steps[0], steps[1:]
    if not isinstance(at, dict):
        return []
    names = [name]
    if rest and "_" + name in at and (name not in at or rest[0][0] == "extension"):
        names = ["_" + name]
    elif name.endswith("[x]") or (name not in at and name in _CHOICES):
        stem = name.removesuffix("[x]")
        names = [k for k in at if k.startswith(stem) and k[len(stem) : len(stem) + 1].isupper()]
    out: list[Any] = []
    for n in names:
        value = at.get(n)
        if value in (None, "", [], {}):
            continue
        entries = value if isinstance(value, list) else [value]
        if which is not None and isinstance(value, list):
            entries = _chosen(entries, which, labels.get(n) or [], at, made)
        for e in entries:
            inside = made.nested.get(id(e), (None, {}))[1]
            out += _walk(e, inside, rest, made) if rest else [e]
    return out


_CHOICES = frozenset(
    {
        "value",
        "effective",
        "deceased",
        "multipleBirth",
        "onset",
        "abatement",
        "occurrence",
        "performed",
        "collected",
        "timing",
    }
)


def _chosen(entries: list[Any], which: str, labels: list[str], at: Any, made: _Made) -> list[Any]:
    if which.isdigit():
        return entries[int(which) : int(which) + 1]
    return [e for e, label in zip(entries, labels, strict=False) if label.partition("#")[0] == which]


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            k in found and _equal(found[k], v) for k, v in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_equal, found, expected))
    found = plain(found)
    if isinstance(found, bool) or isinstance(expected, bool):
        return str(found).lower() == str(expected).lower()
    return found is not None and str(found) == str(expected)


def _same_words(a: Any, b: str) -> bool:
    return str(a).lower().replace("-", " ").strip() == b.lower().replace("-", " ").strip()


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 120 else text[:117] + "..."
