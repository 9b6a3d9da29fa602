"""The terminology operations of the FHIR endpoint: CodeSystem/$lookup, $validate-code, $subsumes,
ValueSet/$expand, $validate-code, ConceptMap/$translate (FHIR R4 terminology-service.html).

In: `Ask`s whose path ends with `$name`, by GET, by POST of a form or of a Parameters resource. Out: `Reply`s.
The codes are those of the project (`engine.codes.project`). Also what the endpoint says of itself: the
operations of the CapabilityStatement and the TerminologyCapabilities, made from what is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine import __version__
from engine.codes.expansion import expand, validate_in
from engine.codes.operations import In, OperationError, lookup, subsumes, translate, validate_code
from engine.codes.project import ProjectCodes
from engine.codes.store import CodeStore
from engine.console.exchange import Ask
from engine.console.refusals import Refusal
from engine.fhir import jsonio
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config
from engine.kernel.errors import FormatError
from engine.terminology.folder import TerminologyFolder

__all__ = ["OPERATIONS", "TerminologyDesk", "operations_of"]

OPERATIONS: dict[str, tuple[str, ...]] = {
    "CodeSystem": ("lookup", "subsumes", "validate-code"),
    "ConceptMap": ("translate",),
    "ValueSet": ("expand", "validate-code"),
}
_GENERAL = frozenset({"_format", "_pretty"})


def operations_of(kind: str) -> list[dict[str, str]]:
    """Return the operations of a type, for the CapabilityStatement."""
    return [
        {"name": name, "definition": f"http://hl7.org/fhir/OperationDefinition/{kind}-{name}"}
        for name in OPERATIONS.get(kind, ())
    ]


class TerminologyDesk:
    """Answers the operations for one project."""

    def __init__(self, config: Config) -> None:
        folder = TerminologyFolder(config.root / "terminology")
        self.codes = ProjectCodes(CodeStore(config.data_dir / "codes.db"), folder)
        self._own = f"{config.identity_base}/ConceptMap"

    def answer(self, ask: Ask) -> tuple[dict[str, Any], str, str]:
        """Answer one operation: the resource, and what the audit table is to know. Raises Refusal."""
        kind, name = ask.path[0], ask.path[-1].removeprefix("$")
        if len(ask.path) != 2 or name not in OPERATIONS.get(kind, ()):
            raise Refusal(404, "there is no such operation here; /fhir/metadata says what there is")
        if ask.method not in ("GET", "HEAD", "POST"):
            raise Refusal(405, "operations are asked by GET or POST", headers={"Allow": "GET, POST"})
        given = In(_given(ask))
        answers: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
            ("CodeSystem", "lookup"): lambda: lookup(self.codes, given),
            ("CodeSystem", "subsumes"): lambda: subsumes(self.codes, given),
            ("CodeSystem", "validate-code"): lambda: validate_code(self.codes, given),
            ("ConceptMap", "translate"): lambda: translate(self.codes, given, self._own),
            ("ValueSet", "expand"): lambda: expand(self.codes, given, iso(now_ms())),
            ("ValueSet", "validate-code"): lambda: validate_in(self.codes, given),
        }
        try:
            made = answers[kind, name]()
        except OperationError as e:
            raise Refusal(e.status, e.text, code=e.code, what=kind) from None
        said = " ".join(
            f"{k}={v}" for k, values in given.values.items() for v in values if not isinstance(v, dict)
        )
        return made, name, said

    def capabilities(self, hub: str, base: str, started: int) -> dict[str, Any]:
        """Return the TerminologyCapabilities (R4 terminologycapabilities.html)."""
        systems: dict[str, list[dict[str, Any]]] = {}
        for release in self.codes.releases():
            versions = systems.setdefault(release.system, [])
            if release.version:
                versions.append({"code": release.version, "isDefault": not versions, "compositional": False})
        return {
            "resourceType": "TerminologyCapabilities",
            "status": "active",
            "date": iso(started),
            "kind": "instance",
            "software": {"name": "hub", "version": __version__},
            "implementation": {"description": hub, "url": base},
            "codeSystem": [
                {"uri": uri, **({"version": versions} if versions else {})}
                for uri, versions in sorted(systems.items())
            ],
            "expansion": {
                "hierarchical": False,
                "paging": True,
                "incomplete": False,
                "parameter": [
                    {"name": name}
                    for name in (
                        "activeOnly",
                        "count",
                        "filter",
                        "offset",
                        "url",
                        "valueSet",
                        "valueSetVersion",
                    )
                ],
                "textFilter": "Every word of the filter begins a word of a name of the concept.",
            },
            "codeSearch": "all",
            "validateCode": {"translations": False},
            "translation": {"needsMap": False},
        }


def _given(ask: Ask) -> dict[str, list[Any]]:
    """Return the parameters of a call, however they were sent."""
    made: dict[str, list[Any]] = {}
    for name, value in (*ask.query, *(ask.form or ())):
        if name not in _GENERAL:
            made.setdefault(name, []).append(value)
    if ask.method != "POST" or ask.form is not None:
        return made
    try:
        body = jsonio.loads(ask.body)
    except (FormatError, ValueError):
        raise Refusal(400, "the body is not JSON") from None
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise Refusal(400, "an operation by POST takes a Parameters resource, or a form")
    for one in body.get("parameter", ()):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Refusal(400, "a parameter has no name")
        values = [v for k, v in one.items() if k.startswith("value") or k == "resource"]
        if len(values) != 1:
            raise Refusal(400, "a parameter has one value")
        value = values[0]
        text = ("true" if value else "false") if isinstance(value, bool) else value
        made.setdefault(one["name"], []).append(text if isinstance(text, dict) else str(text))
    return made
