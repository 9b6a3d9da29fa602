"""FHIR resources of the core store written out as another format, for deliveries and for `hub write`.

In: the outbound maps, the name of one (`oml`, `837P`, `ccd`), what an entry wrote or a person named, and the
words that are not in FHIR (sender, receiver). Out: bytes, their media type, and the report of both sides.
Nothing here asks for the time or makes up a number: the same resources and words give the same bytes, and
the control id comes from the parcel's key. A delivery calls once for a parcel, and keeps the bytes for later
tries, since the store may say something else by then:

    maps = OutMaps.open(root, terminology, identity_base)
    resources = written_for(maps, "oml", names, store)            # names: `Type/id` that the entry wrote
    body, media, report = render(maps, "oml", resources, given_for(key, number, facts, words))

`render` raises NothingToWrite where the entry wrote nothing this map is about (nothing to deliver), Refused
where the target demands what is not there (a person looks), MapError where the map is wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import NAMESPACE_OID, uuid5

from engine.formats.hl7v2.controlid import control_id
from engine.kernel.errors import HubError
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.write import Refused, Report, write_any
from engine.store.references import named_here

__all__ = [
    "ABOUT_PATIENT",
    "MEDIA",
    "NothingToWrite",
    "Rendered",
    "about",
    "behind",
    "given_for",
    "kinds_of",
    "render",
    "written_for",
]

Json = Mapping[str, Any]
Read = Callable[[str, str], Json | None]

ABOUT_PATIENT = (
    "AllergyIntolerance", "Condition", "MedicationRequest", "MedicationStatement", "Immunization",
    "Procedure", "DiagnosticReport", "Observation", "Encounter",
)  # fmt: skip
MEDIA = {
    "hl7v2": "application/hl7-v2",
    "x12": "application/edi-x12",
    "cda": "application/xml",
    "ncpdp": "application/xml",
}
"""Format -> media type."""
_STEPS = 3  # the order, the role that placed it, its practitioner and organization


class NothingToWrite(HubError):
    """The entry wrote no resource of the kind that this map is about."""


class Rendered(NamedTuple):
    """A message written."""

    body: bytes
    media: str
    report: Report


class Store(Protocol):
    """The core store."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def search(
        self, type: str, params: Sequence[tuple[str, str]], count: int, cursor: str | None = None
    ) -> Any: ...


def render(maps: OutMaps, name: str, resources: Sequence[Json], given: Mapping[str, str]) -> Rendered:
    """Write one message. Raises NothingToWrite, Refused, MapError or FormatError."""
    kinds = kinds_of(maps, name)
    if "Patient" in kinds and given.get("event") in ONLY_AS_IT_CAME:
        raise Refused(
            f"there is no {name} for {given['event']}: nothing of it was sent as something else",
            ["keep it out by `types:` or `when:` of the delivery, or send the original"],
        )
    if not any(one.get("resourceType") in kinds for one in resources):
        raise NothingToWrite(f"there is no {' or '.join(kinds)} to write a {name} from")
    if maps.entry(name).map.format == "x12" and "interchange" in given:
        given = {**given, "control": given["interchange"]}
    data, report = write_any(maps, name, list(resources), given)
    return Rendered(data, MEDIA[report.format], report)


ONLY_AS_IT_CAME = frozenset(
    {
        "A17", "A20", "A24", "A29", "A35", "A36", "A37", "A41", "A42", "A43", "A44", "A45", "A46", "A48",
        "A49", "A50", "A51", "A60",
    }
)  # fmt: skip
"""ADT events that FHIR does not say as they were: beds, links, visits and accounts moved or merged."""


def kinds_of(maps: OutMaps, name: str) -> tuple[str, ...]:
    """Give the types of resources that a whole message's map is about: `ServiceRequest` for `oml`."""
    return tuple(maps.entry(name).map.kinds)


def given_for(key: str, number: int, facts: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """Give what a message says beside FHIR, from a parcel: another key is another message.

    `number` is new for each key, for formats that count their interchanges (X12 ISA13: nine digits); `facts`
    are those of the parcel, of which `received` is the time of the message and `event` its trigger event;
    `words` are the settings: sender, receiver, facility ... They say neither time nor control id,
    nor that a merge, or what was taken back, was anything else.
    """
    said, event = facts["received"], facts.get("event", "")
    if facts.get("type") != "ADT" or event in _SAID_OTHERWISE:
        event = words.get("event") or event
    digest = hashlib.sha256(key.encode()).hexdigest()
    own = {
        "now": said,
        "day": said[:10].replace("-", ""),
        "time": said[11:16].replace(":", ""),
        "control": control_id(key),
        "interchange": str(number % 1_000_000_000),
        "message": digest[:32],
        "document": str(uuid5(NAMESPACE_OID, key)),
    }
    return {**words, "event": event, **own}


_SAID_OTHERWISE = frozenset({"A01", "A04", "A05", "A08", "A28", "A31"})
"""ADT events that may go out as another, where `set:` says which: an A08 as the A31 that a registry knows."""


def written_for(maps: OutMaps, name: str, written: Sequence[str], store: Store) -> list[Json]:
    """Read what an entry wrote (`Type/id`), as the store says it now, and what that refers to.

    A resource of the kind that the message is about is in it only where the entry wrote it: the parent of an
    order is no order placed again. A patient is there with its visit, a report with a result that was
    written alone: a correction must not stay at home. What is deleted by now is not there.
    """
    kinds, read = kinds_of(maps, name), store.read
    names = [one for one in dict.fromkeys(written) if one.partition("/")[0] not in _NEVER]
    events = _events(written, read) if "Patient" in kinds else []
    for event in events:
        targets = (str(target.get("reference")) for target in event.get("target") or ())
        names += [name for name in targets if name.startswith("Encounter/") and name not in names]
    found: list[Json] = [one for one in (read(*_pair(named)) for named in names) if one is not None]
    found += events if found else []
    for kind, part in _CARRIED.items():
        if kind in kinds:
            found += _carriers(found, kind, part, store)
    return found + _referred(found, read, _STEPS, _NEVER | frozenset(kinds) - {"Patient"})


def _events(written: Sequence[str], read: Read) -> list[Json]:
    """Read what the message said of its event: when it was, who told it, the visit, changed or not."""
    told = [read(*_pair(one)) for one in written if one.startswith("Provenance/")]
    return [
        one
        for one in told
        if one is not None
        and any(c.get("system") == _EVENTS for c in (one.get("activity") or {}).get("coding") or ())
    ]


_EVENTS = "http://terminology.hl7.org/CodeSystem/v2-0003"


_CARRIED = {"DiagnosticReport": "Observation"}
"""What a message is about, and what it carries of it."""


def _carriers(found: Sequence[Json], kind: str, part: str, store: Store) -> list[Json]:
    """Read the reports that name a result which was written, where they were not written themselves."""
    there = {one["id"] for one in found if one["resourceType"] == kind}
    named = {name for one in found if one["resourceType"] == kind for name in _references(one)}
    alone = [one for one in found if one["resourceType"] == part and f"{part}/{one['id']}" not in named]
    wanted = {f"{part}/{one['id']}" for one in alone}
    out: list[Json] = []
    for patient in dict.fromkeys((one.get("subject") or {}).get("reference") for one in alone):
        cursor: str | None = None
        while patient:
            page = store.search(kind, [("patient", patient)], 100, cursor)
            out += [r for r in page.resources if r["id"] not in there and wanted & set(_references(r))]
            cursor = page.cursor
            if cursor is None:
                break
    return out


def behind(maps: OutMaps, name: str, names: Sequence[str], store: Store) -> list[Json]:
    """Read resources of the core store by name (`ServiceRequest/17`), and what they refer to.

    No other of the kind that is written: the parent of an order is not placed again.
    """
    resources: list[Json] = []
    for one in names:
        kind, id_ = _pair(one)
        found = store.read(kind, id_) if id_ else None
        if found is None:
            raise HubError("there is no such resource in the core store", where=one)
        resources.append(found)
    return resources + _referred(resources, store.read, _STEPS, _NEVER | frozenset(kinds_of(maps, name)))


def about(store: Store, patient: str) -> list[Json]:
    """Read a patient of the core store, what is known about it, and whom and what that refers to."""
    found = store.read("Patient", patient)
    if found is None:
        raise HubError("there is no such patient in the core store", where=f"Patient/{patient}")
    resources: list[Json] = [found]
    for kind in ABOUT_PATIENT:
        cursor: str | None = None
        while True:
            page = store.search(kind, [("patient", f"Patient/{patient}")], 100, cursor)
            resources += page.resources
            cursor = page.cursor
            if cursor is None:
                break
    return resources + _referred(resources, store.read, 2, _NEVER | {"Patient"})


_NEVER = frozenset({"Provenance", "MessageHeader", "AuditEvent"})
"""How something came here is no part of what is said on."""


def _referred(resources: Sequence[Json], read: Read, steps: int, without: frozenset[str]) -> list[Json]:
    """Read what resources refer to, some steps far: the practitioner of a role, its organization."""
    known = {f"{r['resourceType']}/{r['id']}" for r in resources}
    out: list[Json] = []
    step: Sequence[Json] = resources
    for _ in range(steps):
        wanted = [name for r in step for name in _references(r) if name not in known]
        found: list[Json] = []
        for name in dict.fromkeys(wanted):
            kind, id_ = _pair(name)
            known.add(name)
            resource = read(kind, id_) if kind not in without else None
            if resource is not None:
                found.append(dict(resource))
        out += found
        step = found
    return out + _whole_places(out, known, read)


def _whole_places(found: Sequence[Json], known: set[str], read: Read) -> list[Json]:
    """Read what places are part of, up to the facility: bed 1 alone is nobody's bed."""
    out: list[Json] = []
    step = [one for one in found if one["resourceType"] == "Location"]
    while step:
        names = {str((one.get("partOf") or {}).get("reference") or "") for one in step} - known - {""}
        known |= names
        step = [dict(one) for one in (read(*_pair(name)) for name in sorted(names)) if one is not None]
        out += step
    return out


def _references(resource: Json) -> Iterator[str]:
    """Give the references of a resource, but those that lead to other persons: a family has one account."""
    others = _OTHERS.get(str(resource.get("resourceType")))
    for name, value in resource.items():
        if name != others:
            yield from named_here(value)


_OTHERS = {"Patient": "link", "Account": "subject"}


def _pair(name: str) -> tuple[str, str]:
    kind, _, id_ = name.partition("/")
    return kind, id_
