"""X12 transaction sets as the mapper takes them: one ST..SE, its loops, who sent it, and the report of it.

In: transaction sets of formats/x12. Out: `Arrived`s (arrived.py) for the maps under mappings/x12; `for:` of a
message map names the table (`837P`), else ST01. Report addresses are `SEG[n]-EE[.C]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from engine.formats.hl7v2.delims import Delims
from engine.formats.x12.addresses import address, leaves
from engine.formats.x12.envelope import Interchange, Transaction, envelopes
from engine.formats.x12.levels import misplaced
from engine.formats.x12.segments import Reader, Segment, emit, text_of
from engine.formats.x12.tables import LoopRule, Table
from engine.formats.x12.walk import Loop
from engine.kernel.uncollected import uncollected
from engine.mapping.build import Built
from engine.mapping.lineage import Report, ignored_by, report
from engine.mapping.model import MapDef, MessageDef, Row
from engine.mapping.x12run import TracedX12Run, X12Run
from engine.mapping.x12scope import LoopScope
from engine.mapping.x12types import X12

__all__ = ["Sent", "arrivals", "sent_of"]

NEVER = "\x00"
"""A character that no X12 text holds: nothing is escaped, there are no subcomponents."""
_HEADERS = ("ISA-05", "ISA-06", "ISA-07", "ISA-08", "GS-02", "GS-03", "GS-08")


class _Leaf(NamedTuple):
    """A populated place, as reports ask about it."""

    address: str
    value: str
    segment: Segment
    field: int
    rep: int
    comp: int
    sub: int = 0


class Sent:
    """One transaction set, ready to be mapped."""

    format = "x12"
    run = X12Run
    traced_run = TracedX12Run
    charset = "utf-8"

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.segments = transaction.segments
        marks = transaction.segments[0].separators
        self.delims = Delims(marks.element, marks.component, marks.repetition or NEVER, NEVER, NEVER)
        table, _ = transaction.table()
        self.type = table.name if table is not None else transaction.set_id
        self.kinds = tuple(dict.fromkeys((self.type, transaction.set_id)))
        outer = (transaction.interchange, transaction.group)
        around = [o.header for o in outer if o is not None and o.header is not None]
        self.headers = _headers(around)
        self.authority = f"urn:hub:sender:{self.headers['ISA-06']}|{self.headers['GS-02']}"
        self.repairs: list[Any] = []  # what the checks complain of is no repair
        self.raw = emit(transaction.segments)
        tree = transaction.tree()
        if tree is None:
            tree = Loop(LoopRule("", "R", 1, 0, None), None)
            tree.segments = list(transaction.segments)
        self.doubts: list[tuple[str, str]] = []  # (address, text): each holds the transaction set
        for level, head, why in misplaced(tree):  # its place would make it another patient's: nothing is made
            assert level.parent is not None
            level.parent.loops.remove(level)
            self.doubts.append(
                (address(head, 3 if level.id == "?HL" else 2), f"{why}: it is not known whose it is")
            )
        self.scope = LoopScope(tree, None, marks.component)
        for loop in tree.walk():  # the scopes have all that is needed; no circles are left behind
            loop.parent = None
        for s in around:
            self.scope.own.setdefault(s.name, [s])
        self.names = self.scope.names

    def report(
        self, built: Built, x: Any, rows: list[Row], maps: Mapping[str, MapDef], message: MessageDef
    ) -> Report:
        """Say of every populated element between ST and SE where it went."""
        names = [n for line in message.resources for n in line.rows if n in maps]
        ignored = ignored_by(maps, names, message.ignore)
        return report(self, built, x, rows, ignored, maps, message, _leaves(self.segments), X12)


def _headers(around: list[Segment]) -> dict[str, str]:
    out = dict.fromkeys(_HEADERS, "")
    for s in around:
        for n in range(1, len(s.elements)):
            if f"{s.name}-{n:02d}" in out:
                out[f"{s.name}-{n:02d}"] = text_of(s.get(n).strip())
    return out


def _leaves(segments: list[Segment]) -> Iterator[_Leaf]:
    for s in segments:
        if s.name in ("ST", "SE"):
            continue
        for leaf in leaves(s):
            number, _, part = leaf.address.rpartition("-")[2].partition(".")
            yield _Leaf(leaf.address, text_of(leaf.value), s, int(number), leaf.repetition, int(part or 1))


class _Acknowledged(Transaction):
    """The TA1 of an interchange that holds nothing else."""

    __slots__ = ()

    @property
    def set_id(self) -> str:
        return "TA1"

    def table(self) -> tuple[Table | None, bool]:
        return None, False

    def tree(self) -> Loop | None:
        return None


def sent_of(transaction: Transaction) -> Sent:
    """Make a transaction set ready to be mapped."""
    return Sent(transaction)


def arrivals(file: BinaryIO | bytes) -> Iterator[Sent]:
    """Give every transaction set of a file in order, then every TA1."""
    found = envelopes(Reader(BytesIO(file) if isinstance(file, bytes) else file))
    outside: list[Transaction] = []
    while True:
        with uncollected():
            item = next(found, None)
            sent = Sent(item) if isinstance(item, Transaction) else None
            if isinstance(item, Interchange) and item.acknowledgements and not item.groups:
                for n, s in enumerate(item.acknowledgements, 1):
                    s.n = n
                at = item.header.offset
                sent = Sent(_Acknowledged(0, item, None, at, list(item.acknowledgements)))
        if item is None:
            break
        if sent is not None:
            yield sent
        elif isinstance(item, Interchange):
            outside += (_alone(item, segment) for segment in item.acknowledgements)
    yield from map(Sent, outside)


def _alone(interchange: Interchange, segment: Segment) -> Transaction:
    """Give a TA1, which stands outside any ST..SE, as if it were a transaction set of its own."""
    segment.n = 1
    return Transaction(0, interchange, None, segment.offset, [segment])
