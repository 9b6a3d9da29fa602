"""One message through its message map: resources by group, keys, links, drafts.

In: a parsed message, the compiled program of its sender's site, a `Run`. Out: `Built`: drafts ready for the
store or for a bundle, flags, and, when the message must wait for a person, why. Order: mend, refuse,
resources, links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.message import Draft, Flag, Gap, Identity
from engine.kernel.uncollected import uncollected
from engine.mapping.compile import Program
from engine.mapping.demanded import require
from engine.mapping.emit import Emitter, Env, is_constant
from engine.mapping.emitnames import variable
from engine.mapping.links import Link, Node, inner_of, link_all, read_selector, steps_of
from engine.mapping.mend import doubtful_deletes, mended, refusals
from engine.mapping.model import Case, Constant, MapDef, MessageDef, ResourceDef, Source
from engine.mapping.naming import Names, said_again
from engine.mapping.read import read_target
from engine.mapping.run import Run
from engine.mapping.scope import Scope, scope_of
from engine.mapping.treelinks import refer
from engine.mapping.x12memory import LoopMemory, keep, recall
from engine.mapping.x12values import numbered

__all__ = ["Built", "MessagePlan"]

OF_THE_ENTRY = frozenset({"MessageHeader", "Provenance", "Bundle"})
"""Types that tell of this message and not of the patient: without a key they are named after the entry."""
MUST_HAVE_KEY = frozenset({"Patient"})
MOST_SORTS = 1_000
"""Sorts of messages (which segments they hold) whose lines are remembered."""


_ASKED = re.compile(r"x\.text\(one\((f\w*\[\d+\]), rs\)\)")
_OWN = re.compile(r"\bf\b")


@dataclass(slots=True)
class Built:
    """What one message became."""

    drafts: list[Draft] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    held: Flag | None = None
    gaps: list[Gap] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    root: Scope | None = None

    def release(self) -> None:
        """Say that nobody asks any more where in the message a resource came from."""
        if self.root is not None:
            self.root.release()
            self.root = None


class _Line:
    """A resource line with its compiled parts."""

    def __init__(self, plan: MessagePlan, d: ResourceDef) -> None:
        library = plan.program.library
        self.d, self.name = d, d.name
        self.maps: list[MapDef] = []
        self.type = ""
        for name in d.rows:
            m = library.maps.get(name)
            if m is None:
                raise MapError(
                    f"{d.name}: no map {name}",
                    where=str(d.place),
                    remedy="rows: names files under mappings/hl7v2/segments",
                )
            if self.type and m.to != self.type:
                raise MapError(f"{d.name}: {name} makes {m.to}, not {self.type}", where=str(d.place))
            self.type = m.to
            plan.program.prepare(name)
            self.maps.append(m)
        own = d.per[-1] if d.per and len(d.per[-1]) == 3 and d.per[-1].isupper() else ""
        self.when = plan.test(d, own)
        self.write = plan.mode(d.write, d.write_by) if d.write else None
        self.links = tuple(plan.link(d, self.type, path, selector) for path, selector in d.links)
        self.owns = frozenset(r.target[0].name for m in self.maps for r in m.rows)
        self.per_segment = own
        self.filling: tuple[tuple[MapDef, Callable[..., None], Callable[..., Any] | None], ...] = ()
        self.sources = frozenset(m.source for m in self.maps)
        names = [n for m in self.maps for n in {r.target[0].name for r in m.rows}]
        self.retold = tuple(
            sorted({n for n in names if names.count(n) > 1})
        )  # elements that several maps fill
        self.must_have_key = self.type in MUST_HAVE_KEY
        fixed = dict.fromkeys(self.owns, True)
        for m in self.maps:
            for r in m.rows:
                fixed[r.target[0].name] &= is_constant(r)
        self.constants = {n for n, constant in fixed.items() if constant}
        self.constants |= {"_" + n for n in self.constants} | {"resourceType"}

    @uncollected()
    def ready(self, program: Program) -> None:
        """Compile the maps of this line: a message holds one of its segments."""
        self.filling = tuple(
            (m, program.segment(m.name), program.key(m.name) if m.key else None) for m in self.maps
        )


class MessagePlan:
    """A message map made ready for one site."""

    def __init__(self, program: Program, message: MessageDef) -> None:
        self.program, self.message = program, message
        self.tree = program.library.tree
        self.scoped = self.tree or program.library.types.format == "x12"  # it comes as scopes, not as groups
        loops = self.scoped and not self.tree and not program.trace
        self.loops = LoopMemory(program) if loops else None
        self.names = frozenset(r.name for r in message.resources)
        self.lines = [_Line(self, r) for r in message.resources]
        self._apt_lines: dict[frozenset[str], list[_Line]] = {}
        self.write = self.mode(message.write, message.write_by)

    # -- reading the map -------------------------------------------------------------------------------------

    def _function(self, name: str, own: str, write: Callable[[Emitter, Env], str]) -> Callable[..., Any]:
        e = self.program.emitter([], self.program.trace)
        result = write(e, Env(own, "seg", fields={own: "f"} if own else {}, paths={(): "o"}))
        body = [*e.lines, f"    return {result}"]
        if self.tree:
            self.program._exec(name, [f"def {name}(s, g, x):", *body])
            return self.program.space[name]  # type: ignore[no-any-return]
        if not self.program.trace:  # most of what is asked for was not sent
            body = [_ASKED.sub(r"(\g<0> if \1 else '')", line) for line in body]
        head = [f"def {name}(s, g, x):", "    cs, rs, ss = x.cs, x.rs, x.ss"]
        if any(_OWN.search(line) for line in body):
            head.append("    f = fields(s, x) if s is not None else EMPTY")
        for segment in sorted(e.segments):
            head.append(f"    {variable(segment)} = near(x, g, {segment!r})")
        self.program._exec(name, [*head, *body])
        return self.program.space[name]  # type: ignore[no-any-return]

    def test(self, d: ResourceDef, own: str) -> Callable[..., Any] | None:
        if d.when is None:
            return None
        when = d.when
        return self._function(
            f"W_{self.message.name}_{d.name}", own, lambda e, env: e.condition(when, env, d.place)
        )

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

    def link(self, d: ResourceDef, kind: str, path: tuple[str, ...], selector: str) -> Link:
        """Read one line of `links:` of a resource of type `kind`."""
        steps = read_target(".".join(path), str(d.place))
        owner = ""
        if steps[0].name in self.names and not steps[0].label and len(steps) > 1:
            owner, steps = steps[0].name, steps[1:]
            rows = next(r.rows for r in self.message.resources if r.name == owner)
            kind = self.program.library.maps[rows[0]].to
        target = selector.split("(")[0].strip()
        if target != "me" and target not in self.names:
            raise MapError(
                f"{d.name}: links to {selector!r}, which is no resource of this map",
                where=str(d.place),
                remedy=f"one of {', '.join(sorted(self.names))}, me",
            )
        at = steps_of(kind, steps)
        where = read_selector(selector, target, str(d.place))
        return Link(owner, at, target, where, inner_of(at))

    # -- running ---------------------------------------------------------------------------------------------

    def build(self, tree: Any, x: Run, entry_key: str) -> Built:
        """Map one arranged message; of a document, its scopes."""
        out = Built()
        if self.scoped:
            root = out.root = tree
        else:
            strangers = [r.where for r in x.message.repairs if r.code == "unexpected-segment"]
            root = out.root = scope_of(mended(tree, self.message.mend, x), strangers)
        refused = refusals(root, self.message.refuse, x)
        if refused is not None:
            out.held, out.flags = refused, x.flags
            return out
        out.nodes = self.nodes(root, x, Names(x, entry_key))
        self.connect(out.nodes, x)
        return self.finish(out, x)

    def nodes(self, root: Any, x: Run, names: Names, piece: int | None = None) -> list[Node]:
        """Make the resources of all lines at all their places, or at those of one piece of a document."""
        made: list[Node] = []
        places: dict[tuple[str, ...], list[tuple[Scope, Any]]] = {}
        for line in self._apt(frozenset(x.names)):
            if line.type in x.left_out:
                continue
            where = places.get(line.d.per)
            if where is None:
                where = root.at(line.d.per)
                if piece is not None:
                    where = [(s, n) for s, n in where if s.piece == piece]
                places[line.d.per] = where
            alone = self.loops is not None and self.loops.reads_alone(line.maps)
            for scope, segment in where:
                if line.when is not None and not line.when(segment, scope, x):
                    continue
                node = recall(line.name, scope, x) if alone else None
                if node is None:
                    notes = x.notes
                    node = self._instance(line, scope, segment, x, names)
                    if alone and node is not None:
                        keep(line.name, scope, x, node, line.maps[0].source, notes)
                if node is not None:
                    made.append(node)
                    if node.draft.keys and line.type not in OF_THE_ENTRY:
                        names.parents.setdefault(id(scope), node.draft.keys[0])
        return made

    def connect(self, nodes: list[Node], x: Run) -> None:
        """Write the references between resources."""
        self.link_lines(nodes, x)
        if self.tree:
            refer(nodes, x)
        elif self.scoped:
            numbered(nodes, x)

    def link_lines(self, nodes: list[Node], x: Run) -> None:
        """Write those that the lines of the map name."""
        link_all(self.lines, nodes, x)

    def finish(self, out: Built, x: Run) -> Built:
        """Give the drafts of the resources made, each once, with what FHIR demands marked where it lacks."""
        seen: dict[str, None] = {}
        for node in out.nodes:
            if node.draft.id not in seen:
                seen[node.draft.id] = None
                out.drafts.append(node.draft)
        out.drafts += [d for d in x.drafts if d.id not in seen]
        for d in out.drafts:
            require(d, x)
        if not self.scoped:
            doubtful_deletes(x)
        out.flags, out.held, out.gaps = x.flags, x.held, x.gaps
        return out

    def prepare(self, names: Iterable[str]) -> None:
        """Compile the lines that messages with these segments need."""
        self._apt(frozenset(names))

    def _apt(self, names: frozenset[str]) -> list[_Line]:
        """Return the lines, ready, that can make something of a message with these segments."""
        found = self._apt_lines.get(names)
        if found is None:
            found = [
                line
                for line in self.lines
                if not line.sources.isdisjoint(names) and (not line.per_segment or line.per_segment in names)
            ]
            for line in found:
                if not line.filling:
                    line.ready(self.program)
            if len(self._apt_lines) >= MOST_SORTS:
                self._apt_lines.clear()
            self._apt_lines[names] = found
        return found

    def _instance(self, line: _Line, scope: Scope, segment: Any, x: Run, names: Names) -> Node | None:
        """Make the resource of one line at one place; None when nothing of it was sent."""
        o: dict[str, Any] = {"resourceType": line.type}
        lab: dict[str, list[str]] = {}
        x.contained, x.cleared, x.before, x.weak, x.spots, x.told, x.known = [], [], {}, [], {}, {}, {}
        keys: tuple[Identity, ...] = ()
        anchor, keyed, filled = segment, False, False
        for m, fill, key in line.filling:
            if segment is not None and segment.name == m.source:
                s = segment
            elif m.source not in x.names:
                continue
            else:
                s = scope.near(m.source)
                if s is None:
                    continue
                if s is False:
                    x.flag(
                        "several-in-scope",
                        m.source,
                        f"{m.name} was not applied: more than one {m.source} stands here",
                    )
                    continue
            anchor = anchor or s
            x.where = s.place if self.tree else f"{s.name}[{s.n}]"
            if filled and line.retold:
                x.before = {k: tuple(lab[k]) for k in line.retold if k in lab}
            fill(s, scope, x, o, lab)
            filled = True
            if key is not None:
                keyed = True
                if not keys:
                    keys = key(s, scope, x, o, lab)
        if anchor is None or (
            o.keys() <= line.constants and not (line.must_have_key and len(anchor.fields) > 1)
        ):
            x.where = ""
            return None
        if x.contained:
            o["contained"] = x.contained
        if keyed and (line.must_have_key or not keys):
            self._check_keys(line, keys, x)
        if keys:
            draft_id = x.identify(line.type, keys[0][0], keys[0][1])
        else:
            draft_id = names.keyless(
                line.type, line.d.rows[0], None if line.type in OF_THE_ENTRY or keyed else scope
            )
        x.where = ""
        write = (line.write or self.write)(segment, scope, x)
        draft = Draft(
            line.name,
            line.type,
            draft_id,
            o,
            keys,
            "create" if write == "status" else write,
            {k: tuple(v) for k, v in lab.items()},
            tuple(x.cleared),
            line.owns,
            line.d.rows[0],
            tuple(x.weak),
            acts=x.acts() if x.told else {},
            known=x.known,
            tells=("status",) if write == "status" else (),
        )
        node = Node(line.name, scope, anchor, draft, lab, x.spots)
        if names.gone is not None and names.written_before(draft):
            return None
        before = names.taken.get(draft_id)
        if before is not None and said_again(before, draft, names, x):
            return Node(line.name, scope, anchor, before.draft, before.labels, x.spots)
        names.taken[draft.id] = node
        return node

    def _check_keys(self, line: _Line, keys: tuple[Identity, ...], x: Run) -> None:
        """Hold a Patient without exactly one key; anything else falls back to the entry, flagged. What only
        changes what is known finds nothing without one."""
        if line.d.write == "known":
            return
        if not line.must_have_key:
            x.flag(
                "no-key",
                "",
                f"{line.type}: no identifier to recognise it by; a resend of other bytes would make it again",
            )
        elif len(keys) != 1:
            code = "no-patient-key" if not keys else "ambiguous-patient-key"
            many = "more than one identifier could decide which patient this is"
            x.hold(code, "", many if keys else "no identifier decides which patient this is")
