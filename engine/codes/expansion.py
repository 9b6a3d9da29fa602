"""ValueSet/$expand and ValueSet/$validate-code over the project's codes (FHIR R4 valueset-operations.html).

In: the address or the body of a ValueSet, a filter, count and offset. Out: the ValueSet with its expansion, a
page at a time. Followed are lists of codes, whole systems, `is-a`, `descendent-of` and `=` on a property, and
other value sets; a definition that says anything else is refused, never half followed. Implicit value sets:
`http://loinc.org/vs`, `http://snomed.info/sct?fhir_vs[=isa/ID|=refset/ID]` (R4 loinc.html, snomedct.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from engine.codes.operations import Asked, In, OperationError, param, parameters
from engine.codes.project import ProjectCodes
from engine.codes.searching import words
from engine.terminology.concepts import Concept

__all__ = ["expand", "validate_in"]

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
COUNT, MOST = 100, 1000
_DEEP = 20  # value sets inside value sets
_ALL = 100_000  # codes looked at where a definition excludes or combines


def expand(codes: ProjectCodes, given: In, now: str) -> dict[str, Any]:
    """Answer ValueSet/$expand; `now` is the time of the expansion."""
    given.only(
        ("url", "valueSet", "filter", "count", "offset", "activeOnly", "valueSetVersion", "displayLanguage")
    )
    definition = _definition(codes, given)
    text = given.text("filter")
    count, offset = given.number("count", COUNT), given.number("offset", 0)
    if count > MOST:
        raise OperationError(400, "too-costly", f"at most {MOST} codes a page; go on with offset")
    active = given.text("activeOnly") == "true"
    found = _concepts(codes, definition, text, 0)
    if active:
        found = (c for c in found if c.active)
    page = list(islice(found, offset, offset + count + 1))
    if "count" not in given.values and len(page) > count:
        raise OperationError(
            422, "too-costly", f"more than {count} codes: ask with count and offset, or with a filter"
        )
    contains = []
    for c in page[:count]:
        one: dict[str, Any] = {"system": c.system}
        if not c.active:
            one["inactive"] = True
        if c.version:
            one["version"] = c.version
        contains.append({**one, "code": c.code, **({"display": c.display} if c.display else {})})
    said = [
        ("filter", "valueString", text),
        ("count", "valueInteger", count),
        ("offset", "valueInteger", offset),
    ]
    expansion: dict[str, Any] = {"identifier": f"urn:uuid:{uuid4()}", "timestamp": now}
    if len(page) <= count:
        expansion["total"] = offset + len(page) if page or not offset else offset
    expansion["offset"] = offset
    expansion["parameter"] = [param(n, **{kind: value}) for n, kind, value in said if n in given.values]
    if not expansion["parameter"]:
        del expansion["parameter"]
    if contains:
        expansion["contains"] = contains
    made: dict[str, Any] = {k: definition[k] for k in ("url", "version", "name", "title") if k in definition}
    return {
        "resourceType": "ValueSet",
        **made,
        "status": definition.get("status", "active"),
        "expansion": expansion,
    }


def validate_in(codes: ProjectCodes, given: In) -> dict[str, Any]:
    """Answer ValueSet/$validate-code."""
    given.only(("url", "valueSet", "code", "system", "systemVersion", "display", "coding", "codeableConcept"))
    definition = _definition(codes, given)
    concept = given.part("codeableConcept")
    asked = (
        [Asked(*(str(c.get(k, "")) for k in ("system", "code"))) for c in concept.get("coding", ())]
        if concept
        else [given.coding()]
    )
    for one in asked:
        whole = one.whole()
        found = codes.lookup(whole.system, whole.code)
        name = found.display if found is not None else ""
        if _member(codes, definition, whole.system, whole.code, 0):
            return parameters(
                param("result", valueBoolean=True), param("display", valueString=name) if name else None
            )
    return parameters(
        param("result", valueBoolean=False), param("message", valueString="the code is not in this value set")
    )


def _definition(codes: ProjectCodes, given: In) -> dict[str, Any]:
    sent = given.part("valueSet")
    if sent:
        return sent
    url = given.text("url")
    if not url:
        raise OperationError(400, "required", "url or valueSet says what is asked for")
    return _known(codes, url, given.text("valueSetVersion"))


def _known(codes: ProjectCodes, url: str, version: str = "") -> dict[str, Any]:
    """Return the definition of a value set: one that was loaded, or an implicit one."""
    bare, _, after = url.partition("|")
    found = codes.store.document("ValueSet", bare, version or after)
    if found is not None:
        return found
    include: dict[str, Any] | None = None
    if bare == f"{LOINC}/vs":
        include = {"system": LOINC}
    elif bare == f"{SNOMED}?fhir_vs":
        include = {"system": SNOMED}
    elif bare.startswith(f"{SNOMED}?fhir_vs=isa/"):
        root = unquote(bare.rpartition("/")[2])
        include = {"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": root}]}
    elif bare.startswith(f"{SNOMED}?fhir_vs=refset/"):
        root = unquote(bare.rpartition("/")[2])
        include = {"system": SNOMED, "filter": [{"property": "concept", "op": "in", "value": root}]}
    elif bare in codes.folder.now().by_url or codes.store.in_force(bare) is not None:
        include = {"system": bare}  # the system's own address stands for all of it
    if include is None:
        raise OperationError(404, "not-found", "there is no such value set here")
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [include]}}


def _concepts(codes: ProjectCodes, definition: dict[str, Any], text: str, deep: int) -> Iterator[Concept]:
    """Give the concepts of a definition that fit the filter, each once."""
    compose = _compose(definition, deep)
    excluded = compose.get("exclude", ())
    seen: set[tuple[str, str]] = set()
    for include in compose.get("include", ()):
        for concept in _included(codes, include, text, deep):
            key = (concept.system, concept.code)
            if key in seen:
                continue
            seen.add(key)
            if not any(_in_part(codes, one, *key, deep) for one in excluded):
                yield concept


def _compose(definition: dict[str, Any], deep: int) -> dict[str, Any]:
    if deep > _DEEP:
        raise OperationError(422, "too-costly", "value sets stand too deep inside each other")
    compose = definition.get("compose")
    if not isinstance(compose, dict) or not compose.get("include"):
        raise OperationError(422, "not-supported", "the value set has no definition that can be followed")
    return compose


def _included(codes: ProjectCodes, part: dict[str, Any], text: str, deep: int) -> Iterator[Concept]:
    system, version = str(part.get("system", "")), str(part.get("version", ""))
    others = [_known(codes, str(url)) for url in part.get("valueSet", ())]
    if system:
        found = _of_system(codes, part, system, version, text)
    elif others:
        found, others = _concepts(codes, others[0], text, deep + 1), others[1:]
    else:
        raise OperationError(422, "not-supported", "an include names neither a system nor a value set")
    for concept in found:
        if all(_member(codes, one, concept.system, concept.code, deep + 1) for one in others):
            yield concept


def _of_system(
    codes: ProjectCodes, part: dict[str, Any], system: str, version: str, text: str
) -> Iterator[Concept]:
    listed = part.get("concept")
    if listed:
        for one in listed:
            code, display = str(one.get("code", "")), str(one.get("display", ""))
            known = codes.lookup(system, code, version)
            concept = known or Concept(system, code, display)
            if _fits(concept, display, text):
                yield concept
        return
    if not any(r.system == system for r in codes.releases()):
        raise OperationError(404, "not-found", "no release of a code system of this value set is loaded")
    filters = part.get("filter", ())
    equal = {str(f["property"]): str(f["value"]) for f in filters if f.get("op") == "="}
    kinds = [f for f in filters if f.get("op") != "="]
    if not kinds:
        for start in range(0, _ALL, MOST):
            page = codes.search(system, text, MOST, start, equal)
            yield from page
            if len(page) < MOST:
                return
        return
    first, *rest = kinds
    for code in _below(codes, system, first):
        known = codes.lookup(system, code, version)
        if (
            known is not None
            and _fits(known, "", text)
            and all(_has(known, k, v) for k, v in equal.items())
            and all(_is_below(codes, system, code, one) for one in rest)
        ):
            yield known


def _below(codes: ProjectCodes, system: str, one: dict[str, Any]) -> Iterator[str]:
    root = str(one.get("value", ""))
    if one.get("op") == "in" and system == SNOMED:
        yield from codes.store.members(root)
        return
    if one.get("op") == "is-a":
        yield root
    elif one.get("op") != "descendent-of":
        raise OperationError(422, "not-supported", "the value set has a filter that is not followed here")
    yield from codes.store.descendants(system, root)


def _is_below(codes: ProjectCodes, system: str, code: str, one: dict[str, Any]) -> bool:
    if one.get("op") == "in" and system == SNOMED:
        return code in set(codes.store.members(str(one.get("value", ""))))
    if one.get("op") not in ("is-a", "descendent-of"):
        raise OperationError(422, "not-supported", "the value set has a filter that is not followed here")
    said = codes.subsumes(system, str(one.get("value", "")), code)
    return said == "subsumes" or (said == "equivalent" and one.get("op") == "is-a")


def _member(codes: ProjectCodes, definition: dict[str, Any], system: str, code: str, deep: int) -> bool:
    compose = _compose(definition, deep)
    return any(_in_part(codes, one, system, code, deep) for one in compose["include"]) and not any(
        _in_part(codes, one, system, code, deep) for one in compose.get("exclude", ())
    )


def _in_part(codes: ProjectCodes, part: dict[str, Any], system: str, code: str, deep: int) -> bool:
    """Say whether an include or exclude has a code, without expanding it."""
    named = str(part.get("system", ""))
    if named and named != system:
        return False
    listed = part.get("concept")
    if listed and code not in {str(one.get("code", "")) for one in listed}:
        return False
    if named and not listed:
        concept = codes.lookup(system, code, str(part.get("version", "")))
        if concept is None:
            return False
        for one in part.get("filter", ()):
            if one.get("op") == "=":
                if not _has(concept, str(one.get("property", "")), str(one.get("value", ""))):
                    return False
            elif not _is_below(codes, system, code, one):
                return False
    return all(
        _member(codes, _known(codes, str(url)), system, code, deep + 1) for url in part.get("valueSet", ())
    )


def _has(concept: Concept, name: str, value: str) -> bool:
    """Say whether a property has a value; several stand a line each."""
    return value in concept.properties.get(name, "").split("\n")


def _fits(concept: Concept, display: str, text: str) -> bool:
    """Say whether every word of a filter begins a word of a name."""
    if not text or text == concept.code:
        return True
    have = words(f"{concept.display} {display}".casefold())
    return all(any(one.startswith(w) for one in have) for w in words(text.casefold()))
