"""What a study belongs to in the core store: its order, its patient; or why that cannot be said.

In: a study's attributes, who issues the numbers, what a person has bound by hand. Out: `Linked`. Looked for
by Study Instance UID, then accession number and issuer, then requested procedure, then Patient ID and issuer
(IHE RAD TF-2 4.8, table A.1-1); never by a Patient ID alone. What an order says of its patient must not
contradict what the study says: then the study waits for a person, and is attached to nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from engine.channels.node.likeness import contradiction
from engine.channels.node.persons import patient_numbers
from engine.formats.dicom.values import items_of, texts_of
from engine.kernel.imaging import HeldStudy, Linked
from engine.listeners.dicom_settings import Issuers
from engine.store.study_uids import UID_SYSTEM, is_imaging, study_uids

__all__ = ["Authorities", "affected", "link"]

Json = Mapping[str, Any]
MOST = 50
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
PROCEDURE = "Requested Procedure ID"


class Authorities(Protocol):
    """A site's words for those who issue numbers (`Maps.program(site).sender(...)`)."""

    @property
    def own(self) -> str: ...
    def authority_uri(self, name: str, /) -> str: ...


class Store(Protocol):
    """The core store, as far as links need it."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def search(self, type: str, parameters: Any, count: int = 50, cursor: str | None = None) -> Any: ...


class Issuer(NamedTuple):
    """Who issued a number: a system where it is known, else a name that nobody has explained."""

    system: str = ""
    name: str = ""


def link(
    store: Store,
    study: Any,
    issuers: Issuers,
    authorities: Authorities,
    *,
    bound: Sequence[Any] | None = None,
    steps: Iterable[Any] = (),
) -> Linked:
    """Find what a study belongs to. `study`: a HeldStudy or a dataset; `steps`: datasets of its MPPS.

    `bound`: (patient id, order id, ...) where a person has said it. Reasons of what is not linked: `no-order`
    (and no issuer of its Patient ID is known), `no-patient`, `several-orders`, `several-patients`,
    `patient-id-differs`, `name-differs`, `birth-date-differs`, `sex-differs`, `order-without-patient`,
    `bound-to-nobody`.
    """
    dataset = study.dataset if isinstance(study, HeldStudy) else study
    search = _Search(store, issuers, authorities)
    if bound is not None and (bound[0] or bound[1]):
        return search.by_hand(str(bound[0] or ""), str(bound[1] or ""))
    steps = list(steps)
    for by, orders in search.orders(dataset, steps):
        if orders:
            return search.taken(orders, dataset, by)
    return search.by_patient(dataset)


class _Search:
    """The core store, asked by the numbers of one study."""

    def __init__(self, store: Store, issuers: Issuers, authorities: Authorities) -> None:
        self._store, self._issuers, self._authorities = store, issuers, authorities

    # -- orders ----------------------------------------------------------------------------------------------

    def orders(self, dataset: Any, steps: list[Any]) -> Iterator[tuple[str, list[Json]]]:
        """Yield, strongest first, by what key which orders are found."""
        yield "study-uid", self._by_uid(_text(dataset, "StudyInstanceUID"))
        yield "accession", self._by_accession(dataset)
        scheduled = [item for step in steps for item in items_of(step, "ScheduledStepAttributesSequence")]
        for item in scheduled:
            yield "requested-procedure", self._by_uid(_text(item, "StudyInstanceUID"))
            yield "requested-procedure", self._by_accession(item)
        requested = [*items_of(dataset, "RequestAttributesSequence"), dataset, *scheduled]
        numbers = dict.fromkeys(filter(None, (_text(item, "RequestedProcedureID") for item in requested)))
        people = {
            one["id"] for one in self._people(dataset)
        }  # a small number: only of the study's own patient
        for number in numbers if people else ():
            found = self._having(
                "ServiceRequest", number, lambda one: (one.get("type") or {}).get("text") == PROCEDURE
            )
            yield "requested-procedure", [one for one in found if self._subject(one).get("id") in people]

    def _by_uid(self, uid: str) -> list[Json]:
        value = f"urn:oid:{uid}"
        return (
            self._having("ServiceRequest", value, lambda one: one.get("system") == UID_SYSTEM) if uid else []
        )

    def _by_accession(self, dataset: Any) -> list[Json]:
        value = _text(dataset, "AccessionNumber")
        if not value:
            return []
        issuer = self._issuer_in(items_of(dataset, "IssuerOfAccessionNumberSequence"))
        if issuer is None:
            own = Issuer(f"{self._authorities.own}accession")
            issuer = self._named(self._issuers.accession) if self._issuers.accession else own

        def means(one: Json) -> bool:
            codes = {c.get("code") for c in (one.get("type") or {}).get("coding") or ()}
            return "ACSN" in codes and _is_of(one, issuer)

        return self._having("ServiceRequest", value, means)

    def _having(self, kind: str, value: str, means: Callable[[Json], bool]) -> list[Json]:
        """Return the resources that have an identifier of this value that is meant."""
        if "|" in value or "," in value:
            return []  # no search can ask for such a number
        page = self._store.search(kind, [("identifier", value)], MOST)
        return [
            one
            for one in page.resources
            if one.get("status") != "entered-in-error"
            and any(i.get("value") == value and means(i) for i in one.get("identifier") or ())
        ]

    def taken(self, orders: list[Json], dataset: Any, by: str) -> Linked:
        """Take the order that was found, where its patient can be the study's."""
        orders = _one_procedure(orders)
        if len(orders) > 1:
            return Linked("unmatched", "several-orders", by)
        (order,) = orders
        patient = self._subject(order)
        if not patient:
            return Linked("unmatched", "order-without-patient", by, order_id=order["id"])
        against = self._differs(dataset, patient) or contradiction(dataset, patient)
        if against:
            return Linked("mismatch", against, by, patient_id=patient["id"], order_id=order["id"])
        return self._linked(patient, order, by)

    def _differs(self, dataset: Any, patient: Json) -> str:
        """Say whether the study's Patient ID is another patient's, or none of this one's."""
        number = _text(dataset, "PatientID")
        if not number:
            return ""
        people = self._people(dataset)
        if people:
            return "" if any(one["id"] == patient["id"] for one in people) else "patient-id-differs"
        issuer = self._patient_issuer(dataset)
        known = [i for i in patient.get("identifier") or () if i.get("value") == number]
        if issuer is not None:
            known = [i for i in known if _is_of(i, issuer) or not (i.get("system") or i.get("assigner"))]
        return "" if known else "patient-id-differs"

    # -- patients --------------------------------------------------------------------------------------------

    def by_patient(self, dataset: Any) -> Linked:
        """Find the patient alone, by number and issuer."""
        number = _text(dataset, "PatientID")
        if not number or self._patient_issuer(dataset) is None:
            return Linked("unmatched", "no-order")
        people = self._people(dataset)
        if len(people) != 1:
            return Linked("unmatched", "several-patients" if people else "no-patient", "patient")
        (patient,) = people
        against = contradiction(dataset, patient)
        if against:
            return Linked("mismatch", against, "patient", patient_id=patient["id"])
        return self._linked(patient, None, "patient")

    def by_hand(self, patient_id: str, order_id: str) -> Linked:
        """Follow what a person has said; merges since then too."""
        order = self._store.read("ServiceRequest", order_id) if order_id else None
        patient = self._survivor(self._store.read("Patient", patient_id)) if patient_id else {}
        if not patient and order is not None:
            patient = self._subject(order)
        if not patient or (order_id and order is None):
            return Linked("unmatched", "bound-to-nobody", "hand")
        if order is not None and self._subject(order).get("id") != patient["id"]:
            return Linked(
                "mismatch", "order-of-another-patient", "hand", patient_id=patient["id"], order_id=order_id
            )
        return self._linked(patient, order, "hand")

    def _people(self, dataset: Any) -> list[Json]:
        """Return the patients who have the study's Patient ID of its issuer; for retired ones, survivors."""
        number, issuer = _text(dataset, "PatientID"), self._patient_issuer(dataset)
        if not number or issuer is None:
            return []
        found = [
            self._survivor(one) for one in self._having("Patient", number, lambda one: _is_of(one, issuer))
        ]
        return list({one["id"]: one for one in found if one}.values())

    def _subject(self, order: Json) -> Json:
        name = str((order.get("subject") or {}).get("reference") or "")
        return self._survivor(self._store.read("Patient", name[8:])) if name.startswith("Patient/") else {}

    def _survivor(self, patient: Json | None) -> Json:
        for _ in range(10):
            by = [one for one in (patient or {}).get("link") or () if one.get("type") == "replaced-by"]
            if not by:
                break
            name = str((by[0].get("other") or {}).get("reference") or "")
            patient = self._store.read("Patient", name.removeprefix("Patient/"))
        return patient or {}

    # -- issuers ---------------------------------------------------------------------------------------------

    def _patient_issuer(self, dataset: Any) -> Issuer | None:
        """Return who issued the Patient ID: as the object says, else as the node is configured, else None."""
        said = self._issuer_in(items_of(dataset, "IssuerOfPatientIDQualifiersSequence"))
        if said is not None and said.system:
            return said
        if name := _text(dataset, "IssuerOfPatientID"):
            return self._named(name)
        if said is None and self._issuers.patient:
            return self._named(self._issuers.patient)
        return said

    def _issuer_in(self, sequence: Any) -> Issuer | None:
        """Read an issuer (PS3.3 10.14): a universal entity ID goes first."""
        name = ""
        for item in sequence or ():
            entity, local = _text(item, "UniversalEntityID"), _text(item, "LocalNamespaceEntityID")
            for one in (entity, local):
                if one and (system := self._named(one).system):
                    return Issuer(system, local)
            name = name or local or entity
        return Issuer("", name) if name else None

    def _named(self, said: str) -> Issuer:
        """Return an authority as this site names it, or as a URI it is already."""
        plain = said.removeprefix("urn:oid:")
        system = self._authorities.authority_uri(plain)
        if not system and _OID(plain):
            system = f"urn:oid:{plain}"
        elif not system and _UUID(said.removeprefix("urn:uuid:")):
            system = f"urn:uuid:{said.removeprefix('urn:uuid:').lower()}"
        elif not system and said.startswith(("http://", "https://", "urn:")):
            system = said
        return Issuer(system, said)

    # -- what is found ---------------------------------------------------------------------------------------

    def _linked(self, patient: Json, order: Json | None, by: str) -> Linked:
        visit = str(((order or {}).get("encounter") or {}).get("reference") or "")
        return Linked(
            "linked",
            by=by,
            patient=self._key("Patient", patient),
            patient_id=patient["id"],
            order=self._key("ServiceRequest", order) if order is not None else None,
            order_id=order["id"] if order is not None else "",
            encounter_id=visit.removeprefix("Encounter/") if visit.startswith("Encounter/") else "",
        )

    def _key(self, kind: str, resource: Json) -> tuple[str, str] | None:
        """Return an identifier that names this resource and no other: the store sets references by it."""
        found = list(resource.get("identifier") or ())
        if kind == "Patient":
            found = patient_numbers(resource, self._issuers.patient)
        else:
            found.sort(key=lambda one: one.get("system") != UID_SYSTEM)
        for one in found:
            system, value = one.get("system"), str(one.get("value") or "")
            if system and value and self._alone(kind, system, value, resource["id"]):
                return system, value
        for one in found:
            name, value = (one.get("assigner") or {}).get("display"), str(one.get("value") or "")
            if not one.get("system") and name and value:
                others = self._having(kind, value, lambda i, name=name: _is_of(i, Issuer("", name)))  # type: ignore[misc]
                if [other["id"] for other in others] == [resource["id"]]:
                    return f"urn:hub:authority:{name}", value
        return None

    def _alone(self, kind: str, system: str, value: str, id_: str) -> bool:
        found = self._having(kind, value, lambda one: one.get("system") == system)
        return {(self._survivor(one) if kind == "Patient" else one).get("id") for one in found} == {id_}


def _is_of(one: Json, issuer: Issuer) -> bool:
    """Say whether a number was given by an issuer: by system, or by a name where neither side has one."""
    if issuer.system:
        return bool(one.get("system") == issuer.system)
    return not one.get("system") and (one.get("assigner") or {}).get("display") == issuer.name


def _one_procedure(orders: list[Json]) -> list[Json]:
    """Return the first of several orders that are steps of one requested procedure of one patient."""
    same = {((o.get("subject") or {}).get("reference"), *study_uids(dict(o))[:1]) for o in orders}
    if len(orders) > 1 and len(same) == 1 and study_uids(dict(orders[0])):
        return [min(orders, key=lambda o: (str(o.get("authoredOn") or "9"), o["id"]))]
    return orders


def _text(dataset: Any, keyword: str) -> str:
    said = texts_of(dataset, keyword)
    return said[0] if len(said) == 1 else ""  # of several nobody knows which is meant


def affected(store: Store, changes: Iterable[Any], by_key: Callable[[str, str], list[str]]) -> list[str]:
    """Return the studies that are to be looked at again after changes of the core store.

    `by_key`: studies held by `accession`, `patient` or `procedure` number. UIDs that orders name are returned
    whether a study of theirs is held or not.
    """
    found: dict[str, None] = {}
    for kind, id_ in dict.fromkeys((change.type, change.id) for change in changes):
        body = store.read(kind, id_) if kind in ("Patient", "ServiceRequest") else None
        if body is None or (kind == "ServiceRequest" and not is_imaging(body)):
            continue
        if kind == "ServiceRequest":
            found |= dict.fromkeys(study_uids(body))
        for one in body.get("identifier") or ():
            for word in _words(kind, one):
                found |= dict.fromkeys(by_key(word, str(one.get("value") or "")))
    return list(found)


def _words(kind: str, one: Json) -> Iterator[str]:
    if not one.get("value") or one.get("system") == UID_SYSTEM:
        return
    codes = {c.get("code") for c in (one.get("type") or {}).get("coding") or ()}
    if kind == "Patient":
        yield "patient"
    elif "ACSN" in codes:
        yield "accession"
    elif (one.get("type") or {}).get("text") == PROCEDURE:
        yield "procedure"
