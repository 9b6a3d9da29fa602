"""Scheduled procedure steps: what an imaging order and its Tasks say, ready to be asked for.

In: a ServiceRequest of the core store and the Tasks of its steps. Out: `Planned` steps, small enough to keep
50,000 of them, with the attributes of PS3.4 table K.6-1 that the order itself gives. What an order does not
say is empty, never made up. Follows IHE RAD TF-2 4.5 and PS3.3 C.4.10 to C.4.12.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from engine.channels.node.persons import name_of
from engine.store.study_uids import UID_SYSTEM, is_imaging, study_uids

__all__ = [
    "Json",
    "Performed",
    "Planned",
    "concept_text",
    "is_open",
    "of_order",
    "of_task",
    "performed_of",
    "to_do",
    "wall_clock",
]

Json = Mapping[str, Any]
DCM = "http://dicom.nema.org/resources/ontology/DCM"
DESIGNATORS = {
    DCM: "DCM",
    "http://loinc.org": "LN",
    "http://snomed.info/sct": "SCT",
    "http://hl7.org/fhir/sid/icd-10-cm": "I10",
    "http://hl7.org/fhir/sid/icd-10": "I10",
    "http://www.radlex.org": "RADLEX",
    "http://www.ama-assn.org/go/cpt": "C4",
}
"""Coding schemes as PS3.16 8 names them."""
EVENT = "http://hl7.org/fhir/StructureDefinition/businessEvent"
CALLED_OFF = frozenset({"CA", "HD"})
"""Somebody asked to call the order off or to hold it (table 0119): nothing is scanned before that is settled.
"""
CLINICAL = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ServiceRequest.supportingInfo"
TO_DO = frozenset({"accepted", "draft", "in-progress", "ready", "received", "requested"})
OVER = frozenset({"cancelled", "completed", "entered-in-error", "failed", "rejected"})
PRIORITY = {"stat": "STAT", "urgent": "HIGH", "asap": "HIGH", "routine": "ROUTINE"}
PROCEDURE, STEP = "Requested Procedure ID", "Scheduled Procedure Step ID"


@dataclass(frozen=True, slots=True)
class Planned:
    """One scheduled procedure step. Codes are (value, scheme, meaning)."""

    order: str  # ids in the core store
    task: str
    patient: str
    encounter: str
    study: str
    accession: tuple[str, str, str]  # value, system, name of the issuer
    procedure: str
    step: str
    modality: str
    titles: tuple[str, ...]
    station: str
    location: str
    date: str  # DA and TM on the wall clock of the site; empty: nobody said when
    time: str
    since: str  # day by which it is on the list where it has no date
    description: str
    protocol: tuple[tuple[str, str, str], ...]
    asked: str
    codes: tuple[tuple[str, str, str], ...]
    reason: str
    priority: str
    alerts: tuple[str, ...]
    placer: str
    filler: str
    requester: str  # references: `PractitionerRole/7f..`, or a name where it is contained
    performer: str
    supporting: tuple[str, ...]
    begun: bool
    completed: bool  # the order's status

    @property
    def day(self) -> str:
        """The day by which it is on the list."""
        return self.date or self.since


def is_open(order: Json) -> bool:
    """Say whether an order is one for images that may still have to be made.

    Of a completed one it may have been a modality that said so, which ended one of its steps: see `to_do`.
    """
    status = order.get("status")
    return status in ("active", "completed") and is_imaging(dict(order)) and _event(order) not in CALLED_OFF


@dataclass(frozen=True, slots=True)
class Performed:
    """A performed procedure step: whether it has ended, and which scheduled steps it names."""

    ended: bool
    steps: frozenset[str]


def performed_of(task: Json) -> Performed | None:
    """Read a Task that tells of a performed step (MPPS); None where it is none."""
    if all(one.get("system") != UID_SYSTEM for one in task.get("identifier") or ()):
        return None
    return Performed(task.get("status") in OVER, frozenset(_steps_of(task)))


def to_do(
    order: Planned, tasks: Mapping[str, Planned | None], performed: Iterable[Performed]
) -> Iterator[Planned]:
    """Yield the steps of an open order that are still to do; without Tasks the order itself is the step.

    A completed order has some only where a modality has ended others of it, and said which.
    """
    told = list(performed)
    if order.completed and (len(tasks) < 2 or not any(one.ended and one.steps for one in told)):
        return
    for step in tasks.values() if tasks else (order,):
        if step is None:
            continue
        about = [one for one in told if (step.step in one.steps if one.steps else len(tasks) < 2)]
        if not any(one.ended for one in about):
            yield replace(step, begun=True) if about and not step.begun else step


def _steps_of(task: Json) -> Iterator[str]:
    """Yield the numbers of scheduled steps that a Task names."""
    for one in task.get("identifier") or ():
        if (one.get("type") or {}).get("text") == STEP and one.get("value"):
            yield str(one["value"])
    for one in task.get("input") or ():
        word = "".join(concept_text(one.get("type")).split()).lower()
        value = one.get("valueString") or (one.get("valueIdentifier") or {}).get("value")
        if word == "scheduledprocedurestepid" and value:
            yield str(value)


def of_task(order: Planned, task: Json, zone: tzinfo | None) -> Planned | None:
    """Return a scheduled step of an order; None where its Task says that it is not to be done, or not now."""
    if task.get("status") not in TO_DO:
        return None
    inputs = {concept_text(one.get("type")): one for one in task.get("input") or ()}
    start = ((task.get("restriction") or {}).get("period") or {}).get("start")
    date, time = wall_clock(start, zone) if start else (order.date, order.time)
    place = inputs.get("ScheduledProcedureStepLocation", {}).get("valueCodeableConcept")
    protocol = inputs.get("ScheduledProtocolCodeSequence", {}).get("valueCodeableConcept")
    title = _text(inputs, "ScheduledStationAETitle")
    return replace(
        order,
        task=task["id"],
        procedure=_text(inputs, "RequestedProcedureID") or order.procedure,
        step=next(_steps_of(task), "") or order.step,
        modality=_code(inputs.get("Modality", {}).get("valueCodeableConcept")) or order.modality,
        titles=(title,) if title else order.titles,
        station=_text(inputs, "ScheduledStationName") or order.station,
        location=_code(place) or concept_text(place) or order.location,
        date=date,
        time=time,
        description=concept_text(protocol) or order.asked,
        protocol=tuple(codes_of(protocol)),
        begun=task.get("status") == "in-progress",
    )


def of_order(order: Json, zone: tzinfo | None) -> Planned:
    """Return an order as if it were one step: what its Tasks do not say, they have of it."""
    steps = [str(one["value"]) for one in _typed(order, STEP)]
    details = order.get("orderDetail") or ()
    codings = [c for d in details for c in d.get("coding") or ()]
    protocol = [d for d in details if all(c.get("system") != DCM for c in d.get("coding") or ())]
    date, time = wall_clock(_start(order), zone)
    accession = next(_kind(order, "ACSN"), {})
    people = [p for p in order.get("performer") or () if p.get("type") != "Device"]
    station: Json = next((p for p in order.get("performer") or () if p.get("type") == "Device"), {})
    place: Json = next(iter(order.get("locationCode") or ()), {})
    since = order.get("authoredOn") or (order.get("meta") or {}).get("lastUpdated") or ""
    asked = concept_text(order.get("code"))
    return Planned(
        order=order["id"],
        task="",
        patient=_id(order.get("subject"), "Patient/"),
        encounter=_id(order.get("encounter"), "Encounter/"),
        study=next(iter(study_uids(dict(order))), ""),
        accession=(
            accession.get("value", ""),
            accession.get("system", ""),
            (accession.get("assigner") or {}).get("display", ""),
        ),
        procedure=next(_typed(order, PROCEDURE), {}).get("value", ""),
        step=steps[0] if len(steps) == 1 else "",
        modality=next((c["code"] for c in codings if c.get("system") == DCM and c.get("code")), ""),
        titles=(),
        station=(station.get("identifier") or {}).get("value", ""),
        location=_code(place) or concept_text(place),
        date=date,
        time=time,
        since=wall_clock(since, zone)[0],
        description=next((t for p in protocol if (t := concept_text(p))), "") or asked,
        protocol=tuple(code for p in protocol for code in codes_of(p)),
        asked=asked,
        codes=tuple(codes_of(order.get("code"))),
        reason=next((t for r in order.get("reasonCode") or () if (t := concept_text(r))), ""),
        priority=PRIORITY.get(order.get("priority", ""), ""),
        alerts=tuple(_alerts(order)),
        placer=next((i["value"] for i in _kind(order, "PLAC")), ""),
        filler=next((i["value"] for i in _kind(order, "FILL")), ""),
        requester=_person(order, order.get("requester")),
        performer=_person(order, people[0]) if people else "",
        supporting=tuple(str(s.get("reference") or "") for s in order.get("supportingInfo") or ()),
        begun=False,
        completed=order.get("status") == "completed",
    )


def wall_clock(said: str, zone: tzinfo | None) -> tuple[str, str]:
    """Return a FHIR dateTime as DA and TM on the site's wall clock; empty where it is coarser than a day.

    Without a zone of the site the time is taken as it was written, which is the sender's wall clock.
    """
    if len(said) < 10:
        return "", ""
    if len(said) == 10:
        return said.replace("-", ""), ""
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return "", ""
    if zone is not None and at.tzinfo is not None:
        at = at.astimezone(zone)
    return at.strftime("%Y%m%d"), at.strftime("%H%M%S")


def _start(order: Json) -> str:
    bounds = ((order.get("occurrenceTiming") or {}).get("repeat") or {}).get("boundsPeriod") or {}
    found = bounds.get("start") or order.get("occurrenceDateTime")
    return str(found or (order.get("occurrencePeriod") or {}).get("start") or "")


def _event(order: Json) -> str:
    """Return what was last done with an order (ORC-1)."""
    for one in order.get("extension") or ():
        if one.get("url") == EVENT:
            return next(
                (_code(e.get("valueCodeableConcept")) for e in one["extension"] if e["url"] == "value"), ""
            )
    return ""


def _alerts(order: Json) -> Iterator[str]:
    for one in order.get("extension") or ():
        if one.get("url") == CLINICAL:
            for part in one.get("extension") or ():
                if text := concept_text(part.get("valueCodeableConcept")):
                    yield text


def concept_text(concept: Any) -> str:
    """Return the words of a CodeableConcept, else its first code."""
    concept = concept or {}
    codings = concept.get("coding") or [{}]
    return str(concept.get("text") or codings[0].get("display") or codings[0].get("code") or "")


def _code(concept: Any) -> str:
    return str(next((c["code"] for c in (concept or {}).get("coding") or () if c.get("code")), ""))


def codes_of(concept: Any) -> Iterator[tuple[str, str, str]]:
    """Yield codes as (value, scheme, meaning) whose scheme has a name in DICOM, or is the sender's own."""
    for one in (concept or {}).get("coding") or ():
        own = (
            e.get("valueString")
            for e in one.get("extension") or ()
            if e["url"].endswith("coding-system-name")
        )
        scheme = DESIGNATORS.get(one.get("system", "")) or next(own, None)
        if one.get("code") and scheme:
            yield one["code"], str(scheme), str(one.get("display") or concept.get("text") or one["code"])


def _typed(order: Json, word: str) -> Iterator[Json]:
    for one in order.get("identifier") or ():
        if (one.get("type") or {}).get("text") == word and one.get("value"):
            yield one


def _kind(order: Json, code: str) -> Iterator[Json]:
    for one in order.get("identifier") or ():
        codings = (one.get("type") or {}).get("coding") or ()
        if one.get("value") and any(c.get("code") == code for c in codings):
            yield one


def _text(inputs: Mapping[str, Json], name: str) -> str:
    return str(inputs.get(name, {}).get("valueString") or "")


def _id(reference: Any, prefix: str) -> str:
    name = str((reference or {}).get("reference") or "")
    return name.removeprefix(prefix) if name.startswith(prefix) else ""


def _person(order: Json, reference: Any) -> str:
    """Return a reference to a person, or `=` and the name of one who is contained in the order."""
    name = str((reference or {}).get("reference") or "")
    inside = {f"#{c.get('id')}": c for c in order.get("contained") or ()}
    for _ in inside:
        held = inside.get(name)
        if held is None:
            break
        if held.get("name"):
            return f"={name_of(held)}"
        name = str((held.get("practitioner") or {}).get("reference") or "")
    return "" if name.startswith("#") else name
