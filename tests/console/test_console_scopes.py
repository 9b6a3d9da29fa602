"""What a caller sees by the scopes of a token: types, interactions, one patient, a person's own rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from console_web import Web
from issuer_side import AUDIENCE, ISSUER, NOW, Issuer

from engine.console.callers import Callers
from engine.console.desk import Desk
from engine.console.endpoint import Endpoint
from engine.console.exchange import Ask, Reply
from engine.console.issuers import Issuers
from engine.console.providers import Web as Outside
from engine.console.recorder import Recorder
from engine.console.tokens import Tokens
from engine.fhir.compartment import belongs, is_somebodys
from engine.kernel.web_settings import IssuerSettings
from engine.security.access import Grant
from engine.staff.staff import Staff


class Place:
    """The desk of a hub that believes one issuer."""

    def __init__(self, web: Web, staff: Staff, issuer: Issuer, **settings: Any) -> None:
        one = IssuerSettings(issuer=ISSUER, audience=AUDIENCE, **settings)
        issuers = Issuers([one], web.hub.root, Outside(True, issuer.client()), lambda: NOW)
        callers = Callers(Tokens.read("ehr " + "e" * 30), staff, issuers)
        endpoint = Endpoint(web.hub.store, web.hub.keyring, "hub", issued=True)
        self.web, self.issuer, self.staff = web, issuer, staff
        self.desk = Desk(web.hub.store, callers, endpoint, Recorder(web.hub.store.audit))

    def ask(self, path: str, bearer: str, query: str = "") -> Reply:
        pairs = tuple(tuple(one.split("=", 1)) for one in query.split("&") if one)
        asked = Ask("GET", tuple(path.split("/")), pairs, base="http://hub/fhir")  # type: ignore[arg-type]
        return self.desk.fhir(asked, f"Bearer {bearer}", "192.0.2.1")

    def status(self, path: str, scope: str, query: str = "", **claims: Any) -> int:
        return self.ask(path, self.issuer.token(scope, **claims), query).status

    def everything(self) -> list[dict[str, Any]]:
        changes = self.web.hub.store.feed(0, 5000, bodies=True)
        found = {(c.type, c.id): c.body for c in changes if c.body is not None}
        return [b for (kind, id_), b in found.items() if self.web.hub.store.read(kind, id_) is not None]


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def staff(web: Web, tmp_path: Any) -> Iterator[Staff]:
    opened = Staff.open(f"sqlite:///{tmp_path / 'staff.db'}", web.hub.keyring)
    yield opened
    opened.close()


@pytest.fixture
def place(web: Web, staff: Staff, issuer: Issuer) -> Place:
    return Place(web, staff, issuer)


@pytest.fixture
def patient(place: Place) -> str:
    """The patient of the potassium result."""
    entry = place.web.hub.entries["lab/oru_potassium"]
    return place.web.hub.written(entry, "Patient")


@pytest.mark.parametrize(
    "scope,path,query,status",
    [
        ("system/*.rs", "Observation", "", 200),
        ("system/Observation.rs", "Observation", "", 200),
        ("system/Observation.s", "Observation", "", 200),
        ("system/Observation.r", "Observation", "", 403),
        ("system/Observation.read", "Observation", "", 200),
        ("user/Observation.rs", "Observation", "", 200),
        ("system/Patient.rs", "Observation", "", 403),
        ("patient/Observation.rs", "Observation", "", 403),  # no patient is named
        ("system/Observation.cud", "Observation", "", 403),
        ("feed dicomweb.read", "Observation", "", 403),
        ("", "Observation", "", 403),
        ("system/Observation.rs", "Patient", "identifier=x", 403),
    ],
)
def test_types_and_interactions(place: Place, scope: str, path: str, query: str, status: int) -> None:
    assert place.status(path, scope, query) == status


def test_read_versions_and_history_need_the_letter_r(place: Place) -> None:
    id_ = place.web.hub.written(place.web.hub.entries["lab/oru_potassium"], "Observation")
    for path in (f"Observation/{id_}", f"Observation/{id_}/_history", f"Observation/{id_}/_history/1"):
        assert place.status(path, "system/Observation.r") == 200
        assert place.status(path, "system/Observation.s") == 403


def test_what_is_missing_is_said_and_recorded(place: Place) -> None:
    reply = place.ask("Observation", place.issuer.token("system/Patient.rs"))
    assert reply.headers["WWW-Authenticate"] == (
        'Bearer realm="hub", error="insufficient_scope", scope="system/Observation.s"'
    )
    assert place.web.last_audit()[0][:3] == ("app-1@sso.mercy.example", "fhir:refused", "fhir")
    reply = place.ask("Observation", "not.a.token")
    assert reply.status == 401 and 'error="invalid_token"' in reply.headers["WWW-Authenticate"]


def test_a_patient_sees_what_is_theirs_and_nothing_else_is_there(place: Place, patient: str) -> None:
    token = place.issuer.token("patient/*.rs", patient=patient)
    seen, unseen = 0, 0
    for body in place.everything():
        path = f"{body['resourceType']}/{body['id']}"
        theirs = belongs(body, patient)
        for address in (path, f"{path}/_history", f"{path}/_history/1"):
            reply = place.ask(address, token)
            assert reply.status == (200 if theirs else 404), address
            if not theirs:  # nothing tells it from one that never was
                kind = body["resourceType"]
                never = place.ask(address.replace(body["id"], "never-was"), token)
                assert reply.body == never.body and reply.headers == never.headers, kind
        seen, unseen = seen + theirs, unseen + (not theirs)
    assert seen >= 3 and unseen >= 10


def test_a_search_finds_the_patients_own_only(place: Place, patient: str) -> None:
    token = place.issuer.token("patient/*.rs", patient=patient)
    kinds = {body["resourceType"] for body in place.everything()}
    found = 0
    for kind in sorted(kinds - {"Provenance"}):
        reply = place.ask(kind, token)
        assert reply.status == 200
        for entry in json.loads(reply.body).get("entry", ()):
            assert belongs(entry["resource"], patient)
            found += 1
    assert found >= 3
    others = [b["id"] for b in place.everything() if b["resourceType"] == "Patient" and b["id"] != patient]
    for query in (f"patient={others[0]}", f"patient={others[0]},{patient}", f"subject=Patient/{others[0]}"):
        for entry in json.loads(place.ask("Observation", token, query).body).get("entry", ()):
            assert belongs(entry["resource"], patient)
    assert "entry" not in json.loads(place.ask("Patient", token, f"_id={others[0]}").body)


def test_the_next_page_of_somebody_else_shows_nothing_more(place: Place, patient: str) -> None:
    whole = json.loads(place.ask("Observation", place.issuer.token(), "_count=1").body)
    (address,) = [link["url"] for link in whole["link"] if link["relation"] == "next"]
    token = place.issuer.token("patient/*.rs", patient=patient)
    reply = json.loads(place.ask("Observation", token, address.partition("?")[2]).body)
    assert all(belongs(entry["resource"], patient) for entry in reply.get("entry", ()))


def test_where_it_came_from_is_the_patients_too(place: Place, patient: str) -> None:
    entry = place.web.hub.entries["lab/oru_potassium"]
    observation = place.web.hub.written(entry, "Observation")
    token = place.issuer.token("patient/*.rs", patient=patient)
    found = json.loads(place.ask("Provenance", token, f"target=Observation/{observation}").body)
    seen = 0
    for one in found["entry"]:
        for target in one["resource"]["target"]:
            kind, id_ = target["reference"].split("/")[:2]
            body = place.web.hub.store.read(kind, id_)
            assert body is not None and (belongs(body, patient) or not is_somebodys(body))
            seen += 1
    assert seen >= 2
    other = place.web.hub.written(place.web.hub.entries["lab/oru_cmp"], "Observation")
    assert "entry" not in json.loads(place.ask("Provenance", token, f"target=Observation/{other}").body)


def test_an_issuer_gives_no_more_than_the_settings_say(web: Web, staff: Staff, issuer: Issuer) -> None:
    place = Place(web, staff, issuer, scopes=("system/Observation.rs",))
    assert place.status("Observation", "system/*.rs") == 200
    assert place.status("Patient", "system/*.rs") == 403


def test_a_person_who_is_known_here_gets_no_more_by_a_token(place: Place) -> None:
    admin = place.staff.accounts.add("chief", [Grant("admin")], "setup", issuer=ISSUER, subject="u0")
    viewer = place.staff.accounts.add("vi", [Grant("viewer")], "setup", issuer=ISSUER, subject="u1")
    place.staff.accounts.add("op", [Grant("operator")], "setup", issuer=ISSUER, subject="u2")
    place.staff.accounts.add("lab", [Grant("operator", ("lab_*",))], "setup", issuer=ISSUER, subject="u3")
    for sub, status in (("u0", 403), ("u1", 403), ("u2", 200), ("u3", 403), ("stranger", 200)):
        assert place.status("Observation", "user/*.rs", sub=sub) == status, sub
    place.status("Observation", "user/*.rs", sub="u2")
    assert place.web.last_audit()[0][0] == "op"
    assert place.status("Observation", "system/*.rs", sub="u1") == 200  # the program's own right
    place.staff.accounts.disable(viewer.id)
    assert place.status("Observation", "system/*.rs", sub="u1") == 401
    assert admin.id


def test_a_key_of_a_program(place: Place) -> None:
    _, text = place.staff.keys.add("ehr2", ["system/Observation.rs"], "chief")
    assert place.ask("Observation", text).status == 200
    assert place.web.last_audit()[0][0] == "key/ehr2"
    assert place.ask("Patient", text).status == 403
    place.staff.keys.revoke("ehr2", "chief")
    assert place.ask("Observation", text).status == 401
    assert place.ask("Observation", "e" * 30).status == 200  # the token file goes on


def test_the_feed_needs_its_scope_and_bodies_need_the_types(place: Place, patient: str) -> None:
    def feed(scope: str, query: str = "", **claims: Any) -> int:
        pairs = tuple(tuple(one.split("=", 1)) for one in query.split("&") if one)
        reply = place.desk.feed(
            Ask("GET", (), pairs),  # type: ignore[arg-type]
            f"Bearer {place.issuer.token(scope, **claims)}",
            "192.0.2.1",
            True,
        )
        assert reply is not None
        return reply.status

    assert feed("system/*.rs") == 403
    assert feed("feed") == 200
    assert feed("feed", "bodies=true") == 403
    assert feed("feed system/*.rs", "bodies=true") == 200
    assert feed("feed system/Observation.r", "bodies=true") == 403
    assert feed("feed system/Observation.r", "bodies=true&types=Observation") == 200
    assert feed("feed system/Observation.r", "bodies=true&types=Observation,Patient") == 403
    assert feed("feed patient/*.rs", "bodies=true", patient=patient) == 403


def test_an_issuer_that_is_down_is_no_refusal(place: Place) -> None:
    place.issuer.down = True
    reply = place.ask("Observation", place.issuer.token())
    place.issuer.down = False
    assert reply.status == 503 and "Retry-After" in reply.headers


def test_what_clients_are_told(place: Place) -> None:
    told = json.loads(place.ask(".well-known/smart-configuration", "").body)
    assert told["token_endpoint"] == f"{ISSUER}/token" and "permission-v2" in told["capabilities"]
    statement = json.loads(place.ask("metadata", "").body)
    service = statement["rest"][0]["security"]["service"][0]["coding"][0]
    assert service["code"] == "SMART-on-FHIR"


def test_a_token_file_may_hold_scopes() -> None:
    tokens = Tokens.read(f"pacs {'p' * 30} dicomweb.store\nehr {'e' * 30}\n")
    pacs, ehr = tokens.find("p" * 30), tokens.find("e" * 30)
    assert pacs is not None and pacs.scopes.own == {"dicomweb.store"} and not pacs.scopes.smart
    assert ehr is not None and ehr.scopes.own == {"feed", "dicomweb.read"}
    assert Tokens.read("d" * 30).find("d" * 30).scopes.own == {"feed", "dicomweb.read", "dicomweb.store"}  # type: ignore[union-attr]
