"""What a person who may see bodies is shown of a critical result: whose it is, and what was measured.

In: a row, the core store. Out: plain words and numbers as they are stored: nothing is worked out, rounded or
translated. The version shown is the one that was told; what the store says now is said where it differs.
"""

from __future__ import annotations

from typing import Any

from engine.staff.criticals import CriticalRow
from engine.store.sql import SqlStore

__all__ = ["person_facts", "result_facts"]


def person_facts(store: SqlStore, row: CriticalRow) -> dict[str, Any] | None:
    """Return who the patient is now; None where the result is nobody's, or nothing is known."""
    kind, _, id_ = row.patient.partition("/")
    found = store.read(kind, id_) if kind == "Patient" and id_ else None
    if found is None:
        return None
    names = found.get("name") or [{}]
    name = names[0]
    written = name.get("text") or " ".join([*name.get("given", ()), name.get("family") or ""]).strip()
    return {
        "reference": row.patient,
        "name": written,
        "born": found.get("birthDate", ""),
        "gender": found.get("gender", ""),
        "numbers": [
            f"{one.get('value')} ({one.get('system') or 'no system'})"
            for one in found.get("identifier", ())
            if one.get("value")
        ],
    }


def result_facts(store: SqlStore, row: CriticalRow) -> dict[str, Any] | None:
    """Return what was measured, in the version that was told; None where it cannot be shown any more."""
    id_ = row.subject.partition("/")[2]
    told = store.vread("Observation", id_, row.version)
    now = store.read("Observation", id_)
    body = told.resource if told is not None else None
    if body is None:
        return None
    return {
        "code": _concept(body.get("code")),
        "value": _value(body),
        "interpretation": ", ".join(_concept(one) for one in body.get("interpretation", ())),
        "range": ", ".join(one["text"] for one in body.get("referenceRange", ()) if one.get("text")),
        "status": body.get("status", ""),
        "measured": body.get("effectiveDateTime") or (body.get("effectivePeriod") or {}).get("start", ""),
        "parts": [
            {"code": _concept(part.get("code")), "value": _value(part)} for part in body.get("component", ())
        ],
        "now": _value(now) if now is not None and _value(now) != _value(body) else "",
        "gone": now is None,
    }


def _concept(concept: dict[str, Any] | None) -> str:
    if not concept:
        return ""
    codings = concept.get("coding", ())
    shown = next((one["display"] for one in codings if one.get("display")), "")
    return concept.get("text") or shown or next((one["code"] for one in codings if one.get("code")), "")


def _value(part: dict[str, Any]) -> str:
    if quantity := part.get("valueQuantity"):
        return _quantity(quantity)
    if between := part.get("valueRange"):
        return " – ".join(_quantity(between.get(end) or {}) for end in ("low", "high"))
    if concept := part.get("valueCodeableConcept"):
        return _concept(concept)
    for name, value in part.items():
        if name.startswith("value") and isinstance(value, (str, int, bool)):
            return str(value)
    return _concept(part.get("dataAbsentReason"))


def _quantity(quantity: dict[str, Any]) -> str:
    unit = quantity.get("unit") or quantity.get("code") or ""
    return f"{quantity.get('comparator', '')}{quantity.get('value', '')} {unit}".strip()
