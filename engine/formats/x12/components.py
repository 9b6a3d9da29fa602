"""Components written with another mark than ISA16 names: `HC>99213` where ISA16 says `:`.

In: a segment and the table of its transaction set. Out: the segment, read with the mark it is plainly written
with, and whether that was so. Plainly: a composite element has no mark of ISA16, and another one parts it
into no more components than the standard has, one of which is a code that the guide allows just there.
The bytes stay as they are; by ISA16 such an element is one value, and its address has no component.
"""

from __future__ import annotations

from functools import cache

from engine.formats.x12.segments import Segment
from engine.formats.x12.separators import Guessed
from engine.formats.x12.tables import LoopRule, Table, shape

__all__ = ["mend_components"]

_MARKS = ">:"
_Coded = dict[str, dict[int, dict[int, frozenset[str]]]]


def mend_components(segment: Segment, table: Table) -> bool:
    """Read a segment with the component mark it is written with; say whether that is not the one of ISA16."""
    coded = _coded(table).get(segment.name)
    if coded is None:
        return False
    own = segment.separators
    for number, parts in coded.items():
        value = segment.get(number)
        if not value or own.component in value:
            continue
        for mark in _MARKS:
            if mark in value and mark not in own and _plain(value, mark, parts, segment, number):
                segment.separators = Guessed(own.element, mark, own.repetition, own.segment)
                return True
    return False


def _plain(value: str, mark: str, parts: dict[int, frozenset[str]], segment: Segment, number: int) -> bool:
    repetition = segment.separators.repetition
    first = value.split(repetition, 1)[0] if repetition else value
    components = first.split(mark)
    known = shape(segment.name) or ()
    most = len(known[number - 1][1]) if number <= len(known) else 0
    if not 1 < len(components) <= most:
        return False
    checked = [components[k - 1] in codes for k, codes in parts.items() if k <= len(components)]
    return any(checked) and (1 not in parts or components[0] in parts[1])


@cache
def _coded(table: Table) -> _Coded:
    """Give for each segment and composite element the codes that its components may have somewhere."""
    out: _Coded = {}
    todo = [table.root]
    while todo:
        for item in todo.pop().items:
            if isinstance(item, LoopRule):
                todo.append(item)
                continue
            for number, rule in item.elements.items():
                for k, part in rule.parts.items():
                    if part.codes:
                        codes = out.setdefault(item.name, {}).setdefault(number, {})
                        codes[k] = codes.get(k, frozenset()) | part.codes
    return out
