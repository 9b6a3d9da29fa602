"""A scheduled step as a dataset of the worklist information model (PS3.4 table K.6-1).

In: a `Planned` step, and who and what stands behind it in the core store. Out: a dataset with every attribute
of IHE RAD-5 that is known; one that is not known is empty. `Behind` reads people, visits and places many at a
time and keeps them until they change.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from engine.channels.node.persons import SEXES, issuer_item, name_of, patient_numbers
from engine.channels.node.scheduled import Planned, concept_text

__all__ = ["Behind", "attributes"]

Json = Mapping[str, Any]
MOST = 20_000
"""People kept in memory."""
WEIGHTS = frozenset({"29463-7", "3141-9"})
PREGNANT = {"77386006": 3, "LA15173-0": 3, "60001007": 1, "LA26683-5": 1, "LA4489-6": 4}
"""SNOMED CT and LOINC answers to whether a patient is pregnant -> (0010,21C0)."""
LONG, SHORT = 64, 16


class Store(Protocol):
    """The core store."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def search(self, type: str, parameters: Any, count: int = 50, cursor: str | None = None) -> Any: ...


class Behind:
    """What orders refer to, read once and forgotten when it changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[tuple[str, str], Json | None] = {}
        self._names: dict[str, str] = {}
        self._allergies: dict[str, tuple[str, ...]] = {}  # by patient
        self._whose: dict[str, str] = {}  # allergy -> patient
        self._lock = threading.Lock()

    def load(self, steps: Sequence[Planned]) -> None:
        """Read the patients and visits of these steps that are not known yet, together."""
        wanted: dict[str, dict[str, None]] = {"Patient": {}, "Encounter": {}}
        for step in steps:
            for kind, id_ in (("Patient", step.patient), ("Encounter", step.encounter)):
                if id_ and (kind, id_) not in self._held:
                    wanted[kind][id_] = None
        for kind, ids in wanted.items():
            self._keep(self._read(kind, list(ids)))
        self._load_allergies([step.patient for step in steps])

    def _load_allergies(self, patients: Iterable[str]) -> None:
        ids = list(dict.fromkeys(id_ for id_ in patients if id_ and id_ not in self._allergies))
        told: dict[str, dict[str, None]] = {id_: {} for id_ in ids}
        whose: dict[str, str] = {}
        place: str | None = None
        while ids:
            page = self._store.search("AllergyIntolerance", [("patient", ",".join(ids))], 1000, place)
            for one in page.resources:
                patient = str((one.get("patient") or {}).get("reference") or "").removeprefix("Patient/")
                whose[one["id"]] = patient
                if _holds(one):
                    told[patient][concept_text(one.get("code"))] = None
            place = page.cursor
            if place is None:
                break
        with self._lock:
            self._whose |= whose
            self._allergies |= {patient: tuple(texts) for patient, texts in told.items()}

    def load_names(self, patients: Iterable[str]) -> None:
        """Read the names of patients that are not known yet, together."""
        ids = list(dict.fromkeys(id_ for id_ in patients if id_ and id_ not in self._names))
        found = {id_: name_of(body or {}) for (_, id_), body in self._read("Patient", ids).items()}
        with self._lock:
            self._names |= found

    def _read(self, kind: str, ids: Sequence[str]) -> dict[tuple[str, str], Json | None]:
        if not ids:
            return {}
        page = self._store.search(kind, [("_id", ",".join(ids))], len(ids))
        found = {resource["id"]: resource for resource in page.resources}
        return {(kind, id_): found.get(id_) for id_ in ids}

    def _keep(self, found: Mapping[tuple[str, str], Json | None]) -> None:
        with self._lock:
            if len(self._held) > MOST:
                self._held.clear()
            self._held.update(found)
            self._names |= {
                id_: name_of(body or {}) for (kind, id_), body in found.items() if kind == "Patient"
            }

    def get(self, kind: str, id_: str) -> Json:
        """Return a resource; an empty one where there is none."""
        if not id_:
            return {}
        if (kind, id_) not in self._held:
            self._keep({(kind, id_): self._store.read(kind, id_)})
        return self._held.get((kind, id_)) or {}

    def at(self, reference: str) -> Json:
        """Return what a reference leads to."""
        kind, _, id_ = reference.partition("/")
        return self.get(kind, id_) if kind[:1].isupper() else {}

    def name(self, patient: str) -> str:
        """Return the name of a patient as PN."""
        if patient not in self._names:
            self.load_names([patient])
        return self._names.get(patient, "")

    def person(self, reference: str) -> str:
        """Return the name of somebody as PN."""
        if reference.startswith("="):
            return reference[1:]
        found = self.at(reference)
        if found.get("resourceType") == "PractitionerRole":
            found = self.at(str((found.get("practitioner") or {}).get("reference") or ""))
        return name_of(found)

    def allergies(self, patient: str) -> tuple[str, ...]:
        """Return what a patient is known to be allergic to."""
        if patient and patient not in self._allergies:
            self._load_allergies([patient])
        return self._allergies.get(patient, ())

    def forget(self, kind: str, id_: str) -> None:
        """Forget what has changed."""
        with self._lock:
            self._held.pop((kind, id_), None)
            if kind == "Patient":
                self._names.pop(id_, None)
                self._allergies.pop(id_, None)
        if kind == "AllergyIntolerance":
            body = self._store.read(kind, id_) or {}
            whose = str((body.get("patient") or {}).get("reference") or "").removeprefix("Patient/")
            with self._lock:
                for patient in (whose, self._whose.pop(id_, "")):
                    self._allergies.pop(patient, None)


def _holds(allergy: Json) -> bool:
    codes = {
        c.get("code")
        for name in ("clinicalStatus", "verificationStatus")
        for c in (allergy.get(name) or {}).get("coding") or ()
    }
    return not codes & {"inactive", "resolved", "refuted", "entered-in-error"} and bool(
        concept_text(allergy.get("code"))
    )


def attributes(step: Planned, behind: Behind, issuer: str, own: str) -> Dataset:
    """Return a step with all that is known of it."""
    out = _Made()
    _patient(out, step, behind, issuer)
    _visit(out, step, behind)
    _request(out, step, behind, own)
    item = _Made()
    item.Modality = step.modality
    item.ScheduledStationAETitle = list(step.titles) if len(step.titles) > 1 else next(iter(step.titles), "")
    item.ScheduledProcedureStepStartDate, item.ScheduledProcedureStepStartTime = step.date, step.time
    item.ScheduledPerformingPhysicianName = behind.person(step.performer)
    item.ScheduledProcedureStepDescription = step.description[:LONG]
    item.ScheduledProtocolCodeSequence = _codes(step.protocol)
    item.ScheduledProcedureStepID = step.step
    item.ScheduledStationName = step.station[:SHORT]
    item.ScheduledProcedureStepLocation = step.location[:SHORT]
    item.ScheduledProcedureStepStatus = "STARTED" if step.begun else "SCHEDULED"
    item.PreMedication = item.RequestedContrastAgent = ""
    out.ScheduledProcedureStepSequence = Items([item.dataset])
    return out.dataset


class _Made:
    """A dataset in the making: attributes by keyword, of values that need no conversion any more."""

    dataset: Any

    def __init__(self) -> None:
        object.__setattr__(self, "dataset", Dataset())

    def __setattr__(self, keyword: str, value: Any) -> None:
        tag, vr = _known(keyword)
        if vr == "PN":
            value = PersonName(value)
        elif isinstance(value, list):
            value = MultiValue(str, value)
        self.dataset._dict[tag] = DataElement(tag, vr, value, already_converted=True)


@lru_cache(maxsize=256)
def _known(keyword: str) -> tuple[Any, str]:
    tag = Tag(tag_for_keyword(keyword))
    return tag, dictionary_VR(tag)


def _request(out: _Made, step: Planned, behind: Behind, own: str) -> None:
    """Requested procedure and imaging service request (PS3.3 C.4.11, C.4.12)."""
    value, system, name = step.accession
    out.AccessionNumber = value
    out.IssuerOfAccessionNumberSequence = issuer_item(name, "" if own and system.startswith(own) else system)
    out.RequestingPhysician = behind.person(step.requester)
    out.PlacerOrderNumberImagingServiceRequest = step.placer
    out.FillerOrderNumberImagingServiceRequest = step.filler
    out.RequestedProcedureID = step.procedure
    out.RequestedProcedureDescription = step.asked[:LONG]
    out.RequestedProcedureCodeSequence = _codes(step.codes)
    out.RequestedProcedurePriority = step.priority
    out.ReasonForTheRequestedProcedure = step.reason[:LONG]
    out.PatientTransportArrangements = ""
    out.StudyInstanceUID = step.study
    out.ReferencedStudySequence = Items()
    out.ConfidentialityConstraintOnPatientDataDescription = ""


def _patient(out: _Made, step: Planned, behind: Behind, issuer: str) -> None:
    patient = behind.get("Patient", step.patient)
    numbers = patient_numbers(patient, issuer)
    out.PatientName = name_of(patient)
    out.PatientID = str(numbers[0]["value"]) if numbers else ""
    _issuer(out, numbers[0] if numbers else {})
    others = []
    for one in numbers[1:]:
        other = _Made()
        other.PatientID, other.TypeOfPatientID = str(one["value"]), "TEXT"
        _issuer(other, one)
        others.append(other.dataset)
    out.OtherPatientIDsSequence = Items(others)
    born = str(patient.get("birthDate") or "")
    out.PatientBirthDate = born.replace("-", "") if len(born) == 10 else ""
    out.PatientSex = SEXES.get(str(patient.get("gender") or ""), "")
    said = [behind.at(name) for name in step.supporting if name.startswith("Observation/")]
    out.PatientWeight = next((w for one in said if (w := _weight(one)) is not None), None)
    pregnant = next((p for one in said if (p := _pregnant(one)) is not None), None)
    if pregnant is None and _is_pregnant(behind.get("Encounter", step.encounter)):
        pregnant = 3
    out.PregnancyStatus = pregnant
    out.MedicalAlerts = _texts(step.alerts)
    out.Allergies = _texts(behind.allergies(step.patient))
    out.PatientState = out.SpecialNeeds = ""
    out.ReferencedPatientSequence = Items()


def _issuer(out: _Made, one: Json) -> None:
    name, system = str((one.get("assigner") or {}).get("display") or ""), str(one.get("system") or "")
    out.IssuerOfPatientID = (name or system)[:LONG]
    out.IssuerOfPatientIDQualifiersSequence = issuer_item("", system)


def _visit(out: _Made, step: Planned, behind: Behind) -> None:
    """Visit identification and status (PS3.3 C.3.2, C.3.3)."""
    visit = behind.get("Encounter", step.encounter)
    numbers = [
        one
        for one in visit.get("identifier") or ()
        if one.get("value") and (one.get("type") or one.get("assigner"))
    ]
    out.AdmissionID = str(numbers[0]["value"])[:LONG] if numbers else ""
    where = [one for one in visit.get("location") or () if one.get("status") == "active"]
    out.CurrentPatientLocation = (
        _place(str((where[-1].get("location") or {}).get("reference") or ""), behind) if where else ""
    )
    referring = [
        str((one.get("individual") or {}).get("reference") or "")
        for one in visit.get("participant") or ()
        if any(c.get("code") == "REF" for t in one.get("type") or () for c in t.get("coding") or ())
    ]
    out.ReferringPhysicianName = behind.person(referring[0]) if referring else ""


def _place(reference: str, behind: Behind) -> str:
    """Return a place with those around it, the widest first and without the house: ward, room, bed."""
    names: list[str] = []
    while reference and len(names) < 5:
        place = behind.at(reference)
        kinds = {c.get("code") for c in (place.get("physicalType") or {}).get("coding") or ()}
        if "si" not in kinds and place.get("name"):
            names.insert(0, str(place["name"]))
        reference = str((place.get("partOf") or {}).get("reference") or "")
    return " ".join(names)[:LONG]


def _weight(observation: Json) -> str | None:
    """Return a weight in kg as DS; another unit is not calculated with."""
    quantity = observation.get("valueQuantity") or {}
    if _coded(observation, WEIGHTS) and (quantity.get("code") or quantity.get("unit")) == "kg":
        text = str(quantity.get("value", ""))
        return text if 0 < len(text) <= SHORT else None
    return None


def _pregnant(observation: Json) -> int | None:
    codes = [c.get("code") for c in (observation.get("valueCodeableConcept") or {}).get("coding") or ()]
    return next((PREGNANT[c] for c in codes if c in PREGNANT), None)


def _is_pregnant(visit: Json) -> bool:
    """Say whether PV1-15 says so (HL7 table 0009, B6)."""
    said = (visit.get("hospitalization") or {}).get("specialArrangement") or ()
    return any(c.get("code") == "B6" for one in said for c in one.get("coding") or ())


def _coded(resource: Json, codes: frozenset[str]) -> bool:
    return any(c.get("code") in codes for c in (resource.get("code") or {}).get("coding") or ())


def _texts(said: Sequence[str]) -> Any:
    """Return texts as values of LO: a longer one goes on in the next value, and nothing is cut off."""
    out = []
    for text in said:
        words = " ".join(text.replace("\\", "/").split())
        while len(words) > LONG:
            at = words.rfind(" ", 0, LONG + 1)
            at = at if at > 0 else LONG
            out.append(words[:at].rstrip())
            words = words[at:].lstrip()
        if words:
            out.append(words)
    return out if len(out) > 1 else next(iter(out), "")


def _codes(codes: Iterable[tuple[str, str, str]]) -> Items:
    made: list[Dataset] = []
    for value, scheme, meaning in codes:
        item = _Made()
        if len(value) > SHORT:
            item.LongCodeValue = value
        else:
            item.CodeValue = value
        item.CodingSchemeDesignator, item.CodeMeaning = scheme[:SHORT], meaning[:LONG]
        made.append(item.dataset)
    return Items(made)
