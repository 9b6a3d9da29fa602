"""Says of most resources that they are sound, in a few steps; leaves the rest to the validator.

In: a resource, and values of its elements that are known to be sound. Out: True where the validator of
`compiler` would find nothing, False where it has to look. An object is sound at a glance when each of its
elements passes its test and the validator found that set of elements sound before: cardinality, choices and
most invariants depend on which elements there are. Companions of primitives (`_x`), contained resources,
local references and narratives are never judged here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from engine.fhir import checks, compiler, definitions, invariants, primitives
from engine.fhir.definitions import ElementDef

__all__ = ["sound"]

Test = Callable[[Any], Any]
"""Gives None for a value that is surely sound, anything else for one that the validator has to judge."""
UNJUDGED = "unjudged"
AT_A_GLANCE = frozenset(["CodeableConcept", "Coding", "Extension"])
"""Datatypes that are judged at a glance; the validators of the others are as quick."""

MOST = 5_000
"""Sets of elements, or codings, remembered per type."""
_OF_KEYS = re.compile(
    r'has\(o, "\w+"\)|"\w+" in o\b|"\w+" not in o\b|\bc_\w+|\b(?:and|or|not|bool|if)\b|[()=!\s]'
)
_COUNTED = re.compile(r"\bc_(\w+)")
_BY_REGISTRY = frozenset(
    ["http://hl7.org/fhir/ValueSet/mimetypes", "http://hl7.org/fhir/ValueSet/currencies"]
)


def sound(resource: Any, known: Mapping[str, Any]) -> bool:
    """Say whether a resource is surely sound; `known`: values of its elements that are."""
    if type(resource) is not dict or "contained" in resource:
        return False
    kind = resource.get("resourceType")
    if type(kind) is not str or kind not in definitions.resource_types():
        return False
    tests, structure = _resource(kind)
    for name, value in resource.items():
        if name in known and known[name] == value:
            continue
        test = tests.get(name) or _test(kind, name, tests)
        if test(value) is not None:
            return False
    return structure(resource) is None


@cache
def _resource(kind: str) -> tuple[dict[str, Test], Test]:
    return {"resourceType": lambda v: None}, _structure(kind, compiler.resource)


def _structure(kind: str, full: Callable[[Any], Any]) -> Test:
    """Return the test of what elements an object holds, each of which is sound."""
    broken = _broken(kind)
    seen: set[tuple[str, ...]] = set()

    def structure(o: dict[str, Any]) -> Any:
        if tuple(o) in seen:
            return None if broken is None or not broken(o) else UNJUDGED
        problems = full(o)
        if problems is None:
            if len(seen) >= MOST:
                seen.clear()
            seen.add(tuple(o))
        return problems

    return structure


def _broken(kind: str) -> Test | None:
    """Return the test of the invariants that ask for more than which elements there are; None: there are
    none."""
    rows = [*invariants.INVARIANTS.get(kind, ())]
    if definitions.base_type(kind) == "Quantity":
        rows += invariants.INVARIANTS["Quantity"]
    asked = [condition for _, condition, _ in rows if _OF_KEYS.sub("", condition)]
    if not asked:
        return None
    lines = ["def broken(o):", "    get = o.get"]
    space: dict[str, Any] = dict(compiler.names())
    for plain in sorted(set(_COUNTED.findall(" ".join(asked)))):
        choice = definitions.elements(kind)[f"{plain}[x]"]
        space[f"of_{plain}"] = frozenset(definitions.concrete_name(choice.name, t) for t in choice.types)
        lines.append(f"    c_{plain} = not of_{plain}.isdisjoint(o)")
    lines.append(f"    return {' or '.join(f'({condition})' for condition in asked)}")
    exec("\n".join(lines), space)  # invariants of ours alone, no input
    found: Test = space["broken"]
    return found


def _never(value: Any) -> str:
    return UNJUDGED


def _test(kind: str, name: str, tests: dict[str, Test]) -> Test:
    """Return the test of an element, and keep it in `tests`; a name that the type does not have passes
    none."""
    found = definitions.element(kind, name)
    if found is None or found.max == 0 or name == "contained":
        return _never
    types = {definitions.concrete_name(found.name, t): t for t in found.types} if found.choice else {}
    test = _value(found, types.get(name, found.types[0]))
    tests[name] = _list(test, found.max) if found.repeats else test
    return tests[name]


def _value(e: ElementDef, kind: str) -> Test:
    """Return the test of one value of an element."""
    required = e.binding is not None and e.binding.strength == "required"
    value_set = e.binding.value_set if e.binding is not None and required else ""
    if definitions.is_primitive(kind):
        if value_set in _BY_REGISTRY or kind == "xhtml":
            return _never
        allowed = definitions.codes(value_set) if kind == "code" else None
        if allowed:
            return lambda v: None if type(v) is str and v in allowed else UNJUDGED
        return _primitive(kind)
    if kind == "Reference":
        return _reference(e.targets)
    test = _coding if kind == "Coding" else _object(kind)
    systems = definitions.codes_by_system(value_set) if value_set else {}
    if systems and kind in ("CodeableConcept", "Coding", "Quantity"):
        bound = checks.bound if kind == "CodeableConcept" else checks.bound_coding
        return lambda v: test(v) or (None if bound(v, systems) else UNJUDGED)
    return test


@cache
def _primitive(kind: str) -> Test:
    made: Test = eval(f"lambda v: ({primitives.CONDITIONS[kind]}) or None", dict(compiler.names()))
    return made


def _list(test: Test, most: int | None) -> Test:
    def listed(items: Any) -> Any:
        if type(items) is not list or not items or (most is not None and len(items) > most):
            return UNJUDGED
        for item in items:
            if test(item) is not None:
                return UNJUDGED
        return None

    return listed


@cache
def _reference(targets: tuple[str, ...]) -> Test:
    allowed = frozenset(targets) or definitions.resource_types()
    full, is_id = compiler.checker("Reference", targets), primitives.NAMES["is_id"]

    def reference(o: Any) -> Any:
        if type(o) is dict and len(o) == 1 and type(v := o.get("reference")) is str:
            kind, _, rest = v.partition("/")
            if kind in allowed and is_id(rest):
                return None
        return full(o)

    return reference


@cache
def _object(kind: str) -> Test:
    if kind in definitions.resource_types() or kind in ("Resource", "Narrative"):
        return _never
    full = compiler.checker(kind)
    if kind not in AT_A_GLANCE:
        return full
    tests: dict[str, Test] = {}
    structure = _structure(kind, full)

    def whole(o: Any) -> Any:
        if type(o) is not dict:
            return UNJUDGED
        for name, value in o.items():
            test = tests.get(name) or _test(kind, name, tests)
            if test(value) is not None:
                return UNJUDGED
        return structure(o)

    return whole


_codings: set[tuple[tuple[str, str], ...]] = set()


def _coding(o: Any) -> Any:
    """Judge a Coding; the same few come in every message, and nothing in them but text."""
    if type(o) is not dict:
        return UNJUDGED
    try:
        if tuple(o.items()) in _codings:
            return None
    except TypeError:  # an extension inside
        return _object("Coding")(o)
    problems = _object("Coding")(o)
    if problems is None and all(type(v) is str for v in o.values()):
        if len(_codings) >= MOST:
            _codings.clear()
        _codings.add(tuple(o.items()))
    return problems
