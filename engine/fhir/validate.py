"""Says what is wrong with a FHIR R4 resource: fast enough to look at every one that leaves a map.

In: a resource as a dict of plain JSON values (numbers as int, Decimal or float). Out: a list of problems,
empty for a sound resource; each names its place as a FHIRPath with 0-based indices. Checked are the rules
of R4 json.html, datatypes.html and references.html, the cardinalities, types, required bindings and
reference targets of the definitions, real calendar dates, choices, and the invariants listed in
`engine.fhir.invariants`. Not checked: profiles, slicing, extensible bindings, whether a referenced resource
exists. Texts never hold a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.fhir import compiler, definitions, glance
from engine.fhir.checks import Problem

__all__ = ["Problem", "sound_elements", "validate"]

_TOP = re.compile(r"[.\[]")


def validate(resource: Any, known: Mapping[str, Any] = MappingProxyType({})) -> list[Problem]:
    """Return the problems of one resource (or of a Bundle and everything in it), none for a sound one.

    `known`: values of its elements that were found sound before, by element.
    """
    try:
        if glance.sound(resource, known):
            return []
        problems = compiler.resource(resource)
    except RecursionError:
        return [Problem("", "depth", "is nested too deeply")]
    if problems is None:
        return []
    kind = resource.get("resourceType") if type(resource) is dict else None
    head = kind if type(kind) is str and kind in definitions.resource_types() else "Resource"
    return [Problem(f"{head}.{p.path}" if p.path else head, p.code, p.text) for p in problems]


def sound_elements(kind: str, elements: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return those elements of a resource (name, value) in which nothing is wrong, whatever else it holds."""
    problems = compiler.resource({"resourceType": kind, **elements}) or ()
    bad = {_TOP.split(p.path, 1)[0] for p in problems}
    return tuple((k, v) for k, v in elements.items() if k not in bad and k[0] != "_")
