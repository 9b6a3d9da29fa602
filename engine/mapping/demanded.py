"""What FHIR demands of a resource and the message does not give: marked, never filled (mapping language,
Outcomes).

In: a draft. Out: `data-absent-reason` where something is missing, and a hold: a person looks at it. Inside
the entries of claims and payments it is a flag; a claim without its coverage is held.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engine.fhir import definitions
from engine.kernel.message import Draft

if TYPE_CHECKING:
    from engine.mapping.run import Run

__all__ = ["mark_gaps", "require"]

ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}


@cache
def _required(kind: str) -> tuple[tuple[str, bool, bool], ...]:
    """(element, primitive, repeats) of every element that FHIR demands; choices by their `x[x]` name."""
    out = []
    for name, e in definitions.elements(kind).items():
        if e.min:
            out.append((name, len(e.types) == 1 and definitions.is_primitive(e.types[0]), e.repeats))
    return tuple(out)


def require(d: Draft, x: Run) -> None:
    """Hold a message that leaves out what FHIR demands; the gap is marked, never filled. What only changes
    what is known (`write: known`) says no more than that."""
    if d.write == "known":
        return
    for name, primitive, repeats in _required(d.type):
        if name in d.body or "_" + name in d.body:
            continue
        if name.endswith("[x]"):
            stem = name[:-3]
            if any(k.lstrip("_").startswith(stem) for k in d.body):
                continue
            x.hold(
                "required-missing",
                f" {d.type}.{stem}",
                f"FHIR demands {d.type}.{stem} and the message does not give it",
            )
            continue
        x.hold(
            "required-missing",
            f" {d.type}.{name}",
            f"FHIR demands {d.type}.{name} and the message does not give it",
        )
        gap: Any = {"extension": [dict(ABSENT)]}
        slot = "_" + name if primitive else name
        d.body[slot] = [gap] if repeats else gap
        d.weak = (*d.weak, slot)


_HELD = frozenset({("Claim.insurance", "coverage"), ("ExplanationOfBenefit.insurance", "coverage")})
_Needs = tuple[tuple[tuple[str, bool, bool], ...], tuple[tuple[str, str], ...]]


@cache
def _needs(path: str) -> _Needs:
    """What FHIR demands of a backbone element, as (name, primitive, repeats), and the backbones in it."""
    demanded, inner = [], []
    for name, e in definitions.elements(path).items():
        kind = e.types[0] if len(e.types) == 1 else ""
        if "." in kind:
            inner.append((name, kind))
        if e.min and "." in path and not name.endswith("[x]"):
            demanded.append((name, definitions.is_primitive(kind), e.repeats))
    return tuple(demanded), tuple(inner)


def mark_gaps(path: str, o: dict[str, Any], x: Run) -> None:
    """Mark what FHIR demands of the entries of a claim and nobody said; never fill it."""
    demanded, inner = _needs(path)
    for name, primitive, repeats in demanded:
        slot = "_" + name if primitive else name
        if name not in o and slot not in o:
            gap: Any = {"extension": [dict(ABSENT)]}
            o[slot] = [gap] if repeats else gap
            text = f"FHIR demands {path}.{name} and the message does not give it"
            if (path, name) in _HELD:
                x.hold("required-missing", f" {path}.{name}", text)
            else:
                x.flag("required-missing", f" {path}.{name}", text)
    for name, kind in inner:
        found = o.get(name)
        if found is not None:
            for entry in found if isinstance(found, list) else (found,):
                mark_gaps(kind, entry, x)
