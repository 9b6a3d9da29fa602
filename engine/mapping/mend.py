"""What senders get wrong about structure, put right before mapping by rules that a message map names; and
what is refused.

Each rule is a sentence in the map's `mend:` or `refuse:` list and a function here. A rule changes the tree of
groups, never a value; every change is flagged. Refusing parks the message for a person: nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.formats.hl7v2.groups import Group
from engine.kernel.errors import MapError
from engine.kernel.message import Flag
from engine.mapping.model import Place
from engine.mapping.run import Run
from engine.mapping.scope import Scope
from engine.mapping.traced import Address, TStr

__all__ = ["MEND", "REFUSE", "Merged", "doubtful_deletes", "mended", "refusals"]


class Merged:
    """Several segments that are the lines of one: the first, with the others' text as further repetitions of
    one field."""

    def __init__(self, lines: list[Any], field: int, separator: str) -> None:
        head = lines[0]
        self.name, self.n, self.lines, self.at, self.separator = head.name, head.n, lines, field, separator
        fields = list(head.fields)
        fields += [""] * (field + 1 - len(fields))
        fields[field] = separator.join(s.fields[field] if len(s.fields) > field else "" for s in lines)
        self.fields = fields

    def traced(self) -> list[str]:
        """The fields with their addresses: the joined one answers `split` with every line's own
        repetitions."""
        out: list[str] = [TStr(v, (Address(self.name, self.n, i),)) for i, v in enumerate(self.fields)]
        pieces = []
        for s in self.lines:
            raw = s.fields[self.at] if len(s.fields) > self.at else ""
            pieces += TStr(raw, (Address(s.name, s.n, self.at),)).split(self.separator)
        out[self.at] = _Lines(self.fields[self.at], pieces, self.separator)
        return out


class Without:
    """A segment that is read without one of its fields."""

    def __init__(self, s: Any, field: int) -> None:
        self.name, self.n = s.name, s.n
        self.fields = ["" if i == field else text for i, text in enumerate(s.fields)]


class _Lines(TStr):
    """Text of several segments; splitting it at the repetition separator gives each piece its own address."""

    pieces: list[str]
    separator: str

    def __new__(cls, text: str, pieces: list[str], separator: str) -> _Lines:
        self = str.__new__(cls, text)
        self.src, self.row = tuple(a for p in pieces for a in getattr(p, "src", ())), -1
        self.pieces, self.separator = pieces, separator
        return self

    def split(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:
        if sep == self.separator:
            return list(self.pieces)
        return super().split(sep, maxsplit)


def _part(s: Any, field: int, x: Run, component: int = 1) -> str:
    raw = s.fields[field] if len(s.fields) > field else ""
    parts = raw.split(x.rs)[0].split(x.cs)
    return x.text(parts[component - 1]) if component <= len(parts) else ""


def _whole(s: Any, field: int) -> str:
    return s.fields[field] if len(s.fields) > field else ""


def _groups(g: Group) -> Iterator[Group]:
    yield g
    for child in g.children:
        if isinstance(child, Group):
            yield from _groups(child)


def text_lines(tree: Group, x: Run) -> None:
    """Consecutive TX, FT or ST OBX with the same OBX-3 and OBX-4 become one OBX with the lines as
    repetitions."""
    if "OBX" not in x.names:
        return
    kinds = [s.fields[2][:2] for s in x.message.segments if s.name == "OBX" and len(s.fields) > 2]
    if kinds.count("TX") + kinds.count("FT") + kinds.count("ST") < 2:
        return
    for g in _groups(tree):
        heads = [
            (c, _only_obx(c))
            for c in g.children
            if isinstance(c, Group) and c.name in ("OBSERVATION", "OBSERVATION_PRIOR")
        ]
        run: list[tuple[Group, Any]] = []
        for child, obx in heads:
            if obx is not None and run and _continues(run[-1][1], obx, x):
                run.append((child, obx))
                continue
            _join_run(g, run, x)
            run = [(child, obx)] if obx is not None else []
        _join_run(g, run, x)


def _only_obx(g: Group) -> Any:
    obx = [c for c in g.children if not isinstance(c, Group) and c.name == "OBX"]
    return obx[0] if len(obx) == 1 else None


def _continues(a: Any, b: Any, x: Run) -> bool:
    kind = _part(a, 2, x)
    return (
        kind in ("TX", "FT", "ST")
        and kind == _part(b, 2, x)
        and bool(_whole(a, 3))
        and _whole(a, 3) == _whole(b, 3)
        and _whole(a, 4) == _whole(b, 4)
        and _whole(a, 11) == _whole(b, 11)
        and (_whole(a, 14) == _whole(b, 14) or not _whole(b, 14))
        and (_whole(a, 6) == _whole(b, 6))
        and (not _whole(b, 21) or _whole(a, 21) == _whole(b, 21))
    )


def _join_run(g: Group, run: list[tuple[Group, Any]], x: Run) -> None:
    if len(run) < 2 or any(c is not o for group, obx in run[:-1] for c, o in [(group.children[-1], obx)]):
        return  # notes between the lines belong to one line: leave them apart
    merged = Merged([obx for _, obx in run], 5, x.rs)
    x.merged.append(merged)
    first = run[0][0]
    first.children = [merged if c is run[0][1] else c for c in first.children]  # type: ignore[misc]
    for group, obx in run[1:]:
        first.children += [c for c in group.children if c is not obx]
        g.children.remove(group)
    x.flag(
        "mended",
        f"OBX[{run[0][1].n}]",
        f"{len(run)} consecutive text OBX of one code are the lines of one result",
    )


def _one_note(run: list[Any], x: Run) -> Any:
    if len(run) == 1:
        return run[0]
    merged = Merged(run, 3, x.rs)
    x.merged.append(merged)
    return merged


def note_lines(tree: Group, x: Run) -> None:
    """Consecutive NTE with the same NTE-2, 4, 5 and 6 become one NTE with the lines as repetitions of
    NTE-3."""
    if "NTE" not in x.names or sum(s.name == "NTE" for s in x.message.segments) < 2:
        return
    for g in _groups(tree):
        out: list[Any] = []
        run: list[Any] = []
        for child in [*g.children, None]:
            if (
                child is not None
                and not isinstance(child, Group)
                and child.name == "NTE"
                and (not run or all(_whole(run[0], i) == _whole(child, i) for i in (2, 4, 5, 6)))
            ):
                run.append(child)
                continue
            if run:
                out.append(_one_note(run, x))
                run = []
            if child is not None:
                if not isinstance(child, Group) and child.name == "NTE":
                    run = [child]
                else:
                    out.append(child)
        if run:
            out.append(_one_note(run, x))
        g.children = out


def by_structure(tree: Group, x: Run) -> None:
    """Placing segments in their groups (formats/hl7v2/groups.py) already does this."""


def obr15(tree: Group, x: Run) -> None:
    """OBR-15 is read by OBR_Specimen where the group has no SPM; the map says so."""


def own_parent(tree: Group, x: Run) -> None:
    """A TXA whose parent document (TXA-13) is the document itself (TXA-12) is read without a parent."""
    for g in _groups(tree):
        for i, s in enumerate(g.children):
            if isinstance(s, Group) or s.name != "TXA" or not _whole(s, 13) or _whole(s, 12) != _whole(s, 13):
                continue
            g.children[i] = Without(s, 13)  # type: ignore[call-overload]
            x.flag(
                "mended", f"TXA[{s.n}]-13", "the parent document is the document itself: it has none", True
            )


def study_of_all(tree: Group, x: Run) -> None:
    """A single ZDS behind several orders of one requested procedure belongs to the message: IHE's order
    messages are of one procedure and end with its ZDS (RAD TF-2 4.4.4.1.2)."""
    if "ZDS" not in x.names:
        return
    orders = [s for s in x.message.segments if s.name == "OBR"]
    found = [
        (g, s) for g in _groups(tree) for s in g.children if not isinstance(s, Group) and s.name == "ZDS"
    ]
    if len(found) != 1 or len(orders) < 2 or len({(_part(s, 18, x), _part(s, 19, x)) for s in orders}) > 1:
        return
    ((group, zds),) = found
    if x.message.segments.index(zds) > x.message.segments.index(orders[-1]):
        group.children.remove(zds)
        tree.children.append(zds)


MEND: dict[str, Callable[[Group, Run], None]] = {
    "NTE directly after OBX belongs to that OBX": by_structure,
    "OBX before any OBR belongs to the first OBR": by_structure,
    "consecutive TX, FT or ST OBX with the same OBX-3 and OBX-4 are the lines of one result": text_lines,
    "consecutive NTE with the same NTE-2, NTE-4, NTE-5 and NTE-6 are the lines of one comment": note_lines,
    "OBR-15 stands in for SPM when there is none": obr15,
    "TXA-13 that repeats TXA-12 names no parent": own_parent,
    "one ZDS at the end is of every order of the same requested procedure": study_of_all,
}


def _self_merge(root: Scope, x: Run) -> Flag | None:
    for scope in _scopes(root):
        for pid in scope.own.get("PID", ()):
            for mrg in scope.own.get("MRG", ()):
                new = {(_cx(r, x)) for r in _whole(pid, 3).split(x.rs) if r}
                old = {(_cx(r, x)) for r in _whole(mrg, 1).split(x.rs) if r}
                if old & new:
                    return Flag(
                        "self-merge",
                        f"MRG[{mrg.n}]-1",
                        "the number to be retired is the survivor's own",
                        True,
                    )
    return None


def _cx(rep: str, x: Run) -> tuple[str, str]:
    parts = rep.split(x.cs) + [""] * 4
    return x.text(parts[0]), x.text(parts[3].split(x.ss)[0]) or x.text(parts[3])


def _scopes(s: Scope) -> Iterator[Scope]:
    yield s
    for groups in s.groups.values():
        for g in groups:
            yield from _scopes(g)


def _by_store(root: Scope, x: Run) -> Flag | None:
    """The core store knows who is retired; it parks the message when the survivor is (store/identity)."""
    return None


def _unclear_move(root: Scope, x: Run) -> Flag | None:
    """A number moves with its records from the person of MRG-4 to that of PID-2 (HL7 v2.5.1 ch. 3.3.43)."""
    for scope in _scopes(root):
        for pid in scope.own.get("PID", ()):
            for mrg in scope.own.get("MRG", ()):
                now, before = (
                    {_cx(r, x) for r in _whole(s, n).split(x.rs) if r} for s, n in ((pid, 3), (mrg, 1))
                )
                if not before or not before <= now or not _whole(pid, 2) or not _whole(mrg, 4):
                    return Flag("move-unclear", f"MRG[{mrg.n}]-1", "whose records move is not said", True)
    return None


REFUSE: dict[str, Callable[[Scope, Run], Flag | None]] = {
    "MRG-1 names the survivor": _self_merge,
    "survivor is itself retired": _by_store,
    "MRG-1 becomes another number, or nobody says from whom to whom it moves": _unclear_move,
}


def mended(tree: Group, rules: Iterable[tuple[str, Place]], x: Run) -> Group:
    """Apply the named rules in their order."""
    for text, place in rules:
        rule = MEND.get(text)
        if rule is None:
            raise MapError(
                f"mend: no rule {text!r}", where=str(place), remedy="the rules are: " + "; ".join(MEND)
            )
        rule(tree, x)
    return tree


def refusals(root: Scope, rules: Iterable[tuple[str, Place]], x: Run) -> Flag | None:
    """Return why the message is refused, or None."""
    for text, place in rules:
        rule = REFUSE.get(text)
        if rule is None:
            raise MapError(
                f"refuse: no rule {text!r}", where=str(place), remedy="the rules are: " + "; ".join(REFUSE)
            )
        found = rule(root, x)
        if found is not None:
            return Flag("refused", found.where, text, True)
    return None


def doubtful_deletes(x: Run) -> None:
    """Flag `""` beside other repetitions of a field: it deletes nothing there, and somebody meant something
    by it."""
    raw = x.message.raw
    if b'""' not in raw and b'"\0"' not in raw:
        return
    for s in x.message.segments:
        for n, field in enumerate(s.fields):
            if '""' in field and x.rs in field and '""' in field.split(x.rs):
                text = (
                    "an explicit delete stands beside other repetitions; it was ignored, nothing is deleted"
                )
                x.flag("delete-beside-values", f"{s.name}[{s.n}]-{n}", text, work=True)
