"""Documents searched for as IHE MHD asks (ITI-67): each parameter alone and together, chains, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from store_messages import LOINC, MRN, draft, id_of, patient, work

from engine.store.document_search import DOCUMENT_PARAMETERS
from engine.store.search import SearchError
from engine.store.sql import SqlStore

DOC = "urn:doc"


def coded(code: str, system: str = LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def document(value: str, who: str, **body: Any) -> Any:
    own = {"identifier": [{"system": DOC, "value": value}], "status": "current", **body}
    return draft("DocumentReference", DOC, value, {"subject": ref("Patient", MRN, who), **own})


def ref(kind: str, system: str, value: str) -> dict[str, str]:
    return {"reference": f"{kind}/{id_of(kind, system, value)}"}


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    nora = draft("Practitioner", "urn:npi", "1", {"name": [{"family": "Quill", "given": ["Nora", "Ann"]}]})
    role = draft("PractitionerRole", "urn:role", "1", {"practitioner": ref("Practitioner", "urn:npi", "1")})
    full = document(
        "A", "1",
        masterIdentifier={"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.999.7.1"},
        type=coded("34133-9"), category=[coded("note", "urn:class")], securityLabel=[coded("N", "urn:conf")],
        date="2026-05-02T10:00:00Z",
        author=[ref("PractitionerRole", "urn:role", "1")],
        content=[
            {"attachment": {"creation": "2026-05-01T09:00:00Z"}, "format": {"system": "urn:f", "code": "pdf"}}
        ],
        context={
            "event": [coded("99213", "urn:cpt")], "period": {"start": "2026-04-01", "end": "2026-04-10"},
            "facilityType": coded("HOSP", "urn:fac"), "practiceSetting": coded("394802001", "urn:sct"),
            "related": [{"reference": "ServiceRequest/s"}],
        },
    )  # fmt: skip
    bare = document("B", "1", status="superseded", author=[ref("Practitioner", "urn:npi", "1")])
    other = document("C", "2", type=coded("34133-9"), context={"period": {"start": "2026-04-05"}})
    store.apply(
        [work(1, patient("1"), nora, role, full), work(2, patient("1"), bare), work(3, patient("2"), other)]
    )
    return store


ONE = ("patient", id_of("Patient", MRN, "1"))
NUMBER = ("patient.identifier", f"{MRN}|1")


def found(store: SqlStore, *parameters: tuple[str, str]) -> str:
    """Return the documents, by their letters."""
    page = store.search("DocumentReference", parameters, 50, None)
    return "".join(sorted(one["identifier"][0]["value"] for one in page.resources))


TABLE = [
    ("status", "current", "A"),
    ("status", "superseded", "B"),
    ("status", "current,superseded", "AB"),
    ("type", f"{LOINC}|34133-9", "A"),
    ("type", "34133-9", "A"),
    ("type", "urn:other|34133-9", ""),
    ("category", "urn:class|note", "A"),
    ("security-label", "N", "A"),
    ("event", "urn:cpt|99213", "A"),
    ("facility", "urn:fac|HOSP", "A"),
    ("setting", "394802001", "A"),
    ("format", "urn:f|pdf", "A"),
    ("creation", "2026-05-01", "A"),
    ("creation", "gt2026-05-01", ""),
    ("creation", "le2026-05-01", "A"),
    ("period", "ge2026-04-05", "A"),
    ("period", "gt2026-04-10", ""),
    ("period", "lt2026-04-01", ""),
    ("period", "2026-04", "A"),
    ("period", "2026-04-02", ""),
    ("date", "2026-05-02", "A"),
    ("related", "ServiceRequest/s", "A"),
    ("author.family", "qui", "AB"),
    ("author.given", "Ann", "AB"),
    ("author.family", "ill", ""),
    ("identifier", f"{DOC}|A", "A"),
    ("identifier", "urn:ietf:rfc:3986|urn:oid:2.999.7.1", "A"),
    ("identifier", "C", ""),
]


def test_each_parameter_beside_the_patient(filled: SqlStore) -> None:
    for name, value, letters in TABLE:
        for who in (ONE, NUMBER):
            assert found(filled, who, (name, value)) == letters, (name, value)
            assert found(filled, (name, value), who) == letters, (name, value)


def test_a_patient_by_number(filled: SqlStore) -> None:
    assert found(filled, NUMBER) == "AB"
    assert found(filled, ("patient.identifier", f"{MRN}|1,{MRN}|2")) == "ABC"
    assert found(filled, ("patient.identifier", f"{MRN}|9")) == ""
    assert found(filled, ("patient.identifier", "urn:else|1")) == ""
    assert found(filled, NUMBER, ("patient", id_of("Patient", MRN, "2"))) == ""


def test_several_together_mean_all(filled: SqlStore) -> None:
    assert (
        found(filled, ONE, ("period", "ge2026-04-01"), ("period", "le2026-04-30"), ("type", "34133-9")) == "A"
    )
    assert found(filled, ONE, ("status", "current"), ("author.family", "Nobody")) == ""
    assert found(filled, ("identifier", f"{DOC}|C"), ("period", "gt2030")) == "C"  # it goes on


def test_pages_hold_what_fits(filled: SqlStore) -> None:
    page = filled.search("DocumentReference", [NUMBER], 1, None)
    assert len(page.resources) == 1 and page.cursor
    rest = filled.search("DocumentReference", [NUMBER], 1, page.cursor)
    assert len(rest.resources) == 1 and rest.cursor is None
    assert page.resources[0]["id"] != rest.resources[0]["id"]


def test_a_parameter_alone_is_refused(filled: SqlStore) -> None:
    for name in DOCUMENT_PARAMETERS:
        with pytest.raises(SearchError, match="together with another"):
            found(filled, (name, "x"))


def test_what_cannot_be_asked_is_said(filled: SqlStore) -> None:
    for name, value, why in (
        ("type", f"{LOINC}|", "needs a code"),
        ("type", ",", "no value"),
        ("period", "soon", "no.* date"),
        ("period", "2026,2027", "one value"),
        ("status:not", "current", "modifier"),
        ("patient.identifier", f"{MRN}|", "needs a value"),
    ):
        with pytest.raises(SearchError, match=why):
            found(filled, ONE, (name, value))


def test_other_types_do_not_take_them(filled: SqlStore) -> None:
    with pytest.raises(SearchError, match="not supported for Observation"):
        filled.search("Observation", [ONE, ("category", "x")], 50, None)
