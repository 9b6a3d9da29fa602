"""A long transaction set mapped piece by piece: memory is that of some hundred claims or payments.

In: a file of X12. Out: for each transaction set its `Sent`s, each with the loops that enclose its claims
(payer, provider, subscriber), and for these one `Piece` after another. Segments keep the numbers they have in
the whole transaction set. A resource that several pieces speak of is given with the first of them; a
PaymentReconciliation comes last, with the details of all pieces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from engine.formats.x12.addresses import address
from engine.formats.x12.envelope import Body, Interchange, Transaction, opened
from engine.formats.x12.segments import Reader, Segment
from engine.formats.x12.stream import OBJECTS
from engine.formats.x12.tables import table_for
from engine.formats.x12.walk import around, parts
from engine.kernel.message import Draft, Flag
from engine.mapping.build import Built
from engine.mapping.convert import trace_arrived
from engine.mapping.from_x12 import Sent
from engine.mapping.lineage import Mapped, Report, names_of
from engine.mapping.pieces import Piece
from engine.mapping.project import Maps

__all__ = ["several", "trace_long", "transaction_sets"]

OBJECTS_IN_ONE = 200
_DETAIL = re.compile(r"(PaymentReconciliation\[\d+\]\.detail\[)(\d+)(.*)", re.S)
_ONCE = frozenset({"MessageHeader"})


def several(file: BinaryIO) -> bool:
    """Say whether a file holds more than one transaction set; reads as far as the second."""
    found = 0
    for s in Reader(file):
        found += s.name == "ST"
        if found > 1:
            return True
    return False


def transaction_sets(file: BinaryIO) -> Iterator[Iterator[Sent]]:
    """Give every transaction set of a file as the pieces it is mapped in; each is to be read to its end."""
    source = opened(Reader(file))
    item: Transaction | Segment | Interchange | None = next(source, None)
    while item is not None:
        if isinstance(item, Transaction):
            body = Body(item, source)
            yield _sents(item, body)
            item = body.next
        else:
            item = next(source, None)


def _sents(transaction: Transaction, body: Iterable[Segment]) -> Iterator[Sent]:
    table, _ = table_for(transaction.set_id, transaction.guide)
    objects = OBJECTS.get(transaction.set_id, ())
    if table is None or not objects:
        yield Sent(replace(transaction, segments=list(body)))
        return
    piece: dict[int, Segment] = {}
    held = 0
    for loop in parts(body, table, *objects):
        own = [s for each in loop.walk() for s in each.segments]
        if loop.id in objects:
            if held == OBJECTS_IN_ONE:
                yield Sent(replace(transaction, segments=[piece[at] for at in sorted(piece)]))
                piece, held = {}, 0
            begin = own[0].offset if own else 0
            piece.update((s.offset, s) for s in around(loop, objects) if s.offset < begin)
            held += 1
        piece.update((s.offset, s) for s in own)  # of what enclosed them: what stood behind the last
        for each in loop.walk():  # nothing goes back up: their memory is free at once
            for inner in each.loops:
                inner.parent = None
    yield Sent(replace(transaction, segments=[piece[at] for at in sorted(piece)]))


def trace_long(pieces: Iterator[Sent], maps: Maps, site: str, key: str) -> Iterator[Piece]:
    """Map one transaction set piece by piece with the traced twin."""
    called: dict[str, tuple[str, int]] = {}  # id -> how the report names it, what was said of it
    counts: Counter[str] = Counter()
    payments: dict[str, Draft] = {}
    before: set[str] = set()
    for n, sent in enumerate(pieces, 1):
        done = trace_arrived(sent, maps, site, key if n == 1 else f"{key}.{n}")
        out = Built(flags=done.built.flags, held=done.built.held, gaps=done.built.gaps)
        shown, details = {}, 0
        for name, d in zip(names_of(done.built.drafts), done.built.drafts, strict=True):
            if n > 1 and d.type in _ONCE:
                continue
            payment = payments.get(d.id)
            if payment is not None:
                details = len(payment.body.get("detail", ()))
                payment.body.setdefault("detail", []).extend(d.body.get("detail", ()))
            elif d.id not in called:
                called[d.id] = f"{d.type}[{counts[d.type]}]", hash(repr(d.body))
                counts[d.type] += 1
                if d.type == "PaymentReconciliation":
                    payments[d.id] = d
                else:
                    out.drafts.append(d)
            elif called[d.id][1] != hash(repr(d.body)):
                text = "a later part says something else of it; the first stands"
                out.flags.append(Flag("said-later", f" {called[d.id][0]}", text))
            shown[name] = called[d.id][0]
        yield Piece(out, _numbered(done.report, shown, details, before))
        before = {address(s) for s in sent.segments}
        done.built.release()
    if payments:
        yield Piece(Built(drafts=list(payments.values())), Report())


def _numbered(report: Report, shown: dict[str, str], details: int, before: set[str]) -> Report:
    """Name the targets as in the whole bundle; what stood in the piece before too is told already."""
    out = Report()
    for m in report.mapped:
        if m.source.partition("-")[0] in before:
            continue
        name, dot, path = m.target.partition(".")
        target = shown.get(name, name) + dot + path
        if details and (found := _DETAIL.fullmatch(target)):
            target = f"{found[1]}{int(found[2]) + details}{found[3]}"
        out.mapped.append(Mapped(m.source, target, m.row, m.place))
    out.unmapped = [u for u in report.unmapped if u.source.partition("-")[0] not in before]
    return out
