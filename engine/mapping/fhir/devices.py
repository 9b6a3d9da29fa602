"""What a device measured, kept apart from results of the laboratory: its key and its category.

In: an Observation of a channel whose rules say `observations: of devices`. Out: a key of the system
`.../id/device-observation`, made of the sender's number of it, else of patient, device, code, place and time;
and its category: a vital sign where its LOINC code is one, never `laboratory`. As IHE PCD-01 is read
(mappings/hl7v2/segments/OBX_ObservationOfDevice.yaml).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.mapping.fhir.identity import Known, concept_text

__all__ = ["CATEGORY", "categories", "parts_of"]

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LOINC = "http://loinc.org"
_VITAL = {"system": CATEGORY, "code": "vital-signs"}


def parts_of(
    observation: Mapping[str, Any], known: Known, who: str, device: str, stamp: str
) -> list[tuple[str, ...]]:
    """Return what recognises a measurement: each list of words is one key, the most telling first.

    `who`, `device`: their numbers; `stamp`: tells it from the next where it says no time of its own.
    """
    out: list[tuple[str, ...]] = [("number", str(k[0]), str(k[1])) for k in known.keys if k != known.own]
    if known.own is not None and known.own in known.keys:
        base = known.own[0].removesuffix("/Observation")
        out.append(("id", str(base), str(known.own[1])))
    if out:
        return out
    when = next((_time(v) for k, v in observation.items() if k.startswith("effective") and _time(v)), "")
    when = when or str(observation.get("issued") or "") or stamp
    what = [concept_text(observation.get(name)) for name in ("code", "bodySite", "method")]
    return [("measured", who, device, *what, when)]


def _time(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        ends = [str(value.get(k) or "") for k in ("start", "end")]
        return "/".join(ends) if any(ends) else ""
    return ""


def categories(observation: dict[str, Any], vital: Collection[str]) -> list[int]:
    """Take `laboratory` out of the categories of a measurement, and say that it is a vital sign where it is.

    Returns the places of what was taken out.
    """
    said = observation.get("category")
    every = said if isinstance(said, list) else []
    gone = [n for n, one in enumerate(every) if isinstance(one, dict) and _has(one, "laboratory")]
    kept = [one for n, one in enumerate(every) if n not in gone]
    if _codes(observation.get("code")) & set(vital) and not any(
        isinstance(one, dict) and _has(one, "vital-signs") for one in kept
    ):
        kept = [*kept, {"coding": [dict(_VITAL)]}]
    if kept:
        observation["category"] = kept
    elif gone:
        del observation["category"]
    return gone


def _has(concept: Mapping[str, Any], code: str) -> bool:
    codings = concept.get("coding")
    return any(
        isinstance(c, dict) and c.get("code") == code and c.get("system") in (CATEGORY, None)
        for c in (codings if isinstance(codings, list) else ())
    )


def _codes(concept: Any) -> set[str]:
    codings = concept.get("coding") if isinstance(concept, dict) else None
    return {
        str(c.get("code"))
        for c in (codings if isinstance(codings, list) else ())
        if isinstance(c, dict) and c.get("system") == LOINC
    }
