"""Two messages field by field: what one says and the other does not, by address, whatever order it came in.

In: two entries. Out: `Line`s. Repeated segments are matched by what they speak of (OBX by OBX-3 and OBX-4, a
loop by its qualifier) before their places count, so that one result put in front does not make all the others
look changed. The times and numbers that every message has of its own are told apart from what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.channels.message.text import visible
from engine.channels.message.values import values_of
from engine.formats.content import recognise
from engine.formats.hl7v2.parse import Segment, parse
from engine.kernel.message import Entry

__all__ = ["Comparison", "Line", "compare"]

OWN = ("MSH[1]-7", "MSH[1]-10", "EVN[1]-2")
"""What differs in any two messages: it is shown, and not counted."""
SPEAKS_OF = {
    "AL1": (3,),
    "DG1": (3,),
    "IN1": (2,),
    "NK1": (2,),
    "OBR": (2, 3, 4),
    "OBX": (3, 4),
    "ORC": (2, 3),
    "PR1": (3,),
    "ROL": (3, 4),
    "RXC": (2,),
    "SPM": (2, 4),
}
"""The fields that say what a repeating segment is about (HL7 v2.8.2)."""
_MOST = 2000
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Line:
    """One difference: `kind` is added (only the other has it), removed (only this one has it) or changed."""

    address: str  # in this message; in the other where only that has it
    other: str  # the address there, where it is another one
    kind: str
    left: str
    right: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two messages compared; `cut`: differences left out."""

    lines: tuple[Line, ...]
    same: int  # locations that say the same
    cut: int = 0

    @property
    def counted(self) -> int:
        """How many differences say something."""
        return sum(not line.own for line in self.lines) + self.cut


def compare(one: Entry, other: Entry, charset: str = "") -> Comparison:
    """Compare two messages of one format. Raises FormatError."""
    left, right = values_of(one, charset), values_of(other, charset)
    moved = _matched(one, other, charset) if _is_v2(one) and _is_v2(other) else {}
    lines: list[Line] = []
    met: set[str] = set()
    same = 0
    for address, value in left.items():
        there = _moved(address, moved)
        if there not in right:
            lines.append(_line(address, "", "removed", value, ""))
            continue
        met.add(there)
        if right[there] == value:
            same += 1
        else:
            lines.append(_line(address, there if there != address else "", "changed", value, right[there]))
    lines += [_line(a, "", "added", "", value) for a, value in right.items() if a not in met]
    return Comparison(tuple(lines[:_MOST]), same, max(0, len(lines) - _MOST))


def _is_v2(entry: Entry) -> bool:
    return recognise(entry.body) in ("", "hl7v2")


def _line(address: str, other: str, kind: str, left: str, right: str) -> Line:
    own = address.partition("[1].")[0] in OWN
    return Line(address, other, kind, visible(left[:_LONGEST]), visible(right[:_LONGEST]), own)


def _moved(address: str, moved: dict[str, str]) -> str:
    segment, dash, rest = address.partition("-")
    return moved.get(segment, segment) + dash + rest


def _matched(one: Entry, other: Entry, charset: str) -> dict[str, str]:
    """Return which segment of the other message each of this one is, where it is not that of its number."""
    ours, theirs = (parse(e.body, charset=e.charset or charset).segments for e in (one, other))
    free: dict[tuple[str, ...], list[Segment]] = {}
    for segment in theirs:
        free.setdefault(_about(segment), []).append(segment)
    out: dict[str, str] = {}
    taken: set[tuple[str, int]] = set()
    rest: list[Segment] = []
    for segment in ours:
        waiting = free.get(_about(segment), [])
        if waiting and segment.name in SPEAKS_OF:
            partner = waiting.pop(0)
            taken.add((partner.name, partner.n))
            out[f"{segment.name}[{segment.n}]"] = f"{partner.name}[{partner.n}]"
        else:
            rest.append(segment)
    for segment in rest:  # one of its number there is its partner, unless that speaks of another of ours
        name = f"{segment.name}[{segment.n}]"
        if segment.name in SPEAKS_OF and (segment.name, segment.n) in taken:
            out[name] = f"{name} gone"
    return out


def _about(segment: Segment) -> tuple[str, ...]:
    fields = SPEAKS_OF.get(segment.name, ())
    return (segment.name, *(segment.field(n).partition("^")[0].strip() for n in fields))
