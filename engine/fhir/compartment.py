"""The compartment of a patient: which resources are about whom (FHIR R4 compartmentdefinition-patient.html).

In: a resource, the id of a Patient. Out: whether it belongs to that patient. Where a resource says whose it
is (its subject), that decides: somebody who is named in it as performer, author or payor does not see another
person's resource by that. The elements are those behind the search parameters of the definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["OWNERS", "belongs", "is_somebodys"]

_BY_SUBJECT = """
Account AdverseEvent Basic CarePlan CareTeam ChargeItem ClinicalImpression Communication CommunicationRequest
Composition Condition DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference
Encounter Flag Goal ImagingStudy Invoice List MeasureReport Media MedicationAdministration MedicationDispense
MedicationRequest MedicationStatement Observation Procedure QuestionnaireResponse RequestGroup RiskAssessment
ServiceRequest Specimen
"""
_BY_PATIENT = """
AllergyIntolerance BodyStructure Claim ClaimResponse Consent CoverageEligibilityRequest
CoverageEligibilityResponse DetectedIssue EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Immunization
ImmunizationEvaluation ImmunizationRecommendation MolecularSequence NutritionOrder RelatedPerson
SupplyDelivery VisionPrescription
"""
OWNERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_BY_SUBJECT.split(), ("subject",)),
    **dict.fromkeys(_BY_PATIENT.split(), ("patient",)),
    "Appointment": ("participant.actor",),
    "AppointmentResponse": ("actor",),
    "AuditEvent": ("agent.who", "entity.what"),
    "Coverage": ("beneficiary",),
    "EnrollmentRequest": ("candidate",),
    "Group": ("member.entity",),
    "Person": ("link.target",),
    "Provenance": ("target",),
    "ResearchSubject": ("individual",),
    "Schedule": ("actor",),
    "SupplyRequest": ("deliverTo",),
    "Task": ("for", "focus"),
}
"""The element that says whose a resource is; a type that is not here, and is not Patient, is nobody's."""

_OTHERS: dict[str, tuple[str, ...]] = {
    "AllergyIntolerance": ("recorder", "asserter"),
    "Basic": ("author",),
    "CarePlan": ("activity.detail.performer",),
    "CareTeam": ("participant.member",),
    "Claim": ("payee.party",),
    "Communication": ("sender", "recipient"),
    "CommunicationRequest": ("sender", "recipient", "requester"),
    "Composition": ("author", "attester.party"),
    "Condition": ("asserter",),
    "Coverage": ("policyHolder", "subscriber", "payor"),
    "DeviceRequest": ("performer",),
    "DocumentManifest": ("author", "recipient"),
    "DocumentReference": ("author",),
    "ExplanationOfBenefit": ("payee.party",),
    "Invoice": ("recipient",),
    "List": ("source",),
    "MedicationAdministration": ("performer.actor",),
    "MedicationDispense": ("receiver",),
    "Observation": ("performer",),
    "Procedure": ("performer.actor",),
    "QuestionnaireResponse": ("author",),
    "RequestGroup": ("action.participant",),
    "ServiceRequest": ("performer",),
}
"""The other elements of the definition: they count where nothing says whose the resource is."""


def belongs(resource: dict[str, Any], patient: str) -> bool:
    """Say whether a resource is of this patient and of nobody else."""
    kind = str(resource.get("resourceType"))
    if kind == "Patient":
        return resource.get("id") == patient
    found = _patients_in(resource, OWNERS.get(kind, ())) or _patients_in(resource, _OTHERS.get(kind, ()))
    return found == {f"Patient/{patient}"}


def is_somebodys(resource: dict[str, Any]) -> bool:
    """Say whether a resource is about any patient at all."""
    kind = str(resource.get("resourceType"))
    paths = OWNERS.get(kind, ()) + _OTHERS.get(kind, ())
    return kind == "Patient" or bool(_patients_in(resource, paths))


def _patients_in(resource: dict[str, Any], paths: tuple[str, ...]) -> set[str]:
    return {text for path in paths for text in _references(resource, path.split(".")) if "Patient/" in text}


def _references(value: Any, path: list[str]) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _references(one, path)
    elif isinstance(value, dict):
        if path:
            yield from _references(value.get(path[0]), path[1:])
        elif isinstance(value.get("reference"), str):
            yield value["reference"].partition("/_history/")[0]
