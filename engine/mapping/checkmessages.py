"""The linter's rules about message maps: names, groups, links, and elements that FHIR demands.

In: one message map, and the segment maps it may name. Out: findings.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.formats.hl7v2.dictionary import GroupDef
from engine.formats.hl7v2.structures import tree
from engine.kernel.errors import MapError
from engine.kernel.yamlfile import line_of
from engine.mapping import types as T
from engine.mapping.checkread import named
from engine.mapping.conditions import groups_of
from engine.mapping.locate import locate
from engine.mapping.mend import MEND, REFUSE
from engine.mapping.model import MapDef, MessageDef, ResourceDef
from engine.mapping.project import Maps
from engine.mapping.read import read_target
from engine.mapping.rules import Finding, finding

__all__ = ["check_message", "check_triggers"]


def check_message(m: MessageDef, maps: Maps, resolved: dict[str, MapDef]) -> Iterator[Finding]:
    lines = {r.name: r for r in m.resources}
    types = {r.name: next((resolved[n].to for n in r.rows if n in resolved), "") for r in m.resources}
    structure = tree(m.structure)
    groups = _groups(m.structure)
    if structure is None and not groups:
        yield named(
            m.place, f"from: there is no message structure {m.structure}", m.structure, _structure_names()
        )
    for r in m.resources:
        for name in r.rows:
            if name not in resolved:
                yield named(r.place, f"{r.name}: there is no map {name}", name, resolved)
        if not r.rows:
            yield finding("M19", r.place, f"{r.name} has no rows", "rows: [SEGMENT_Resource]")
        for step in r.per if groups else ():
            if step not in groups and not (step == r.per[-1] and step in dictionary.segment_names()):
                yield named(r.place, f"{r.name}: {m.structure} has no group {step}", step, groups)
        for name in groups_of(r.when) if groups else ():
            if name not in groups:
                yield named(r.place, f"{r.name}: {m.structure} has no group {name}", name, groups)
        for path, selector in r.links:
            yield from _link(r, path, selector, lines, types)
    for rules, known, word in ((m.mend, MEND, "mend"), (m.refuse, REFUSE, "refuse")):
        for text, place in rules:
            if text not in known:
                yield named(place, f"{word}: there is no rule {text!r}", text, known)
    for text in m.ignore:
        loc = locate(text)
        if loc is None or (loc.name not in dictionary.segment_names() and not loc.name.startswith("Z")):
            yield finding(
                "M02", f"{m.place.file}:{line_of(text, m.place.line)}", f"ignore: {text} is not a location"
            )
    yield from _required(m, types, resolved)


def _structure_names() -> frozenset[str]:
    return frozenset(n for v in dictionary.versions() for n in dictionary.version(v).structure_names)


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


def check_triggers(maps: Maps) -> Iterator[Finding]:
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
