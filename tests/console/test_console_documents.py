"""Documents at the FHIR endpoint as IHE MHD asks: found (ITI-67), and retrieved by address (ITI-68)."""

from __future__ import annotations

import base64
import shutil
from typing import Any

import pytest
from console_web import Web

from engine.console.documents import document_asked, retrieved, with_addresses
from engine.console.exchange import Ask
from engine.console.refusals import Refusal
from engine.fhir.validate import validate

BASE = "https://hub.example/fhir"
ID = "0a000000-0000-4000-8000-000000000001"
PDF = base64.b64encode(b"%PDF-1.4").decode()


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from console_web import web_side
    from hub_project import HERE, Hub, make_project

    root = make_project(tmp_path_factory.mktemp("documents") / "project")
    shutil.copy(HERE / "channels/care.yaml", root / "channels/care.yaml")
    hub = Hub.open(root)
    hub.take("care", "documents/mdm_t02_discharge")
    hub.take("lab_oru", "lab/oru_ed_pdf")
    made = web_side(hub)
    yield made
    made.gauge.close()
    hub.close()


def found(web: Web, **query: str) -> list[dict[str, Any]]:
    posted = web.client.post("/fhir/DocumentReference/_search", data=query)
    got = web.client.get("/fhir/DocumentReference", params=query)
    assert posted.status_code == got.status_code == 200, posted.text
    bundle = posted.json()
    assert validate(bundle) == [] and bundle.get("entry") == got.json().get("entry")
    return [one["resource"] for one in bundle.get("entry", ())]


def test_a_consumer_finds_and_retrieves(documents: Web) -> None:
    patient = next(p for p in documents.get("/fhir/Patient")["entry"] if "4400121" in str(p["resource"]))[
        "resource"
    ]
    number = next(n for n in patient["identifier"] if n["value"] == "4400121")
    who = {"patient.identifier": f"{number['system']}|{number['value']}", "status": "current"}
    (reference,) = found(documents, **who)
    assert found(documents, patient=patient["id"], status="current", identifier="DOC7001") == [reference]
    assert found(documents, **who, type="DS", **{"author.family": "quill"}) == [reference]
    assert found(documents, **who, period="gt2026-04-30") == [reference]  # it has no end
    assert found(documents, **who, type="CN") == found(documents, **{**who, "status": "superseded"}) == []
    attachment = reference["content"][0]["attachment"]
    path = attachment["url"].removeprefix("http://127.0.0.1:8080")
    answer = documents.client.get(path)
    assert (
        answer.content == base64.b64decode(attachment["data"]) and b"Admitted for colitis" in answer.content
    )
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-disposition"] == "attachment"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (
        answer.headers["x-content-type-options"] == "nosniff"
        and answer.headers["cache-control"] == "no-store"
    )
    assert documents.last_audit()[0][1:] == (
        "fhir:read", f"DocumentReference/{reference['id']}", "200 content 1",
    )  # fmt: skip
    binary = documents.get(path, accept="application/fhir+json")
    assert (binary["resourceType"], binary["data"]) == ("Binary", attachment["data"]) and validate(
        binary
    ) == []
    assert documents.get(f"/fhir/DocumentReference/{reference['id']}")["content"] == reference["content"]
    assert documents.stranger.get(path).status_code == 401
    assert documents.client.get(path, headers={"accept": "application/pdf"}).status_code == 406
    assert documents.client.get(path[:-1] + "7").status_code == 404
    assert documents.client.head(path).status_code == 200


def test_parameters_of_documents_are_stated_and_alone_refused(documents: Web) -> None:
    stated = documents.get("/fhir/metadata")["rest"][0]["resource"]
    (one,) = [r for r in stated if r["type"] == "DocumentReference"]
    asked = {
        "author.family", "author.given", "category", "creation", "date", "event", "facility", "format",
        "identifier", "patient", "patient.identifier", "period", "related", "security-label", "setting",
        "status", "type",
    }  # fmt: skip
    assert asked <= {p["name"] for p in one["searchParam"]}
    refused = documents.client.get("/fhir/DocumentReference?type=DS")
    assert refused.status_code == 400 and "patient" in refused.text


def reference(**attachment: Any) -> dict[str, Any]:
    return {"resourceType": "DocumentReference", "id": ID, "content": [{"attachment": attachment}]}


def test_only_what_is_held_has_an_address_here() -> None:
    made = with_addresses(reference(data=PDF), BASE)
    assert made["content"][0]["attachment"] == {"data": PDF, "url": f"{BASE}/Binary/{ID}.1"}
    for one in (
        reference(url="https://elsewhere.example/1"),
        reference(title="x"),
        {"resourceType": "Patient"},
    ):
        assert with_addresses(one, BASE) == one


def test_other_addresses_are_none_of_documents() -> None:
    assert document_asked(Ask("GET", ("Binary", f"{ID}.2"))) == (ID, 2)
    for ask in (
        Ask("GET", ("Binary", ID)),
        Ask("GET", ("Binary", f"{ID}.0")),
        Ask("GET", ("Binary", f"{ID}.1", "_history")),
        Ask("POST", ("Binary", f"{ID}.1")),
        Ask("GET", ("Patient", f"{ID}.1")),
    ):
        assert document_asked(ask) is None


@pytest.mark.parametrize(
    ("accept", "attachment", "status", "media"),
    [
        ("*/*", {"contentType": "application/pdf"}, 200, "application/pdf"),
        ("", {"contentType": "application/pdf"}, 200, "application/pdf"),
        ("application/*", {"contentType": "application/pdf; x=y"}, 200, "application/pdf; x=y"),
        ("text/html, application/pdf;q=0.1", {"contentType": "application/pdf"}, 200, "application/pdf"),
        ("text/html", {"contentType": "application/pdf"}, 406, ""),
        ("*/*", {}, 200, "application/octet-stream"),
        ("*/*", {"contentType": "evil\r\nSet-Cookie: a"}, 200, "application/octet-stream"),
        (
            "application/fhir+json",
            {"contentType": "application/pdf"},
            200,
            "application/fhir+json; charset=utf-8",
        ),
        ("*/*", {"data": "?"}, 404, ""),
    ],
)
def test_what_is_answered_to_what_is_accepted(
    accept: str, attachment: dict[str, Any], status: int, media: str
) -> None:
    ask = Ask("GET", ("Binary", f"{ID}.1"), headers={"accept": accept})
    held = reference(**{"data": PDF, **attachment})
    try:
        reply = retrieved(ask, ID, 1, lambda kind, id_: held)
    except Refusal as refused:
        assert refused.status == status
    else:
        assert (reply.status, reply.media) == (status, media)
