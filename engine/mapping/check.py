"""The linter of a project: config, channels, code tables, maps, sites and their tests, each file read on its own.

In: a project folder. Out: `Finding`s with `file:line`, what, why and what to try; errors first. One bad file does not
hide the next: what can be read is checked. Rules about rows are in checkrows.py; here are those that need the whole
project: names, links, required elements, sites against their base, code tables, and which rows no test touches.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.formats.hl7v2.dictionary import GroupDef
from engine.formats.hl7v2.structures import tree
from engine.kernel.errors import ConfigError, HubError, MapError
from engine.kernel.yamlfile import Map, line_of, load
from engine.mapping import types as T
from engine.mapping.checkrows import check_map, parts_of
from engine.mapping.layers import apply_change
from engine.mapping.locate import locate
from engine.mapping.mend import MEND, REFUSE
from engine.mapping.model import Locate, MapDef, MessageDef, Place, ResourceDef, Row
from engine.mapping.project import Maps, Site, SiteProgram, _read_site
from engine.mapping.read import read_map, read_message, read_target
from engine.mapping.rules import Finding, finding, ordered
from engine.terminology.tables import read_system, read_table
from engine.terminology.translate import Terminology

__all__ = ["check_maps", "check_project", "row_hash"]


def check_project(root: Path, identity_base: str = "urn:hub") -> list[Finding]:
    """Check everything below `root` that people write: config.yaml, channels, maps, sites, tables."""
    from engine.channels.definition import load_channels
    from engine.kernel.config import load_config

    found: list[Finding] = []
    channels = []
    try:
        identity_base = load_config(root).identity_base
    except HubError as e:
        found.append(_unreadable(e))
    try:
        channels = load_channels(root)
    except HubError as e:
        found.append(_unreadable(e))
    maps, read_findings = open_what_can_be_read(root, identity_base)
    found += read_findings
    if maps is not None:
        found += check_maps(maps)
        for c in channels:
            if c.site and c.site not in maps.sites:
                found.append(_named(f"{c.file}:1", f"sender: there is no site {c.site}", c.site, maps.sites))
            if c.map and c.map not in maps.messages:
                found.append(
                    _named(f"{c.file}:1", f"map: there is no message map {c.map}", c.map, maps.messages)
                )
    found += _channel_tests(root, {c.name for c in channels})
    return ordered(found)


def _named(place: object, what: str, name: str, known: Iterable[str]) -> Finding:
    near = get_close_matches(name, sorted(known), 3, 0.5)
    return finding("M19", place, what, " or ".join(near))


def _channel_tests(root: Path, channels: set[str]) -> Iterator[Finding]:
    for path in sorted((root / "channels").glob("*.test.yaml")):
        shown = path.relative_to(root).as_posix()
        try:
            m = load(path, name=shown)
        except HubError as e:
            yield _unreadable(e)
            continue
        name = str(m.get("channel", "")) if isinstance(m, Map) else ""
        if name not in channels:
            yield _named(
                f"{shown}:{line_of(m, 1)}", f"there is no channel {name or '(none named)'}", name, channels
            )
        for test in (m.get("tests") or ()) if isinstance(m, Map) else ():
            for word in ("send",):
                file = test.get(word) if isinstance(test, Map) else None
                if file and not (root / str(file)).is_file():
                    yield finding("M19", f"{shown}:{line_of(file)}", f"{word}: there is no file {file}")


# -- reading -------------------------------------------------------------------------------------------------------


def open_what_can_be_read(root: Path, identity_base: str = "urn:hub") -> tuple[Maps | None, list[Finding]]:
    """Open the maps of a project without those files that cannot be read, and say what is wrong with these."""
    found: list[Finding] = []
    base = root / "mappings"
    if not base.is_dir():
        where = MapError(
            "there is no mappings folder", where=str(base), remedy="start in the project's folder"
        )
        return None, [_unreadable(where)]
    terminology = _terminology(root / "terminology", found)
    maps: dict[str, MapDef] = {}
    messages: dict[str, MessageDef] = {}
    for path in sorted((base / "hl7v2").rglob("*.yaml")):
        shown = path.relative_to(root).as_posix()
        try:
            data = load(path, name=shown)
            if not isinstance(data, Map) or "map" not in data:
                raise MapError("is not a map", where=shown, remedy="start the file with map: NAME")
            definition: MapDef | MessageDef
            if "resources" in data:
                definition = read_message(data, shown, "standard")
                twice: MapDef | MessageDef | None = messages.setdefault(definition.name, definition)
            else:
                definition = read_map(data, shown, "standard", T.has_child)
                twice = maps.setdefault(definition.name, definition)
            if twice is not definition and twice is not None:
                raise MapError(
                    f"map {definition.name} exists twice", where=shown, why=f"also in {twice.place.file}"
                )
            if path.stem != definition.name:
                what = f"the map is called {definition.name} and the file {path.name}"
                found.append(
                    finding(
                        "M19",
                        definition.place,
                        what,
                        f"name the file {definition.name}.yaml",
                        level="warning",
                    )
                )
        except HubError as e:
            found.append(_unreadable(e, shown))
    sites: dict[str, Site] = {}
    for path in sorted((base / "sites").glob("*.yaml")):
        shown = path.relative_to(root).as_posix()
        try:
            site = _read_site(load(path, name=shown), shown)
            sites[site.name] = site
        except HubError as e:
            found.append(_unreadable(e, shown))
    return Maps(root, terminology, maps, messages, sites, identity_base), found


def _terminology(folder: Path, found: list[Finding]) -> Terminology:
    content: dict[str, bytes] = {}
    for kind in ("maps", "systems"):
        for path in sorted((folder / kind).glob("*.csv")):
            name = f"{folder.name}/{kind}/{path.name}"
            try:
                data = path.read_bytes()
                if kind == "maps":
                    read_table(data, name)
                else:
                    read_system(data, name, path.stem)
                content[f"{kind}/{path.name}"] = data
            except OSError as e:
                found.append(_unreadable(ConfigError("cannot be read", where=name, why=e.strerror or "")))
            except HubError as e:
                found.append(_unreadable(e, name))
                if kind == "maps":  # its name is known all the same
                    content[f"{kind}/{path.name}"] = _EMPTY
    try:
        return Terminology.of(content, folder.name)
    except HubError as e:
        found.append(_unreadable(e))
        return Terminology.of({k: v for k, v in content.items() if k.startswith("maps/")}, folder.name)


_EMPTY = b"source_system,source_code,source_display,equivalence,target_system,target_code,target_display,status,by,on,note\n"
_DAMAGED = re.compile(r"has the (?:source|target)_code ")
_COMMA = "a comma inside a one-line { } cuts the row in two: write alternatives with |, lists with [ ]"
_CLASSES = (
    (_DAMAGED, "M18"),
    (re.compile(r"is not an element"), "M17"),
    (re.compile(r"says nothing"), "M17"),
    (re.compile(r"unknown element|has no element"), "M01"),
    (re.compile(r"is not a location|a \w+ map reads only|names a segment, not a field"), "M02"),
    (re.compile(r"no usual way from|joined text cannot become"), "M03"),
    (re.compile(r"no such code|is not a code of|is not a boolean"), "M07"),
    (
        re.compile(r"no code table|no map |which is no map|there is no (?:map|site|message map)|no rule "),
        "M19",
    ),
    (re.compile(r"links to|links: "), "M20"),
    (re.compile(r"has no row .* to skip"), "M11"),
    (re.compile(r"^key"), "M13"),
)


def _unreadable(e: HubError, file: str = "", rule: str = "M21") -> Finding:
    """Turn an error of a reader or of the compiler into a finding of the rule it is about."""
    number = next((n for pattern, n in _CLASSES if pattern.search(e.what)), rule)
    try_ = e.remedy
    if number == "M17":
        cut = ")" in e.what or "(" in e.what or re.search(r"'[A-Z][A-Z0-9]{1,2}[-.]|says nothing", e.what)
        number, try_ = ("M17", _COMMA) if cut else ("M01", e.remedy)
    elif number == "M21" and "is not understood" in e.what and e.what.count("(") != e.what.count(")"):
        number, try_ = "M17", _COMMA
    return finding(number, e.where or file, e.what, try_, why=e.why)


# -- the maps ------------------------------------------------------------------------------------------------------


def check_maps(maps: Maps, tests: bool = True) -> list[Finding]:
    """Check the maps, message maps and sites that could be read."""
    program = SiteProgram(maps, "standard", False)
    found: list[Finding] = []
    for m in maps.maps.values():
        found += check_map(m, program.library)
    found += _tables(maps, program.resolved.values())
    for message in maps.messages.values():
        found += _message(message, maps, program.resolved)
    found += _triggers(maps)
    found += _test_names(maps)
    found += _compiled(program, [*maps.maps], found)
    for site in maps.sites.values():
        found += _site(site, maps, found)
    if tests:
        found += _untouched(maps, program)
    return ordered(found)


def _compiled(program: SiteProgram, names: Iterable[str], known: Iterable[Finding]) -> list[Finding]:
    """Compile maps and plans; what the rules have told already is not told again."""
    told = {f.place for f in known if f.level == "error"}
    out: list[Finding] = []

    def attempt(what: Any, *args: str) -> None:
        try:
            what(*args)
        except MapError as e:
            if e.where not in told:
                told.add(e.where)
                out.append(_unreadable(e, rule="M22"))

    segments = dictionary.segment_names() | frozenset(program.library.z_segments)
    for name in names:
        m = program.resolved[name]
        if m.source in segments:
            attempt(program.program.segment, name)
            if m.key:
                attempt(program.program.key, name)
        else:
            attempt(program.program.datatype, name, "c")
            attempt(program.program.datatype, name, "s")
    for name in program.maps.messages:
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
                if code not in target.required_codes and not any(code in _codes(target) for _ in "1"):
                    near = get_close_matches(code, sorted(target.required_codes), 3, 0.4)
                    yield finding(
                        "M24", f"terminology/maps/{row.code}.csv:{line}",
                        f"{code} is not a code that {m.to}.{row.name} allows ({row.place})",
                        " or ".join(near) or "one of " + ", ".join(sorted(target.required_codes)[:8]),
                    )  # fmt: skip


def _codes(target: T.Target) -> frozenset[str]:
    return target.required_codes


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


# -- message maps --------------------------------------------------------------------------------------------------


def _message(m: MessageDef, maps: Maps, resolved: dict[str, MapDef]) -> Iterator[Finding]:
    lines = {r.name: r for r in m.resources}
    types = {r.name: next((resolved[n].to for n in r.rows if n in resolved), "") for r in m.resources}
    structure = tree(m.structure)
    groups = _groups(m.structure)
    if structure is None and not groups:
        yield _named(
            m.place, f"from: there is no message structure {m.structure}", m.structure, _structures()
        )
    for r in m.resources:
        for name in r.rows:
            if name not in resolved:
                yield _named(r.place, f"{r.name}: there is no map {name}", name, resolved)
        if not r.rows:
            yield finding("M19", r.place, f"{r.name} has no rows", "rows: [SEGMENT_Resource]")
        for step in r.per if groups else ():
            if step not in groups and not (step == r.per[-1] and step in dictionary.segment_names()):
                yield _named(r.place, f"{r.name}: {m.structure} has no group {step}", step, groups)
        for path, selector in r.links:
            yield from _link(r, path, selector, lines, types)
    for rules, known, word in ((m.mend, MEND, "mend"), (m.refuse, REFUSE, "refuse")):
        for text, place in rules:
            if text not in known:
                yield _named(place, f"{word}: there is no rule {text!r}", text, known)
    for text in m.ignore:
        loc = locate(text)
        if loc is None or (loc.name not in dictionary.segment_names() and not loc.name.startswith("Z")):
            yield finding(
                "M02", f"{m.place.file}:{line_of(text, m.place.line)}", f"ignore: {text} is not a location"
            )
    yield from _required(m, types, resolved)


def _structures() -> frozenset[str]:
    return frozenset(n for v in dictionary.versions() for n in dictionary.version(v).structure_names())


def _groups(structure: str) -> frozenset[str]:
    """Return the group names that a structure has in any version, or as this engine arranges it."""
    out: set[str] = set()

    def walk(g: GroupDef) -> None:
        for child in g.children:
            if isinstance(child, GroupDef):
                out.add(child.name)
                walk(child)

    found = [dictionary.version(v).structure(structure) for v in dictionary.versions()]
    for g in (*found, tree(structure)):
        if g is not None:
            walk(g)
    return frozenset(out) | ({"."} if any(found) else frozenset())


def _link(
    r: ResourceDef, path: tuple[str, ...], selector: str, lines: dict[str, ResourceDef], types: dict[str, str]
) -> Iterator[Finding]:
    shown = f"{r.name}: {'.'.join(path)}: {selector}"
    target = selector.split("(")[0].strip()
    if target != "me" and target not in lines:
        near = get_close_matches(target, sorted(lines), 3, 0.5)
        yield finding("M20", r.place, f"{shown}: this map has no resource {target}", " or ".join(near))
        return
    try:
        steps = read_target(".".join(path), str(r.place))
    except MapError as e:
        yield finding("M20", r.place, f"{shown}: {e.what}", e.remedy)
        return
    owner = r.name
    if steps[0].name in lines and not steps[0].label and len(steps) > 1:
        owner, steps = steps[0].name, steps[1:]
    kind, found = types[owner], None
    for step in steps:
        found = T.child_of(kind, step.name) if kind else None
        if found is None:
            names = (
                [n.removesuffix("[x]") for n in definitions.elements(kind)]
                if kind in definitions.types()
                else []
            )
            near = get_close_matches(step.name, names, 3, 0.6)
            if kind:
                yield finding(
                    "M20", r.place, f"{shown}: {kind} has no element {step.name}", " or ".join(near)
                )
            return
        kind = found.type
    to = types[r.name if target == "me" else target]
    allowed = _allowed(found)
    if allowed is None:
        yield finding(
            "M20",
            r.place,
            f"{shown}: {kind or steps[-1].name} holds no reference",
            "name the element of the reference",
        )
    elif to and allowed and to not in allowed and "Resource" not in allowed:
        yield finding(
            "M20",
            r.place,
            f"{shown}: a {to} cannot stand there",
            f"it may be {', '.join(allowed)}",
            why="FHIR allows other types",
        )


def _allowed(found: T.Target | None) -> tuple[str, ...] | None:
    """Return the types a reference may go to, () for any, None where there is no reference."""
    if found is None:
        return None
    if found.type == "Reference":
        return found.targets
    if found.type not in definitions.types() and "." not in found.type:
        return None
    inner = [e for e in definitions.elements(found.type).values() if e.types == ("Reference",)]
    return inner[0].targets if inner else None


def _required(m: MessageDef, types: dict[str, str], resolved: dict[str, MapDef]) -> Iterator[Finding]:
    linked: dict[str, set[str]] = {}
    for r in m.resources:
        for path, _ in r.links:
            steps = [p.split("(")[0] for p in path]
            if steps[0] in types and "(" not in path[0] and len(steps) > 1:
                linked.setdefault(steps[0], set()).add(steps[1])
            else:
                linked.setdefault(r.name, set()).add(steps[0])
    for r in m.resources:
        kind = types[r.name]
        if not kind:
            continue
        given = {
            row.target[0].name
            for n in r.rows
            if n in resolved
            for row in resolved[n].rows
            if row.target and not row.skip
        }
        given |= linked.get(r.name, set())
        stems = {(e.name if (e := definitions.element(kind, n)) else n) for n in given}
        for name, e in definitions.elements(kind).items():
            if e.min and name not in stems:
                maps = " or ".join(r.rows)
                yield finding(
                    "M05",
                    r.place,
                    f"{r.name}: nothing ever sets {kind}.{name}",
                    f"a row in {maps}, or a link",
                )


def _triggers(maps: Maps) -> Iterator[Finding]:
    first: dict[tuple[str, str], MessageDef] = {}
    for m in maps.messages.values():
        for trigger in m.triggers:
            other = first.setdefault(trigger, m)
            if other is not m:
                shown = "^".join(t for t in trigger if t)
                yield finding(
                    "M19",
                    m.place,
                    f"for: {shown} is served by {other.name} too",
                    "name it in one map",
                    why="only one of them would run",
                )


def _test_names(maps: Maps) -> Iterator[Finding]:
    for owner in (*maps.sites.values(),):
        for t in owner.tests:
            if t.map and t.map not in maps.maps and t.map not in maps.messages:
                yield _named(
                    t.place,
                    f"the test {t.name!r} is of the map {t.map}, which is not there",
                    t.map,
                    [*maps.maps, *maps.messages],
                )


# -- sites ---------------------------------------------------------------------------------------------------------


def _site(site: Site, maps: Maps, known: list[Finding]) -> list[Finding]:
    found: list[Finding] = []
    if site.over and site.over != "standard" and site.over not in maps.sites:
        return [
            _named(
                f"{site.file}:1", f"over: there is no site {site.over}", site.over, ["standard", *maps.sites]
            )
        ]
    for word, names in (("change", site.change or {}), ("ignore", site.ignore)):
        for name in names:
            if name not in maps.maps:
                line = site.change.key_lines.get(name, 1) if word == "change" and site.change else 1
                found.append(
                    _named(f"{site.file}:{line}", f"{word}: there is no map {name}", name, maps.maps)
                )
    if found:
        return found
    try:
        below = SiteProgram(maps, site.over or "standard", False).resolved
        found += _changes(site, below)
        program = SiteProgram(maps, site.name, False)
    except HubError as e:
        return [*found, _unreadable(e, site.file)]
    told = {(f.rule, f.what) for f in known}
    for name in site.change or {}:
        mine = check_map(program.resolved[name], program.library)
        found += [f for f in mine if (f.rule, f.what) not in told]
    mine = list(_tables(maps, [program.resolved[n] for n in site.change or {}]))
    found += [f for f in mine if (f.rule, f.what) not in told]
    found += _compiled(program, [n for n in site.change or {}], [*known, *found])
    return found


def _changes(site: Site, below: dict[str, MapDef]) -> Iterator[Finding]:
    """Hold a site's changes against the rows they were written for."""
    try:
        replaces = _replaces(site)
    except HubError as e:
        yield _unreadable(e, site.file)
        return
    for name, change in (site.change or {}).items():
        base = below[name]
        rows = {r.name: r for r in base.rows}
        for key, value in change.items():
            place = f"{site.file}:{change.key_lines[key]}"
            if key in rows:
                continue
            near = get_close_matches(
                str(key), [n for n in rows if n.split("(")[0] == key.split("(")[0]], 1, 0.85
            )
            if near and value != "skip":
                yield finding(
                    "M23",
                    place,
                    f"{name} has no row {key}, but it has {near[0]}",
                    f"{near[0]}, or another label",
                )
    for name, hashes in replaces.items():
        if name not in below:
            yield _named(
                f"{site.file}:{line_of(hashes, 1)}", f"replaces: there is no map {name}", name, below
            )
            continue
        rows = {r.name: r for r in below[name].rows}
        for key, written in hashes.items():
            place = f"{site.file}:{hashes.key_lines[key]}"
            row = rows.get(str(key))
            if row is None:
                yield finding(
                    "M11",
                    place,
                    f"{name} no longer has the row {key}",
                    "see whether another row does its work, then take this out",
                )
            elif row_hash(row) != str(written):
                yield finding(
                    "M12", place, f"{name}/{key} is not the row that {written} stands for ({row.place})",
                    f"compare the two rows, then write {row_hash(row)}",
                )  # fmt: skip


def _replaces(site: Site) -> dict[str, Map]:
    block = site.replaces
    if block is None:
        return {}
    if not isinstance(block, Map) or not all(isinstance(v, Map) for v in block.values()):
        raise MapError(
            "replaces: is map: {row: hash}",
            where=f"{site.file}:{line_of(block, 1)}",
            remedy="replaces: {PID_Patient: {gender: 1a2b3c}}",
        )
    return dict(block)


def row_hash(row: Row) -> str:
    """Return six hex digits that change when the row says something else; its place does not count."""
    return hashlib.sha256(repr(_bare(row)).encode()).hexdigest()[:6]


def _bare(value: Any) -> Any:
    if isinstance(value, Place):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *(_bare(getattr(value, f.name)) for f in fields(value)))
    if isinstance(value, tuple):
        return tuple(map(_bare, value))
    return str(value) if isinstance(value, str) else value


# -- tests ---------------------------------------------------------------------------------------------------------


def _untouched(maps: Maps, program: SiteProgram) -> Iterator[Finding]:
    """Rows whose source no inline test ever fills, or fills without anything coming of it."""
    from engine.mapping.tests_inline import touched

    hits = touched(maps)
    for m in program.resolved.values():
        yield from _untested(m, m.rows, hits)
    for site in maps.sites.values():
        try:
            resolved = SiteProgram(maps, site.name, False).resolved
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
