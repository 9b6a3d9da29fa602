"""Judges one Observation by the rules: critical, not critical, or not to be told.

In: rules, an Observation of FHIR R4, the channel it came by, the patient's birth date. Out: which rules name
it and why, and which rules could not compare it. A number is compared with a limit only where UCUM can turn
one unit into the other, exactly; nothing is guessed from a unit's spelling, and moles never become grams. A
value with a comparator (`>6.0`) that may lie beyond the limit counts as beyond it. Pure: the same Observation
and rules always give the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from engine.channels.critical.ages import may_be_in
from engine.channels.critical.rules import Limit, Rule, Rules
from engine.terminology import ucum

__all__ = ["TAKEN_BACK", "Judged", "Match", "Unjudged", "codings_of", "day_of", "judge", "of_device"]

TAKEN_BACK = frozenset({"entered-in-error", "cancelled"})
_COUNTS = frozenset({"preliminary", "final", "amended", "corrected", "unknown"})
_EARLY = frozenset({"preliminary", "registered"})
_BEDSIDE = frozenset({"vital-signs", "device"})
"""Categories that a rule has to name: what devices measure is judged by rules for devices. `device` is every
Observation of which `of_device` says that a device measured it."""
_OF_DEVICE = "/id/device-observation"
"""How the system of their numbers ends (mappings/hl7v2/segments/OBX_ObservationOfDevice)."""
_WORD = {"below": "below", "above": "above", "at_most": "at most", "at_least": "at least"}


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that names a result, and why, without the result's value."""

    rule: Rule
    why: str


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A rule whose limits could not be compared with a result."""

    rule: Rule
    why: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules say of one Observation."""

    matches: tuple[Match, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()


def judge(rules: Rules, observation: dict[str, Any], channel: str, birth: str, today: date) -> Judged:
    """Judge an Observation, and each of its components, by all rules."""
    status = observation.get("status")
    if status not in _COUNTS:
        return Judged()
    categories = _categories(observation)
    if of_device(observation):
        categories.add("device")
    at = day_of(observation) or today
    matches: dict[str, Match] = {}
    unjudged: dict[str, Unjudged] = {}
    for part in (observation, *observation.get("component", ())):
        for rule in rules.about(codings_of(part.get("code"))):
            if rule.name in matches or not rule.on(channel):
                continue
            if not (rule.categories & categories if rule.categories else not _BEDSIDE & categories):
                continue
            if status in _EARLY and not rule.preliminary:
                continue
            if rule.age is not None and not may_be_in(rule.age, birth, at):
                continue
            why, cannot = _beyond(rule, part)
            if why:
                matches[rule.name] = Match(rule, why)
            elif cannot:
                unjudged[rule.name] = Unjudged(rule, cannot)
    return Judged(
        tuple(matches.values()), tuple(one for name, one in unjudged.items() if name not in matches)
    )


def day_of(observation: dict[str, Any]) -> date | None:
    """Return the day on which it was measured, or else issued."""
    period = observation.get("effectivePeriod") or {}
    for text in (
        observation.get("effectiveDateTime"),
        observation.get("effectiveInstant"),
        period.get("end") or period.get("start"),
        observation.get("issued"),
    ):
        try:
            if text and len(text) >= 10:
                return date.fromisoformat(text[:10])
        except ValueError:
            continue
    return None


def codings_of(concept: Any) -> tuple[tuple[str, str], ...]:
    """Return the (system, code) pairs of a CodeableConcept."""
    held = concept.get("coding", ()) if isinstance(concept, dict) else ()
    return tuple((c.get("system") or "", c["code"]) for c in held if c.get("code"))


def of_device(observation: dict[str, Any]) -> bool:
    """Say whether a device at the patient measured it: its number says so, or it is a vital sign that names
    its device. A result of a laboratory never is."""
    if any((one.get("system") or "").endswith(_OF_DEVICE) for one in observation.get("identifier", ())):
        return True
    found = _categories(observation)
    return bool(observation.get("device")) and "vital-signs" in found and "laboratory" not in found


def _categories(observation: dict[str, Any]) -> set[str]:
    return {code for one in observation.get("category", ()) for _, code in codings_of(one)}


def _beyond(rule: Rule, part: dict[str, Any]) -> tuple[str, str]:
    """Return why a rule names a result, or else why it could not be compared."""
    for concept in part.get("interpretation", ()):
        for coding in codings_of(concept):
            if coding in rule.interpretations:
                return f"interpretation {coding[1]}", ""
    if rule.every:
        return ("every result", "") if _has_value(part) else ("", "")
    cannot = ""
    compared = False
    for limit in rule.limits:
        verdict, why = _compare(limit, part)
        if verdict:
            return verdict, ""
        compared = compared or not why
        cannot = cannot or why
    # several limits of one side are the same limit in several units: one that fits is enough
    return "", "" if compared else cannot


def _has_value(part: dict[str, Any]) -> bool:
    return any(name.startswith("value") for name in part)


def _compare(limit: Limit, part: dict[str, Any]) -> tuple[str, str]:
    """Return why a result lies beyond a limit (empty: it does not), and why it could not be compared."""
    spans = list(_spans(part))
    if not spans:
        return "", "the value is no number" if _has_value(part) else ""
    for low, high, unit, coded in spans:
        there = _there(limit, unit, coded)
        if isinstance(there, str):
            return "", there
        edge = there(Fraction(limit.value))
        sure, maybe = _beyond_edge(limit.side, low, high, edge)
        if sure or maybe:
            return f"{'' if sure else 'may be '}{_WORD[limit.side]} the limit", ""
    return "", ""


Ends = tuple[Fraction | None, Fraction | None]


class _There:
    """Turns a limit into the unit of the value."""

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target

    def __call__(self, value: Fraction) -> Fraction:
        if self.source == self.target:
            return value
        a, b = ucum.parse(self.source), ucum.parse(self.target)
        if not (a.function or b.function):
            return value * a.factor / b.factor
        digits = Decimal(value.numerator) / Decimal(value.denominator)
        # more digits than any device gives: what is rounded away decides nothing
        return Fraction(ucum.convert(digits + Decimal("0E-12"), self.source, self.target))


def _there(limit: Limit, unit: str, coded: bool) -> _There | str:
    """Return what turns a limit into a unit, or why there is nothing."""
    if not limit.unit:
        if not unit or unit == "1":
            return _There("1", "1")
        return f"the limit has no unit, the value has {_shown(unit)}"
    if not coded:
        return "the value has no UCUM unit"
    if not ucum.is_unit(unit):
        return "the unit of the value is not UCUM"
    if limit.unit == unit:
        return _There(unit, unit)
    if why := ucum.why_not(limit.unit, unit):
        return f"{_shown(unit)} does not convert to {limit.unit}: {why}"
    return _There(limit.unit, unit)


def _shown(unit: str) -> str:
    """Return a unit as it may be shown to everybody: what is none could be anything."""
    return unit if ucum.is_unit(unit) else "one that is not UCUM"


def _spans(part: dict[str, Any]) -> Iterator[tuple[Fraction | None, Fraction | None, str, bool]]:
    """Give where a value lies: lowest, highest (None: open), its unit, and whether the unit is UCUM's."""
    quantity = part.get("valueQuantity")
    if isinstance(quantity, dict) and (number := _number(quantity.get("value"))) is not None:
        unit, coded = _unit(quantity)
        match quantity.get("comparator"):
            case "<" | "<=":
                yield None, number, unit, coded
            case ">" | ">=":
                yield number, None, unit, coded
            case _:
                yield number, number, unit, coded
    whole = _number(part.get("valueInteger"))
    if whole is not None:
        yield whole, whole, "", False
    between = part.get("valueRange")
    if isinstance(between, dict):
        low, high = between.get("low") or {}, between.get("high") or {}
        units = {_unit(one) for one in (low, high) if one}
        if len(units) == 1:
            yield _number(low.get("value")), _number(high.get("value")), *units.pop()


def _unit(quantity: dict[str, Any]) -> tuple[str, bool]:
    coded = quantity.get("system") == ucum.SYSTEM and bool(quantity.get("code"))
    return str(quantity.get("code") or quantity.get("unit") or ""), coded


def _number(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def _beyond_edge(side: str, low: Fraction | None, high: Fraction | None, edge: Fraction) -> tuple[bool, bool]:
    """Return whether a span surely, or possibly, lies beyond a limit."""
    match side:
        case "above":
            return low is not None and low > edge, high is None or high > edge
        case "at_least":
            return low is not None and low >= edge, high is None or high >= edge
        case "below":
            return high is not None and high < edge, low is None or low < edge
        case _:
            return high is not None and high <= edge, low is None or low <= edge
