"""Says what is wrong with a FHIR R4 resource: fast enough to look at every one that leaves a map.

In: a resource as a dict of plain JSON values (numbers as int, Decimal or float). Out: a list of problems,
empty for a sound resource; each names its place as a FHIRPath with 0-based indices. Checked are the rules
of R4 json.html, datatypes.html and references.html, the cardinalities, types, required bindings and
reference targets of the definitions, real calendar dates, choices, and the invariants listed in
`engine.fhir.invariants`. Not checked: profiles, slicing, extensible bindings, whether a referenced resource
exists. Texts never hold a value.
"""

from __future__ import annotations

from typing import Any

from engine.fhir import compiler, definitions
from engine.fhir.checks import Problem

__all__ = ["Problem", "validate"]


def validate(resource: Any) -> list[Problem]:
    """Return the problems of one resource (or of a Bundle and everything in it), none for a sound one."""
    try:
        problems = compiler.resource(resource)
    except RecursionError:
        return [Problem("", "depth", "is nested too deeply")]
    if problems is None:
        return []
    kind = resource.get("resourceType") if type(resource) is dict else None
    head = kind if type(kind) is str and kind in definitions.resource_types() else "Resource"
    return [Problem(f"{head}.{p.path}" if p.path else head, p.code, p.text) for p in problems]
