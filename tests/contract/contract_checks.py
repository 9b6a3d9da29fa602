"""What a destination needs of a FHIR server: one function a check, against any server, over HTTP alone.

A check takes a peer and asserts; `CHECKS` says what the server must offer for it. `read` also holds for what
only answers, as this hub's own endpoint does. Every check uses resources of its own.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import fhirclient.client
from contract_peers import SYSTEM, Peer, parcel
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient

Check = Callable[[Peer], None]
CHECKS: dict[str, tuple[str, Check]] = {}
Seed = tuple[str, str]  # a Patient and an Observation that are there, as Type/id


def check(needs: str) -> Callable[[Check], Check]:
    """Add a check."""

    def add(made: Check) -> Check:
        CHECKS[made.__name__] = (needs, made)
        return made

    return add


def patient(**more: Any) -> dict[str, Any]:
    """Return a patient that nobody has seen."""
    id_ = str(uuid.uuid4())
    mrn = {"system": "urn:oid:1.2.36.146.595.217.0.1", "value": f"M{id_[:13]}"}
    return {
        "resourceType": "Patient",
        "id": id_,
        "meta": {"versionId": "1"},
        "identifier": [mrn],
        "name": [{"family": "Contract", "given": ["Test"]}],
        "birthDate": "1980-01-01",
        **more,
    }


def observation(of: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a result of a patient."""
    return {
        "resourceType": "Observation",
        "id": str(uuid.uuid4()),
        "meta": {"versionId": "1"},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "subject": {"reference": name(of)},
        "effectiveDateTime": "2026-05-01T14:10:00Z",
        "valueQuantity": {
            "value": 4,
            "unit": "mmol/L",
            "system": "http://unitsofmeasure.org",
            "code": "mmol/L",
        },
        **more,
    }


def name(resource: dict[str, Any]) -> str:
    """Return Type/id."""
    return f"{resource['resourceType']}/{resource['id']}"


def sent(peer: Peer, ids: str, *resources: dict[str, Any], **more: Any) -> None:
    """Deliver, with a destination that knows nothing of what was sent before."""
    settings = more.pop("settings", {})
    to = peer.destination(ids, **settings)
    receipt = to.deliver(parcel(*resources, **more))
    to.close()
    assert receipt.verdict == "sent", receipt.why


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one that was found."""
    assert len(found) == 1, f"{len(found)} found"
    return found[0]


# -- what only answers must do, too


@check("read")
def says_what_it_is(peer: Peer) -> None:
    assert peer.destination("ours").check().startswith("FHIR 4.0.1, ")


@check("read")
def says_that_it_takes_what_we_send(peer: Peer) -> None:
    for ids in ("ours", "theirs"):
        assert "does not say" not in peer.destination(ids).check()


@check("read")
def a_resource_is_read_with_its_version(peer: Peer, seed: Seed) -> None:
    answer = peer.get(seed[1])
    assert answer.status_code == 200
    assert answer.headers["ETag"] == f'W/"{answer.json()["meta"]["versionId"]}"'


@check("read")
def a_patient_is_found_by_identifier(peer: Peer, seed: Seed) -> None:
    own = peer.read(seed[0])["identifier"][0]
    found = peer.found("Patient", identifier=f"{own['system']}|{own['value']}")
    assert [one["id"] for one in found] == [seed[0].partition("/")[2]]
    assert not peer.found("Patient", identifier=f"{own['system']}|nobody-has-this")


@check("read")
def results_are_found_by_patient_and_date(peer: Peer, seed: Seed) -> None:
    found = peer.found("Observation", subject=seed[0], date="ge2020-01-01", _count="50")
    assert seed[1].partition("/")[2] in [one["id"] for one in found]
    assert not peer.found("Observation", subject=seed[0], date="lt1970-01-01")


@check("read")
def fhirclient_reads_it_back(peer: Peer, seed: Seed) -> None:
    client = fhirclient.client.FHIRClient(settings={"app_id": "contract", "api_base": f"{peer.url}/"})
    client.server.session.headers.update(peer.headers)
    person = Patient.read(seed[0].partition("/")[2], client.server)
    result = Observation.read(seed[1].partition("/")[2], client.server)
    assert person.name[0].family and result.subject.reference.endswith(seed[0])
    result.as_json()  # its models refuse what is no R4


@check("read")
def fhirpy_reads_it_back(peer: Peer, seed: Seed) -> None:
    client = peer.fhirpy()
    found = client.resources("Observation").search(subject=seed[0]).fetch()
    assert seed[1].partition("/")[2] in [one.id for one in found]
    person = client.reference("Patient", seed[0].partition("/")[2]).to_resource()
    assert person["name"][0]["family"]


@check("read")
def what_is_not_there_is_404(peer: Peer) -> None:
    assert peer.get(f"Patient/{uuid.uuid4()}").status_code == 404


@check("read")
def digits_are_kept(peer: Peer, seed: Seed) -> None:
    text = peer.get(seed[1]).text.replace(" ", "")
    assert '"value":4.10' in text, "4.10 is another number there"


@check("theirs")
def whole_numbers_keep_their_zero(peer: Peer) -> None:
    p = patient()
    o = observation(p, valueQuantity={"value": Decimal("100.0"), "unit": "mmol/L"})
    sent(peer, "theirs", o, p)
    held = only(peer.ours("Observation", o["id"]))
    assert str(held["valueQuantity"]["value"]) == "100.0"


# -- our ids


@check("ours")
def ours_is_written_at_our_ids(peer: Peer) -> None:
    p = patient()
    o = observation(p)
    sent(peer, "ours", o, p, mentioned=(name(p),))
    assert peer.read(name(o))["subject"]["reference"].endswith(name(p))
    assert peer.read(name(p))["name"] == p["name"]


@check("ours")
def ours_sent_twice_is_once(peer: Peer) -> None:
    p = patient()
    for _ in range(2):
        sent(peer, "ours", p)
    mrn = p["identifier"][0]
    only(peer.found("Patient", identifier=f"{mrn['system']}|{mrn['value']}"))


@check("ours")
def ours_newer_takes_the_place_of_older(peer: Peer) -> None:
    p = patient()
    sent(peer, "ours", p)
    sent(peer, "ours", {**p, "meta": {"versionId": "2"}, "name": [{"family": "Newer"}]})
    assert peer.read(name(p))["name"] == [{"family": "Newer"}]


@check("ours")
def ours_in_chunks(peer: Peer) -> None:
    p = patient()
    results = [observation(p) for _ in range(5)]
    report = {
        "resourceType": "DiagnosticReport",
        "id": str(uuid.uuid4()),
        "status": "final",
        "code": {"text": "Panel"},
        "subject": {"reference": name(p)},
        "result": [{"reference": name(o)} for o in results],
    }
    sent(peer, "ours", report, *results, p, settings={"entries": 2})
    held = peer.read(name(report))
    assert [r["reference"].split("/")[-1] for r in held["result"]] == [o["id"] for o in results]
    for o in results:
        peer.read(name(o))


@check("ours")
def ours_gone_is_deleted(peer: Peer) -> None:
    p = patient()
    o = observation(p)
    sent(peer, "ours", o, p)
    for _ in range(2):  # what is gone already is fine
        sent(peer, "ours", p, gone=(name(o),))
    assert peer.get(name(o)).status_code in (404, 410)


@check("ours")
def ours_one_resource_a_request(peer: Peer) -> None:
    p = patient()
    o = observation(p)
    sent(peer, "ours", o, p, settings={"transactions": False})
    assert peer.read(name(o))["subject"]["reference"].endswith(name(p))


@check("ours")
def a_change_by_somebody_else_is_noticed(peer: Peer) -> None:
    somebody_else_changes(peer, "ours")


def somebody_else_changes(peer: Peer, ids: str, **settings: Any) -> None:
    """Write twice, let somebody else write, and see that a third time parks and changes nothing."""
    p = patient()
    to = peer.destination(ids, changed_there="park", **settings)
    assert to.deliver(parcel(p)).verdict == "sent"
    assert to.deliver(parcel(p)).verdict == "sent"
    held = peer.read(name(p)) if ids == "ours" else only(peer.ours("Patient", p["id"]))
    assert peer.put({**held, "active": True}).status_code == 200
    receipt = to.deliver(parcel(p))
    assert receipt.verdict == "park", f"{receipt.verdict}: {receipt.why}"
    assert peer.read(name(held))["active"] is True


@check("ours")
def a_change_by_somebody_else_is_noticed_one_resource_a_request(peer: Peer) -> None:
    somebody_else_changes(peer, "ours", transactions=False)


@check("ours")
def ours_gone_together_is_deleted_whatever_refers_to_what(peer: Peer) -> None:
    p = patient()
    o = observation(p)
    sent(peer, "ours", o, p)
    sent(peer, "ours", patient(), gone=(name(p), name(o)))
    assert [peer.get(name(one)).status_code in (404, 410) for one in (p, o)] == [True, True]


# -- the server's own ids


@check("theirs")
def theirs_is_found_again(peer: Peer) -> None:
    p = patient()
    o = observation(p)
    trace = {
        "resourceType": "Provenance",
        "id": str(uuid.uuid4()),
        "target": [{"reference": name(o)}],
        "recorded": "2026-05-01T14:10:00Z",
        "agent": [{"who": {"display": "hub"}}],
    }
    for _ in range(3):
        sent(peer, "theirs", o, p, trace, mentioned=(name(p),))
    person, result = only(peer.ours("Patient", p["id"])), only(peer.ours("Observation", o["id"]))
    assert result["subject"]["reference"].endswith(f"Patient/{person['id']}")
    held = only(peer.ours("Provenance", trace["id"]))
    assert held["target"][0]["reference"].endswith(f"Observation/{result['id']}")
    assert person["identifier"][0] == p["identifier"][0]


@check("theirs")
def theirs_found_by_tag_are_kept_apart(peer: Peer) -> None:
    """A server that ignores _tag would take every Provenance for the same one."""
    p = patient()
    traces = [
        {
            "resourceType": "Provenance",
            "id": str(uuid.uuid4()),
            "target": [{"reference": name(p)}],
            "recorded": f"2026-05-0{n}T14:10:00Z",
            "agent": [{"who": {"display": "hub"}}],
        }
        for n in (1, 2)
    ]
    for trace in traces:
        sent(peer, "theirs", p, trace)
    held = [only(peer.ours("Provenance", trace["id"])) for trace in traces]
    assert [h["recorded"][:10] for h in held] == [t["recorded"][:10] for t in traces]


@check("theirs")
def theirs_all_by_tag(peer: Peer) -> None:
    p = patient()
    team = {"resourceType": "CareTeam", "id": str(uuid.uuid4()), "subject": {"reference": name(p)}}
    for _ in range(2):
        sent(peer, "theirs", team, p, settings={"find_by": "tag"})
    held = only(peer.found("CareTeam", _tag=f"{SYSTEM}|{team['id']}"))
    person = only(peer.found("Patient", _tag=f"{SYSTEM}|{p['id']}"))
    assert held["subject"]["reference"].endswith(name(person))
    assert person["identifier"] == p["identifier"]


@check("theirs")
def theirs_newer_takes_the_place_of_older(peer: Peer) -> None:
    p = patient()
    sent(peer, "theirs", p)
    sent(peer, "theirs", {**p, "name": [{"family": "Newer"}]})
    assert only(peer.ours("Patient", p["id"]))["name"] == [{"family": "Newer"}]


@check("theirs")
def theirs_a_change_by_somebody_else_is_noticed(peer: Peer) -> None:
    somebody_else_changes(peer, "theirs")


@check("theirs")
def theirs_what_is_only_mentioned_is_not_overwritten(peer: Peer) -> None:
    p = patient()
    sent(peer, "theirs", p)
    held = only(peer.ours("Patient", p["id"]))
    assert peer.put({**held, "active": True}).status_code == 200
    sent(peer, "theirs", observation(p), p, mentioned=(name(p),))
    assert only(peer.ours("Patient", p["id"]))["active"] is True


@check("theirs")
def theirs_in_chunks(peer: Peer) -> None:
    p = patient()
    results = [observation(p) for _ in range(5)]
    report = {
        "resourceType": "DiagnosticReport",
        "id": str(uuid.uuid4()),
        "status": "final",
        "code": {"text": "Panel"},
        "subject": {"reference": name(p)},
        "result": [{"reference": name(o)} for o in results],
    }
    for _ in range(2):
        sent(peer, "theirs", report, *results, p, settings={"entries": 2})
    held = only(peer.ours("DiagnosticReport", report["id"]))
    there = [only(peer.ours("Observation", o["id"]))["id"] for o in results]
    assert [r["reference"].split("/")[-1] for r in held["result"]] == there


@check("theirs")
def theirs_what_came_before_is_referred_to_by_its_id_there(peer: Peer) -> None:
    p = patient()
    sent(peer, "theirs", p)
    o = observation(p)
    sent(peer, "theirs", o)  # the patient is not in this parcel
    person = only(peer.ours("Patient", p["id"]))
    assert only(peer.ours("Observation", o["id"]))["subject"]["reference"].endswith(f"Patient/{person['id']}")


@check("theirs")
def theirs_many_at_once_make_one(peer: Peer) -> None:
    who = {"resourceType": "Practitioner", "id": str(uuid.uuid4()), "name": [{"family": "Contract"}]}
    verdicts: list[str] = []
    ways = [peer.destination("theirs", fresh=False) for _ in range(4)]

    def one(i: int) -> None:
        p = patient(generalPractitioner=[{"reference": name(who)}])
        verdicts.append(ways[i].deliver(parcel(p, who, mentioned=(name(who),))).verdict)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert verdicts == ["sent"] * 4
    only(peer.ours("Practitioner", who["id"]))


@check("theirs")
def theirs_gone_is_deleted(peer: Peer) -> None:
    p = patient()
    sent(peer, "theirs", p)
    for _ in range(2):
        sent(peer, "theirs", patient(), gone=(name(p),))
    assert not peer.ours("Patient", p["id"])


@check("theirs")
def theirs_one_resource_a_request(peer: Peer) -> None:
    p = patient()
    o = observation(p)
    for _ in range(2):
        sent(peer, "theirs", o, p, mentioned=(name(p),), settings={"transactions": False})
    person = only(peer.ours("Patient", p["id"]))
    assert only(peer.ours("Observation", o["id"]))["subject"]["reference"].endswith(f"Patient/{person['id']}")


@check("theirs")
def theirs_a_binary_keeps_our_id(peer: Peer) -> None:
    binary = {
        "resourceType": "Binary",
        "id": str(uuid.uuid4()),
        "contentType": "text/plain",
        "data": "aGVsbG8=",
    }
    p = patient()
    document = {
        "resourceType": "DocumentReference",
        "id": str(uuid.uuid4()),
        "status": "current",
        "subject": {"reference": name(p)},
        "content": [{"attachment": {"contentType": "text/plain", "url": name(binary)}}],
    }
    sent(peer, "theirs", document, binary, p)
    held = only(peer.ours("DocumentReference", document["id"]))
    assert held["content"][0]["attachment"]["url"].endswith(name(binary))
    assert peer.get(name(binary)).status_code == 200


@check("theirs")
def two_with_our_identifier_are_for_a_person(peer: Peer) -> None:
    p = patient()
    sent(peer, "theirs", p)
    twin = {k: v for k, v in only(peer.ours("Patient", p["id"])).items() if k not in ("id", "meta")}
    assert peer.post(twin).status_code == 201
    receipt = peer.destination("theirs").deliver(parcel(p))
    assert receipt.verdict == "park", f"{receipt.verdict}: {receipt.why}"


# -- what is not taken


def refused(peer: Peer, bad: dict[str, Any]) -> None:
    """See that content is refused, in words that quote nothing of it."""
    receipt = peer.destination("theirs").deliver(parcel(patient(**bad)))
    assert receipt.verdict == "refuse", f"{bad}: {receipt.verdict}: {receipt.why}"
    assert "1980" not in receipt.why and "Contract" not in receipt.why
    assert b"OperationOutcome" in receipt.answer


@check("theirs")
def content_that_is_none_is_refused(peer: Peer) -> None:
    refused(peer, {"birthDate": "1980-02-31x"})


@check("theirs")
def an_array_that_is_none_is_refused(peer: Peer) -> None:
    refused(peer, {"gender": ["male"]})


@check("theirs")
def elements_that_are_none_are_refused(peer: Peer) -> None:
    refused(peer, {"nosuchelement": "x"})


@check("theirs")
def a_transaction_is_all_or_nothing(peer: Peer) -> None:
    good, bad = patient(), patient(birthDate="1980-02-31x")
    receipt = peer.destination("theirs").deliver(parcel(good, bad))
    assert receipt.verdict == "refuse", receipt.why
    assert not peer.ours("Patient", good["id"]), "part of it is written"


@check("theirs")
def a_transaction_that_fails_late_leaves_nothing(peer: Peer) -> None:
    """What is wrong with the second entry only the database knows: somebody made a twin of it."""
    good, other = patient(), patient()
    sent(peer, "theirs", other)
    twin = {k: v for k, v in only(peer.ours("Patient", other["id"])).items() if k not in ("id", "meta")}
    assert peer.post(twin).status_code == 201
    receipt = peer.destination("theirs").deliver(parcel(good, other))
    assert receipt.verdict in ("park", "refuse"), receipt.why
    assert not peer.ours("Patient", good["id"]), "part of it is written"


@check("theirs")
def a_failed_transaction_says_where_it_is_not_atomic(peer: Peer) -> None:
    good, bad = patient(), patient(birthDate="1980-02-31x")
    receipt = peer.destination("theirs").deliver(parcel(good, bad))
    written = bool(peer.ours("Patient", good["id"]))
    assert ("not atomic" in receipt.why) == written


@check("ours")
def a_stale_version_is_refused(peer: Peer) -> None:
    p = patient()
    sent(peer, "ours", p)
    body = {k: v for k, v in p.items() if k != "meta"}
    answer = peer.http.put(f"{peer.url}/{name(p)}", json=body, headers={"If-Match": 'W/"99999"'})
    assert answer.status_code in (409, 412), answer.status_code
