"""Which search parameters each resource type takes: those of FHIR R4 that the core store answers as R4
defines them.

In: the R4 search parameters (definitions) and what the store keeps in columns. Out: names, types and remarks
for the CapabilityStatement and for refusing the rest. A parameter whose R4 meaning is another than the
store's is left out rather than answered wrongly (`date` of MedicationRequest is that of its dosage).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from engine.fhir.definitions import resource_types, search_parameters
from engine.store.document_search import DOCUMENT_PARAMETERS

__all__ = ["FORMATS", "Parameter", "parameters", "searchable"]

FORMATS = ("application/fhir+json", "json")
_PATIENT = ("subject", "patient", "beneficiary", "for", "individual")
_DATED = (
    "AllergyIntolerance",
    "CarePlan",
    "Composition",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "EpisodeOfCare",
    "Flag",
    "Immunization",
    "Observation",
    "Procedure",
)
_CODED = ("code", "medication")
_REMARKS = {
    ("AllergyIntolerance", "code"): "searches AllergyIntolerance.code, not reaction.substance",
    ("AllergyIntolerance", "date"): "recordedDate; the onset where there is none",
    ("DocumentReference", "identifier"): "with patient or patient.identifier masterIdentifier, too",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One search parameter of one type, as a CapabilityStatement names it."""

    name: str
    type: str
    remark: str = ""


@cache
def parameters(kind: str) -> dict[str, Parameter]:
    """Return the search parameters of a resource type by name."""
    if kind == "Provenance":
        return {"target": Parameter("target", "reference", "one Type/id, alone")}
    out = {
        "_id": Parameter("_id", "token"),
        "_lastUpdated": Parameter("_lastUpdated", "date", "eq, ge, gt, le, lt; repeat it for a range"),
    }
    known = search_parameters(kind)
    for name in ("identifier", "patient", "subject", "code", "date"):
        if name in known and _answered(kind, name, known[name].expression):
            remark = _REMARKS.get((kind, name), "")
            if name in ("patient", "subject"):
                remark = "a Patient by Type/id or id; no chaining"
            out[name] = Parameter(name, known[name].type, remark)
    if kind == "DocumentReference":
        together = "together with patient, patient.identifier, identifier or _id"
        for name, type_ in DOCUMENT_PARAMETERS.items():
            out[name] = Parameter(name, type_, together)
        out["patient.identifier"] = Parameter("patient.identifier", "token", "of the patient; a chain")
    return out


def _answered(kind: str, name: str, expression: str) -> bool:
    """Say whether the store looks where R4 says this parameter looks."""
    if name == "date":
        return kind in _DATED
    first = {"identifier": ("identifier",), "code": _CODED}.get(name, _PATIENT)
    clauses = [clause.strip().strip("(") for clause in expression.split("|")]
    return any(
        clause == f"{kind}.{one}" or clause.startswith((f"{kind}.{one}.where(", f"{kind}.{one} as "))
        for clause in clauses
        for one in first
    )


@cache
def searchable() -> tuple[str, ...]:
    """Return the resource types that can be read and searched, in order."""
    never = {"Bundle", "CapabilityStatement", "OperationOutcome", "Parameters"}
    return tuple(sorted(resource_types() - never))
