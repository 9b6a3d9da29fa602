"""The FHIR endpoint: what it reads, finds, refuses, and that its CapabilityStatement says exactly that."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from console_web import Web

from engine.console.parameters import parameters, searchable
from engine.fhir import jsonio
from engine.fhir.validate import validate
from engine.store.columns import concept_of, patient_reference, span_of

JSON = "application/fhir+json"


def outcome(web: Web, path: str, status: int, method: str = "GET", **more: Any) -> dict[str, Any]:
    """Ask for something that must be refused with this status, as a valid OperationOutcome."""
    answer = web.client.request(method, path, **more)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith(JSON)
    made: dict[str, Any] = answer.json()
    assert made["resourceType"] == "OperationOutcome"
    assert validate(made) == []
    return made


def potassium(web: Web) -> str:
    return web.hub.written(web.hub.entries["lab/oru_potassium"], "Observation")


def versioned(web: Web) -> str:
    """Return the id of a resource with several versions."""
    return web.hub.written(web.hub.entries["lab/oru_preliminary"], "Observation")


def test_a_resource_is_read_with_its_version_in_the_headers(web: Web) -> None:
    id_ = potassium(web)
    answer = web.client.get(f"/fhir/Observation/{id_}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["last-modified"].endswith("GMT")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["resourceType"], body["id"], body["meta"]["versionId"]) == ("Observation", id_, "1")
    assert body["valueQuantity"]["value"] == 4.1
    assert validate(jsonio.loads(answer.content)) == []


def test_numbers_keep_every_digit(fresh: Any) -> None:
    web = fresh()
    entry = web.hub.take("lab_oru", "lab/oru_potassium", {"||4.1|": "||4.1000|"})
    raw = web.client.get(f"/fhir/Observation/{web.hub.written(entry, 'Observation')}").content
    assert b"4.1000" in raw
    assert jsonio.loads(raw)["valueQuantity"]["value"] == Decimal("4.1000")
    for path in ("/fhir/Observation?code=2823-3", "/feed?bodies=true"):
        assert b"4.1000" in web.client.get(path).content, path


def test_a_version_the_asker_has_is_not_sent_again(web: Web) -> None:
    path = f"/fhir/Observation/{potassium(web)}"
    first = web.client.get(path)
    for name, value in (
        ("If-None-Match", first.headers["etag"]),
        ("If-None-Match", '"7", ' + first.headers["etag"]),
        ("If-Modified-Since", first.headers["last-modified"]),
    ):
        again = web.client.get(path, headers={name: value})
        assert (again.status_code, again.content) == (304, b""), name
        assert again.headers["etag"] == first.headers["etag"]
    assert web.client.get(path, headers={"If-None-Match": 'W/"2"'}).status_code == 200
    old = "Mon, 01 Jan 2024 00:00:00 GMT"
    assert web.client.get(path, headers={"If-Modified-Since": old}).status_code == 200
    assert web.client.get(path, headers={"If-Modified-Since": "no date"}).status_code == 200


def test_every_version_is_read_and_listed(web: Web) -> None:
    id_ = versioned(web)
    bundle = web.get(f"/fhir/Observation/{id_}/_history")
    assert bundle["type"] == "history" and bundle["total"] >= 3
    assert validate(bundle) == []
    numbers = [int(e["resource"]["meta"]["versionId"]) for e in bundle["entry"]]
    assert numbers == sorted(numbers, reverse=True) == list(range(len(numbers), 0, -1))
    assert bundle["entry"][-1]["request"] == {"method": "POST", "url": "Observation"}
    for n in numbers:
        one = web.get(f"/fhir/Observation/{id_}/_history/{n}")
        assert one == next(
            e["resource"] for e in bundle["entry"] if e["resource"]["meta"]["versionId"] == str(n)
        )
    assert web.get(f"/fhir/Observation/{id_}/_history/1")["status"] == "preliminary"
    assert web.get(f"/fhir/Observation/{id_}")["status"] == "corrected"


def test_history_comes_in_pages_and_since(web: Web) -> None:
    id_ = versioned(web)
    whole = web.get(f"/fhir/Observation/{id_}/_history")
    found, path = [], f"/fhir/Observation/{id_}/_history?_count=1"
    while path:
        page = web.get(path)
        assert page["total"] == whole["total"] and len(page["entry"]) == 1
        found += page["entry"]
        path = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    assert found == whole["entry"]
    newest = whole["entry"][0]["response"]["lastModified"]
    later = web.get(f"/fhir/Observation/{id_}/_history?_since={newest}")
    assert later["entry"][0] == whole["entry"][0] and later["total"] < whole["total"]


def test_search_by_everything_that_is_offered(web: Web) -> None:
    observation = web.get(f"/fhir/Observation/{potassium(web)}")
    patient = observation["subject"]["reference"].removeprefix("Patient/")
    day = observation["effectiveDateTime"][:10]
    updated = observation["meta"]["lastUpdated"]
    for query in (
        f"_id={observation['id']}",
        f"patient={patient}&code=2823-3",
        f"subject=Patient/{patient}&code=http://loinc.org|2823-3",
        f"subject:Patient={patient}&code=2823-3,nothing",
        f"date={day}&code=2823-3",
        f"date=ge{day}&date=le{day}",
        f"_lastUpdated=ge{updated}&code=2823-3",
    ):
        bundle = web.get(f"/fhir/Observation?{query}")
        assert observation in [e["resource"] for e in bundle["entry"]], query
        assert validate(bundle) == []
        entry = next(e for e in bundle["entry"] if e["resource"] == observation)
        assert entry["fullUrl"] == f"http://127.0.0.1:8080/fhir/Observation/{observation['id']}"
        assert entry["search"] == {"mode": "match"}
    found = web.get("/fhir/Patient?identifier=urn:oid:2.16.840.1.113883.19.5|100234")
    assert [e["resource"]["id"] for e in found["entry"]] == [patient]
    assert "entry" not in web.get("/fhir/Patient?identifier=urn:oid:2.16.840.1.113883.19.5|nobody")
    assert "entry" not in web.get(f"/fhir/Observation?patient={patient}&date=lt1990")


def test_pages_are_complete_and_their_urls_hold_nothing_that_was_asked(web: Web) -> None:
    whole = web.get("/fhir/Observation?code=2823-3,2951-2,2345-7,17861-6&_count=1000")
    ids = [e["resource"]["id"] for e in whole["entry"]]
    assert len(ids) > 2
    page = web.client.post(
        "/fhir/Observation/_search", data={"code": "2823-3,2951-2,2345-7,17861-6", "_count": "1"}
    )
    found: list[str] = []
    while True:
        body = page.json()
        found += [e["resource"]["id"] for e in body["entry"]]
        following = next((link["url"] for link in body["link"] if link["relation"] == "next"), None)
        if following is None:
            break
        assert "2823" not in following and "code" not in following
        page = web.client.get(following)
    assert found == ids
    token = web.get("/fhir/Observation?_count=1")["link"][1]["url"].partition("_page=")[2]
    assert outcome(web, f"/fhir/Patient?_page={token}", 400)  # another type's page
    assert outcome(web, f"/fhir/Observation?_page={token[:-4]}AAAA", 400)
    assert outcome(web, f"/fhir/Observation?_page={token}&code=x", 400)
    assert outcome(web, "/fhir/Observation?_page=!", 400)


def test_the_self_link_says_what_was_done(web: Web) -> None:
    bundle = web.get("/fhir/Observation?code=2823-3&colour=red&_count=5", prefer="handling=lenient")
    assert bundle["link"][0] == {
        "relation": "self",
        "url": "http://127.0.0.1:8080/fhir/Observation?code=2823-3&_count=5",
    }
    told = [e for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    assert "'colour'" in told[0]["resource"]["issue"][0]["diagnostics"]
    assert validate(bundle) == []


def test_what_is_not_supported_is_named(web: Web) -> None:
    text = outcome(web, "/fhir/Observation?colour=red", 400)["issue"][0]
    assert (
        text["code"] == "not-supported"
        and "'colour'" in text["diagnostics"]
        and "code" in text["diagnostics"]
    )
    assert "red" not in text["diagnostics"]
    for query in (
        "code:text=potassium",
        "_include=Observation:subject",
        "_sort=date",
        "_count=0",
        "_count=many",
        "_count=1&_count=2",
        "date=yesterday",
        "identifier=urn:x|",
        "patient:Group=1",
    ):
        outcome(web, f"/fhir/Observation?{query}", 400)
    assert "Smith, John" not in json.dumps(outcome(web, "/fhir/Patient?Smith, John=1", 400))
    outcome(web, f"/fhir/Observation/{potassium(web)}?_summary=true", 400)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/fhir", 404),
        ("/fhir/Nonsense", 404),
        ("/fhir/Nonsense/1", 404),
        ("/fhir/Patient/nobody", 404),
        ("/fhir/Patient/no_such%20id", 404),
        ("/fhir/Patient/nobody/_history", 404),
        ("/fhir/Patient/nobody/_history/1", 404),
        ("/fhir/Patient/a/b/c/d", 404),
        ("/fhir/_history", 404),
        ("/fhir/Provenance/entry-999999", 404),
        ("/fhir/Provenance", 400),
    ],
)
def test_addresses_that_lead_nowhere(web: Web, path: str, status: int) -> None:
    outcome(web, path, status)


def test_versions_that_never_were(web: Web) -> None:
    for version in ("0", "99", "x", "1.5", "99999999999"):
        outcome(web, f"/fhir/Observation/{potassium(web)}/_history/{version}", 404)


def test_it_is_read_only(web: Web) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = web.client.request(method, "/fhir/Patient")
        assert answer.status_code == 405 and answer.headers["allow"] == "GET, HEAD"
        assert answer.json()["resourceType"] == "OperationOutcome"
    outcome(web, "/fhir/Patient/_search", 405)
    outcome(web, "/fhir/Patient/_search", 415, "POST", json={"identifier": "1"})


def test_what_is_deleted_is_gone_but_its_history_stays(fresh: Any) -> None:
    web = fresh()
    id_ = web.hub.written(web.hub.take("lab_oru", "lab/oru_potassium"), "Observation")
    assert web.hub.store.delete("Observation", id_)
    outcome(web, f"/fhir/Observation/{id_}", 410)
    outcome(web, f"/fhir/Observation/{id_}/_history/2", 410)
    assert web.get(f"/fhir/Observation/{id_}/_history/1")["id"] == id_
    bundle = web.get(f"/fhir/Observation/{id_}/_history")
    assert bundle["entry"][0]["request"]["method"] == "DELETE" and "resource" not in bundle["entry"][0]
    assert validate(bundle) == []
    assert "entry" not in web.get(f"/fhir/Observation?_id={id_}")


def test_only_json_of_r4_is_spoken(web: Web) -> None:
    path = f"/fhir/Observation/{potassium(web)}"
    for accept in (
        JSON,
        "application/json",
        "*/*",
        "text/html, */*;q=0.1",
        f"{JSON}; fhirVersion=4.0",
        "application/fhir+xml, application/json;q=0.5",
    ):
        assert web.client.get(path, headers={"Accept": accept}).status_code == 200, accept
    for accept in (
        "application/fhir+xml",
        "text/html",
        f"{JSON}; fhirVersion=3.0",
        "application/json;q=0",
    ):
        outcome(web, path, 406, headers={"Accept": accept})
    assert web.client.get(f"{path}?_format=json", headers={"Accept": "text/html"}).status_code == 200
    outcome(web, f"{path}?_format=xml", 406)
    assert web.client.get(f"{path}?_pretty=true").text.startswith("{\n")


def test_provenance_of_what_a_message_wrote(web: Web) -> None:
    entry = web.hub.entries["lab/oru_potassium"]
    id_ = potassium(web)
    one = web.get(f"/fhir/Provenance/entry-{entry}")
    assert any(t["reference"].startswith(f"Observation/{id_}/") for t in one["target"])
    bundle = web.get(f"/fhir/Provenance?target=Observation/{id_}")
    assert one in [e["resource"] for e in bundle["entry"]]
    assert validate(bundle) == []
    outcome(web, "/fhir/Provenance?patient=1", 400)


# -- the CapabilityStatement ------------------------------------------------------------------------------


def test_capabilities_are_valid_and_need_no_token(web: Web) -> None:
    answer = web.stranger.get("/fhir/metadata")
    assert answer.status_code == 200
    assert validate(answer.json()) == []


def test_what_the_capabilities_promise_is_kept_and_nothing_else_works(web: Web) -> None:
    stated = web.get("/fhir/metadata")["rest"][0]["resource"]
    assert [r["type"] for r in stated] == list(searchable())
    values = {"date": "2026-05-01", "_lastUpdated": "ge2020-01-01", "target": "Patient/x"}
    for resource in stated:
        if resource["type"] not in (
            "Patient",
            "Observation",
            "MedicationRequest",
            "Provenance",
            "Binary",
            "Task",
        ):
            continue
        offered = {p["name"] for p in resource["searchParam"]}
        for name in ("_id", "_lastUpdated", "identifier", "patient", "subject", "code", "date", "target"):
            path = f"/fhir/{resource['type']}?{name}={values.get(name, 'x')}"
            status = web.client.get(path).status_code
            assert status == (200 if name in offered else 400), path
        # R4 has more parameters than we answer: those are not offered, and refused
        assert web.client.get(f"/fhir/{resource['type']}?_text=x").status_code == 400


def test_parameters_that_are_offered_are_those_the_store_keeps() -> None:
    """A parameter of R4 whose element the store does not put into its columns would find nothing."""
    samples: dict[str, dict[str, Any]] = {
        "AllergyIntolerance": {"recordedDate": "2026-05-01"},
        "DocumentReference": {"date": "2026-05-01T00:00:00Z"},
        "Composition": {"date": "2026-05-01"},
        "Immunization": {"occurrenceDateTime": "2026-05-01"},
        "Procedure": {"performedDateTime": "2026-05-01"},
        "Observation": {"effectiveDateTime": "2026-05-01"},
        "DiagnosticReport": {"effectiveDateTime": "2026-05-01"},
    }
    subject = {"reference": "Patient/p"}
    offered = {kind: parameters(kind) for kind in searchable()}
    for kind, known in offered.items():
        if "date" in known:
            body = samples.get(kind, {"period": {"start": "2026-05-01"}})
            assert span_of(kind, body) != (None, None), kind
        if "code" in known:
            elements = ({"code": {"coding": []}}, {"medicationCodeableConcept": {"coding": []}})
            assert any(concept_of(body) is not None for body in elements)
    assert "date" not in offered["MedicationRequest"]  # R4 means the dosage's times
    assert "patient" not in offered["Appointment"]  # R4 means the participants
    assert patient_reference({"beneficiary": subject}) and "patient" in offered["Coverage"]
    assert "code" in offered["MedicationRequest"] and "code" not in offered["Immunization"]
