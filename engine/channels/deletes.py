"""Explicit deletes (`""`) where nothing may be deleted: what identifies a thing, what it cannot be without.

In: a parsed message. Out: why it waits for a person, or what is said about it. Follows the mapping language,
`""`: in a required or key element the message is held; where another number still says which thing is meant,
or the segment is only there for context, it goes on and is flagged. HL7 v2.5.1 ch. 2.5.3.
"""

from __future__ import annotations

from engine.fhir import definitions
from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.message import Draft, Flag

__all__ = ["course_deletes", "forbidden_deletes", "required_deletes"]

DELETE = '""'
DEMANDED: dict[str, tuple[int, ...]] = {
    "AL1": (3,),
    "DG1": (3,),
    "FT1": (6, 7),
    "IAM": (3, 6),
    "OBR": (4, 25),
    "OBX": (3, 11),
    "ORC": (1,),
    "PR1": (3,),
    "PRB": (3, 4, 13, 14),
    "RXA": (3, 5, 6, 20),
    "RXD": (2, 3),
    "RXE": (2,),
    "RXO": (1,),
    "SCH": (25,),
    "TXA": (12, 17),
}
"""Fields without which a result, an order, a dose, a problem ... says something else, or nothing."""
WHEN_BOOKED = ((11, 4), (11, 5))
"""Of SCH: start and end of the appointment, as components of its timing."""
VISIT = (2, 19)
"""Of PV1: what kind of visit, and which one. Results bring PV1 for context only."""
OF_COURSE = {3: "location(assigned)", 44: "period.start", 45: "period.end"}
"""Of PV1: what the store keeps of a visit whoever is silent of it, and where."""
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
        for n in DEMANDED.get(s.name, ()):
            if deleted(fields, n) and held is None:
                text = "the message deletes what cannot be absent"
                held = Flag("delete-of-required", f"{s.name}[{s.n}]-{n}", text, True)
        if s.name == "SCH":
            held = held or _appointment(s, component)
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


def _appointment(sch: Segment, component: str) -> Flag | None:
    """Hold an appointment whose numbers are all deleted, or its time."""
    fields = sch.fields
    numbers = [f.split(component, 1)[0].strip() for f in fields[1:3] if f.strip()]
    if numbers and all(number == DELETE for number in numbers):
        text = "the message deletes the numbers that say which appointment is meant"
        return Flag("delete-of-required", f"SCH[{sch.n}]-1", text, True)
    for field, part in WHEN_BOOKED:
        parts = fields[field].split(component) if len(fields) > field else []
        if len(parts) >= part and parts[part - 1].strip() == DELETE:
            text = "the message deletes the time of an appointment, and does not call it off"
            return Flag("delete-of-required", f"SCH[{sch.n}]-{field}.{part}", text, True)
    return None


def required_deletes(drafts: list[Draft]) -> Flag | None:
    """Return why a message must wait whose drafts delete an element that FHIR demands, and bring no other."""
    for draft in drafts:
        for place in draft.cleared:
            if place in draft.body and place not in draft.weak:
                continue
            element = definitions.element(draft.type, place)
            if element is not None and element.min:
                text = f"the message deletes {draft.type}.{place}, which cannot be absent"
                return Flag("delete-of-required", draft.name, text, True)
    return None


def course_deletes(message: Message, drafts: list[Draft]) -> None:
    """Let a deleted time of admission (PV1-44 `""`), time of discharge (PV1-45, unless it has ended) or place
    (PV1-3) delete that of the visit.
    """
    visits = [s for s in message.segments if s.name == "PV1"] if message.code == "ADT" else []
    if len(visits) != 1:
        return  # of two that change beds, the field says nothing of the other
    fields = visits[0].fields
    gone = [place for n, place in OF_COURSE.items() if len(fields) > n and fields[n].strip() == DELETE]
    for draft in drafts if gone else ():
        if draft.type == "Encounter" and draft.write != "create":
            ends = "end" in draft.body.get("period", {})
            more = (place for place in gone if not (ends and place == "period.end"))
            draft.cleared = (*draft.cleared, *more)


def _of_one_order(numbers: dict[str, bool]) -> bool:
    """Say whether an OBR belongs to the ORC before it."""
    return not any(where.startswith("OBR") for where in numbers)


def _no_number(numbers: dict[str, bool]) -> Flag | None:
    if numbers and all(numbers.values()):
        text = "the message deletes the numbers that say which order is meant"
        return Flag("delete-of-required", next(iter(numbers)), text, True)
    return None
