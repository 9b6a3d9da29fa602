"""Vital signs that were taken together, as one panel of them says: the two blood pressures, and what oxygen
was breathed while its saturation was measured.

In: the organizer. Out: those that belong together, or nothing where that is not certain: one of each, all
found (mood EVN, a number, not denied), at one time, at one place, by one method, of no two statuses, and with
nothing more said inside. Follows C-CDA on FHIR, Vital Signs (blood pressure, pulse oximetry: one Observation
with components).
"""

from __future__ import annotations

from engine.formats.cda.elements import Element, attr, child, children, null_flavor
from engine.formats.cda.quantities import number
from engine.formats.cda.statements import negations

__all__ = ["DIASTOLIC", "SYSTOLIC", "oxygen", "pressures"]

SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
_SATURATION = ("59408-5", "2708-6")
_BREATHED = ("3150-0", "3151-8")  # inhaled oxygen: concentration, flow rate
_LOINC = "2.16.840.1.113883.6.1"
_SAME = ("effectiveTime", "targetSiteCode", "methodCode")


def pressures(organizer: Element) -> tuple[Element, Element] | None:
    """Give the one systolic and the one diastolic pressure of a panel, where they surely belong together."""
    found = _coded(organizer, (SYSTOLIC, DIASTOLIC))
    if any(len(one) != 1 for one in found.values()):
        return None
    systolic, diastolic = found[SYSTOLIC][0], found[DIASTOLIC][0]
    sure = _alike(systolic, diastolic) and _plain(systolic) and _plain(diastolic)
    return (systolic, diastolic) if sure else None


def oxygen(organizer: Element) -> tuple[Element, tuple[Element, ...]] | None:
    """Give the one oxygen saturation of a panel and what was breathed, where they surely belong together."""
    found = _coded(organizer, (*_SATURATION, *_BREATHED))
    saturations = [one for code in _SATURATION for one in found[code]]
    parts = [one for code in _BREATHED for one in found[code]]
    if len(saturations) != 1 or not parts or any(len(found[code]) > 1 for code in _BREATHED):
        return None
    main = saturations[0]
    sure = _found(main) and all(_alike(main, one) and _plain(one) and _whose(main, one) for one in parts)
    return (main, tuple(parts)) if sure else None


def _coded(organizer: Element, codes: tuple[str, ...]) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {code: [] for code in codes}
    for component in children(organizer, "component"):
        for observation in children(component, "observation"):
            code = child(observation, "code")
            if attr(code, "codeSystem") == _LOINC and attr(code, "code") in found:
                found[attr(code, "code")].append(observation)
    return found


def _alike(one: Element, other: Element) -> bool:
    status = {_said(e, "statusCode") for e in (one, other)} - {()}
    return len(status) < 2 and all(_said(one, name) == _said(other, name) for name in _SAME)


def _whose(main: Element, part: Element) -> bool:
    """Say whether a part names no author of its own."""
    return _said(part, "author") in ((), _said(main, "author"))


def _found(observation: Element) -> bool:
    values = list(children(observation, "value"))
    return (
        attr(observation, "moodCode") in ("", "EVN")
        and len(values) == 1
        and number(attr(values[0], "value")) is not None
        and not null_flavor(values[0])
        and not null_flavor(observation)
        and not negations(observation)
    )


def _plain(observation: Element) -> bool:
    return _found(observation) and next(children(observation, "entryRelationship"), None) is None


def _said(observation: Element, name: str) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    return tuple(
        (str(at.tag), tuple(str(v) for _, v in sorted(at.items())), (at.text or "").strip())
        for one in children(observation, name)
        for at in one.iter("{*}*")
    )
