"""What the generated validators call when an object is not the plain, ordinary case.

In: a JSON object and what the straight-line code already knows of it. Out: the list of problems, or None.
Here live the elements every object may have (`id`, `extension`, the `_x` companions of primitives, FHIR R4
json.html), unknown elements, nulls and empties, references that are not `urn:uuid:` or `Type/id`
(references.html), required bindings of coded datatypes (terminologies.html) and contained resources. Paths
are put together only when something is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from engine.fhir import definitions
from engine.fhir.primitives import is_oid, is_uuid

__all__ = ["LOCAL", "Checker", "Problem", "Problems", "Shape", "add", "nest"]


class Problem(NamedTuple):
    """One thing that is wrong: where, a stable word or invariant key, and what is asked. Never a value."""

    path: str
    code: str
    text: str


Problems = list[Problem] | None
Checker = Callable[[Any], Problems]

LOCAL = "#"
"""Code of a note, not a problem: a reference to a contained resource, settled where the resource ends."""

_NAME = re.compile("_?[A-Za-z][A-Za-z0-9]{0,63}").fullmatch
_rest = re.compile(
    r"(?:https?://[^\s?#]+/)?([A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
).fullmatch
_search = re.compile(r"([A-Za-z]+)\?\S+").fullmatch
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+").fullmatch
_PROFILE = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(slots=True)
class Shape:
    """What `rest` must know of a type: `inline` elements were seen by straight-line code, `others` were
    not."""

    name: str
    inline: frozenset[str]
    lists: frozenset[str] = frozenset()
    primitives: frozenset[str] = frozenset()
    others: Mapping[str, Checker] = field(default_factory=dict)
    choices: tuple[frozenset[str], ...] = ()
    resource: bool = False
    backbone: bool = False


def add(problems: Problems, path: str, code: str, text: str) -> list[Problem]:
    """Append one problem."""
    if problems is None:
        return [Problem(path, code, text)]
    problems.append(Problem(path, code, text))
    return problems


def nest(problems: Problems, name: str, inner: list[Problem]) -> list[Problem]:
    """Append the problems of a part, with its name before their paths."""
    moved = [Problem(f"{name}.{p.path}" if p.path else name, p.code, p.text) for p in inner]
    if problems is None:
        return moved
    problems.extend(moved)
    return problems


def not_object(value: Any) -> list[Problem]:
    """Say why a value that must be a JSON object is none."""
    if type(value) is list:
        return [Problem("", "cardinality", "must be a single object, not a list")]
    if value is None:
        return [Problem("", "null", "must not be null")]
    return [Problem("", "type", "must be an object")]


def scalar(problems: Problems, name: str, value: Any, code: str, text: str) -> list[Problem]:
    """Say why a primitive value is refused: a list or object in its place has words of its own."""
    if type(value) is list:
        return add(problems, name, "cardinality", "must be a single value, not a list")
    if type(value) is dict:
        return add(problems, name, "type", "must be a plain value, not an object")
    if value is None:
        return add(problems, name, "null", "must not be null")
    if value == "" and type(value) is str:
        return add(problems, name, "empty", "must not be empty")
    return add(problems, name, code, text)


def companion(o: dict[str, Any], name: str, index: int) -> bool:
    """Say whether the null at this place of a list of primitives has its companion in `_name`."""
    others = o.get("_" + name)
    return type(others) is list and index < len(others) and others[index] is not None


def extensions(items: Any, check: Checker) -> Problems:
    """Check the list under `extension` or `modifierExtension`."""
    if type(items) is not list:
        return [Problem("", "cardinality", "must be a list")]
    if not items:
        return [Problem("", "empty", "must not be an empty list")]
    problems: Problems = None
    for i, item in enumerate(items):
        inner = check(item)
        if inner is not None:
            problems = nest(problems, f"[{i}]", inner)
    return problems


def _element(value: Any, extension: Checker) -> Problems:
    """Check what stands under `_x`: an object with `id` and/or `extension`."""
    if type(value) is not dict:
        return not_object(value)
    if not value:
        return [Problem("", "empty", "must not be an empty object")]
    problems: Problems = None
    for k, v in value.items():
        if k == "extension":
            inner = extensions(v, extension)
            if inner is not None:
                problems = _nest_list(problems, k, inner)
        elif k == "id":
            if type(v) is not str or not v or v.isspace():
                problems = add(problems, k, "value", "must be text")
        else:
            problems = add(problems, _printable(k), "unknown", "is not part of a primitive element")
    return problems


def _nest_list(problems: Problems, name: str, inner: list[Problem]) -> list[Problem]:
    moved = [Problem(name + p.path, p.code, p.text) for p in inner]
    return moved if problems is None else [*problems, *moved]


def _printable(key: Any) -> str:
    """Return a key if it looks like an element name; anything else may be somebody's data."""
    return key if type(key) is str and _NAME(key) else "?"


def _companions(o: dict[str, Any], shape: Shape, key: str, value: Any, extension: Checker) -> Problems:
    name = key[1:]
    if name not in shape.lists:
        inner = _element(value, extension)
        return None if inner is None else nest(None, key, inner)
    if type(value) is not list:
        return [Problem(key, "cardinality", "must be a list")]
    if not value or all(x is None for x in value):
        return [Problem(key, "empty", "must not be an empty list")]
    plain = o.get(name)
    problems: Problems = None
    if type(plain) is list and len(plain) != len(value):
        problems = add(problems, key, "cardinality", f"must be as long as {name}")
    for i, x in enumerate(value):
        if x is None:
            if type(plain) is not list or i >= len(plain) or plain[i] is None:
                problems = add(problems, f"{key}[{i}]", "null", "must not be null without a value")
            continue
        inner = _element(x, extension)
        if inner is not None:
            problems = nest(problems, f"{key}[{i}]", inner)
    return problems


def rest(shape: Shape, o: dict[str, Any], problems: Problems, extension: Checker) -> Problems:
    """Look at every key that the straight-line code did not count."""
    if not o:
        return add(problems, "", "empty", "must not be an empty object")
    alone: list[str] = []  # companions, whose values may be absent
    looked = 0  # elements that were not counted in line
    for k, v in o.items():
        if v is None:
            problems = add(problems, _printable(k), "null", "must not be null")
        elif k in shape.inline:
            continue
        elif k == "extension" or (k == "modifierExtension" and shape.backbone):
            inner = extensions(v, extension)
            if inner is not None:
                problems = _nest_list(problems, k, inner)
        elif (check := shape.others.get(k)) is not None:
            looked += 1
            inner = check(v)
            if inner is not None:
                problems = (_nest_list if k in shape.lists else nest)(problems, k, inner)
        elif k[:1] == "_" and k[1:] in shape.primitives:
            alone.append(k[1:])
            inner = _companions(o, shape, k, v, extension)
            if inner is not None:
                problems = inner if problems is None else [*problems, *inner]
        else:
            text = f"is not an element of {shape.name}"
            problems = add(problems, _printable(k), "unknown", text)
    if not shape.resource and len(o) == 1 and "id" in o:
        problems = add(problems, "", "ele-1", "must have content besides an id")
    for group in shape.choices:
        # Two plain alternatives of a small choice were counted in line; the rest is found here.
        counted = group <= shape.inline
        if group.isdisjoint(alone) if counted else looked + len(alone) < 2:
            continue
        present = {k.removeprefix("_") for k in o if k.removeprefix("_") in group}
        if len(present) > 1 and (not counted or sum(k in o for k in present) < 2):
            problems = add(
                problems, min(present), "choice", f"only one may be present: {_alternatives(present)}"
            )
    return problems


def _alternatives(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def two_of(o: dict[str, Any], problems: Problems, names: tuple[str, ...]) -> list[Problem]:
    """Report that several alternatives of a choice are present."""
    present = [n for n in names if o.get(n) is not None]
    return add(problems, present[0], "choice", f"only one may be present: {_alternatives(present)}")


def choice_missing(o: dict[str, Any], names: tuple[str, ...]) -> bool:
    """Say whether a required choice has not even an extension in the place of its value."""
    return not any("_" + n in o for n in names)


def bound(concept: dict[str, Any], systems: Mapping[str, Mapping[str, str]]) -> bool:
    """Say whether a sound CodeableConcept has a coding of the value set, or only an extension in its
    place."""
    codings = concept.get("coding")
    if codings is None:
        return "extension" in concept and "text" not in concept
    return any(c.get("code") in systems.get(c.get("system", ""), ()) or _vague(c) for c in codings)


def bound_coding(coding: dict[str, Any], systems: Mapping[str, Mapping[str, str]]) -> bool:
    """Say whether a sound Coding or Quantity is of the value set, or only an extension in its place."""
    return coding.get("code") in systems.get(coding.get("system", ""), ()) or _vague(coding)


def _vague(coding: dict[str, Any]) -> bool:
    return "code" not in coding and ("extension" in coding or "_code" in coding)


def reference(value: str, targets: frozenset[str]) -> Problems:
    """Judge a literal reference that is neither `urn:uuid:` nor plainly `Type/id` of an allowed type."""
    if value[:1] == "#":
        return [Problem("reference" + value, LOCAL, "")]
    if value[:9] == "urn:uuid:":
        if is_uuid(value):
            return None
        return [Problem("reference", "reference", "must be urn:uuid: and a lower-case UUID")]
    if value[:8] == "urn:oid:" and not is_oid(value):
        return [Problem("reference", "reference", "must be urn:oid: and an OID")]
    absolute = "://" in value
    found = _rest(value) or _search(value)
    if found is None:
        if _scheme(value):
            return None
        return [Problem("reference", "reference", "must be Type/id, an absolute URL, urn:uuid:… or #id")]
    kind = found[1]
    if kind in targets or (absolute and kind not in definitions.resource_types()):
        return None
    if kind not in definitions.resource_types():
        return [Problem("reference", "reference", "names a resource type that R4 does not have")]
    return [Problem("reference", "reference-target", f"must point to {_list(targets)}")]


def _list(targets: frozenset[str]) -> str:
    names = sorted(targets)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def reference_type(o: dict[str, Any], value: Any, targets: frozenset[str]) -> Problems:
    """Judge Reference.type: a resource type that fits the element and the literal reference."""
    if type(value) is not str or not value or " " in value:
        return [Problem("type", "value", "must be the name of a resource type")]
    kind = value.removeprefix(_PROFILE)
    if kind not in definitions.resource_types():
        return None if _scheme(value) else [Problem("type", "reference", "names no resource type of R4")]
    if kind not in targets:
        return [Problem("type", "reference-target", f"must be {_list(targets)}")]
    literal = o.get("reference")
    found = _rest(literal) if type(literal) is str else None
    if found is not None and found[1] in definitions.resource_types() and found[1] != kind:
        return [Problem("type", "reference", "differs from the type in the reference")]
    return None


def sound(problems: Problems) -> bool:
    """Say whether nothing is wrong so far: notes about local references are no problems."""
    return problems is None or all(p.code == LOCAL for p in problems)


def settle(o: dict[str, Any], problems: list[Problem] | None) -> Problems:
    """Finish a resource: match local references with contained resources (ref-1) and the reverse (dom-3)."""
    inside = o.get("contained")
    ids: set[str] = set()
    if type(inside) is list:
        ids = {c["id"] for c in inside if type(c) is dict and type(c.get("id")) is str}
        noted = {p.path.rpartition(".reference#")[2] for p in problems or () if p.code == LOCAL}
        if len(ids) < len(inside) or not ids <= noted:  # a reference names most, other words the rest
            used = set(_local_words(o))
            back = any(w == "#" for w in _local_words(inside))
            for i, c in enumerate(inside):
                if type(c) is dict and "#" + str(c.get("id")) not in used and not back:
                    problems = add(problems, f"contained[{i}]", "dom-3", "is not referred to by the resource")
    if problems is None:
        return None
    kept = []
    for p in problems:
        if p.code != LOCAL:
            kept.append(p)
            continue
        where, _, name = p.path.rpartition(
            ".reference#"
        )  # the note carries the local id at the end of its path
        if name not in ids and not (name == "" and where.startswith("contained[")):
            kept.append(Problem(f"{where}.reference", "ref-1", "points to no contained resource"))
    return kept or None


def _local_words(value: Any) -> Iterable[str]:
    if type(value) is str:
        if value[:1] == "#":
            yield value
    elif type(value) is dict:
        for v in value.values():
            yield from _local_words(v)
    elif type(value) is list:
        for v in value:
            yield from _local_words(v)


def contained(o: Any, check: Checker) -> Problems:
    """Check one contained resource: no containing of its own, no version, no security labels (dom-2, -4,
    -5)."""
    if type(o) is not dict:
        return not_object(o)
    problems = check(o)
    if "id" not in o:
        problems = add(problems, "id", "required", "is required in a contained resource")
    if "contained" in o:
        problems = add(problems, "contained", "dom-2", "a contained resource contains no other")
    meta = o.get("meta")
    if type(meta) is dict:
        if "versionId" in meta or "lastUpdated" in meta:
            problems = add(problems, "meta", "dom-4", "a contained resource has no version of its own")
        if "security" in meta:
            problems = add(problems, "meta.security", "dom-5", "a contained resource has no security label")
    return problems
