"""One message through its message map: resources by group, keys, links, drafts.

In: a parsed message, the compiled program of its sender's site, a `Run`. Out: `Built`: drafts ready for the store or
for a bundle, flags, and, when the message must wait for a person, why. Order: mend, refuse, resources, links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from engine.formats.hl7v2.groups import Group
from engine.kernel.errors import MapError
from engine.kernel.message import Draft, Flag, Identity
from engine.mapping import types as T
from engine.mapping.compile import Program
from engine.mapping.emit import Emitter, Env, is_constant
from engine.mapping.locate import locate
from engine.mapping.mend import mended, refusals
from engine.mapping.model import Case, Constant, MessageDef, ResourceDef, Source
from engine.mapping.read import read_target
from engine.mapping.run import Run
from engine.mapping.scope import Scope, scope_of
from engine.mapping.traced import absorb

__all__ = ["Built", "MessagePlan"]

SHARED = frozenset({"Patient", "Encounter", "Organization", "Practitioner", "Location", "Account"})
"""Types of which a message may speak several times; a result or an order of one key twice is two things."""
OF_THE_ENTRY = frozenset({"MessageHeader", "Provenance", "Bundle"})
"""Types that tell of this message and not of the patient: without a key they are named after the entry."""
MUST_HAVE_KEY = frozenset({"Patient"})


@dataclass(slots=True)
class Built:
    """What one message became."""

    drafts: list[Draft] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    held: Flag | None = None
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Node:
    """One instance of a resource line: where it stands and the draft it made."""

    name: str
    scope: Scope
    segment: Any
    draft: Draft
    labels: dict[str, list[str]]
    spots: dict[tuple[str, str], list[Any]]


@dataclass(frozen=True, slots=True)
class _Link:
    """One line of `links:`, read."""

    owner: str  # resource whose element is set; "" = this one
    path: tuple[Any, ...]
    target: str  # resource name or `me`
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (left: in the target, rights: in me, first valued)


class _Line:
    """A resource line with its compiled parts."""

    def __init__(self, plan: MessagePlan, d: ResourceDef) -> None:
        library = plan.program.library
        self.d = d
        self.maps = []
        self.type = ""
        for name in d.rows:
            m = library.maps.get(name)
            if m is None:
                raise MapError(f"{d.name}: no map {name}", where=str(d.place), remedy="rows: names files under mappings/hl7v2/segments")
            if self.type and m.to != self.type:
                raise MapError(f"{d.name}: {name} makes {m.to}, not {self.type}", where=str(d.place))
            self.type = m.to
            self.maps.append((m, plan.program.segment(name), plan.program.key(name) if m.key else None))
        own = d.per[-1] if d.per and len(d.per[-1]) == 3 and d.per[-1].isupper() else ""
        self.when = plan.test(d, own)
        self.write = plan.mode(d.write, d.write_by) if d.write else None
        self.links = tuple(plan.link(d, path, selector) for path, selector in d.links)
        self.owns = frozenset(r.target[0].name for m, _, _ in self.maps for r in m.rows)
        self.per_segment = own
        fixed = {n: True for n in self.owns}
        for m, _, _ in self.maps:
            for r in m.rows:
                fixed[r.target[0].name] &= is_constant(r)
        self.constants = {n for n, constant in fixed.items() if constant}
        self.constants |= {"_" + n for n in self.constants}


class MessagePlan:
    """A message map made ready for one site."""

    def __init__(self, program: Program, message: MessageDef) -> None:
        self.program, self.message = program, message
        self.names = frozenset(r.name for r in message.resources)
        self.lines = [_Line(self, r) for r in message.resources]
        self.write = self.mode(message.write, message.write_by)

    # -- reading the map ---------------------------------------------------------------------------------------------

    def _function(self, name: str, own: str, write: Callable[[Emitter, Env], str]) -> Callable[..., Any]:
        e = Emitter(self.program.library, [], self.program.trace)
        result = write(e, Env(own, "seg", fields={own: "f"} if own else {}, paths={(): "o"}))
        head = [f"def {name}(s, g, x):", "    cs, rs, ss = x.cs, x.rs, x.ss", "    f = fields(s) if s is not None else EMPTY"]
        for segment in sorted(e.segments):
            head.append(f"    f_{segment} = near(x, g, {segment!r})")
        self.program._exec(name, [*head, *e.lines, f"    return {result}"])
        return self.program.space[name]  # type: ignore[no-any-return]

    def test(self, d: ResourceDef, own: str) -> Callable[..., Any] | None:
        if d.when is None:
            return None
        when = d.when
        return self._function(f"W_{self.message.name}_{d.name}", own, lambda e, env: e.condition(when, env, d.place))

    def mode(self, write: tuple[Case, ...] | str, by: Source | None) -> Callable[..., str]:
        """Compile `write:` into a function of (segment, group, run)."""
        if isinstance(write, str):
            word = write
            return lambda s, g, x: word
        assert by is not None
        cases: dict[str, str] = {}
        for case in write:
            source = case.rows[0].source
            assert isinstance(source, Constant)
            for v in case.values:
                cases["" if v == '""' else v] = source.text
        name = f"WRITE_{self.message.name}_{len(self.program.space)}"
        choose = self._function(name, "", lambda e, env: e.selector(by, env, self.message.place))
        other = cases.get("else", "merge")
        return lambda s, g, x: cases.get(choose(s, g, x), other)

    def link(self, d: ResourceDef, path: tuple[str, ...], selector: str) -> _Link:
        steps = read_target(".".join(path), str(d.place))
        owner = ""
        if steps[0].name in self.names and not steps[0].label and len(steps) > 1:
            owner, steps = steps[0].name, steps[1:]
        target = selector.split("(")[0].strip()
        if target != "me" and target not in self.names:
            raise MapError(f"{d.name}: links to {selector!r}, which is no resource of this map", where=str(d.place), remedy=f"one of {', '.join(sorted(self.names))}, me")
        return _Link(owner, steps, target, _selector(selector, target, str(d.place)))

    # -- running -----------------------------------------------------------------------------------------------------

    def build(self, tree: Group, x: Run, entry_key: str) -> Built:
        """Map one arranged message."""
        out = Built()
        root = scope_of(mended(tree, self.message.mend, x))
        refused = refusals(root, self.message.refuse, x)
        if refused is not None:
            out.held, out.flags = refused, x.flags
            return out
        taken: dict[str, Node] = {}
        parents: dict[int, Identity] = {}  # group -> the first resource in it that has a key
        places: dict[tuple[str, ...], list[tuple[Scope, Any]]] = {}
        for line in self.lines:
            where = places.get(line.d.per)
            if where is None:
                where = places[line.d.per] = root.at(line.d.per)
            for position, (scope, segment) in enumerate(where, 1):
                node = self._instance(line, scope, segment, x, entry_key, position, parents, taken)
                if node is not None:
                    out.nodes.append(node)
                    if node.draft.keys and line.type not in OF_THE_ENTRY:
                        parents.setdefault(id(scope), node.draft.keys[0])
        self._link(out.nodes, x)
        seen: dict[str, None] = {}
        for node in out.nodes:
            if node.draft.id not in seen:
                seen[node.draft.id] = None
                out.drafts.append(node.draft)
        out.drafts += [d for d in x.drafts if d.id not in seen]
        for d in out.drafts:
            _require(d, x)
        out.flags, out.held = x.flags, x.held
        return out

    def _instance(
        self, line: _Line, scope: Scope, segment: Any, x: Run, entry_key: str, position: int, parents: dict[int, Identity], taken: dict[str, Node]
    ) -> Node | None:
        if line.when is not None and not line.when(segment, scope, x):
            return None
        o: dict[str, Any] = {}
        lab: dict[str, list[str]] = {}
        x.contained, x.cleared, x.before, x.weak, x.spots = [], [], {}, [], {}
        keys: tuple[Identity, ...] = ()
        anchor, keyed = segment, False
        for m, fill, key in line.maps:
            s = segment if segment is not None and segment.name == m.source else scope.near(m.source)
            if s is None or s is False:
                if s is False:
                    x.flag("several-in-scope", m.source, f"{m.name} was not applied: more than one {m.source} stands here")
                continue
            anchor = anchor or s
            x.where = f"{s.name}[{s.n}]"
            fill(s, scope, x, o, lab)
            x.before = {k: frozenset(v) for k, v in lab.items()}
            if key is not None:
                keyed = True
                if not keys:
                    keys = key(s, scope, x, o, lab)
        if anchor is None or (o.keys() <= line.constants and not (line.type in MUST_HAVE_KEY and len(anchor.fields) > 1)):
            x.where = ""
            return None
        body: dict[str, Any] = {"resourceType": line.type, **o}
        if x.contained:
            body["contained"] = x.contained
        keys = self._checked(line, keys, keyed, x)
        if keys:
            draft_id = x.identify(line.type, keys[0][0], keys[0][1])
        else:
            above = None if line.type in OF_THE_ENTRY or keyed else _parent(scope, parents)
            parent = entry_key if above is None else f"{above[0]}|{above[1]}"
            draft_id = x.identify(line.type, "urn:hub:position", f"{parent}|{line.d.rows[0]}|{position}")
        x.where = ""
        mode = (line.write or self.write)(segment, scope, x)
        draft = Draft(
            line.d.name, line.type, draft_id, body, keys, mode, {k: tuple(v) for k, v in lab.items()}, tuple(x.cleared), line.owns, line.d.rows[0], tuple(x.weak)
        )
        before = taken.get(draft_id)
        if before is not None:
            merged = self._again(before, draft, line, x, position)
            if merged is not None:
                return Node(line.d.name, scope, anchor, merged, before.labels, x.spots)
        node = Node(line.d.name, scope, anchor, draft, lab, x.spots)
        taken[draft.id] = node
        return node

    def _checked(self, line: _Line, keys: tuple[Identity, ...], keyed: bool, x: Run) -> tuple[Identity, ...]:
        """Hold a Patient without exactly one key; anything else falls back to the entry, flagged."""
        if line.type in MUST_HAVE_KEY and keyed and len(keys) != 1:
            code = "no-patient-key" if not keys else "ambiguous-patient-key"
            x.hold(code, "", "no identifier decides which patient this is" if not keys else "more than one identifier could decide which patient this is")
        elif keyed and not keys:
            x.flag("no-key", "", f"{line.type}: no identifier to recognise it by; a resend of other bytes would make it again")
        return keys

    def _again(self, before: Node, draft: Draft, line: _Line, x: Run, position: int) -> Draft | None:
        """Deal with a second resource of the same key in one message: never overwrite, never lose."""
        first = before.draft
        agree = all(first.body.get(k, v) == v for k, v in draft.body.items() if not isinstance(v, list))
        if line.type in SHARED or agree or draft.write == "create":
            for k, v in draft.body.items():
                if k not in first.body:
                    first.body[k] = v
                elif first.body[k] == v:
                    if x.tracing:
                        first.body[k] = absorb(first.body[k], v)
                elif isinstance(v, list) and isinstance(first.body[k], list):
                    first.body[k] += [e for e in v if e not in first.body[k]]
                else:
                    x.flag("said-twice", f" {line.type}.{k}", "the message says this twice and differently; the first stands")
            for k, names in draft.labels.items():
                n = len(first.body.get(k, ()))
                first.labels[k] = (first.labels.get(k, ()) + names)[:n]
            first.cleared = tuple(dict.fromkeys(first.cleared + draft.cleared))
            return first
        x.flag("duplicate-key", f" {line.type}", "two of one message have the same key; both are kept, told apart by their place")
        system, value = draft.keys[0] if draft.keys else ("urn:hub:position", draft.id)
        draft.keys = ((system, f"{value}#{position}"),)
        draft.id = x.identify(line.type, system, f"{value}#{position}")
        return None

    # -- links -------------------------------------------------------------------------------------------------------

    def _link(self, nodes: list[Node], x: Run) -> None:
        relations = _Relations(nodes)
        for line in self.lines:
            mine = relations.by_name.get(line.d.name)
            if not mine:
                continue
            for link in line.links:
                if link.owner:
                    for nth, me in enumerate(mine):
                        for other in relations.of(me, link.owner, True):
                            self._set(other, link.path, [me], nth, x)
                elif link.target not in relations.by_name:
                    continue
                elif link.where:
                    for me in mine:
                        self._selected(me, link, relations.by_name[link.target], x)
                else:
                    many = _repeats(line.type, link.path)
                    for nth, me in enumerate(mine):
                        targets = relations.of(me, link.target, many)
                        if targets:
                            self._set(me, link.path, targets, nth, x)

    def _selected(self, me: Node, link: _Link, others: Iterable[Node], x: Run) -> None:
        """Link to the one resource of this message that the selector names; several: none, flagged; itself: not even the words."""
        wants = [next((t for t in (_text_at(me, r, x) for r in rights) if t), "") for _, rights in link.where]
        if not wants[0]:
            return
        hits = {n.draft.id: n for n in others if _matches(link, wants, n, x)}
        mine = hits.pop(me.draft.id, None)
        if len(hits) == 1:
            self._set(me, link.path, list(hits.values()), 0, x)
        elif len(hits) > 1:
            x.flag("several-match", f" {me.draft.type}.{link.path[0].name}", "more than one resource of this message fits; none was linked")
        elif mine is not None and len(link.path) == 1:
            name, label = link.path[0].name, link.path[0].label
            marks = me.draft.labels.get(name, ())
            kept = [(e, m) for e, m in zip(me.draft.body.get(name, ()), marks, strict=False) if m != label or "reference" in e]
            if marks:
                me.draft.labels[name] = tuple(m for _, m in kept)
                if kept:
                    me.draft.body[name] = [e for e, _ in kept]
                else:
                    me.draft.body.pop(name, None)

    def _set(self, owner: Node, path: tuple[Any, ...], targets: Iterable[Node], nth: int, x: Run) -> None:
        """Write References to `targets` at `path` of the owner's draft."""
        for t in targets:
            if t.draft.id == owner.draft.id:
                continue
            at: Any = owner.draft.body
            kind = owner.draft.type
            for i, step in enumerate(path):
                found = T.child_of(kind, step.name)
                if found is None:
                    raise MapError(f"links: {kind} has no element {step.name}")
                kind = found.type
                last = i == len(path) - 1
                if not found.repeats:
                    if last:
                        value = self._reference(kind, t, x)
                        have = at.setdefault(step.name, value)
                        if kind == "Reference" and "reference" not in have:
                            have.update(value)
                    else:
                        at = at.setdefault(step.name, {})
                    continue
                entries = at.setdefault(step.name, [])
                if i == 0 and len(entries) and step.name not in owner.draft.labels:
                    owner.draft.labels[step.name] = ("",) * len(entries)
                if last:
                    value = self._reference(kind, t, x, step)
                    marks = owner.draft.labels.get(step.name, ()) if i == 0 else ()
                    waiting = next((e for e, m in zip(entries, marks, strict=False) if step.label and m == step.label and "reference" not in e and kind == "Reference"), None)
                    if waiting is not None:
                        waiting.update(value)
                    elif value not in entries:
                        entries.append(value)
                        if i == 0:
                            owner.draft.labels[step.name] = (*marks, step.label or "link")
                else:
                    marks = owner.draft.labels.get(step.name, ()) if i == 0 else ()
                    spots = owner.spots.get((step.name, step.label))
                    if spots is not None:
                        mine = next((e for s, e in spots if s is t.segment), None)
                    else:
                        labelled = [e for e, m in zip(entries, marks, strict=False) if m == step.label] if marks else list(entries)
                        mine = labelled[nth] if nth < len(labelled) else None
                    if mine is not None:
                        at = mine
                    else:
                        at = {}
                        entries.append(at)
                        if i == 0:
                            owner.draft.labels[step.name] = (*marks, step.label)

    def _reference(self, kind: str, t: Node, x: Run, step: Any = None) -> dict[str, Any]:
        ref = x.reference(t.draft.type, t.draft.id)
        if kind == "Patient.link":
            return {"other": ref, "type": step.label}
        if kind != "Reference":
            inner = next((n for n, d in T.definitions.elements(kind).items() if d.types == ("Reference",)), None)
            if inner is None:
                raise MapError(f"links: {kind} holds no reference")
            return {inner: ref}
        return ref


ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}


@cache
def _required(kind: str) -> tuple[tuple[str, bool, bool], ...]:
    """(element, primitive, repeats) of every element that FHIR demands; choices by their `x[x]` name."""
    out = []
    for name, e in T.definitions.elements(kind).items():
        if e.min:
            out.append((name, len(e.types) == 1 and T.definitions.is_primitive(e.types[0]), e.repeats))
    return tuple(out)


def _require(d: Draft, x: Run) -> None:
    """Hold a message that leaves out what FHIR demands; the gap is marked, never filled."""
    for name, primitive, repeats in _required(d.type):
        if name in d.body or "_" + name in d.body:
            continue
        if name.endswith("[x]"):
            stem = name[:-3]
            if any(k.lstrip("_").startswith(stem) for k in d.body):
                continue
            x.hold("required-missing", f" {d.type}.{stem}", f"FHIR demands {d.type}.{stem} and the message does not give it")
            continue
        x.hold("required-missing", f" {d.type}.{name}", f"FHIR demands {d.type}.{name} and the message does not give it")
        gap: Any = {"extension": [dict(ABSENT)]}
        slot = "_" + name if primitive else name
        d.body[slot] = [gap] if repeats else gap
        d.weak = (*d.weak, slot)


def _selector(text: str, target: str, where: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Read `result(OBX-3.1 = OBR-26.1.1 and OBX-4 = OBR-26.2)`: left in the target, right in me; `or` = first valued."""
    inside = text.strip()[len(target) :].strip()
    if not inside:
        return ()
    out = []
    for part in inside[1:-1].split(" and "):
        left, eq, right = part.partition("=")
        rights = tuple(r.strip() for r in right.split(" or "))
        if not eq or not all(locate(r) for r in rights) or not (left.strip() == "identifier" or locate(left.strip())):
            raise MapError(f"link selector {text!r} is not understood", where=where, remedy="write name(OBX-4 = OBR-26.2) or name(identifier = OBR-29.1)")
        out.append((left.strip(), rights))
    return tuple(out)


def _matches(link: _Link, wants: list[str], other: Node, x: Run) -> bool:
    for (left, _), want in zip(link.where, wants, strict=True):
        if not want:
            continue
        if left == "identifier":
            if not any(i.get("value") == want for i in other.draft.body.get("identifier", ())):
                return False
        elif _text_at(other, left, x) != want:
            return False
    return True


def _text_at(node: Node, location: str, x: Run) -> str:
    loc = locate(location)
    assert loc is not None
    s = node.segment if node.segment.name == loc.name else node.scope.near(loc.name)
    if not s or len(s.fields) <= loc.field:
        return ""
    text = s.fields[loc.field].split(x.rs)[0]
    if loc.component:
        parts = text.split(x.cs)
        text = parts[loc.component - 1] if loc.component <= len(parts) else ""
        if loc.sub or x.ss in text:
            subs = text.split(x.ss)
            text = subs[max(loc.sub, 1) - 1] if max(loc.sub, 1) <= len(subs) else ""
    return str(Run.text(x, text))


def _parent(scope: Scope, parents: dict[int, Identity]) -> Identity | None:
    """The key of the resource that a keyless one belongs to: the first of its group, else of a group around it."""
    at: Scope | None = scope
    while at is not None:
        found = parents.get(id(at))
        if found is not None:
            return found
        at = at.parent
    return None


@cache
def _repeats(kind: str, path: tuple[Any, ...]) -> bool:
    found = None
    for step in path:
        found = T.child_of(kind, step.name)
        kind = found.type if found else ""
    return bool(found and found.repeats)


class _Relations:
    """The instances of every resource line of one message, and which of them a link means."""

    def __init__(self, nodes: list[Node]) -> None:
        self.by_name: dict[str, list[Node]] = {}
        for n in nodes:
            self.by_name.setdefault(n.name, []).append(n)
        self._above: dict[tuple[int, str, str, bool], list[Node]] = {}

    def of(self, me: Node, name: str, many: bool) -> list[Node]:
        """All inside my group, or the one above me, or the only one beside me; never one of another repetition of my group."""
        others = self.by_name.get(name)
        if not others:
            return []
        if me.scope.groups or me.scope.parent is None:
            inside = [n for n in others if n.scope.within(me.scope)]
        else:
            inside = [n for n in others if n.scope is me.scope]
        if inside or me.scope.parent is None:
            return inside
        return self._up(me.scope.parent, me.scope.name, name, many, others)

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



