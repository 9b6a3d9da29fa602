"""Interchanges, groups and transaction sets around segments, and what SNIP type 1 asks of them.

In: the segments of a `Reader`. Out: a `Transaction` for each ST..SE in order, its segments held, or
(`opened`) as a stream of its segments, for a transaction set of any length. Control numbers, counts
and missing trailers are complaints; nothing is refused. Follows the X12.5 and X12.6 control structures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import Table, guide_of, table_for
from engine.formats.x12.walk import Loop, arrange

__all__ = ["Body", "Group", "Interchange", "Transaction", "envelopes", "opened", "transactions"]

_FUNCTIONAL = {
    "270": "HS", "271": "HB", "276": "HR", "277": "HN", "278": "HI", "820": "RA", "834": "BE", "835": "HP",
    "837": "HC", "997": "FA", "999": "FA",
}  # fmt: skip


@dataclass(slots=True, eq=False)
class Interchange:
    """ISA..IEA."""

    header: Segment
    trailer: Segment | None = None
    groups: list[Group] = field(default_factory=list)
    acknowledgements: list[Segment] = field(default_factory=list)  # TA1
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Group:
    """GS..GE; `counted` transaction sets were seen in it."""

    interchange: Interchange
    header: Segment | None
    trailer: Segment | None = None
    counted: int = 0
    controls: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Transaction:
    """ST..SE; `number` counts them in the input from 1."""

    number: int
    interchange: Interchange | None
    group: Group | None
    offset: int
    segments: list[Segment] = field(default_factory=list)
    closed: bool = False
    counted: int = 1  # segments so far, ST and SE with them
    problems: list[Problem] = field(default_factory=list)
    rejected: tuple[str, ...] = ()  # IK502: what its 999 rejects it for, once that is known

    @property
    def set_id(self) -> str:
        """Give ST01: 837, 835, ...; TA1 of an acknowledgment that stands outside any ST."""
        if not self.segments:
            return ""
        return self.segments[0].get(1).strip() if self.segments[0].name != "TA1" else "TA1"

    @property
    def control(self) -> str:
        """Give ST02."""
        return self.segments[0].get(2).strip() if self.segments else ""

    @property
    def guide(self) -> str:
        """Give the implementation guide: ST03, else GS08."""
        header = self.group.header if self.group is not None else None
        return guide_of(self.segments[0].get(3) if self.segments else "", header.get(8) if header else "")

    def table(self) -> tuple[Table | None, bool]:
        """Find the table of this transaction set, and whether it is the one of its guide."""
        service = ""
        if self.set_id == "837":
            service = next((s.name for s in self.segments if s.name in ("SV1", "SV2", "SV3")), "")
        return table_for(self.set_id, self.guide, service)

    def tree(self) -> Loop | None:
        """Arrange the segments in loops; None for a transaction set without a table."""
        found, _ = self.table()
        return arrange(self.segments, found) if found is not None else None


def transactions(segments: Iterable[Segment]) -> Iterator[Transaction]:
    """Give each transaction set when its SE (or what cuts it off) was read."""
    for item in envelopes(segments):
        if isinstance(item, Transaction):
            yield item


def envelopes(segments: Iterable[Segment]) -> Iterator[Transaction | Interchange]:
    """Give each transaction set, and after them the interchange they came in once it is closed."""
    current: Transaction | None = None
    for item in opened(segments):
        if isinstance(item, Segment):
            if current is not None:
                current.segments.append(item)
            continue
        if current is not None:
            yield current
            current = None
        if isinstance(item, Transaction):
            current = item
        else:
            yield item
    if current is not None:
        yield current


def opened(segments: Iterable[Segment]) -> Iterator[Transaction | Segment | Interchange]:
    """Give each transaction set when its ST is read, then its further segments as they are read; after them
    the interchange. The complaints about a transaction set are whole when the next item is given.
    """
    interchange: Interchange | None = None
    group: Group | None = None
    current: Transaction | None = None
    counts: dict[str, int] = {}
    number = 0
    for segment in segments:
        name = segment.name
        if current is not None and name not in ("SE", "ST", "GE", "GS", "IEA", "ISA"):
            segment.n = counts[name] = counts.get(name, 0) + 1
            current.counted += 1
            yield segment
            continue
        if name == "ST":
            if current is not None:
                _cut(current)
            number += 1
            current = Transaction(number, interchange, group, segment.offset, [segment])
            counts = {"ST": 1}
            segment.n = 1
            _check_header(current, segment)
            yield current
            continue
        if name == "SE" and current is not None:
            segment.n = 1
            current.counted += 1
            current.closed = True
            _check_trailer(current, segment)
            yield segment
            current = None
            continue
        if current is not None:
            _cut(current)
            current = None
        if name == "ISA":
            if interchange is not None:
                yield _end(interchange, group, None)
            interchange, group = Interchange(segment), None
        elif name == "GS":
            if group is not None:
                _end_group(group, None)
            if interchange is None:
                interchange = Interchange(segment)
                interchange.problems.append(
                    _fault("TA105", "022", "GS", "there is no ISA before GS", segment)
                )
            group = Group(interchange, segment)
            interchange.groups.append(group)
        elif name == "GE" and group is not None:
            _end_group(group, segment)
            group = None
        elif name == "IEA" and interchange is not None:
            yield _end(interchange, group, segment)
            interchange = group = None
        elif name == "TA1" and interchange is not None:
            interchange.acknowledgements.append(segment)
        elif interchange is not None:
            text = "the segment stands outside every transaction set"
            interchange.problems.append(_fault("TA105", "024", name[:3], text, segment))
    if current is not None:
        _cut(current)
    if interchange is not None:
        yield _end(interchange, group, None)


class Body:
    """The segments of one transaction set that `opened` gave; `next` is what came after them."""

    def __init__(
        self, transaction: Transaction, source: Iterator[Transaction | Segment | Interchange]
    ) -> None:
        self.transaction, self._source = transaction, source
        self.next: Transaction | Interchange | None = None

    def __iter__(self) -> Iterator[Segment]:
        yield self.transaction.segments[0]
        for item in self._source:
            if not isinstance(item, Segment):
                self.next = item
                return
            yield item


def _fault(
    kind: str, code: str, where: str, text: str, segment: Segment, *, position: int = 0, severity: str = "E"
) -> Problem:
    return Problem(severity, 1, kind, code, where, text, position, segment=where[:3], offset=segment.offset)


def _check_header(transaction: Transaction, st: Segment) -> None:
    control, group = st.get(2).strip(), transaction.group
    add = transaction.problems.append
    if not control or not 4 <= len(control) <= 9:
        add(
            _fault(
                "IK502", "7", "ST[1]-02", "the control number is missing or not 4 to 9 long", st, position=1
            )
        )
    if group is None:
        owner = transaction.interchange  # no 999 can speak of it: its TA1 does
        fault = _fault(
            "TA105", "022", "ST[1]", "the transaction set is in no functional group", st, position=1
        )
        (owner if owner is not None else transaction).problems.append(fault)
        return
    group.counted += 1
    if control in group.controls:
        add(
            _fault(
                "IK502",
                "23",
                "ST[1]-02",
                "the control number is not the only one in its group",
                st,
                position=1,
            )
        )
    group.controls.add(control)
    functional = group.header.get(1).strip() if group.header is not None else ""
    expected = _FUNCTIONAL.get(st.get(1).strip())
    if expected and functional and functional != expected:
        add(
            _fault(
                "IK502",
                "6",
                "ST[1]-01",
                "the transaction set does not belong to GS01's group",
                st,
                position=1,
            )
        )


def _check_trailer(transaction: Transaction, se: Segment) -> None:
    count = position = transaction.counted
    add = transaction.problems.append
    if _number(se.get(1)) != count:
        add(
            _fault(
                "IK502", "4", "SE[1]-01", f"SE01 is not {count}, the segments counted", se, position=position
            )
        )
    if se.get(2).strip() != transaction.control:
        add(_fault("IK502", "3", "SE[1]-02", "SE02 is not ST02", se, position=position))


def _cut(transaction: Transaction) -> None:
    st = transaction.segments[0]
    transaction.problems.append(_fault("IK502", "2", "SE", "SE is missing", st, position=transaction.counted))


def _end_group(group: Group, ge: Segment | None) -> None:
    group.trailer = ge
    gs = group.header
    if ge is None:
        if gs is not None:
            group.problems.append(_fault("AK905", "3", "GE", "GE is missing", gs))
        return
    if _number(ge.get(1)) != group.counted:
        text = f"GE01 is not {group.counted}, the transaction sets counted"
        group.problems.append(_fault("AK905", "5", "GE-01", text, ge))
    if gs is not None and ge.get(2).strip() != gs.get(6).strip():
        group.problems.append(_fault("AK905", "4", "GE-02", "GE02 is not GS06", ge))


def _end(interchange: Interchange, group: Group | None, iea: Segment | None) -> Interchange:
    if group is not None:
        _end_group(group, None)
    interchange.trailer = iea
    add = interchange.problems.append
    isa = interchange.header
    if iea is None:
        add(_fault("TA105", "023", "IEA", "IEA is missing", isa))
        return interchange
    if isa.name == "ISA" and iea.get(2).strip() != isa.get(13).strip():
        add(_fault("TA105", "001", "IEA-02", "IEA02 is not ISA13", iea))
    if _number(iea.get(1)) != len(interchange.groups):
        text = f"IEA01 is not {len(interchange.groups)}, the groups counted"
        add(_fault("TA105", "021", "IEA-01", text, iea))
    seen: set[str] = set()
    for each in interchange.groups:
        control = each.header.get(6).strip() if each.header is not None else ""
        if control in seen and each.header is not None:
            text = "the group control number is not the only one in its interchange"
            each.problems.append(_fault("AK905", "19", "GS-06", text, each.header))
        seen.add(control)
    return interchange


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() and len(text) < 12 else -1
