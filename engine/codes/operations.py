"""The operations of a FHIR terminology service over the project's codes: $lookup, $validate-code, $subsumes,
$translate (FHIR R4 codesystem-operations.html, conceptmap-operations.html); $expand is in expansion.py.

In: parameters as a client sent them (`In`), the codes of the project. Out: `Parameters` resources. What
cannot be answered is an `OperationError` with a status and an issue code; it never repeats a value that was
sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.codes.project import ProjectCodes
from engine.kernel.errors import HubError
from engine.terminology.concepts import Concept

__all__ = ["Asked", "In", "OperationError", "lookup", "param", "parameters", "subsumes", "translate"]
__all__ += ["validate_code"]


class OperationError(HubError):
    """An operation that cannot be answered. `code` is of the value set issue-type."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass(frozen=True, slots=True)
class In:
    """The parameters of one call: name -> values, each a text or a piece of JSON."""

    values: Mapping[str, Sequence[Any]]

    def only(self, known: Sequence[str]) -> None:
        """Refuse parameters that would change the answer and are not followed."""
        for name in self.values:
            if name not in known:
                raise OperationError(400, "not-supported", f"this operation takes {', '.join(known)}")

    def text(self, name: str) -> str:
        """Return a parameter as text, "" where it was not sent."""
        values = self.values.get(name, ())
        if len(values) > 1:
            raise OperationError(400, "invalid", f"{name} may be given once")
        return "" if not values else str(values[0]) if not isinstance(values[0], dict) else ""

    def part(self, name: str) -> dict[str, Any]:
        """Return a parameter that is an element or a resource."""
        for value in self.values.get(name, ()):
            if isinstance(value, dict):
                return value
        return {}

    def number(self, name: str, otherwise: int) -> int:
        """Return a parameter that is a whole number, 0 or more."""
        text = self.text(name)
        if not text:
            return otherwise
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise OperationError(400, "invalid", f"{name} takes a whole number")
        return int(text)

    def coding(self, code: str = "code", system: str = "system", coding: str = "coding") -> Asked:
        """Return the code that is asked for, given as code and system or as a coding."""
        given = self.part(coding)
        if given:
            return Asked(*(str(given.get(k, "")) for k in ("system", "code", "version", "display")))
        return Asked(self.text(system), self.text(code), self.text("version"), self.text("display"))


@dataclass(frozen=True, slots=True)
class Asked:
    """A code that is asked about."""

    system: str
    code: str
    version: str = ""
    display: str = ""

    def whole(self) -> Asked:
        """Refuse a code without its system."""
        if not self.code or not self.system:
            raise OperationError(400, "required", "code and system, or a coding, say what is asked for")
        return self


def parameters(*parts: dict[str, Any] | None) -> dict[str, Any]:
    """Make a Parameters resource."""
    return {"resourceType": "Parameters", "parameter": [p for p in parts if p is not None]}


def param(name: str, **value: Any) -> dict[str, Any]:
    """Make one parameter."""
    return {"name": name, **value}


def lookup(codes: ProjectCodes, given: In) -> dict[str, Any]:
    """Answer CodeSystem/$lookup."""
    given.only(("code", "system", "version", "coding", "property", "date", "displayLanguage"))
    asked = given.coding().whole()
    found = codes.lookup(asked.system, asked.code, asked.version)
    if found is None:
        _known_system(codes, asked.system, asked.version)
        raise OperationError(404, "not-found", "the code system has no such code")
    wanted = [str(v) for v in given.values.get("property", ())]
    parts = [param("name", valueString=_name_of(asked.system))]
    if found.version:
        parts.append(param("version", valueString=found.version))
    parts.append(param("display", valueString=found.display or found.code))
    if not wanted or "designation" in wanted:
        for text, language, use in codes.store.names(asked.system, asked.code, asked.version):
            inner = [param("language", valueCode=language)] if language else []
            if use:
                inner.append(param("use", valueCoding={"display": use}))
            parts.append(param("designation", part=[*inner, param("value", valueString=text)]))
    parts += [p for p in _properties(found) if not wanted or p["part"][0]["valueCode"] in wanted]
    return parameters(*parts)


def _properties(found: Concept) -> list[dict[str, Any]]:
    made = [_property("inactive", valueBoolean=not found.active)]
    made += [_property("parent", valueCode=code) for code in found.parents]
    for name in sorted(found.properties):
        for line in found.properties[name].split("\n"):
            if line:
                made.append(_property(name, valueString=line))
    return made


def _property(code: str, **value: Any) -> dict[str, Any]:
    return param("property", part=[param("code", valueCode=code), param("value", **value)])


def validate_code(codes: ProjectCodes, given: In) -> dict[str, Any]:
    """Answer CodeSystem/$validate-code."""
    given.only(("url", "code", "version", "display", "coding", "codeableConcept", "date", "displayLanguage"))
    concept = given.part("codeableConcept")
    if concept:
        url = given.text("url")
        codings = [
            Asked(*(str(c.get(k, "")) for k in ("system", "code", "version", "display")))
            for c in concept.get("coding", ())
            if isinstance(c, dict)
        ]
        tried = [c for c in codings if c.code and c.system and (not url or c.system == url)]
        if not tried:
            raise OperationError(400, "required", "the codeableConcept has no coding of this system")
        for one in tried:
            known, said = codes.validate(one.system, one.code, one.display, one.version)
            if known:
                return _valid(codes, one, True, said)
        return _valid(codes, tried[0], False, said)
    asked = given.coding(system="url").whole()
    known, said = codes.validate(asked.system, asked.code, asked.display, asked.version)
    return _valid(codes, asked, known, said)


def _valid(codes: ProjectCodes, asked: Asked, known: bool, said: str) -> dict[str, Any]:
    found = codes.lookup(asked.system, asked.code, asked.version)
    return parameters(
        param("result", valueBoolean=known and not (asked.display and said)),
        param("message", valueString=said) if said else None,
        param("display", valueString=found.display) if found is not None and found.display else None,
    )


def subsumes(codes: ProjectCodes, given: In) -> dict[str, Any]:
    """Answer CodeSystem/$subsumes."""
    given.only(("codeA", "codeB", "system", "version", "codingA", "codingB"))
    a, b = (given.coding(f"code{x}", "system", f"coding{x}").whole() for x in "AB")
    if a.system != b.system:
        raise OperationError(400, "invalid", "both codes have to be of one system")
    found = codes.subsumes(a.system, a.code, b.code, a.version or b.version)
    if found is None:
        _known_system(codes, a.system, a.version or b.version)
        raise OperationError(404, "not-found", "the code system lacks one of the codes")
    return parameters(param("outcome", valueCode=found))


def translate(codes: ProjectCodes, given: In, own: str) -> dict[str, Any]:
    """Answer ConceptMap/$translate; `url` may name one of the project's tables, `<own>/<table>`."""
    given.only(
        ("url", "code", "system", "version", "coding", "codeableConcept", "targetsystem", "conceptMapVersion")
    )
    target, url = given.text("targetsystem"), given.text("url")
    concept = given.part("codeableConcept")
    codings = (
        [Asked(str(c.get("system", "")), str(c.get("code", ""))) for c in concept.get("coding", ())]
        if concept
        else [given.coding()]
    )
    if url:
        name = url.removeprefix(f"{own}/")
        table = codes.folder.now().tables.get(name) if name != url else None
        if table is None:
            raise OperationError(404, "not-found", "there is no such concept map here")
        found = [m for c in codings if c.code and (m := codes.by_table(name, table, c.system, c.code))]
    else:
        found = [m for c in codings for m in codes.translate(c.whole().system, c.code, target)]
    if target:
        found = [m for m in found if m.system == target]
    matches = []
    for m in found:
        coding = {"system": m.system, "code": m.code, "display": m.display}
        parts = [
            param("equivalence", valueCode=m.equivalence),
            param("concept", valueCoding={k: v for k, v in coding.items() if v}),
        ]
        table_name, at, _ = m.source.partition("@")
        if at:
            parts.append(param("source", valueUri=f"{own}/{table_name}"))
        matches.append(param("match", part=parts))
    result = any(m.equivalence not in ("unmatched", "disjoint") for m in found)
    message = None if found else param("message", valueString="no map that is loaded here translates it")
    return parameters(param("result", valueBoolean=result), message, *matches)


def _known_system(codes: ProjectCodes, system: str, version: str) -> None:
    loaded = [r for r in codes.releases() if r.system == system]
    if not loaded:
        raise OperationError(404, "not-found", "no release of this code system is loaded")
    if version and version not in {r.version for r in loaded}:
        raise OperationError(404, "not-found", "this version of the code system is not loaded")


_NAMES = {
    "http://loinc.org": "LOINC",
    "http://snomed.info/sct": "SNOMED CT",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://unitsofmeasure.org": "UCUM",
}


def _name_of(system: str) -> str:
    return _NAMES.get(system) or system.rstrip("/").rpartition("/")[2] or system
