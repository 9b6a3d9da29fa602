"""When the sender itself says that what it tells was so: the time by which older is told from newer.

In: a mapped message and its sender's time zone. Out: the same drafts, dated. EVN-2 dates events, OBR-22 the
results of its order, MSH-7 everything else (mapping language, "Write"). A time without an offset and
without a known zone is kept as a kind of its own (`MSH-7 local`), which the store compares with care; one in
an hour that clocks of a known zone run through twice is no time to compare by.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.message import Told
from engine.mapping.build import Built
from engine.mapping.dates import read_datetime

__all__ = ["date_drafts", "told"]

RESULTS = frozenset({"DiagnosticReport", "DocumentReference", "Observation"})
"""Types that OBR-22, the time of the report or of its last change, speaks of."""

LOCAL = " local"
"""What follows the kind of a time whose zone nobody knows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@lru_cache(maxsize=8192)
def told(kind: str, text: str, zone: str) -> Told | None:
    """Read a time as first and last millisecond it can stand for; None where it is no certain instant.

    A local time of an unknown zone is read as if its clock showed UTC, and its kind says so.
    """
    when = read_datetime(text, zone)
    if when is not None and when.lost == "no-zone":
        kind, when = kind + LOCAL, read_datetime(text, "Z")
    if when is None or when.lost or len(when.value) <= 10:
        return None
    first = (datetime.fromisoformat(when.value) - _EPOCH) // _MS
    digits = 0
    while digits < len(text) and text[digits].isdigit():
        digits += 1
    return Told(kind, first, first + (59_999 if digits < 14 else 0 if "." in text else 999))


def _read(kind: str, segment: Segment | None, field: int, component: str, zone: str) -> Told | None:
    if segment is None:
        return None
    fields = segment.fields
    text = fields[field] if len(fields) > field else ""
    return told(kind, text.split(component, 1)[0].strip(), zone) if text else None


def date_drafts(built: Built, message: Message, zone: str) -> None:
    """Give every draft the time its sender tells."""
    component = message.delims.component
    general = None
    if message.code == "ADT":
        general = _read("EVN-2", message.segment("EVN"), 2, component, zone)
    if general is None or _is_local(general):
        sent = _read("MSH-7", message.segment("MSH"), 7, component, zone)
        if general is None or (sent is not None and not _is_local(sent)):
            general = sent
    if general is not None:
        for draft in built.drafts:
            draft.told = general
    if message.code == "ADT":
        return
    for node in built.nodes:
        if node.draft.type in RESULTS:
            order = node.scope.near("OBR")
            if order:
                own = _read("OBR-22", order, 22, component, zone)
                if own is not None and (general is None or _is_local(general) or not _is_local(own)):
                    node.draft.told = own


def _is_local(when: Told) -> bool:
    return when.kind.endswith(LOCAL)
