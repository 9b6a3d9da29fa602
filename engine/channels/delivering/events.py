"""What an entry did, as an event for programs: ids, versions, codes and states of what was written.

In: an entry, the resources it wrote as the core store says them now, what became of it. Out: one JSON object
in the envelope of CloudEvents 1.0 (JSON format), as docs/analysts/events.schema.json has it. No name, no
number of a patient and no value is in it: who needs those reads the resources, or asks for the content. Pure:
the same in gives the same out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.fhir import jsonio
from engine.kernel.clock import iso
from engine.kernel.message import Entry, Outcome

__all__ = ["EVENT_MEDIA", "event_body", "event_of", "happened"]

EVENT_MEDIA = "application/cloudevents+json"

Json = dict[str, Any]

_RESULTS = frozenset({"ORU", "OUL", "ORF"})
_ORDERS = frozenset({"ORM", "OML", "OMG", "OMI", "OMP", "RDE"})
_BY_TYPE = {
    **dict.fromkeys(("ORL", "ORR", "ORG", "ORI", "ORP", "RRE", "RRD", "RRG", "RRA"), "order.answered"),
    "RDS": "medication.dispensed",
    "RAS": "medication.administered",
    "RGV": "medication.given",
    "VXU": "immunization.recorded",
    "MDM": "document.received",
    "DFT": "charge.posted",
    "BAR": "account.changed",
    "REF": "referral.received",
    "RRI": "referral.answered",
    "PPR": "problem.changed",
    "PGL": "goal.changed",
    "PPP": "pathway.changed",
    "MFN": "master.changed",
    "cda": "document.received",
    "x12": "claim.received",
    "ncpdp": "prescription.received",
    "dicom": "imaging.received",
    "fhir": "resources.received",
}
"""By the type of message, where it alone says what happened."""

_OF_PATIENTS = {
    "A01": "admitted",
    "A02": "transferred",
    "A03": "discharged",
    "A04": "registered",
    "A05": "preadmitted",
    "A06": "made-inpatient",
    "A07": "made-outpatient",
    "A08": "updated",
    "A09": "departing",
    "A10": "arriving",
    "A11": "admission-cancelled",
    "A12": "transfer-cancelled",
    "A13": "discharge-cancelled",
    "A14": "admission-planned",
    "A15": "transfer-planned",
    "A16": "discharge-planned",
    "A17": "beds-swapped",
    **dict.fromkeys(("A18", "A30", "A34", "A35", "A36", "A39", "A40", "A41", "A42"), "merged"),
    "A21": "left-on-leave",
    "A22": "back-from-leave",
    "A23": "visit-deleted",
    "A24": "linked",
    "A25": "discharge-plan-cancelled",
    "A26": "transfer-plan-cancelled",
    "A27": "admission-plan-cancelled",
    "A28": "added",
    "A29": "deleted",
    **dict.fromkeys(("A46", "A47", "A48", "A49", "A50", "A51"), "renumbered"),
    "A31": "updated",
    "A32": "arrival-cancelled",
    "A33": "departure-cancelled",
    "A37": "unlinked",
    "A38": "preadmission-cancelled",
    **dict.fromkeys(("A43", "A44", "A45"), "moved"),
    "A52": "leave-cancelled",
    "A53": "return-cancelled",
    "A54": "doctor-changed",
    "A55": "doctor-change-cancelled",
    "A60": "allergies-updated",
}
"""By the event of ADT (HL7 v2.5.1 3.3)."""

_OF_APPOINTMENTS = {
    "S12": "booked",
    "S13": "rescheduled",
    "S15": "cancelled",
    "S16": "discontinued",
    "S17": "deleted",
    "S26": "not-kept",
}
"""By the event of SIU (HL7 v2.5.1 10.3)."""

_CORRECTED = frozenset({"corrected", "amended", "appended"})
_EARLY = frozenset({"preliminary", "partial", "registered"})
_CODED = frozenset({"DiagnosticReport", "Observation", "ServiceRequest"})
"""What is measured or ordered has a code that is named; a diagnosis is about a patient, and is not."""

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._^/-]{0,39}")
"""Codes that are written: a sender may put anything else into the field."""


def event_body(
    entry: Entry,
    resources: Sequence[Json],
    outcome: Outcome | None = None,
    with_content: bool = False,
    gone: Sequence[str] = (),
) -> bytes:
    """Return an event as JSON; decimals of the content keep their digits."""
    return jsonio.dumps(event_of(entry, resources, outcome, with_content, gone))


def event_of(
    entry: Entry,
    resources: Sequence[Json],
    outcome: Outcome | None = None,
    with_content: bool = False,
    gone: Sequence[str] = (),
) -> Json:
    """Say what an entry did. `gone` names resources (`Type/id`) that are deleted by now."""
    kind, _, rest = entry.message_type.partition("^")
    message, _, _ = rest.partition("^")
    data: Json = {
        "entry": entry.id,
        "channel": entry.channel,
        "message": f"{kind}^{message}" if message else kind,
        "received": iso(entry.received),
        "patients": sorted({name for one in resources for name in _patients(one)}),
        "resources": [_named(one) for one in resources],
        "deleted": list(gone),
    }
    if with_content:
        data["content"] = list(resources)
    return {
        "specversion": "1.0",
        "id": str(entry.id),
        "source": f"/channels/{entry.channel}",
        "type": _word(kind, message, resources),
        "time": iso(outcome.at if outcome is not None and outcome.at else entry.received),
        "datacontenttype": "application/json",
        "data": data,
    }


def happened(body: bytes) -> str:
    """Return the word of an event that was written."""
    return str(jsonio.loads(body)["type"])


def _word(kind: str, event: str, resources: Sequence[Json]) -> str:
    """Return the word of what happened."""
    if kind in _RESULTS:
        return f"result.{_of_results(resources)}"
    if kind == "ADT":
        if event == "A20":
            return "bed.changed"  # of nobody
        return f"patient.{_OF_PATIENTS.get(event, 'changed')}"
    if kind in _ORDERS:
        return f"order.{_of_orders(resources)}"
    if kind == "SIU":
        return f"appointment.{_OF_APPOINTMENTS.get(event, 'changed')}"
    return _BY_TYPE.get(kind.partition(" ")[0], "message.done")


def _of_results(resources: Iterable[Json]) -> str:
    """Return the state of results that reaches farthest: a correction is never told as a plain final."""
    reports, values = set(), set()
    for one in resources:
        if one.get("resourceType") == "DiagnosticReport":
            reports.add(one.get("status"))
        elif one.get("resourceType") == "Observation":
            values.add(one.get("status"))
    if (reports | values) & _CORRECTED or (reports - {"entered-in-error"} and "entered-in-error" in values):
        return "corrected"
    states = reports or values
    if states & {"cancelled", "entered-in-error"}:
        return "cancelled"
    if "final" in states:
        return "final"
    return "preliminary" if states & _EARLY else "received"


def _of_orders(resources: Iterable[Json]) -> str:
    orders = [r for r in resources if r.get("resourceType") in ("ServiceRequest", "MedicationRequest")]
    states = {one.get("status") for one in orders}
    for words, said in (
        (("revoked", "cancelled", "stopped", "entered-in-error"), "cancelled"),
        (("on-hold",), "held"),
        (("completed",), "completed"),
    ):
        if states & set(words):
            return said
    return "placed" if orders and all(_version(one) == "1" for one in orders) else "changed"


def _named(resource: Json) -> Json:
    """Name one resource: type, id, version, and where it is measured or ordered what and in which state."""
    named: Json = {"type": resource["resourceType"], "id": resource["id"], "version": _version(resource)}
    if resource["resourceType"] in _CODED:
        if isinstance(resource.get("status"), str):
            named["status"] = resource["status"]
        if codes := list(_codes(resource.get("code"))):
            named["codes"] = codes
    return named


def _codes(concept: Any) -> Iterable[Json]:
    codings = concept.get("coding", ()) if isinstance(concept, Mapping) else ()
    for coding in codings:
        system, code = coding.get("system"), coding.get("code")
        if isinstance(system, str) and isinstance(code, str) and _TOKEN.fullmatch(code):
            yield {"system": system, "code": code}


def _patients(resource: Json) -> Iterable[str]:
    """Give the patients a resource is about, by their id in the core store."""
    if resource["resourceType"] == "Patient":
        yield f"Patient/{resource['id']}"
    for element in ("subject", "patient", "for"):
        said = resource.get(element)
        name = said.get("reference") if isinstance(said, Mapping) else None
        if isinstance(name, str) and name.startswith("Patient/"):
            yield name


def _version(resource: Json) -> str:
    return str((resource.get("meta") or {}).get("versionId", ""))
