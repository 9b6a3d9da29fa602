"""The references between the resources of one message: which instance a link means, and where its Reference
stands.

In: the nodes that a message map's lines made, and the `links:` of those lines, read when the map is compiled.
Out: the References in the drafts. A name in an enclosing group means the one above me, a name in a group
inside mine all of them; a selector such as `result(OBX-3.1 = OBR-26.1.1)` means the one whose values fit
(mapping language, links).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from engine.kernel.errors import MapError
from engine.kernel.message import Draft
from engine.mapping import types as T
from engine.mapping.locate import locate
from engine.mapping.model import Step
from engine.mapping.run import Run
from engine.mapping.scope import Scope

__all__ = ["Link", "Linked", "Node", "inner_of", "link_all", "read_selector", "steps_of"]


@dataclass(slots=True)
class Node:
    """One instance of a resource line: where it stands and the draft it made."""

    name: str
    scope: Scope
    segment: Any
    draft: Draft
    labels: dict[str, list[str]]
    spots: dict[tuple[str, str], list[Any]]


class _At(NamedTuple):
    """One step of a link's path: an element, its type, whether it repeats."""

    name: str
    label: str
    kind: str
    repeats: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One line of `links:`, read."""

    owner: str  # resource whose element is set; "" = this one
    path: tuple[_At, ...]
    target: str  # resource name or `me`
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (left: in the target, rights: in me, first valued)
    inner: str = ""  # the element of the last step's type that is the Reference, where it is not one itself


class Linked(Protocol):
    """A resource line: its name and its links."""

    name: str
    links: tuple[Link, ...]


def steps_of(kind: str, path: tuple[Step, ...]) -> tuple[_At, ...]:
    """Resolve a link's path from the type it starts at. Raises MapError for an element that FHIR does not
    have."""
    out = []
    for step in path:
        found = T.child_of(kind, step.name)
        if found is None:
            raise MapError(f"links: {kind} has no element {step.name}")
        kind = found.type
        out.append(_At(step.name, step.label, kind, found.repeats))
    return tuple(out)


def inner_of(path: tuple[_At, ...]) -> str:
    """Return the element that holds the Reference inside the path's last type; "" where it is a Reference
    itself."""
    kind = path[-1].kind
    if kind in ("Reference", "Patient.link"):
        return ""
    inner = next((n for n, d in T.definitions.elements(kind).items() if d.types == ("Reference",)), None)
    if inner is None:
        raise MapError(f"links: {kind} holds no reference")
    return inner


def link_all(lines: Iterable[Linked], nodes: list[Node], x: Run) -> None:
    """Write every link of a message."""
    relations = _Relations(nodes)
    for line in lines:
        mine = relations.by_name.get(line.name)
        if not mine:
            continue
        for link in line.links:
            if link.owner:
                for nth, me in enumerate(mine):
                    for other in relations.of(me, link.owner, True):
                        _set(other, link, (me,), nth, x)
                continue
            others = relations.by_name.get(link.target)
            if not others:
                continue
            if link.where:
                for me in mine:
                    _selected(me, link, others, x)
                continue
            if len(link.path) == 1 and link.path[0].kind == "Reference":
                _refer(mine, others, link, relations, x)
                continue
            many = link.path[-1].repeats
            for nth, me in enumerate(mine):
                targets = relations.of(me, link.target, many)
                if targets:
                    _set(me, link, targets, 0 if hasattr(me.scope, "relate") else nth, x)


def _refer(mine: list[Node], others: list[Node], link: Link, relations: _Relations, x: Run) -> None:
    """Write a link into an element of the resource itself that holds References: the usual case."""
    name, label, _, many = link.path[0]
    inside = {id(n.scope) for n in others}  # the very groups that hold a target
    above: Scope | None = None
    group = ""
    targets: list[Node] = []
    for me in mine:
        scope = me.scope
        if scope.parent is not above or scope.name != group or scope.groups or id(scope) in inside:
            targets = relations.of(me, link.target, many)
            # repetitions of a group see the same above them
            above = None if scope.groups or id(scope) in inside else scope.parent
            group = scope.name
        if not targets:
            continue
        draft = me.draft
        body = draft.body
        if many:
            if name in body or len(targets) > 1:
                _set(me, link, targets, 0, x)
            elif targets[0].draft.id != draft.id:
                body[name] = [x.reference(targets[0].draft.type, targets[0].draft.id)]
                draft.labels[name] = (*draft.labels.get(name, ()), label or "link")
            continue
        for t in targets:
            to = t.draft
            if to.id == draft.id:
                continue
            have = body.get(name)
            if have is None:
                body[name] = x.reference(to.type, to.id)
            elif "reference" not in have:
                have.update(x.reference(to.type, to.id))
            break


def _selected(me: Node, link: Link, others: list[Node], x: Run) -> None:
    """Link to the one resource of this message that the selector names; several: none, flagged; itself: not
    even the words."""
    first = _first_valued(me, link.where[0][1], x)
    if not first:
        return
    wants = [first, *(_first_valued(me, rights, x) for _, rights in link.where[1:])]
    hits = {n.draft.id: n for n in others if _matches(link, wants, n, x)}
    mine = hits.pop(me.draft.id, None)
    if len(hits) == 1:
        _set(me, link, list(hits.values()), 0, x)
    elif len(hits) > 1:
        x.flag(
            "several-match",
            f" {me.draft.type}.{link.path[0].name}",
            "more than one resource of this message fits; none was linked",
        )
    elif mine is not None and len(link.path) == 1:
        name, label = link.path[0].name, link.path[0].label
        marks = me.draft.labels.get(name, ())
        body = me.draft.body
        kept = [
            (e, m) for e, m in zip(body.get(name, ()), marks, strict=False) if m != label or "reference" in e
        ]
        if marks:
            me.draft.labels[name] = tuple(m for _, m in kept)
            if kept:
                body[name] = [e for e, _ in kept]
            else:
                body.pop(name, None)


def _set(owner: Node, link: Link, targets: Iterable[Node], nth: int, x: Run) -> None:
    """Write References to `targets` at the link's path in the owner's draft."""
    draft = owner.draft
    path = link.path
    last = path[-1]
    for t in targets:
        if t.draft.id == draft.id:
            continue
        at: Any = draft.body
        if len(path) > 1:
            if _refused(owner, path[0], t):
                gone = f"{path[0].name}@{x.reference(t.draft.type, t.draft.id)['reference']}"
                draft.cleared = (*draft.cleared, gone)
                continue
            for step in path[:-1]:
                if step.repeats:
                    at = _entry(owner, at, step, t, nth)
                else:
                    at = at.setdefault(step.name, {})
        value = x.reference(t.draft.type, t.draft.id)
        if last.kind != "Reference":
            value = (
                {"other": value, "type": last.label} if last.kind == "Patient.link" else {link.inner: value}
            )
        if not last.repeats:
            have = at.setdefault(last.name, value)
            if last.kind == "Reference" and "reference" not in have:
                have.update(value)
            continue
        top = at is draft.body
        entries = at.get(last.name)
        if entries is None:
            at[last.name] = [value]
            if top:
                draft.labels[last.name] = (*draft.labels.get(last.name, ()), last.label or "link")
            continue
        if top and entries and last.name not in draft.labels:
            draft.labels[last.name] = ("",) * len(entries)
        marks = draft.labels.get(last.name, ()) if top else ()
        waiting = None
        if last.label and last.kind == "Reference":
            waiting = next(
                (e for e, m in zip(entries, marks, strict=False) if m == last.label and "reference" not in e),
                None,
            )
        if waiting is not None:
            waiting.update(value)
        elif value not in entries:
            entries.append(value)
            if top:
                draft.labels[last.name] = (*marks, last.label or "link")


def _refused(owner: Node, step: _At, t: Node) -> bool:
    """Say whether the row that makes such entries of segments wants none of the target's segment."""
    spots = owner.spots.get((step.name, step.label), ())
    return any(s is t.segment and e is None for s, e in spots)


def _entry(owner: Node, at: Any, step: _At, t: Node, nth: int) -> Any:
    """Return the entry of a list in which the target's Reference belongs: the one made of its segment, else
    the one of its number, else a new one."""
    draft = owner.draft
    top = at is draft.body
    entries = at.setdefault(step.name, [])
    if top and entries and step.name not in draft.labels:
        draft.labels[step.name] = ("",) * len(entries)
    marks = draft.labels.get(step.name, ()) if top else ()
    spots = owner.spots.get((step.name, step.label))
    if spots is not None:
        mine = next((e for s, e in spots if s is t.segment and e is not None), None)
    else:
        labelled = (
            [e for e, m in zip(entries, marks, strict=False) if m == step.label] if marks else list(entries)
        )
        mine = labelled[nth] if nth < len(labelled) else None
    if mine is None:
        mine = {}
        entries.append(mine)
        if top:
            draft.labels[step.name] = (*marks, step.label)
    return mine


def read_selector(text: str, target: str, where: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read `result(OBX-3.1 = OBR-26.1.1 and OBX-4 = OBR-26.2)`: left in the target, right in me; `or` = first
    valued."""
    inside = text.strip()[len(target) :].strip()
    if not inside:
        return ()
    out = []
    for part in inside[1:-1].split(" and "):
        left, eq, right = part.partition("=")
        rights = tuple(r.strip() for r in right.split(" or "))
        if (
            not eq
            or not all(locate(r) for r in rights)
            or not (left.strip() == "identifier" or locate(left.strip()))
        ):
            raise MapError(
                f"link selector {text!r} is not understood",
                where=where,
                remedy="write name(OBX-4 = OBR-26.2) or name(identifier = OBR-29.1)",
            )
        out.append((left.strip(), rights))
    return tuple(out)


def _matches(link: Link, wants: list[str], other: Node, x: Run) -> bool:
    for (left, _), want in zip(link.where, wants, strict=True):
        if not want:
            continue
        if left == "identifier":
            if not any(i.get("value") == want for i in other.draft.body.get("identifier", ())):
                return False
        elif _text_at(other, left, x) != want:
            return False
    return True


def _first_valued(me: Node, locations: tuple[str, ...], x: Run) -> str:
    for location in locations:
        text = _text_at(me, location, x)
        if text:
            return text
    return ""


def _text_at(node: Node, location: str, x: Run) -> str:
    """The text that a location names for a node: the first repetition, its first part unless one is named."""
    loc = locate(location)
    assert loc is not None
    if loc.name not in x.names:
        return ""
    s = node.segment if node.segment.name == loc.name else node.scope.near(loc.name)
    text = s.fields[loc.field] if s and len(s.fields) > loc.field else ""
    if not text:
        return ""
    text = text.split(x.rs)[0]
    if loc.component:
        parts = text.split(x.cs)
        text = parts[loc.component - 1] if loc.component <= len(parts) else ""
        if loc.sub or x.ss in text:
            subs = text.split(x.ss)
            text = subs[max(loc.sub, 1) - 1] if max(loc.sub, 1) <= len(subs) else ""
    return str(Run.text(x, text))


class _Relations:
    """The instances of every resource line of one message, and which of them a link means."""

    def __init__(self, nodes: list[Node]) -> None:
        self.by_name: dict[str, list[Node]] = {}
        self._in: dict[tuple[int, str], list[Node]] = {}
        for n in nodes:
            self.by_name.setdefault(n.name, []).append(n)
            self._in.setdefault((id(n.scope), n.name), []).append(n)
        self._above: dict[tuple[int, str, str, bool], list[Node]] = {}

    def of(self, me: Node, name: str, many: bool) -> list[Node]:
        """All inside my group, or the one above me, or the only one beside me; never one of another
        repetition of my group."""
        others = self.by_name.get(name)
        if not others:
            return []
        scope = me.scope
        if hasattr(scope, "relate"):
            related: list[Node] = scope.relate(self._in, name, many)
            return related
        inside: list[Node]
        if scope.strict and scope.parent is not None:  # a document's groups hold few, the document many
            groups: Any = scope
            inside = [n for s in groups.walk() for n in self._in.get((id(s), name), ())]
        elif scope.groups or scope.parent is None:
            inside = [n for n in others if n.scope.within(scope)]
        else:
            inside = self._in.get((id(scope), name), [])
        if inside or scope.parent is None:
            return inside
        return self._up(scope.parent, scope.name, name, many, others)

    def _up(self, at: Scope, came_from: str, name: str, many: bool, others: list[Node]) -> list[Node]:
        key = (id(at), came_from, name, many)
        known = self._above.get(key)
        if known is not None:
            return known
        above = [n for n in others if n.scope is at]
        if above:
            found = above[-1:]
        else:
            beside = [n for n in others if n.scope.within(at) and _branch(n.scope, at) != came_from]
            if at.strict:  # a document: beside me is only what the document itself holds
                beside = [n for n in beside if n.scope.parent is at] if at.parent is None else []
            if beside:
                found = beside if many or len(beside) == 1 else []
            else:
                found = self._up(at.parent, at.name, name, many, others) if at.parent is not None else []
        self._above[key] = found
        return found


def _branch(inner: Scope, outer: Scope) -> str:
    """The name of the group below `outer` through which `inner` is reached."""
    at = inner
    while at.parent is not None and at.parent is not outer:
        at = at.parent
    return at.name
