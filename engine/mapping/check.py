"""The linter of the maps: every map, message map, site and code table against all that it names.

In: the maps of a project. Out: `Finding`s with `file:line`, what, why and what to try; errors first. Rules
about rows are in checkrows.py and checkbeside.py, about message maps in checkmessages.py, about sites in
checksites.py; here is what needs them all together: the compiler's own word, code tables against elements,
and rows that no test touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.kernel.errors import HubError, MapError
from engine.mapping import types as T
from engine.mapping.checkbeside import parts_of
from engine.mapping.checkmessages import check_message, check_triggers
from engine.mapping.checkread import named, unreadable
from engine.mapping.checkrows import check_map
from engine.mapping.checksites import check_changes
from engine.mapping.checktree import check_paths
from engine.mapping.checkx12 import check_x12
from engine.mapping.fhir.rules import FhirRules, check_rules
from engine.mapping.locate import locate
from engine.mapping.model import Locate, MapDef, Row
from engine.mapping.project import Maps, SiteProgram
from engine.mapping.rules import Finding, finding, ordered
from engine.mapping.sites import Site

__all__ = ["check_file", "check_maps"]


def check_maps(maps: Maps, tests: bool = True) -> list[Finding]:
    """Check the maps, message maps and sites of every format that was read."""
    found = _format(maps, tests)
    for other in maps.opened:
        if other is not maps:
            found += check_other(other)
    return ordered(found)


def check_other(maps: Maps) -> list[Finding]:
    """Check what is not HL7 v2: what the compiler says of it, code tables, names."""
    program = maps.program("standard")
    found: list[Finding] = list(_tables(maps, program.resolved.values()))
    found += _test_names(maps)
    if maps.language.format == "x12":
        found += check_x12(maps)
    if maps.language.format == "fhir":
        return found + list(_rules(maps))
    if maps.language.format in ("cda", "dicom"):
        found += check_paths(maps)
    found += _compiled(program, maps.maps, maps.messages, found)
    for site in maps.sites.values():
        found += _site(site, maps, found)
    return found


def _rules(maps: Maps) -> Iterator[Finding]:
    """Check the rules for FHIR that comes in: tables and elements that they name."""
    for rules in maps.messages.values():
        if isinstance(rules, FhirRules):
            for place, what, remedy in check_rules(rules, maps.terminology.tables):
                yield finding("M19", place, what, remedy)


def check_file(maps: Maps, file: str) -> list[Finding]:
    """Check what one file holds (a map, a message map, a site), and what sites say of its rows; without the
    rules that need all tests to run."""
    found: list[Finding] = []
    for own in maps.opened:
        try:
            found += _of_file(own, file)
        except HubError as e:
            found.append(unreadable(e, file, "M22"))
    return ordered(found)


def _of_file(maps: Maps, file: str) -> list[Finding]:
    found: list[Finding] = []
    defs = [m for m in maps.maps.values() if m.place.file == file]
    messages = [m for m in maps.messages.values() if m.place.file == file]
    sites = [s for s in maps.sites.values() if s.file == file]
    if not defs and not messages and not sites:
        return found
    if maps.language.format == "fhir":
        return [f for f in _rules(maps) if f.place.rpartition(":")[0] == file]
    library = maps.program("standard").library
    for m in defs:
        if maps.language.format == "hl7v2":
            found += check_map(m, library)
        found += _tables(maps, [m])
        for site in maps.sites.values():
            if m.name in (site.change or {}) and maps.has(site.over or "standard"):
                found += check_changes(site, maps.program(site.over or "standard").resolved)
                try:
                    maps.program(site.name)
                except HubError as e:
                    found.append(unreadable(e, site.file))
    for message in messages:
        if maps.language.format == "hl7v2":
            found += check_message(message, maps, library.maps)
    if messages and maps.language.format == "hl7v2":
        found += [f for f in check_triggers(maps) if f.place.rpartition(":")[0] == file]
    watched = maps.program("standard", watch=True)
    found += _compiled(watched, [m.name for m in defs], [m.name for m in messages], found)
    for site in sites:
        found += _site(site, maps, found)
    return found


def _format(maps: Maps, tests: bool) -> list[Finding]:
    program = maps.program("standard")
    found: list[Finding] = []
    for m in maps.maps.values():
        found += check_map(m, program.library)
    found += _tables(maps, program.resolved.values())
    for message in maps.messages.values():
        found += check_message(message, maps, program.resolved)
    found += check_triggers(maps)
    found += _test_names(maps)
    found += _compiled(program, maps.maps, maps.messages, found)
    for site in maps.sites.values():
        found += _site(site, maps, found)
    if tests and not any(f.level == "error" for f in found):  # rows with errors may not even run
        found += _untouched(maps, program)
    return found


def _compiled(
    program: SiteProgram, names: Iterable[str], messages: Iterable[str], known: Iterable[Finding]
) -> list[Finding]:
    """Compile maps and plans; what the rules have told already is not told again."""
    told = {f.place for f in known if f.level == "error"}
    out: list[Finding] = []

    def attempt(what: Any, *args: str) -> None:
        try:
            what(*args)
        except MapError as e:
            if e.where not in told:
                told.add(e.where)
                out.append(unreadable(e, rule="M22"))

    segments = dictionary.segment_names() | frozenset(program.library.z_segments)
    other = program.maps.language.format != "hl7v2"
    for name in names:
        m = program.resolved[name]
        if program.library.tree:
            resource = m.to in definitions.resource_types()
            attempt(*((program.program.segment, name) if resource else (program.program.datatype, name, "n")))
        elif m.source in segments or other:
            attempt(program.program.segment, name)
            if m.key:
                attempt(program.program.key, name)
        else:
            attempt(program.program.datatype, name, "c")
            attempt(program.program.datatype, name, "s")
    for name in messages:
        attempt(program.plan, name)
    return out


def _tables(maps: Maps, resolved: Iterable[MapDef]) -> Iterator[Finding]:
    """Every code that a table can give must be allowed where the table is used."""
    for m in resolved:
        for row, target in _coded(m.rows, m.to):
            table = maps.terminology.tables.get(row.code)
            if table is None or not target.required_codes:
                continue
            for _, code, line in table.targets():
                if code not in target.required_codes:
                    near = get_close_matches(code, sorted(target.required_codes), 3, 0.4)
                    yield finding(
                        "M24", f"terminology/maps/{row.code}.csv:{line}",
                        f"{code} is not a code that {m.to}.{row.name} allows ({row.place})",
                        " or ".join(near) or "one of " + ", ".join(sorted(target.required_codes)[:8]),
                    )  # fmt: skip


def _coded(rows: Iterable[Row], kind: str) -> Iterator[tuple[Row, T.Target]]:
    """Give every row that translates codes, with its element."""
    for row in rows:
        target: T.Target | None = T.Target(kind, False)
        at = kind
        for step in row.target:
            target = T.child_of(at, step.name)
            if target is None or not target.type:
                break
            at = target.type
        if row.target and row.target[-1].name.endswith("[x]"):
            for case in row.cases:
                yield from _coded(case.rows, kind)
            continue
        if target is None or not target.type:
            continue
        if row.code and row.target:
            yield row, target
        yield from _coded(row.children, at)
        for case in row.cases:
            for r in case.rows:
                if not r.target and r.code:
                    yield r, target
        if row.make_rows and row.make in definitions.resource_types():
            yield from _coded(row.make_rows, row.make)


def _test_names(maps: Maps) -> Iterator[Finding]:
    for owner in (*maps.sites.values(),):
        for t in owner.tests:
            if t.map and t.map not in maps.maps and t.map not in maps.messages:
                yield named(
                    t.place,
                    f"the test {t.name!r} is of the map {t.map}, which is not there",
                    t.map,
                    [*maps.maps, *maps.messages],
                )


def _site(site: Site, maps: Maps, known: list[Finding]) -> list[Finding]:
    found: list[Finding] = []
    if site.over and site.over != "standard" and site.over not in maps.sites:
        return [
            named(
                f"{site.file}:1", f"over: there is no site {site.over}", site.over, ["standard", *maps.sites]
            )
        ]
    for word, names in (("change", site.change or {}), ("ignore", site.ignore)):
        for name in names:
            if name not in maps.maps:
                line = site.change.key_lines.get(name, 1) if word == "change" and site.change else 1
                found.append(named(f"{site.file}:{line}", f"{word}: there is no map {name}", name, maps.maps))
    if found:
        return found
    try:
        found += check_changes(site, maps.program(site.over or "standard").resolved)
        program = maps.program(site.name)
    except HubError as e:
        return [*found, unreadable(e, site.file)]
    told = {(f.rule, f.what) for f in known}
    for name in site.change or {}:
        mine = check_map(program.resolved[name], program.library) if maps.language.format == "hl7v2" else []
        found += [f for f in mine if (f.rule, f.what) not in told]
    mine = list(_tables(maps, [program.resolved[n] for n in site.change or {}]))
    found += [f for f in mine if (f.rule, f.what) not in told]
    found += _compiled(program, site.change or {}, (), [*known, *found])
    return found


def _untouched(maps: Maps, program: SiteProgram) -> Iterator[Finding]:
    """Rows whose source no inline test ever fills, or fills without anything coming of it."""
    from engine.mapping.tests_inline import touched

    hits = touched(maps)
    for m in program.resolved.values():
        yield from _untested(m, m.rows, hits)
    for site in maps.sites.values():
        try:
            resolved = maps.program(site.name).resolved
        except HubError:
            continue
        for name in site.change or {}:
            if name in resolved:
                own = tuple(r for r in resolved[name].rows if r.place.layer == site.name)
                yield from _untested(resolved[name], own, hits)


def _untested(
    m: MapDef, rows: Iterable[Row], hits: frozenset[tuple[str, str, str, int]]
) -> Iterator[Finding]:
    datatype = m.source in dictionary.datatype_names() and m.source not in dictionary.segment_names()
    for row in rows:
        read = {
            loc for _, s in parts_of([row]) if isinstance(s, Locate) and (loc := locate(s.text)) is not None
        }
        if row.skip or not read or not row.target:
            continue
        stem = row.target[0].name.removesuffix("[x]")
        element = definitions.element(m.to, stem)
        name = element.name.removesuffix("[x]") if element is not None and element.choice else stem
        names = (
            {n for n, e in definitions.elements(m.to).items()}
            if row.target[0].name.endswith("[x]")
            else set()
        )
        if definitions.is_primitive(m.to):
            name = ""
        if any((m.to, name, loc.name, loc.field) in hits for loc in read):
            continue
        if names and any(
            (m.to, n.removesuffix("[x]"), loc.name, loc.field) in hits for n in names for loc in read
        ):
            continue
        what = f"{m.name}: no inline test fills {row.name or 'the value'}"
        example = f"{m.source}..." if not datatype else "a value"
        yield finding("M15", row.place, what, f"tests: - {{in: {example}, out: {{{row.name or '.'}: ...}}}}")
