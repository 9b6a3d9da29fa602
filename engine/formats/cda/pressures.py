"""Systolic and diastolic blood pressure that were taken together, as one panel of vital signs says.

In: the organizer. Out: its pair, or nothing where it is not certain that the two belong together: one of
each, both found (mood EVN, a number, not denied), at one time, at one place, by one method, of no two
statuses, and with nothing more said inside either. Follows C-CDA on FHIR, Vital Signs (blood pressure: one
Observation with two components).
"""

from __future__ import annotations

from engine.formats.cda.elements import Element, attr, child, children, null_flavor
from engine.formats.cda.quantities import number
from engine.formats.cda.statements import negations

__all__ = ["DIASTOLIC", "SYSTOLIC", "pressures"]

SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
_LOINC = "2.16.840.1.113883.6.1"
_SAME = ("effectiveTime", "targetSiteCode", "methodCode")


def pressures(organizer: Element) -> tuple[Element, Element] | None:
    """Give the one systolic and the one diastolic pressure of a panel, where they surely belong together."""
    found: dict[str, list[Element]] = {SYSTOLIC: [], DIASTOLIC: []}
    for component in children(organizer, "component"):
        for observation in children(component, "observation"):
            code = child(observation, "code")
            if attr(code, "codeSystem") == _LOINC and attr(code, "code") in found:
                found[attr(code, "code")].append(observation)
    pair = [one for one in found.values() if len(one) == 1]
    if len(pair) != 2:
        return None
    systolic, diastolic = pair[0][0], pair[1][0]
    alike = all(_said(systolic, name) == _said(diastolic, name) for name in _SAME)
    status = {_said(one, "statusCode") for one in (systolic, diastolic)} - {()}
    alike = alike and len(status) < 2
    return (systolic, diastolic) if alike and _plain(systolic) and _plain(diastolic) else None


def _plain(observation: Element) -> bool:
    values = list(children(observation, "value"))
    return (
        attr(observation, "moodCode") in ("", "EVN")
        and len(values) == 1
        and number(attr(values[0], "value")) is not None
        and not null_flavor(values[0])
        and not null_flavor(observation)
        and not negations(observation)
        and next(children(observation, "entryRelationship"), None) is None
    )


def _said(observation: Element, name: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (str(at.tag), f"{attr(at, 'code')}|{attr(at, 'value')}|{attr(at, 'nullFlavor')}")
        for one in children(observation, name)
        for at in one.iter("{*}*")
    )
