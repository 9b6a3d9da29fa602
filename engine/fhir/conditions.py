"""What the conditions of `engine.fhir.invariants` may ask of an object whose structure is already sound.

In: parts of a resource. Out: true or false; nothing here raises for a value whose structure has been checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.fhir.primitives import same_or_earlier

__all__ = ["NAMES"]

UCUM = "http://unitsofmeasure.org"
_CS = "http://terminology.hl7.org/CodeSystem/"

Object = dict[str, Any]


def has(o: Object, name: str) -> bool:
    """Say whether a primitive element is there, by value or by extension."""
    return name in o or "_" + name in o


def coded(concept: Any, system: str, *codes: str) -> bool:
    """Say whether a CodeableConcept holds one of these codes."""
    if concept is None:
        return False
    return any(c.get("system") == system and c.get("code") in codes for c in concept.get("coding", ()))


def shares_code(o: Object) -> bool:
    """Say whether a component of an Observation repeats a coding of the Observation itself (obs-7)."""
    own = o["code"].get("coding", ())
    return any(c in own for part in o["component"] for c in part["code"].get("coding", ()))


def number(value: Any) -> Decimal:
    """Read a checked number exactly as it is written."""
    return Decimal(str(value))


def higher(low: Object, high: Object) -> bool:
    """Say whether a lower bound is above the upper one, where both are numbers of one unit (rng-2)."""
    if "value" not in low or "value" not in high:
        return False
    same = low.get("unit") == high.get("unit")
    if "code" in low and "code" in high:
        same = low["code"] == high["code"] and low.get("system") == high.get("system")
    return same and number(low["value"]) > number(high["value"])


def home(items: list[Object]) -> bool:
    """Say whether one of several addresses or contact points is a home one."""
    return any(x.get("use") == "home" for x in items)


def repeated(items: list[Any]) -> bool:
    """Say whether a list holds the same value twice."""
    return any(x in items[:i] for i, x in enumerate(items))


def bundle_twins(entries: list[Object]) -> bool:
    """Say whether two entries are the same version of the same resource (bdl-7)."""
    seen = set()
    for entry in entries:
        if "fullUrl" in entry:
            key = (entry["fullUrl"], entry.get("resource", {}).get("meta", {}).get("versionId"))
            if key in seen:
                return True
            seen.add(key)
    return False


def first_is(entries: list[Object], resource_type: str) -> bool:
    """Say whether the first entry of a bundle is a resource of this type."""
    return bool(entries) and entries[0].get("resource", {}).get("resourceType") == resource_type


def without(entries: list[Object], name: str) -> bool:
    """Say whether an entry lacks an element."""
    return any(name not in e for e in entries)


def within(entries: list[Object], name: str) -> bool:
    """Say whether an entry has an element."""
    return any(name in e for e in entries)


NAMES: Mapping[str, Any] = {
    f.__name__: f
    for f in (
        has,
        coded,
        shares_code,
        number,
        higher,
        home,
        repeated,
        bundle_twins,
        first_is,
        without,
        within,
        same_or_earlier,
    )
} | {"UCUM": UCUM, "CS": _CS}
"""What the conditions refer to; part of the name space of generated code."""
