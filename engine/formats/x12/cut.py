"""An interchange cut into what is worked on one by one: a transaction set, a claim, a member.

In: a `Reader`. Out: for every interchange its `Part`s in order, each bytes that are an interchange of their
own (ISA, GS, ST .. SE, GE, IEA), then `Received`: the interchange with the verdict on each transaction set. A
transaction set is one part; of an 837 each claim is one, of an 834 each member, with the header and the outer
loops before it. Another one that is longer than a part is cut at its payments. Segments are kept as they
came, each stands in at least one part; only counts in SE, GE and IEA are written anew where there is less
behind them. Memory is that of a part and of the transaction set up to `whole` bytes: a longer one is judged
by its envelope alone. Follows the control structures of X12.5 and X12.6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from engine.formats.x12.acknowledge import Verdict, codes_of, verdict_on
from engine.formats.x12.envelope import Body, Interchange, Transaction, opened
from engine.formats.x12.partner_rules import Partner
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Reader, Segment, emit
from engine.formats.x12.stream import OBJECTS
from engine.formats.x12.tables import table_for
from engine.formats.x12.validate import check_transaction
from engine.formats.x12.walk import Loop, around, parts
from engine.kernel.errors import FormatError

__all__ = ["PART", "WHOLE", "Judged", "Part", "Received", "Stray", "cut"]

PART = 256 << 10
"""Bytes of segments from which on a transaction set of many payments is cut."""
WHOLE = 4 << 20
"""Bytes up to which a transaction set is checked segment by segment."""
LONGEST = 64 << 20
"""Bytes of a transaction set that cannot be cut."""
_ONE_BY_ONE = frozenset({"837", "834"})


class Part(NamedTuple):
    """An interchange with one transaction set, or a piece of one; `n` counts its pieces, 0 = it is whole."""

    body: bytes
    offset: int  # of its first segment of its own in the input
    set: str  # 837P, 835 ...
    transaction: Transaction | None
    segments: tuple[Segment, ...]  # ISA and GS, then its own
    n: int = 0


class Judged(NamedTuple):
    """A transaction set as it was checked, to be answered claim by claim."""

    transaction: Transaction
    tree: Loop
    problems: list[Problem]


class Stray(NamedTuple):
    """Text that belongs to no interchange."""

    body: bytes
    offset: int


@dataclass(slots=True)
class Received:
    """An interchange after its parts."""

    interchange: Interchange
    verdicts: list[Verdict] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)  # of an 837, where `keep` asked for it
    parts: int = 0


def cut(
    reader: Reader,
    *,
    lenient: bool = True,
    keep: bool = False,
    partners: Collection[Partner] = (),
    part: int = PART,
    whole: int = WHOLE,
    sets: Collection[str] = (),
) -> Iterator[Part | Received | Stray]:
    """Give the parts of each interchange and then the interchange; `lenient` as for `verdict_on`.

    `sets`: the transaction sets that are taken (837P, 835 ...); others are rejected. Empty: all are.
    `keep`: the interchange comes with its 837s as they were checked, by the rules of `partners` too; their
    memory with it.
    """
    strays: list[Stray] = []
    source = opened(_apart(reader, strays))
    item = next(source, None)
    verdicts: list[Verdict] = []
    judged: list[Judged] = []
    held: Part | None = None
    count = 0
    while item is not None:
        if isinstance(item, Transaction):
            body = Body(item, source)
            piece: Part
            kept = judged if keep else None
            for piece in _transaction(item, iter(body), verdicts, kept, lenient, partners, part, whole, sets):
                if held is not None:
                    yield held
                held, count = piece, count + 1
            item = body.next
            continue
        if isinstance(item, Interchange):
            if held is None and (item.acknowledgements or item.header.name == "ISA"):
                held, count = _empty(item), 1
            if held is not None:
                yield _as_it_came(held, item) if count == 1 else held
            yield Received(item, verdicts, judged, count)
            verdicts, judged, held, count = [], [], None, 0
        item = next(source, None)
        if strays:
            yield from strays
            strays.clear()


_CONTROL = frozenset({"ISA", "GS", "ST", "SE", "GE", "IEA", "TA1"})


def _apart(reader: Reader, strays: list[Stray]) -> Iterator[Segment]:
    """Pass the segments on; what stands in no transaction set and is no envelope is put aside, too."""
    inside = False
    for segment in reader:
        name = segment.name
        if name in _CONTROL:
            inside = name == "ST"
        elif not inside:
            strays.append(Stray(emit((segment,)), segment.offset))
        if name:
            yield segment


def _transaction(
    transaction: Transaction,
    segments: Iterator[Segment],
    verdicts: list[Verdict],
    judged: list[Judged] | None,
    lenient: bool,
    partners: Collection[Partner],
    part: int,
    whole: int,
    sets: Collection[str],
) -> Iterator[Part]:
    """Give the parts of a transaction set, and put the verdict on it to the others.

    What rejects it is said of it before its first part is given; of one too long to be held, what its header
    tells.
    """
    first: list[Segment] = []
    size = 0
    for segment in segments:
        first.append(segment)
        size += len(segment.raw) + 1
        if size > whole:
            break
    long = size > whole
    table, _ = table_for(transaction.set_id, transaction.guide, _service(first))
    name = table.name if table is not None else transaction.set_id[:8]
    objects = OBJECTS.get(transaction.set_id, ())
    single = transaction.set_id in _ONE_BY_ONE
    if sets and name not in sets:
        text = "this transaction set is not taken here"
        transaction.problems.append(
            Problem(
                "E", 1, "IK502", "1", "ST[1]-01", text, 1, segment="ST", element=1, offset=transaction.offset
            )
        )
    if long:
        verdict = verdict_on(transaction, transaction.problems, lenient=True)
    else:
        transaction.segments = first
        tree = transaction.tree()
        problems = check_transaction(transaction, tree, partners)
        verdict = verdict_on(transaction, problems, lenient=lenient)
        transaction.segments = first[:1]
        if tree is not None and transaction.set_id == "837" and judged is not None:
            judged.append(Judged(transaction, tree, problems))
        del tree
    transaction.rejected = tuple(codes_of(verdict)) if verdict.code == "R" else ()
    if table is None or not objects or (not long and not single and size <= part):
        for segment in segments if long else ():
            first.append(segment)
            size += len(segment.raw) + 1
            if size > LONGEST:
                raise FormatError(
                    f"a transaction set is longer than {LONGEST >> 20} MiB",
                    where=f"{transaction.set_id[:8]} {transaction.number}",
                    remedy="have it sent in several: it cannot be cut at claims, payments or members",
                )
        if long:
            verdict = verdict_on(transaction, transaction.problems, lenient=True)
            transaction.rejected = tuple(codes_of(verdict)) if verdict.code == "R" else ()
        verdicts.append(verdict)
        yield _part(transaction, name, first, 0)
    else:
        made = parts(chain(_drained(first) if long else first, segments), table, *objects)
        yield from _pieces(transaction, name, made, objects, 0 if single else part)
        if long:
            verdict = verdict_on(transaction, transaction.problems, lenient=True)
            if verdict.code == "R" and not transaction.rejected:
                verdict.code = "E"  # it was worked off as it was read
        verdicts.append(verdict)


def _drained(segments: list[Segment]) -> Iterator[Segment]:
    """Give segments, and forget each."""
    segments.reverse()
    while segments:
        yield segments.pop()


def _pieces(
    transaction: Transaction, name: str, loops: Iterable[Loop], objects: tuple[str, ...], part: int
) -> Iterator[Part]:
    """Give claims, payments or members with what encloses them; the last piece holds all that follows."""
    piece: dict[int, Segment] = {}
    n = size = 0
    for loop in loops:
        own = [s for each in loop.walk() for s in each.segments]
        if loop.id in objects and loop.parent is not None:
            if size and size >= part:
                n += 1
                yield _part(transaction, name, [piece[at] for at in sorted(piece)], n)
                piece, size = {}, 0
            begin = own[0].offset if own else 0
            piece.update((s.offset, s) for s in around(loop, objects) if s.offset < begin)
            size += sum(len(s.raw) + 1 for s in own)
        piece.update((s.offset, s) for s in own)  # of what enclosed objects: what stood behind the last
    yield _part(transaction, name, [piece[at] for at in sorted(piece)], n and n + 1)


def _part(transaction: Transaction, name: str, segments: list[Segment], n: int) -> Part:
    st = segments[0]
    isa = transaction.interchange.header if transaction.interchange is not None else None
    gs = transaction.group.header if transaction.group is not None else None
    marks = st.separators
    line = gs.lead if gs is not None and not gs.lead.strip("\r\n") else ""
    own = list(segments)
    closing: list[list[str]] = []
    if n:
        own = [s for s in own if s.name != "SE"]
        closing.append(["SE", str(len(own) + 1), st.get(2)])
    if gs is not None:
        closing.append(["GE", "1", gs.get(6)])
    if isa is not None and isa.name == "ISA":
        closing.append(["IEA", "1", isa.get(13)])
    head = [s for s in (isa, gs) if s is not None and s.name in ("ISA", "GS")]
    body = emit([*head, *own]) + "".join(
        line + marks.element.join(row) + marks.segment for row in closing
    ).encode("latin-1")
    return Part(body.lstrip(b"\xef\xbb\xbf\r\n\t \x00"), st.offset, name, transaction, (*head, *own), n)


def _as_it_came(part: Part, interchange: Interchange) -> Part:
    """Give the only part of an interchange with the trailers that came."""
    if part.n or part.transaction is None or len(interchange.groups) != 1:
        return part
    trailers = [s for s in (interchange.groups[0].trailer, interchange.trailer) if s is not None]
    if len(trailers) < 2 or interchange.acknowledgements:
        return part
    return part._replace(body=emit([*part.segments, *trailers]).lstrip(b"\xef\xbb\xbf\r\n\t \x00"))


def _empty(interchange: Interchange) -> Part:
    """Give an interchange without a transaction set: a TA1, or nothing at all."""
    groups = [s for g in interchange.groups for s in (g.header, g.trailer) if s is not None]
    trailer = [interchange.trailer] if interchange.trailer is not None else []
    segments = [interchange.header, *interchange.acknowledgements, *groups, *trailer]
    name = "TA1" if interchange.acknowledgements else ""
    body = emit(segments).lstrip(b"\xef\xbb\xbf\r\n\t \x00")
    return Part(body, interchange.header.offset, name, None, tuple(segments))


def _service(segments: list[Segment]) -> str:
    return next((s.name for s in segments if s.name in ("SV1", "SV2", "SV3")), "")
