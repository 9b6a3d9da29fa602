"""What of a resource goes into columns: its patient, its code, its clinically relevant time, its identifiers.

In: a resource body. Out: references, codings, spans of milliseconds, (system, value) pairs. Follows the R4
search parameters `patient`, `code`, `date` and `identifier`. Birth dates and names are never put into a
column.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

__all__ = ["codings", "concept_of", "identifiers", "patient_reference", "span", "span_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_FOREVER = 253_402_300_799_999  # 9999-12-31: the end of an open period

_CODE = ("code", "medicationCodeableConcept", "vaccineCode")
_DATE: dict[str, tuple[str, ...]] = {
    "Observation": ("effectiveDateTime", "effectivePeriod", "effectiveInstant"),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod"),
    "Encounter": ("period",),
    "EpisodeOfCare": ("period",),
    "ServiceRequest": ("occurrenceDateTime", "occurrencePeriod", "authoredOn"),
    "MedicationRequest": ("authoredOn",),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
    "MedicationStatement": ("effectiveDateTime", "effectivePeriod"),
    "Immunization": ("occurrenceDateTime",),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Condition": ("onsetDateTime", "onsetPeriod", "recordedDate"),
    "AllergyIntolerance": ("recordedDate", "onsetDateTime"),
    "DocumentReference": ("date",),
    "Composition": ("date",),
    "Specimen": ("receivedTime",),
    "ImagingStudy": ("started",),
    "CarePlan": ("period",),
    "Flag": ("period",),
    "Task": ("authoredOn",),
}


def patient_reference(body: dict[str, Any]) -> str | None:
    """Return the reference to whom this resource is about, e.g. `Patient/<id>`, or `urn:uuid:<id>` in a
    draft.
    """
    get = body.get
    target = get("subject") or get("patient") or get("beneficiary") or get("for") or get("individual")
    if target is None:
        return _of_appointment(body) if get("resourceType") == "Appointment" else None
    if isinstance(target, list):
        target = target[0]
    reference = target.get("reference") if isinstance(target, dict) else None
    return (
        reference if isinstance(reference, str) and reference.startswith(("Patient/", "urn:uuid:")) else None
    )


def _of_appointment(body: dict[str, Any]) -> str | None:
    """Return the one Patient who takes part in an appointment; None where there are several."""
    actors = (one.get("actor") for one in body.get("participant") or ())
    found = {actor.get("reference") or "" for actor in actors if isinstance(actor, dict)}
    patients = [name for name in found if name.startswith("Patient/")]
    return patients[0] if len(patients) == 1 else None


def concept_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the CodeableConcept behind the search parameter `code`."""
    for element in _CODE:
        concept = body.get(element)
        if isinstance(concept, dict):
            return concept
    return None


def codings(concept: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the (system, code) pairs of a CodeableConcept."""
    return tuple([(c.get("system") or "", c["code"]) for c in concept.get("coding", ()) if c.get("code")])


def identifiers(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the business identifiers of a resource as (system, value)."""
    found = body.get("identifier")
    if not found:
        return
    for one in found if isinstance(found, list) else (found,):
        value = one.get("value")
        if value:
            yield one.get("system") or "", value


def span_of(kind: str, body: dict[str, Any]) -> tuple[int, int] | tuple[None, None]:
    """Return the first and last millisecond of the resource's `date`."""
    for element in _DATE.get(kind, ()):
        value = body.get(element)
        if not value:
            continue
        if isinstance(value, str):
            found = span(value)
        else:
            start, end = value.get("start"), value.get("end")
            low = span(start) if start else (-_FOREVER, 0)
            high = span(end) if end else (0, _FOREVER)
            found = (low[0], high[1]) if low and high else None
        if found is not None:
            return found
    return None, None


@lru_cache(maxsize=20_000)
def span(text: str) -> tuple[int, int] | None:
    """Return the first and last millisecond a FHIR date, dateTime or instant stands for (a UTC day)."""
    try:
        if len(text) > 10:
            start = datetime.fromisoformat(text)
            if start.tzinfo is None:
                start = start.replace(tzinfo=UTC)
            low = (start - _EPOCH) // _MS
            fraction = "." in text
            seconds = len(text) > 18 and text[16] == ":"
            return low, low + (0 if fraction else 999 if seconds else 59_999)
        parts = [int(part) for part in text.split("-")]
        first = date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)
        if len(parts) == 3:
            after = first + timedelta(days=1)
        elif len(parts) == 2:
            after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        else:
            after = date(first.year + 1, 1, 1)
    except (ValueError, OverflowError, IndexError):
        return None
    return (first - _EPOCH.date()).days * 86_400_000, (after - _EPOCH.date()).days * 86_400_000 - 1
