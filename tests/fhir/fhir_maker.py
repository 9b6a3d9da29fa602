"""Makes sound resources of any type from the definitions alone, for comparison with validators written by
others."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from decimal import Decimal
from random import Random
from typing import Any

from engine.fhir import definitions
from engine.fhir.definitions import ElementDef

_VALUES: dict[str, Any] = {
    "base64Binary": "YWJj",
    "boolean": True,
    "canonical": "http://example.org/x|1",
    "code": "a-code",
    "date": "2024-02-29",
    "dateTime": "2026-05-01T14:05:00-05:00",
    "decimal": Decimal("4.10"),
    "id": "a.b-1",
    "instant": "2026-05-01T14:05:00.000Z",
    "integer": -7,
    "markdown": "a *word*",
    "oid": "urn:oid:1.2.3",
    "positiveInt": 1,
    "string": "some text",
    "time": "08:30:00",
    "unsignedInt": 0,
    "uri": "urn:example:x",
    "url": "http://example.org/x",
    "uuid": "urn:uuid:0b7e6b3a-5d0c-4c1e-9d57-1a2b3c4d5e6f",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">text</div>',
}
_OPEN = {
    "http://hl7.org/fhir/ValueSet/mimetypes": "text/plain",
    "http://hl7.org/fhir/ValueSet/currencies": "EUR",
}
_PLAIN = {"id", "extension", "modifierExtension", "contained", "implicitRules", "language", "text", "meta"}


class Maker:
    """Makes one value after another; `chance` is how likely an optional element appears."""

    def __init__(self, random: Random, chance: float, depth: int = 4) -> None:
        self.random = random
        self.chance = chance
        self.depth = depth

    def resource(self, kind: str) -> dict[str, Any]:
        """Make a resource of a type."""
        return {"resourceType": kind, **self.object(kind, 0)}

    def object(self, kind: str, depth: int) -> dict[str, Any]:
        """Make the elements of a complex type; never empty."""
        out: dict[str, Any] = {}
        elements = {
            n: e for n, e in definitions.elements(kind).items() if (e.min or n not in _PLAIN) and e.max != 0
        }
        for e in elements.values():
            if e.min or (depth < self.depth and self.random.random() < self.chance):
                self._put(out, e, depth)
        if not out:
            for e in elements.values():
                if not out and e.types[0] != "Resource":
                    self._put(out, e, depth)
        return out

    def _put(self, out: dict[str, Any], e: ElementDef, depth: int) -> None:
        kind = self.random.choice(e.types)
        if kind == "Resource":
            if e.min:
                out[e.name] = self.resource("Basic")
            return
        name = definitions.concrete_name(e.name, kind) if e.choice else e.name
        made = self._value(kind, e, depth)
        out[name] = [made] if e.repeats else made

    def _value(self, kind: str, e: ElementDef, depth: int) -> Any:
        required = e.binding is not None and e.binding.strength == "required"
        value_set = e.binding.value_set if e.binding and required else ""
        systems = definitions.codes_by_system(value_set) if value_set else {}
        system = self.random.choice(sorted(systems)) if systems else "urn:example:codes"
        code = self.random.choice(sorted(systems[system])) if systems else _OPEN.get(value_set, "a-code")
        if kind == "code":
            return code
        if kind == "Coding":
            return {"system": system, "code": code}
        if kind == "CodeableConcept":
            return {"coding": [{"system": system, "code": code}]}
        if kind == "Reference":
            target = self.random.choice(sorted(e.targets or definitions.resource_types()))
            return {"reference": f"{target}/x-1"}
        if kind == "Extension":
            return {"url": "http://example.org/x", "valueString": "x"}
        if definitions.is_primitive(kind):
            return _VALUES[kind]
        return self.object(kind, depth + 1)


def damaged(resource: dict[str, Any], random: Random) -> dict[str, Any]:
    """Return a copy with one random structural change, which may or may not break it."""
    copy = deepcopy(resource)
    places = list(_places(copy))
    holder, key = random.choice(places)
    value = holder[key]
    way = random.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1:
        holder[key] = None
    elif way == 2:
        holder[key] = value[0] if isinstance(value, list) and value else [value]
    elif way == 3:
        holder[key] = random.choice(["", {}, []])
    elif way == 4:
        holder[key] = random.choice([True, 7, Decimal("1.5"), "text", {"text": "x"}, {"id": "x"}])
    elif way == 5 and isinstance(holder, dict):
        holder[
            random.choice(["colour", "_" + key if isinstance(key, str) else "x", "valueFoo", "extension"])
        ] = value
    elif way == 6 and isinstance(holder, dict) and isinstance(key, str):
        holder["_" + key] = {"extension": [{"url": "urn:x", "valueCode": "x"}]}
        del holder[key]
    elif isinstance(holder, dict):
        holder["valueString"] = "x"
    return copy


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        if key != "resourceType":
            yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])
