"""Loop trees and element rules of the transaction sets, read from `data/*.txt` when first asked for.

In: ST01, the functional identifier and the implementation guide (ST03, else GS08). Out: the `Table` of that
transaction set; every errata of a guide is found by its prefix (005010X222A1, A2 ...). `data/README.md` says
what a line means. The trees follow the published structure of the 005010 guides; no text of theirs is here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

__all__ = [
    "ElementRule",
    "LoopRule",
    "SegmentRule",
    "SegmentShape",
    "Table",
    "element_type",
    "guide_of",
    "segment_names",
    "shape",
    "table",
    "table_for",
]

_DATA = Path(__file__).parent / "data"
NAMES = ("837P", "837I", "837D", "835", "270", "271", "276", "277", "277CA", "278", "834", "820", "999")
_ELEMENT = re.compile(
    r"(?P<n>\d\d)(?P<usage>[RS])(?:x(?P<repeat>\d+|\*))?"
    r"(?:\((?P<parts>[^)]*)\)|=(?P<codes>[^@]*?))?(?:@(?P<outside>\w+))?"
)


@dataclass(slots=True)
class ElementRule:
    """What one element (or component) of a segment at its place may be."""

    number: int
    usage: str  # R required, S situational; an element without a rule is not used
    repeat: int = 1  # 0 = any number
    codes: frozenset[str] = frozenset()
    outside: str = ""  # the external code list
    parts: dict[int, ElementRule] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class SegmentRule:
    """A segment at a place of a loop; `maximum` 0 = any number of times."""

    name: str
    usage: str
    maximum: int
    place: int
    elements: dict[int, ElementRule]
    loop: LoopRule

    def codes(self, element: int) -> frozenset[str]:
        """Give the codes that an element, or its first component, may have here; empty = any."""
        rule = self.elements.get(element)
        if rule is None:
            return frozenset()
        return rule.parts[1].codes if 1 in rule.parts else rule.codes


@dataclass(slots=True, eq=False)
class LoopRule:
    """A loop: its segments and loops in order; the root is the transaction set itself (id empty)."""

    id: str
    usage: str
    maximum: int
    place: int
    parent: LoopRule | None
    items: list[SegmentRule | LoopRule] = field(default_factory=list)

    @property
    def first(self) -> SegmentRule:
        """Give the segment that begins the loop."""
        head = self.items[0]
        assert isinstance(head, SegmentRule)
        return head

    @property
    def path(self) -> str:
        """Give the ids from the outermost loop, parted by slashes."""
        above = self.parent.path if self.parent is not None else ""
        return f"{above}/{self.id}" if above else self.id


@dataclass(slots=True, eq=False)
class Table:
    """One transaction set of one guide."""

    name: str  # 837P
    set_id: str  # 837
    functional: str  # HC
    guides: tuple[str, ...]  # prefixes
    root: LoopRule
    names: frozenset[str] = frozenset()  # of all segments in it
    choosers: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


class SegmentShape(tuple[tuple[str, tuple[str, ...]], ...]):
    """Elements of a segment: (data element or composite number, data elements of its components)."""

    notes: tuple[str, ...] = ()  # relational conditions: P0304, R0203, E0207, C0605, L050607


@cache
def _shapes() -> dict[str, SegmentShape]:
    out = {}
    for line in (_DATA / "segments.txt").read_text("ascii").splitlines():
        name, _, rest = line.partition(" ")
        body, _, notes = rest.partition(" | ")
        elements = [
            (found[1] or found[3], tuple(found[2].split()) if found[2] is not None else ())
            for found in re.finditer(r"(\w+)\(([^)]*)\)|(\S+)", body)
        ]
        out[name] = SegmentShape(elements)
        out[name].notes = tuple(notes.split())
    return out


def shape(name: str) -> SegmentShape | None:
    """Give the standard's elements of a segment; None for a segment nobody knows."""
    return _shapes().get(name)


@cache
def segment_names() -> frozenset[str]:
    """Give the names of the standard's segments that are known here."""
    return frozenset(_shapes())


@cache
def _types() -> dict[str, tuple[str, int, int]]:
    lines = (_DATA / "elements.txt").read_text("ascii").splitlines()
    return {n: (kind, int(low), int(high)) for n, kind, low, high in (line.split() for line in lines)}


def element_type(number: str) -> tuple[str, int, int] | None:
    """Give type (AN, ID, DT, TM, R, N0, N2), least and greatest length of a data element."""
    return _types().get(number)


def guide_of(st03: str, gs08: str) -> str:
    """Give the guide a transaction set says it follows: ST03, else GS08."""
    return st03.strip() or gs08.strip()


@cache
def table(name: str) -> Table:
    """Read the table of a transaction set: `837P`, `835`, ..."""
    lines = (_DATA / f"{name}.txt").read_text("ascii").splitlines()
    _, set_id, functional, *guides = lines[0].split()
    root = LoopRule("", "R", 1, 0, None)
    _fill(root, lines[1:], {})
    out = Table(name, set_id, functional, tuple(guides), root)
    rules = list(_segments(root))
    out.names = frozenset(rule.name for rule in rules)
    for rule in rules:
        number = 3 if rule.name == "HL" else 2 if rule.name == "ENT" else 1
        codes = rule.codes(number)
        if codes:
            known = out.choosers.get(rule.name, (number, frozenset()))[1]
            out.choosers[rule.name] = (number, known | codes)
    return out


def table_for(set_id: str, guide: str, service: str = "") -> tuple[Table | None, bool]:
    """Find the table of a transaction set, and whether it is that guide's; `service`: SV1, SV2 or SV3."""
    found = [table(name) for name in NAMES if table(name).set_id == set_id]
    for candidate in found:
        if any(guide.startswith(prefix) for prefix in candidate.guides):
            return candidate, True
    if set_id == "837":
        kind = {"SV2": "837I", "SV3": "837D"}.get(service, "837P")
        return table(kind), False
    return (found[0], False) if found else (None, False)


def _fill(loop: LoopRule, lines: list[str], done: dict[str, list[str]]) -> None:
    """Read the lines of a loop's inside; `same ID` stands for the inside of the loop ID read before."""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        word, *rest = line.split(" ")
        if word in ("loop", "same"):
            name, usage, maximum, place = rest
            inner = LoopRule(name, usage, 0 if maximum == "*" else int(maximum), int(place), loop)
            if word == "loop":
                begin = at
                while at < len(lines) and lines[at].startswith(" "):
                    at += 1
                done[name] = [inside[1:] for inside in lines[begin:at]]
            _fill(inner, done[name], done)
            loop.items.append(inner)
        else:
            usage, maximum, place = rest[:3]
            elements = _elements(line.split(" ", 4)[4] if len(rest) > 3 else "")
            loop.items.append(
                SegmentRule(word, usage, 0 if maximum == "*" else int(maximum), int(place), elements, loop)
            )


def _elements(text: str) -> dict[int, ElementRule]:
    out = {}
    for found in re.finditer(r"\d\d[RS](?:[^\s(]*(?:\([^)]*\))?)(?:[^\s(])*", _closed(text)):
        match = _ELEMENT.fullmatch(found[0].replace("\x01", " "))
        assert match is not None, found[0]
        rule = ElementRule(int(match["n"]), match["usage"])
        if match["repeat"]:
            rule.repeat = 0 if match["repeat"] == "*" else int(match["repeat"])
        rule.codes = frozenset(match["codes"].split(",")) if match["codes"] else frozenset()
        rule.outside = match["outside"] or ""
        rule.parts = _elements(match["parts"]) if match["parts"] else {}
        out[rule.number] = rule
    return out


def _closed(text: str) -> str:
    """Hide the spaces inside codes (`=PATIENT NAME NM109,...`): an element begins with `NN[RS]`."""
    return re.sub(r" (?!\d\d[RS])", "\x01", text)


def _segments(loop: LoopRule) -> list[SegmentRule]:
    out: list[SegmentRule] = []
    for item in loop.items:
        out += _segments(item) if isinstance(item, LoopRule) else [item]
    return out
