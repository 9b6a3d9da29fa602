"""X12 as a target: places checked against the transaction set's table, and a draft as segments in its order.

In: places such as `2010AA/NM1-03`, `REF(01=G1)-02`, `HI-01..12` (one element each), `SV1-01.3..6` (one
component each); then a draft and its envelope. Out: an interchange as bytes, with the address of each value.
HL, LX, ST, SE, GS, GE, ISA and IEA are counted here; control numbers come from the caller. Follows X12.5,
X12.6 and the tables of `engine.formats.x12`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.formats.x12.separators import DEFAULT, Separators
from engine.formats.x12.tables import ElementRule, LoopRule, SegmentRule, Table, table
from engine.kernel.errors import FormatError, MapError
from engine.mapping.outbound.draft import Draft, Part, Shape

__all__ = ["Envelope", "Written", "interchange", "shape_of", "transaction_set"]

_SEGMENT = re.compile(
    r"([A-Z][A-Z0-9]{1,2})(?:\(([^()]*)\))?(?:-(\d\d)(?:\.\.(\d\d))?(?:\.(\d)(?:\.\.(\d))?)?)?"
)
_ELEMENT = re.compile(r"(\d\d)(?:\.\.(\d\d))?(?:\.(\d)(?:\.\.(\d))?)?")
_FILTER = re.compile(r"(\d\d)(?:\.(\d))?=(\S+)")
_DATES = frozenset({"date", "dateTime", "instant"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom, when, with which control number. Qualifiers as in ISA05 and ISA07."""

    sender: str
    receiver: str
    day: str  # YYYYMMDD
    time: str  # HHMM
    control: int
    sender_qualifier: str = "ZZ"
    receiver_qualifier: str = "ZZ"
    usage: str = "P"
    separators: Separators = DEFAULT
    wants_ta1: bool = False


@dataclass(slots=True)
class Written:
    """One transaction set: its segments, and (address, draft) of every value."""

    table: Table
    guide: str
    rows: list[list[str]] = field(default_factory=list)
    values: list[tuple[str, Draft]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Loop:
    rule: LoopRule
    repeats: bool = True
    text: bool = False

    def usual(self, kind: str) -> str:
        return ""

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        *loops, last = re.split(r"/(?![^(]*\))", said)
        rule, chain = self.rule, []
        if re.fullmatch(r"\d{4}[A-Z]{0,2}", last):
            loops, last = [*loops, last], ""
        for name in loops:
            path = _find(rule, name)
            if path is None:
                raise MapError(f"there is no loop {name} in {rule.id or 'the transaction set'}", where=where)
            chain += [Part(r.id) for r in path]
            rule = path[-1]
        if not last:
            return tuple(chain), _Loop(rule)
        part, shape = _segment(rule, last, where)
        return (*chain, *part), shape


@dataclass(frozen=True, slots=True)
class _Segment:
    rules: tuple[SegmentRule, ...]
    repeats: bool = True
    text: bool = False

    def usual(self, kind: str) -> str:
        return ""

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        found = _ELEMENT.fullmatch(said)
        if found is None:
            raise MapError(f"{said!r} is no element of {self.rules[0].name}", where=where, remedy="e.g. 02")
        return _element(self.rules, found.groups(), where)


@dataclass(frozen=True, slots=True)
class _Element:
    rules: tuple[ElementRule, ...]
    name: str
    repeats: bool = False

    @property
    def text(self) -> bool:
        return not any(r.parts for r in self.rules)

    def usual(self, kind: str) -> str:
        return "day" if kind in _DATES else "days" if kind == "Period" else ""

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        found = re.fullmatch(r"(\d)(?:\.\.(\d))?", said)
        if found is None:
            raise MapError(f"{said!r} is no component of {self.name}", where=where, remedy="e.g. 1")
        return _component(self.rules, self.name, found[1], found[2], where)


def _find(rule: LoopRule, name: str) -> tuple[LoopRule, ...] | None:
    """Find the nearest loop of a name below a loop: the loops on the way, itself last."""
    level: list[tuple[LoopRule, ...]] = [(i,) for i in rule.items if isinstance(i, LoopRule)]
    while level:
        for path in level:
            if path[-1].id == name:
                return path
        level = [(*p, i) for p in level for i in p[-1].items if isinstance(i, LoopRule)]
    return None


def _segment(loop: LoopRule, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
    found = _SEGMENT.fullmatch(said)
    if found is None:
        raise MapError(
            f"{said!r} is no place in X12", where=where, remedy="e.g. 2010AA/NM1-03 or REF(01=G1)-02"
        )
    name, label, *rest = found.groups()
    rules = tuple(i for i in loop.items if isinstance(i, SegmentRule) and i.name == name)
    constants: list[tuple[tuple[str, ...], str]] = []
    for part in (label or "").split(" and ") if label else []:
        test = _FILTER.fullmatch(part.strip())
        if test is None:
            raise MapError(f"({label}) is no filter", where=where, remedy="e.g. REF(01=G1)")
        element, component, value = test.groups()
        rules = tuple(r for r in rules if _allows(r, int(element), component, value))
        constants.append(((element, component) if component else (element,), value))
    if not rules:
        raise MapError(
            f"loop {loop.id or '(the set itself)'} has no segment {name}({label or ''})", where=where
        )
    head = (Part(name, label or "", tuple(constants)),)
    if not rest[0]:
        return head, _Segment(rules)
    inner, shape = _element(rules, tuple(rest), where)
    return (*head, *inner), shape


def _allows(rule: SegmentRule, element: int, component: str | None, value: str) -> bool:
    found = rule.elements.get(element)
    if found is not None and component:
        found = found.parts.get(int(component))
    return found is not None and (not found.codes or value in found.codes)


def _element(
    rules: tuple[SegmentRule, ...], found: tuple[str | None, ...], where: str
) -> tuple[tuple[Part, ...], Shape]:
    number, upto, component, last = found
    assert number is not None
    known = tuple(r.elements[int(number)] for r in rules if int(number) in r.elements)
    name = f"{rules[0].name}-{number}"
    if not known:
        raise MapError(f"the guide does not use {name} in this loop", where=where)
    head = (Part(number, upto=int(upto or 0)),)
    if component is None:
        return head, _Element(known, name)
    inner, shape = _component(known, name, component, last, where)
    return (*head, *inner), shape


def _component(
    rules: tuple[ElementRule, ...], name: str, component: str, last: str | None, where: str
) -> tuple[tuple[Part, ...], Shape]:
    known = tuple(r.parts[int(component)] for r in rules if int(component) in r.parts)
    if not known:
        raise MapError(f"the guide does not use {name}.{component}", where=where)
    return (Part(component, upto=int(last or 0)),), _Element(known, f"{name}.{component}")


def shape_of(to: str, where: str) -> Shape:
    """Give the shape of `837P`, or of one of its loops: `837P 2300`."""
    name, _, loop = to.partition(" ")
    try:
        found = table(name)
    except OSError:
        raise MapError(f"there is no transaction set {name}", where=where, remedy="e.g. 837P") from None
    if not loop:
        return _Loop(found.root)
    path = _find(found.root, loop)
    if path is None:
        raise MapError(f"{name} has no loop {loop}", where=where)
    return _Loop(path[-1])


def transaction_set(draft: Draft, name: str, guide: str, mark: Separators) -> Written:
    """Bring a pruned draft into the order of its table, HL and LX counted; ST and SE are the envelope's."""
    out = Written(table(name), guide)
    counts: dict[str, int] = {"HL": 0}
    _loop(draft, out.table.root, "", counts, out, mark)
    return out


def _loop(
    draft: Draft, rule: LoopRule, above: str, counts: dict[str, int], out: Written, mark: Separators
) -> None:
    first = rule.first.name
    if first == "HL":
        counts["HL"] += 1
        head = ["HL", str(counts["HL"]), above, *sorted(rule.first.codes(3))[:1]]
        above = str(counts["HL"])
        if 4 in rule.first.elements:
            head.append("1" if any(_is_level(p, rule) for p in draft.parts) else "0")
        out.rows.append(head)
    elif first == "LX":
        counts["LX"] = counts.get("LX", 0) + 1
        out.rows.append(["LX", str(counts["LX"])])
    if any(isinstance(i, LoopRule) and i.first.name == "LX" for i in rule.items):
        counts["LX"] = 0
    for part, at in sorted(((p, _order(p, rule)) for p in draft.parts), key=lambda x: x[1]):
        item = rule.items[at[1]]
        if isinstance(item, LoopRule):
            _loop(part, item, above, counts, out, mark)
        elif part.name not in ("HL", "LX", "ST", "SE"):
            out.rows.append(_row(part, counts, out, mark))


def _is_level(part: Draft, rule: LoopRule) -> bool:
    """Say whether a part is a loop one level down."""
    return any(isinstance(i, LoopRule) and i.id == part.name and i.first.name == "HL" for i in rule.items)


def _order(part: Draft, rule: LoopRule) -> tuple[int, int]:
    first = part.get("01")
    value = (
        first.value or (first.parts[0].value if first is not None and first.parts else "") if first else ""
    )
    named = [
        (i, item)
        for i, item in enumerate(rule.items)
        if (item.id if isinstance(item, LoopRule) else item.name) == part.name
    ]
    for i, item in named:
        if isinstance(item, LoopRule) or not item.codes(1) or value in item.codes(1):
            return item.place, i
    i, item = named[0]
    return item.place, i


def _row(part: Draft, counts: dict[str, int], out: Written, mark: Separators) -> list[str]:
    n = counts[part.name] = counts.get(part.name, 0) + 1
    row = [part.name]
    for element in sorted(part.parts, key=lambda e: e.name):
        number = int(element.name)
        address = f"{part.name}[{n}]-{element.name}"
        row += [""] * (number + 1 - len(row))
        if element.value:
            row[number] = _clean(element, address, mark)
            out.values.append((address, element))
        elif element.parts:
            components: list[str] = []
            for each in sorted(element.parts, key=lambda c: int(c.name)):
                components += [""] * (int(each.name) - len(components))
                components[int(each.name) - 1] = _clean(each, f"{address}.{each.name}", mark)
                out.values.append((f"{address}.{each.name}", each))
            while components and not components[-1]:
                components.pop()
            row[number] = mark.component.join(components)
    while not row[-1]:
        row.pop()
    return row


def _clean(draft: Draft, address: str, mark: Separators) -> str:
    value = " ".join(draft.value.split())
    for sign in mark:
        if sign and sign in value:
            raise FormatError(
                "a value holds a separator of the interchange",
                where=address,
                why=f"from {draft.source}",
                remedy="choose other separators",
            )
    return value


def interchange(sets: list[Written], envelope: Envelope) -> bytes:
    """Put ISA..IEA around transaction sets, one group for each guide; ST02 counts from 0001 in its group."""
    e, s = envelope, envelope.separators
    rows: list[list[str]] = [[
        "ISA", "00", " " * 10, "00", " " * 10, e.sender_qualifier, e.sender.ljust(15),
        e.receiver_qualifier, e.receiver.ljust(15), e.day[2:], e.time, s.repetition, "00501",
        f"{e.control:09d}", "1" if e.wants_ta1 else "0", e.usage, s.component,
    ]]  # fmt: skip
    guides = list(dict.fromkeys(w.guide for w in sets))
    for n, guide in enumerate(guides):
        rows += _group([w for w in sets if w.guide == guide], str(e.control + n), e)
    rows.append(["IEA", str(len(guides)), f"{e.control:09d}"])
    return "".join(s.element.join(row) + s.segment + "\n" for row in rows).encode()


def _group(sets: list[Written], control: str, e: Envelope) -> Iterator[list[str]]:
    yield [
        "GS",
        sets[0].table.functional,
        e.sender.strip(),
        e.receiver.strip(),
        e.day,
        e.time,
        control,
        "X",
        sets[0].guide,
    ]
    for n, written in enumerate(sets, 1):
        st02 = f"{n:04d}"
        yield ["ST", written.table.set_id, st02, written.guide]
        yield from written.rows
        yield ["SE", str(len(written.rows) + 2), st02]
    yield ["GE", str(len(sets)), control]
