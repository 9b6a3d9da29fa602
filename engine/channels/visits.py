"""What happened to a visit: the event of a message, when it was, and what it takes back.

In: a mapped message and its sender's time zone. Out: the same Encounter drafts, each with its event; the core
store keeps statusHistory, classHistory and the places of the visit from these. HL7 v2.5.1 ch. 3.3 (events),
3.4.1 (EVN-2 recorded, EVN-6 occurred: of a cancellation, when the cancelled event had occurred).
"""

from __future__ import annotations

from engine.formats.hl7v2.parse import Message
from engine.kernel.message import Happened
from engine.mapping.build import Built
from engine.mapping.dates import read_datetime

__all__ = ["tell_visits"]

BEGINS = {
    **dict.fromkeys(("A01", "A04"), "scl"),
    **dict.fromkeys(("A05", "A14"), "sc"),
    **dict.fromkeys(("A02", "A17"), "l"),
    **dict.fromkeys(("A06", "A07"), "cl"),
    **dict.fromkeys(("A03", "A11", "A21", "A22", "A23", "A27", "A38"), "s"),
}
"""What begins with an event: s(tatus), c(lass), l(ocation). An update only tells what is so by then."""
TAKES_BACK: dict[str, tuple[str, tuple[str, ...], str]] = {
    "A11": ("stay", ("A01", "A04"), ""),
    "A12": ("place", ("A02", "A17"), ""),
    "A13": ("status", (), "finished"),
    "A52": ("status", (), "onleave"),
    "A53": ("status", ("A22",), ""),
}
"""What an event takes back: of which events, or which status. A27 and A38 call off a plan; there was one."""


def tell_visits(built: Built, message: Message, zone: str) -> None:
    """Give every visit of a message the event that its message tells of; results tell of none."""
    if message.code == "ORU":
        return
    event = message.event if message.code == "ADT" else ""
    happened: Happened | None = None
    for draft in built.drafts:
        if draft.type != "Encounter" or (draft.write == "create" and message.code != "ADT"):
            continue
        if happened is None:
            happened = _happened(event, message, zone)
        draft.happened = happened


def _happened(event: str, message: Message, zone: str) -> Happened:
    occurred = _time(message, "EVN", 6, zone)
    recorded = _time(message, "EVN", 2, zone) or _time(message, "MSH", 7, zone)
    what, of, status = TAKES_BACK.get(event, ("", (), ""))
    if what:
        return Happened(event, recorded, BEGINS.get(event, ""), what, of, occurred, status)
    return Happened(event, occurred or recorded, BEGINS.get(event, ""))


def _time(message: Message, segment: str, field: int, zone: str) -> str:
    found = message.segment(segment)
    if found is None or len(found.fields) <= field:
        return ""
    when = read_datetime(found.fields[field].split(message.delims.component, 1)[0].strip(), zone)
    return when.value if when is not None else ""
