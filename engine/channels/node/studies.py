"""Studies as people look at them: found by patient, accession or date, with what they belong to and why not.

In: the index of imaging, the core store, words that somebody typed. Out: plain records. Nothing is recorded
here: who shows patient data says so in the audit table first. Candidates for a study that belongs to nobody
are only shown; a person decides (`reconcile.bind`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset as _Dataset

from engine.channels.node.likeness import contradiction
from engine.formats.dicom.values import texts_of
from engine.imaging.index import SqlIndex
from engine.kernel.errors import FormatError
from engine.kernel.imaging import HeldStudy, Linked
from engine.store.sql import SqlStore
from engine.store.study_uids import UID_SYSTEM, is_imaging

__all__ = [
    "REASONS",
    "Belongs",
    "Candidate",
    "SeriesLine",
    "StudyLine",
    "belongs",
    "candidates",
    "find",
    "line_of",
    "query",
    "series_of",
]

Json = dict[str, Any]

REASONS = {
    "no-order": "nobody ordered it, or its order has not come; or its Patient ID has no issuer",
    "no-patient": "its number is nobody's here: is the registration still to come?",
    "several-orders": "the order's number is not unique",
    "several-patients": "the patient's number is not unique",
    "patient-id-differs": "another Patient ID than the order's patient has",
    "name-differs": "another name than the patient has",
    "birth-date-differs": "another date of birth than the patient has",
    "sex-differs": "another sex than the patient has",
    "order-without-patient": "the order's own patient is missing",
    "patient-differs-inside-study": "two patients' images have one Study Instance UID",
    "series-in-two-studies": "one series came under two studies",
    "bound-to-nobody": "whom a person named is there no more",
    "order-of-another-patient": "the order that a person named is another patient's now",
    "other-bytes": "other bytes came under the UID of an image that is held",
}
"""What a person should look at, by the word of the index."""

_MOST = 10
_ORDERS = 50
_REPORTS = 200


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study in a list. `name` stands for it in addresses."""

    name: str
    uid: str
    channel: str
    date: str
    patient: str
    person: str
    born: str
    sex: str
    accession: str
    modalities: str
    description: str
    series: int
    instances: int
    link: str
    reasons: tuple[str, ...]
    why: tuple[str, ...]
    bound_by: str
    changed: int


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """One series; `number` is the index's own, for its picture."""

    number: int
    uid: str
    modality: str
    said: str  # SeriesNumber
    description: str
    body_part: str
    instances: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """Whom or what a study may belong to: a patient, or an order of one. `against` speaks against it."""

    patient: str
    person: str
    born: str
    sex: str
    numbers: str
    order: str = ""
    what: str = ""
    ordered: str = ""
    why: str = ""
    against: str = ""


@dataclass(frozen=True, slots=True)
class Belongs:
    """What a study was found to belong to, by which number, and what reports on it."""

    by: str
    patient: Candidate | None
    order: Json | None
    encounter: str
    reports: tuple[Json, ...]
    resource: str  # the ImagingStudy's id
    entries: tuple[int, ...]  # messages that made or changed order and study


def line_of(index: SqlIndex, study: HeldStudy) -> StudyLine:
    """Return a study as a list shows it."""
    said = study.dataset
    reasons = tuple(word for word in study.reason.split(", ") if word)
    return StudyLine(
        index.holding.name_of(study.uid),
        study.uid,
        study.channel,
        _text(said, "StudyDate"),
        _text(said, "PatientID"),
        _text(said, "PatientName"),
        _text(said, "PatientBirthDate"),
        _text(said, "PatientSex"),
        _text(said, "AccessionNumber"),
        ", ".join(texts_of(said, "ModalitiesInStudy")),
        _text(said, "StudyDescription"),
        study.series,
        study.instances,
        study.link,
        reasons,
        tuple(REASONS.get(word, word) for word in reasons),
        study.bound_by,
        study.changed,
    )


def _text(dataset: Any, keyword: str) -> str:
    return ", ".join(texts_of(dataset, keyword))


# -- finding ------------------------------------------------------------------------------------------------


def query(words: Mapping[str, str]) -> Any:
    """Make a query of what was typed: patient, name, accession, uid, since, until, modality.

    Raises FormatError.
    """
    made = _Dataset()
    made.StudyInstanceUID = words.get("uid", "").strip()
    for keyword, word in (("PatientID", "patient"), ("AccessionNumber", "accession")):
        if value := words.get(word, "").strip():
            setattr(made, keyword, value)
    if name := words.get("name", "").strip():
        family, _, rest = name.replace(",", " ").partition(" ")
        made.PatientName = f"{family}*{rest.strip()}*" if rest.strip() else f"{family}*"
    if modality := words.get("modality", "").strip().upper():
        made.ModalitiesInStudy = modality
    since, until = (_day(words.get(word, "")) for word in ("since", "until"))
    if since or until:
        made.StudyDate = since if since == until else f"{since}-{until}"
    return made


def _day(text: str) -> str:
    day = text.strip().replace("-", "")
    if day and not (len(day) == 8 and day.isdigit()):
        raise FormatError("this is no date", where="from, to", remedy="write 2026-05-01")
    return day


def find(index: SqlIndex, words: Mapping[str, str], limit: int, offset: int = 0) -> list[HeldStudy]:
    """Return the studies that fit, newest first. Raises FormatError, and TooBroad for what fits too many."""
    found = index.search("STUDY", query(words), limit, offset)
    held = (index.study(_text(one, "StudyInstanceUID")) for one in found)
    return [study for study in held if study is not None]


def series_of(index: SqlIndex, uid: str) -> list[SeriesLine]:
    """Return the series of a study in the order of their numbers."""
    return [
        SeriesLine(
            number,
            _text(said, "SeriesInstanceUID"),
            _text(said, "Modality"),
            _text(said, "SeriesNumber"),
            _text(said, "SeriesDescription"),
            _text(said, "BodyPartExamined"),
            int(_text(said, "NumberOfSeriesRelatedInstances") or 0),
        )
        for number, said in index.holding.series_of(uid)
    ]


# -- belonging ----------------------------------------------------------------------------------------------


def belongs(store: SqlStore, uid: str, linked: Linked | None) -> Belongs:
    """Return what a study belongs to, as the core store knows it now."""
    linked = linked or Linked("")
    patient = store.read("Patient", linked.patient_id) if linked.patient_id else None
    order = store.read("ServiceRequest", linked.order_id) if linked.order_id else None
    page = store.search("ImagingStudy", [("identifier", f"{UID_SYSTEM}|urn:oid:{uid}")], 1)
    study = page.resources[0] if page.resources else None
    reports = _reports(store, linked.patient_id, study, order)
    entries: dict[int, None] = {}
    for kind, one in (("ServiceRequest", order), ("ImagingStudy", study)):
        if one is not None:
            entries |= {v.entry: None for v in store.history(kind, one["id"])[-_MOST:] if v.entry}
    return Belongs(
        linked.by,
        _candidate(patient) if patient is not None else None,
        order,
        linked.encounter_id,
        tuple(reports),
        study["id"] if study is not None else "",
        tuple(sorted(entries)),
    )


def _reports(store: SqlStore, patient: str, study: Json | None, order: Json | None) -> list[Json]:
    """Return the reports that name a study or its order."""
    names = {f"ImagingStudy/{study['id']}"} if study is not None else set()
    names |= {f"ServiceRequest/{order['id']}"} if order is not None else set()
    if not patient or not names:
        return []
    page = store.search("DiagnosticReport", [("patient", patient)], _REPORTS)
    return [
        one
        for one in page.resources
        if names & {r.get("reference") for r in (*one.get("imagingStudy", ()), *one.get("basedOn", ()))}
    ]


def candidates(store: SqlStore, study: HeldStudy) -> list[Candidate]:
    """Return whom a study may belong to: by its accession number, by its Patient ID, and their orders."""
    said = study.dataset
    found: dict[tuple[str, str], Candidate] = {}
    for order in _numbered(store, "ServiceRequest", _text(said, "AccessionNumber")):
        reference = str((order.get("subject") or {}).get("reference") or "")
        patient = store.read("Patient", reference.removeprefix("Patient/")) if reference else None
        if patient is not None:
            one = _candidate(patient, order, "its order has the accession number", said)
            found.setdefault((one.patient, one.order), one)
    for patient in _numbered(store, "Patient", _text(said, "PatientID")):
        one = _candidate(patient, None, "has the Patient ID", said)
        found.setdefault((one.patient, ""), one)
        page = store.search("ServiceRequest", [("patient", patient["id"])], _ORDERS)
        for order in [o for o in page.resources if is_imaging(o)][-_MOST:]:
            one = _candidate(patient, order, "an imaging order of this patient", said)
            found.setdefault((one.patient, one.order), one)
    return list(found.values())[: 2 * _MOST]


def _numbered(store: SqlStore, kind: str, number: str) -> list[Json]:
    """Return the resources that have a number, whoever issued it; none for what no search can ask."""
    if not number or set(number) & set("|,\\"):
        return []
    page = store.search(kind, [("identifier", number)], _MOST)
    retired = "replaced-by"
    return [one for one in page.resources if not any(x.get("type") == retired for x in one.get("link") or ())]


def _candidate(patient: Json, order: Json | None = None, why: str = "", said: Any = None) -> Candidate:
    names = patient.get("name") or [{}]
    given = " ".join(names[0].get("given") or ())
    numbers = [str(i["value"]) for i in patient.get("identifier") or () if i.get("value")]
    code = (order or {}).get("code") or {}
    coded: Json = next(iter(code.get("coding") or ()), {})
    return Candidate(
        patient["id"],
        f"{names[0].get('family') or names[0].get('text') or ''}, {given}".strip(", "),
        str(patient.get("birthDate") or ""),
        str(patient.get("gender") or ""),
        ", ".join(numbers[:4]),
        order["id"] if order else "",
        str(code.get("text") or coded.get("display") or coded.get("code") or "") if order else "",
        str(order.get("authoredOn") or "")[:10] if order else "",
        why,
        contradiction(said, patient) if said is not None else "",
    )
