"""What a message itself says: whether a condition on a place holds, whose message it is.

In: an opened entry, conditions such as `OBX-5 > 6`. Out: yes or no; the patient's name and number as sent.
Places are those of HL7 v2: nothing of other formats fits them. A condition holds where any value there
fits; `!=` where any value there is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from engine.channels.asked import Held
from engine.channels.searchwords import values_at
from engine.formats.content import recognise
from engine.formats.facts import facts_of
from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import Message, parse
from engine.kernel.errors import FormatError, HubError
from engine.kernel.message import Entry

__all__ = ["LARGE", "all_hold", "patient_of"]

LARGE = 64 << 10
"""Bytes of a message beyond which a list does not open it to show whose it is."""


def all_hold(entry: Entry, conditions: Sequence[tuple[Held, bool]]) -> bool:
    """Say whether a message has all that is asked of it; (condition, True): it must not hold."""
    if recognise(entry.body) not in ("", "hl7v2"):
        return False
    try:
        message = parse(entry.body, charset=entry.charset)
    except FormatError:
        return False
    return all(_holds(message, held) != no for held, no in conditions)


def _holds(message: Message, held: Held) -> bool:
    values = values_at(message, held.place)
    wanted = held.value
    if held.op == "=":
        return any(value == wanted for value in values)
    if held.op == "!=":
        return any(value != wanted for value in values)
    if held.op == "~":
        return any(wanted.casefold() in value.casefold() for value in values)
    limit = Decimal(wanted)
    return any(_compared(value, held.op, limit) for value in values)


def _compared(value: str, op: str, limit: Decimal) -> bool:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return False
    if not number.is_finite():
        return False
    return {">": number > limit, "<": number < limit, ">=": number >= limit, "<=": number <= limit}[op]


def patient_of(entry: Entry) -> tuple[str, str]:
    """Return the patient's name and number as sent, ("", "") where the message does not say or is large."""
    if len(entry.body) > LARGE:
        return "", ""
    format = recognise(entry.body)
    try:
        if format in ("", "hl7v2"):
            return _of_message(parse(entry.body, charset=entry.charset))
        words = facts_of(entry.body, format).words
    except HubError:
        return "", ""
    name = " ".join(value for kind, value in words if kind == "name")
    return name[:120], next((value for kind, value in words if kind == "patient"), "")


def _of_message(message: Message) -> tuple[str, str]:
    segment = message.segment("PID")
    if segment is None:
        return "", ""
    d = message.delims

    def part(field: int, component: int) -> str:
        first = segment.field(field).split(d.repetition, 1)[0].split(d.component)
        text = first[component - 1].split(d.subcomponent, 1)[0] if len(first) >= component else ""
        return unescape(text, d, message.charset).strip().strip('"')

    family, given = part(5, 1), part(5, 2)
    return ", ".join(one for one in (family, given) if one)[:120], part(3, 1)[:60]
