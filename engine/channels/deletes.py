"""Explicit deletes (`""`) where nothing may be deleted: what identifies a thing, what it cannot be without.

In: a parsed message. Out: why it waits for a person, or what is said about it. Follows the mapping language,
`""`: in a required or key element the message is held; where another number still says which thing is meant,
or the segment is only there for context, it goes on and is flagged. HL7 v2.5.1 ch. 2.5.3.
"""

from __future__ import annotations

from engine.formats.hl7v2.parse import Message
from engine.kernel.message import Flag

__all__ = ["forbidden_deletes"]

DELETE = '""'
DEMANDED = (("OBX", 3), ("OBX", 11), ("OBR", 4), ("OBR", 25), ("ORC", 1))
"""Fields without which a result, a report or an order says something else, or nothing."""
VISIT = (2, 19)
"""Of PV1: what kind of visit, and which one. Results bring PV1 for context only."""
NUMBERS = (2, 3)
"""Of ORC and OBR: the placer's and the filler's number."""


def forbidden_deletes(message: Message) -> tuple[Flag | None, list[Flag]]:
    """Return why a message must wait, and flags."""
    held: Flag | None = None
    flags: list[Flag] = []
    component = message.delims.component
    numbers: dict[str, bool] = {}  # of the order in hands, e.g. OBR[2]-3 -> whether deleted

    def deleted(fields: list[str], number: int) -> bool:
        return len(fields) > number and fields[number].split(component, 1)[0].strip() == DELETE

    for s in message.segments:
        fields = s.fields
        if s.name == "ORC" or (s.name == "OBR" and not _of_one_order(numbers)):
            held = held or _no_number(numbers)
            numbers = {}
        if s.name in ("ORC", "OBR"):
            for n in NUMBERS:
                if len(fields) > n and fields[n].strip():
                    numbers[f"{s.name}[{s.n}]-{n}"] = deleted(fields, n)
                    if deleted(fields, n):
                        text = "the number of an order is deleted; the other one says which it is"
                        flags.append(Flag("delete-of-key", f"{s.name}[{s.n}]-{n}", text, True))
        for name, n in DEMANDED:
            if s.name == name and deleted(fields, n) and held is None:
                text = "the message deletes what cannot be absent"
                held = Flag("delete-of-required", f"{s.name}[{s.n}]-{n}", text, True)
        if s.name == "PV1":
            for n in VISIT:
                if deleted(fields, n):
                    where = f"PV1[{s.n}]-{n}"
                    if message.code == "ADT":
                        text = "the message deletes what a visit cannot be without"
                        held = held or Flag("delete-of-required", where, text, True)
                    else:
                        flags.append(Flag("delete-of-key", where, "the visit is not named: none is linked"))
    return held or _no_number(numbers), flags


def _of_one_order(numbers: dict[str, bool]) -> bool:
    """Say whether an OBR belongs to the ORC before it."""
    return not any(where.startswith("OBR") for where in numbers)


def _no_number(numbers: dict[str, bool]) -> Flag | None:
    if numbers and all(numbers.values()):
        text = "the message deletes the numbers that say which order is meant"
        return Flag("delete-of-required", next(iter(numbers)), text, True)
    return None
