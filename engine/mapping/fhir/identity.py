"""Who or what a resource of a FHIR sender is: the numbers that recognise it, and the sender's own id of it.

In: one `Ask`, the sender's server, the rules. Out: `Known`: keys, most telling first, how it is written, and
the sender's own id as a number of the sender's. A bare number is never an identity; an id is one only
together with the server it is of. A Patient is known by the number that decides (the channel's `patients:`,
else one of type MR, else the first with a system; never a social security number). What a device measured has
keys of a system of its own, so that no result of a laboratory is ever one of them, as for IHE PCD-01. FHIR R4
http.html (ids, conditional create and update), bundle.html#references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from engine.fhir import definitions
from engine.formats.fhir.facts import split_query, split_reference
from engine.formats.fhir.posted import Ask
from engine.kernel.message import Identity

__all__ = [
    "DEVICE_OBSERVATION",
    "Incoming",
    "Known",
    "Problem",
    "concept_text",
    "joined",
    "known_by",
    "numbers_of",
    "owned",
]

DEVICE_OBSERVATION = "device-observation"
SSN = frozenset({"http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1"})
MERGED = frozenset(
    {
        *("Account", "Device", "Encounter", "Location", "Organization", "Patient", "Practitioner"),
        *("PractitionerRole", "RelatedPerson"),
    }
)
"""Types of which others speak, too: what is not said here stays. Others are told whole."""


EVENTS = frozenset(
    {
        *("ChargeItem", "Claim", "Condition", "ExplanationOfBenefit", "Immunization"),
        *("MedicationAdministration", "MedicationDispense", "Observation", "Procedure"),
    }
)
"""Types of which two with one number are two where the sender's ids tell them apart."""


class Incoming(NamedTuple):
    """What a channel says of its FHIR sender."""

    base: str = ""  # the address of its server, or any URI of its own
    patients: str = ""  # system of the numbers that decide who a patient is
    deletes: bool = False  # a DELETE marks as entered in error


class Problem(NamedTuple):
    """Why a resource cannot be worked on: a stable word, where, what."""

    code: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Known:
    """Who a resource is."""

    keys: tuple[Identity, ...]
    write: str
    own: Identity | None = None  # the sender's own id
    server: str = ""  # that its relative references start at, where the Bundle says so


Named = Callable[[str], str]
"""The system of a number as the sender names it -> as the hub does."""


def known_by(ask: Ask, incoming: Incoming, base: str, name: Named) -> Known | Problem:
    """Find out who a resource is, as far as its numbers say."""
    resource, kind = ask.resource or {}, ask.type
    server, said, id_ = split_reference(ask.full_url)
    if said != kind or "://" not in ask.full_url:
        server, id_ = "", ""
    own = resource.get("id") or id_
    key: Identity | None = None
    write = "merge" if kind in MERGED else "snapshot"
    if not ask.stated and ask.n >= 0:
        path, _, query = ask.url.strip("/").partition("?")
        parts = path.split("/")
        if parts[0] != kind:
            return Problem("address-differs", f"{ask.at}.request.url", f"it is not the address of a {kind}")
        if ask.method == "PUT" and query:
            key = _asked(kind, query, name)
            if key is None:
                return _not_followed(f"{ask.at}.request.url")
        elif ask.method == "DELETE":
            own = parts[1]
        elif ask.method == "PUT":
            if len(parts) != 2 or parts[1] != own:
                text = "the id in the address is not that of the resource"
                return Problem("address-differs", f"{ask.at}.request.url", text)
        elif len(parts) != 1 or query:
            return Problem("address-differs", f"{ask.at}.request.url", f"a POST goes to {kind}")
        if ask.if_none_exist:
            key = _asked(kind, ask.if_none_exist, name)
            if key is None:
                return _not_followed(f"{ask.at}.request.ifNoneExist")
            write = "create"
        if key is not None and (said_by := numbers_of(resource, name)) and key not in said_by:
            text = "the number that it is looked for by is none of its identifiers"
            return Problem("address-differs", f"{ask.at}.request", text)
    mine = (f"{server or base}/{kind}", own) if isinstance(own, str) and own else None
    new = ask.n >= 0 and not ask.stated and ask.method == "POST"  # it asks for an id: one that it has is none
    counts = None if new else mine
    if key is None:
        key = _own_key(ask, incoming.patients, name, counts)
    if kind == "Patient" and key is None and counts is None:
        text = "no identifier decides which patient this is"
        return Problem("no-patient-key", ask.place, text)
    keys = tuple(dict.fromkeys(k for k in (key, counts) if k is not None))
    return Known(keys, write, mine, server)


def _own_key(ask: Ask, patients: str, name: Named, counts: Identity | None) -> Identity | None:
    """Return the number that a resource is recognised by besides the sender's id."""
    resource, kind = ask.resource or {}, ask.type
    if kind == "Patient":
        return _of_patient(resource, patients, name)
    if kind in EVENTS and counts is not None:
        return None  # some give each result the number of its order
    found = _number(resource, name)
    if found is None or kind != "Observation":
        return found
    return f"urn:hub:fhir:result-of:{found[0]}", joined(found[1], concept_text(resource.get("code")))


def _asked(kind: str, query: str, name: Named) -> Identity | None:
    found = split_query(f"{kind}?{query}")
    return None if found is None else (name(found[1]), found[2])


def _not_followed(where: str) -> Problem:
    text = "only identifier=system|value is looked for"
    return Problem("condition-not-followed", where, text)


def _identifiers(resource: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for element in ("masterIdentifier", "identifier"):
        found = resource.get(element)
        for one in found if isinstance(found, list) else (found,):
            if isinstance(one, dict) and all(isinstance(one.get(k), str) for k in ("system", "value")):
                yield one


def _numbers(resource: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for one in _identifiers(resource):
        if one["system"].strip() and one["value"].strip() and one.get("use") not in ("old", "temp"):
            yield one


def numbers_of(resource: Mapping[str, Any], name: Named) -> list[Identity]:
    """Return every number of a resource, those of old, too."""
    return [(name(one["system"]), one["value"]) for one in _identifiers(resource)]


def _number(resource: Mapping[str, Any], name: Named) -> Identity | None:
    one = next(_numbers(resource), None)
    return None if one is None else (name(one["system"]), one["value"])


def _of_patient(patient: Mapping[str, Any], wanted: str, name: Named) -> Identity | None:
    """Return the number that decides who a patient is."""
    every = [(one, name(one["system"])) for one in _numbers(patient)]
    every = [(one, system) for one, system in every if system not in SSN]
    if wanted:
        every = [(one, system) for one, system in every if wanted in (system, one["system"])]
    first = next((pair for pair in every if _is_record_number(pair[0])), every[0] if every else None)
    return None if first is None else (first[1], first[0]["value"])


def _is_record_number(identifier: Mapping[str, Any]) -> bool:
    kind = identifier.get("type")
    codings = kind.get("coding") if isinstance(kind, dict) else None
    found = codings if isinstance(codings, list) else ()
    return any(isinstance(c, dict) and c.get("code") == "MR" for c in found)


def concept_text(concept: Any) -> str:
    """Return the codes of a CodeableConcept in one text; its words where it has none."""
    if not isinstance(concept, dict):
        return ""
    codings = concept.get("coding")
    pairs = [
        joined(str(c.get("system") or ""), str(c.get("code") or ""))
        for c in (codings if isinstance(codings, list) else ())
        if isinstance(c, dict)
    ]
    return joined(*pairs) if pairs else str(concept.get("text") or "")


def joined(*parts: str) -> str:
    """Join parts so that two different lists never give one text; trailing empty ones go."""
    return "|".join(p.replace("\\", "\\\\").replace("|", "\\|") for p in parts).rstrip("|")


@cache
def owned(kind: str) -> frozenset[str]:
    """Return the names that the elements of a type have in JSON: what a resource told whole may take back."""
    out: set[str] = set()
    for name, element in definitions.elements(kind).items():
        if element.choice:
            out.update(definitions.concrete_name(name, of) for of in element.types)
        else:
            out.add(name)
    return frozenset(out) - {"id", "meta", "contained", "identifier", "implicitRules", "text", "extension"}
