"""Marks what devices measured with the interval that it may stand for; the store keeps the first of each.

In: the drafts that maps made, of whatever format, and a channel's rules (`downsampling.py`). Out: the same
drafts, those of which not all are kept with an `Interval`. Whether one is written is the store's to say
(`store/intervals.py`), since only it knows what is there already.

Everything is read from the Observation itself: its own time says which interval (counted from 1970-01-01
00:00 UTC), patient, device, code, place and method say of which series it is one. Never marked, and so always
written: what is no measurement of a device, what names no patient, what has no time that is sure to a minute,
what was corrected or taken back, what is abnormal or may be (unless a rule says how many of these are kept),
what a rule of critical results names or cannot judge, what lies beyond what the device can measure, and what
another resource of the message refers to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_FLOOR, Decimal, DecimalException
from typing import Any

import orjson

from engine.channels.critical.judging import TAKEN_BACK, codings_of, judge, of_device
from engine.channels.downsampling import Downsampling, IntervalRule
from engine.kernel.message import Draft, Flag, Identity, Interval
from engine.store.columns import span
from engine.store.intervals import flags_of, named
from engine.store.references import references
from engine.terminology import ucum

__all__ = ["SYSTEM", "mark_intervals", "without_store"]

SYSTEM = "urn:hub:interval"
"""The system of keys of intervals; they are never written into a resource."""

_NORMAL = frozenset({"N"})
_PLAIN = frozenset({"registered", "preliminary", "final"})
_SURE = 60_000  # ms
_SERIES = ("subject", "device", "bodySite", "method", "focus")
_PLACE = "http://hl7.org/fhir/StructureDefinition/observation-v2-subid"
_VALUE = "value"
_NEVER = frozenset({"Device", "DeviceMetric", "Location", "Organization", "Patient", "Practitioner"})
"""What refers to no Observation."""
_EDGE = re.compile(r"\s*([<>]=?)\s*([-+]?\d+(?:\.\d+)?)\s*")  # `<120`, `>= 50`
_UNSAID = {"reference": "Device/unsaid"}
_NO_DAY = date(1970, 1, 1)


class _Unlike(Exception):
    """The value cannot be compared with others by the rule."""


def mark_intervals(drafts: list[Draft], rules: Downsampling, channel: str) -> list[Flag]:
    """Mark the drafts that rules speak of; returns what people are told."""
    flags: list[Flag] = []
    found = [
        (draft, rule)
        for draft in drafts
        if draft.type == "Observation"
        and of_device(draft.body)
        and (rule := rules.of(codings_of(draft.body.get("code")))) is not None
    ]
    if not found:
        return flags
    named = {name for draft in drafts for name in _referred(draft)}
    for draft, rule in found:
        body = draft.body
        if draft.write == "known" or not draft.keys:
            continue
        if body.get("status") in TAKEN_BACK:  # written, always; the store looks whether it stood for others
            draft.interval = Interval((SYSTEM, ""), rule.text(False))
            continue
        if body.get("status") not in _PLAIN:
            if _near(body, rule):  # a correction: those left out were near to what is no longer said
                draft.interval = Interval((SYSTEM, ""), rule.text(False), near=True)
            continue
        if f"Observation/{draft.id}" in named or f"urn:uuid:{draft.id}" in named:
            continue
        at = _time_of(body)
        judged = judge(rules.critical, body, channel, "", _NO_DAY)
        if at is None or judged.matches or judged.unjudged:
            continue
        abnormal = _abnormal(body)
        every = rule.abnormal_ms if abnormal else rule.every_ms
        if not every:
            continue
        why = "its unit is not that of the rule"
        try:
            if not (_is_named(body.get("subject")) and _is_named(body.get("device", _UNSAID))):
                why = "nothing tells its patient or device from others"
                raise _Unlike
            band = _band(body, rule)
        except _Unlike:
            flags.append(Flag("not-compared", draft.name, f"{why}, so it is always written ({rule.place})"))
            continue
        # a step counts in heights: the same number of it is another value by another rule
        step = [str(rule.change), rule.unit] if rule.change is not None else []
        key = (every, at // every, abnormal, step, band, _series(body))
        near = _near(body, rule)
        draft.interval = Interval((SYSTEM, orjson.dumps(key).decode()), rule.text(abnormal), near)
    return flags


def _referred(draft: Draft) -> Iterator[str]:
    """Give the references in a draft that may be to Observations."""
    body = draft.body
    if draft.type == "Observation":
        return references([body[name] for name in ("hasMember", "derivedFrom") if name in body])
    return iter(()) if draft.type in _NEVER else references(body)


def without_store(
    drafts: list[Draft], taken: dict[Identity, str] | None = None
) -> tuple[list[Draft], list[Flag]]:
    """Return what a store that has nothing yet would write of marked drafts, and what people are told.

    `taken` carries from message to message which draft stands for an interval.
    """
    if all(one.interval is None for one in drafts):
        return drafts, []
    order = sorted(range(len(drafts)), key=lambda n: (_time_of(drafts[n].body) or 0, n))
    names = named(drafts)
    taken = {} if taken is None else taken
    out: dict[int, str] = {}
    kept: dict[str, list[str]] = {}
    for n in order:
        one = drafts[n].interval
        if one is None or not one.key[1]:
            continue
        if taken.setdefault(one.key, drafts[n].id) != drafts[n].id:
            out[n] = one.rule
        else:
            kept.setdefault(one.rule, []).append(names[n])
    flags = [
        Flag("interval", ", ".join(places), f"written where nothing stands for its interval yet: {rule}")
        for rule, places in kept.items()
    ]
    return [one for n, one in enumerate(drafts) if n not in out], [*flags, *flags_of(out, names)]


def _time_of(body: dict[str, Any]) -> int | None:
    """Return when it was measured, in ms; None where nothing says so to the minute."""
    period = body.get("effectivePeriod") or {}
    text = body.get("effectiveDateTime") or body.get("effectiveInstant") or period.get("start")
    found = span(text) if text else None
    return found[0] if found is not None and found[1] - found[0] < _SURE else None


def _parts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield body
    yield from body.get("component", ())


def _abnormal(body: dict[str, Any]) -> bool:
    """Say whether the sender calls it abnormal, or it lies outside what the sender says is normal, or outside
    what can be measured at all."""
    for part in _parts(body):
        for concept in part.get("interpretation", ()):
            codes = [code for _, code in codings_of(concept)]
            if not codes or not _NORMAL.issuperset(codes):
                return True
        quantity = part.get("valueQuantity")
        if not isinstance(quantity, dict):
            continue
        if quantity.get("comparator"):
            return True
        number = _number(quantity)
        for range_ in part.get("referenceRange", ()):
            if not ("low" in range_ or "high" in range_) and _outside(number, range_.get("text")):
                return True
            for side, sign in (("low", 1), ("high", -1)):
                edge = range_.get(side)
                if edge is None or number is None:
                    continue
                limit = _number(edge)
                if limit is None or _unit(edge) not in ("", _unit(quantity)) or (limit - number) * sign > 0:
                    return True
    return False


def _outside(number: Decimal | None, text: Any) -> bool:
    """Say whether a number may lie outside a range that is words: `<120` is read, nothing is guessed."""
    found = _EDGE.fullmatch(text) if isinstance(text, str) else None
    if found is None or number is None:
        return bool(text)
    limit, side = Decimal(found[2]), found[1]
    beyond = number > limit if side[0] == "<" else number < limit
    return beyond or (number == limit and "=" not in side)


def _is_named(reference: Any) -> bool:
    """Say whether a patient or a device is told from others: what stands in the resource itself is not."""
    if not isinstance(reference, dict):
        return False
    to = reference.get("reference")
    return bool(reference.get("identifier")) if not to else not str(to).startswith("#")


def _near(body: dict[str, Any], rule: IntervalRule) -> bool:
    """Say whether it stands only for values that are near to its own, or the same."""
    return rule.change is not None or any(
        name.startswith(_VALUE) and name != "valueQuantity" for part in _parts(body) for name in part
    )


def _band(body: dict[str, Any], rule: IntervalRule) -> list[Any]:
    """Return what two values have in common of which one is enough: nothing more than being numbers, or the
    step of `change` in which they lie; words and codes stand for themselves only. Raises _Unlike."""
    return [_step(part, rule) for part in _parts(body)]


def _step(part: dict[str, Any], rule: IntervalRule) -> Any:
    name = next((name for name in part if name.startswith(_VALUE)), "")
    if name != "valueQuantity":
        said = part.get(name) if name else part.get("dataAbsentReason")
        return _bare(said)
    quantity = part[name]
    number, unit = _number(quantity), _unit(quantity)
    if number is None:
        return _bare(quantity)
    if rule.change is None:
        return unit
    if unit != rule.unit and (
        quantity.get("system") != ucum.SYSTEM or not ucum.is_unit(unit) or ucum.why_not(unit, rule.unit)
    ):
        raise _Unlike
    try:
        if unit != rule.unit:
            number = ucum.convert(number, unit, rule.unit)
        return str((number / rule.change).to_integral_value(ROUND_FLOOR))
    except DecimalException:
        raise _Unlike from None


def _series(body: dict[str, Any]) -> list[Any]:
    """Return what tells one series of measurements from another, of what the Observation itself says."""
    codes = [codings_of(part.get("code")) or _bare(part["code"]) for part in _parts(body) if part.get("code")]
    place = [_bare(one) for one in body.get("extension", ()) if one.get("url") == _PLACE]
    return [codes, *(_bare(body.get(name)) for name in _SERIES), place]


def _bare(value: Any) -> str:
    """Return an element as text that is the same for the same content, whatever it is shown as."""
    if isinstance(value, dict) and value.get("reference"):
        return str(value["reference"])
    if isinstance(value, dict) and (codes := codings_of(value)):
        return repr(codes)
    return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS).decode()


def _number(quantity: dict[str, Any]) -> Decimal | None:
    value = quantity.get(_VALUE)
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    return Decimal(str(value))


def _unit(quantity: dict[str, Any]) -> str:
    return str(quantity.get("code") or quantity.get("unit") or "")
