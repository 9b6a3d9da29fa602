"""What a merged Encounter may not say of a visit that has ended, whoever repeats where the patient was.

In: the merged body and the one before it. Out: the body put right: no place in use, and no time of discharge
lost by an update that is silent about it.
FHIR R4 Encounter.status, Encounter.location.status; HL7 v2.8.2 ch. 3.3.
"""

from __future__ import annotations

from typing import Any

__all__ = ["settle_visit"]


def settle_visit(new: dict[str, Any], old: dict[str, Any]) -> None:
    """Put a visit right that has ended."""
    status = new.get("status")
    if status not in ("finished", "cancelled"):
        return
    left = {"status": "completed"} if status == "finished" else {}
    places = new.get("location", ())
    if any(place.get("status") == "active" for place in places):
        new["location"] = [_emptied(place, left) for place in places]
    end = old.get("period", {}).get("end")
    if end and old.get("status") == status == "finished" and "end" not in new.get("period", {}):
        new["period"] = {**new.get("period", {}), "end": end}


def _emptied(place: dict[str, Any], left: dict[str, str]) -> dict[str, Any]:
    if place.get("status") != "active":
        return place
    return {name: value for name, value in place.items() if name != "status"} | left
