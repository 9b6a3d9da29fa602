"""A long document mapped piece by piece, so that its memory is that of a piece and of its tree.

In: a CDA document with sections of very many entries. Out: one `Piece` after another: first all but those
entries, then some hundred of them at a time, last what had to wait for all (the Composition). Ids are the
same as when it is mapped at once, but for keyless resources whose parents stand later; entries are forgotten,
in the tree too, when their piece is written. Drafts of a later piece never change one that was given: what an
element said again of a resource is the same, or has a resource of its own, flagged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from engine.formats.xml.nodes import Node
from engine.kernel.message import Draft
from engine.mapping import from_cda, traced
from engine.mapping.build import Built, MessagePlan
from engine.mapping.lineage import Report
from engine.mapping.model import MapDef
from engine.mapping.naming import Names
from engine.mapping.treearrived import TreeArrived
from engine.mapping.treelinks import Made, became, nearest, open_ones, refer
from engine.mapping.treereport import tree_report
from engine.mapping.treerun import TracedTreeRun

__all__ = ["LONG", "Piece", "pieces"]

LONG = 2 << 20
"""Bytes of a document that is mapped in pieces."""
ENTRIES = 200


@dataclass(slots=True)
class Piece:
    """What one piece became, and where all that stands in it went."""

    built: Built
    report: Report


def pieces(
    arrived: TreeArrived,
    later: from_cda.Later,
    plan: MessagePlan,
    x: TracedTreeRun,
    entry_key: str,
    maps: dict[str, MapDef],
) -> Iterator[Piece]:
    """Map a document whose entries in `later` are not arranged yet."""
    top: Any = arrived.scope
    names = Names(x, entry_key)
    counts: Counter[str] = Counter()
    called: dict[str, str] = {}
    rows = plan.program.rows

    def piece(nodes: list[Any], roots: list[Node], skip: frozenset[Node], waits: bool) -> Piece:
        out = Built(nodes=nodes)
        plan.finish(out, x)
        new = {d.id for d in out.drafts if d.id not in called}
        for d in out.drafts:
            if d.id in new:
                called[d.id] = f"{d.type}[{counts[d.type]}]"
                counts[d.type] += 1
        shown = [called[d.id] for d in out.drafts]
        made = tree_report(roots, out, x, rows, maps, plan.message, shown, skip)
        for d in out.drafts:
            d.body = traced.plain(d.body)
            d.keys = tuple((str(s), str(v)) for s, v in d.keys)
        held = {d.id: d for d in out.drafts if waits and open_ones(d.body)}
        out.drafts = [d for d in out.drafts if d.id not in held and d.id in new]
        waiting_drafts.extend(held.values())
        out.flags, x.flags = x.flags, []
        out.gaps, x.gaps = x.gaps, []
        for notes in (x.choices, x.failures, x.nested, x.laid):
            notes.clear()
        return Piece(out, made)

    waiting_drafts: list[Draft] = []
    began = top.groups_so_far()
    for entry, _ in later:
        entry.close()
    header = plan.nodes(top, x, names, 0)
    of_header = became(header, x)
    known: Made = defaultdict(list, of_header)
    plan.link_lines(header, x)
    open_refs = dict(x.waiting)
    later_nodes = frozenset(entry for entry, _ in later)
    sections = {id(s): s for _, s in later}.values()
    for section in sections:
        section.node.number()  # before anything of it is forgotten
    parents = dict(names.parents)
    yield piece(header, [top.node], later_nodes, True)
    names.forget(parents)
    source = iter(later)
    n = 0
    while some := list(islice(source, ENTRIES)):
        n += 1
        for entry, section in some:
            entry.release_inside()
            from_cda.arrange_entry(entry, section, n)
        x.names = top.names
        x.waiting = {}
        nodes = plan.nodes(top, x, names, n)
        plan.link_lines([*header, *nodes], x)
        of_these = became(nodes, x)
        refer(nodes, x, defaultdict(list, {**of_header, **of_these}))
        known.update((entry, nearest(entry, of_these)) for entry, _ in some)
        yield piece(nodes, [entry for entry, _ in some], frozenset(), False)
        names.forget(parents)
        top.cut_back(began, sections)
        x.made.clear()
        for entry, _ in some:
            entry.forget()
    x.waiting = open_refs
    last = Built()
    _settle(waiting_drafts, known, x)
    last.drafts = waiting_drafts
    last.flags, x.flags = x.flags, []
    last.held = x.held
    yield Piece(last, Report())


def _settle(drafts: list[Draft], made: Made, x: TracedTreeRun) -> None:
    """Fill the References of the drafts that waited."""

    class Held:
        def __init__(self, draft: Draft) -> None:
            self.draft, self.segment = draft, None

    refer([Held(d) for d in drafts], x, made)  # type: ignore[misc]
