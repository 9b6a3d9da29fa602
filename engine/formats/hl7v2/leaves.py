"""Every populated leaf of a message with its address, as `PID[1]-5[1].1`: SEG[n]-F[r].C, `.S` where it
matters.

In: a parsed message. Out: leaves with decoded text, in message order. Numbers are 1-based; the subcomponent
is written only where its component has more than one. MSH-1, MSH-2 and their twins in BHS and FHS are not
leaves. Follows HL7 v2.5.1 ch. 2.5.3 and 2.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from engine.formats.hl7v2.escapes import unescape

if TYPE_CHECKING:
    from engine.formats.hl7v2.parse import Message, Segment

__all__ = ["Leaf", "leaves", "segment_leaves"]

_HEADERS = ("MSH", "BHS", "FHS")


class Leaf(NamedTuple):
    """One populated leaf; `sub` is 1 where the component has no subcomponents."""

    address: str
    segment: Segment
    field: int
    rep: int
    comp: int
    sub: int
    value: str


def leaves(message: Message) -> Iterator[Leaf]:
    """Give every populated leaf of a message."""
    for segment in message.segments:
        yield from segment_leaves(message, segment)


def segment_leaves(message: Message, segment: Segment) -> Iterator[Leaf]:
    """Give every populated leaf of one segment."""
    delims, charset = message.delims, message.charset
    _, component, repetition, escape, subcomponent, _ = delims
    first = 3 if segment.name in _HEADERS else 1
    place = f"{segment.name}[{segment.n}]-"
    for number, field in enumerate(segment.fields):
        if number < first or not field:
            continue
        for r, rep in enumerate(field.split(repetition), 1):
            if not rep:
                continue
            for c, comp in enumerate(rep.split(component), 1):
                if not comp:
                    continue
                subs = comp.split(subcomponent)
                for s, text in enumerate(subs, 1):
                    value = unescape(text, delims, charset) if escape in text else text
                    if not value or value.isspace():
                        continue
                    address = (
                        f"{place}{number}[{r}].{c}.{s}" if len(subs) > 1 else f"{place}{number}[{r}].{c}"
                    )
                    yield Leaf(address, segment, number, r, c, s, value)
