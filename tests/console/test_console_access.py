"""Who gets in, and that every access is in the audit table before the answer is out."""

from __future__ import annotations

import base64
import logging
from typing import Any

import pytest
from console_web import Web, web_side
from hub_project import TOKEN

from engine.console.recorder import Recorder
from engine.console.tokens import Tokens
from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.store.audit import Access, Audit


@pytest.mark.parametrize("path", ["/fhir/Patient", "/fhir/Patient/x", "/fhir", "/feed", "/feed?since=x"])
@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"bearer {TOKEN}x", TOKEN, "Bearer \u00e9"]
)
def test_without_the_token_nobody_reads(web: Web, path: str, header: str) -> None:
    headers = {"Authorization": header.encode("latin-1")} if header else {}
    answer = web.stranger.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "Patient" not in answer.text and 'resource"' not in answer.text


def test_the_scheme_is_read_in_any_case(web: Web) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        answer = web.stranger.get("/fhir/Patient?_count=1", headers={"Authorization": f"{scheme} {TOKEN}"})
        assert answer.status_code == 200


def test_every_answer_has_its_row(web: Web) -> None:
    id_ = web.hub.written(web.hub.entries["lab/oru_potassium"], "Observation")
    who = "token"
    for path, action, what, detail in (
        (f"Observation/{id_}", "fhir:read", f"Observation/{id_}", "200"),
        (f"Observation/{id_}/_history/1", "fhir:vread", f"Observation/{id_}/_history/1", "200"),
        (f"Observation/{id_}/_history", "fhir:history", f"Observation/{id_}", "200 versions 1"),
    ):
        web.client.get(f"/fhir/{path}")
        assert web.last_audit() == [(who, action, what, detail)]
    web.client.get(f"/fhir/Observation?_id={id_}")
    assert web.last_audit() == [(who, "fhir:search", "Observation", f"200 _id={id_} found 1: {id_}")]
    web.client.get("/feed?since=0&limit=3")
    assert web.last_audit() == [(who, "feed:read", "feed", "200 since 0 next 3 changes 3 bodies false")]
    assert web.hub.store.audit.verify() is None


def test_refusals_have_theirs_and_hold_what_was_asked_sealed_only(web: Web) -> None:
    web.client.get("/fhir/Patient/100234")
    assert web.last_audit() == [("token", "fhir:refused", "Patient", "404 GET Patient/100234")]
    web.client.get("/fhir/Patient?colour=Doe")
    assert web.last_audit() == [("token", "fhir:refused", "Patient", "400 GET Patient colour=Doe")]
    web.client.get("/feed?since=x")
    assert web.last_audit()[0][:3] == ("token", "feed:refused", "feed")
    other = web_side(web.hub)  # nobody has been refused here yet: see the test of the rate
    other.stranger.get("/fhir/Patient?identifier=100234")
    other.gauge.close()
    who, action, what, detail = web.last_audit()[0]
    assert (who, action, what) == ("-", "fhir:refused", "fhir") and "100234" not in detail
    stored = b"".join(path.read_bytes() for path in web.hub.config.data_dir.glob("core.db*"))
    assert b"100234" not in stored and b"colour=Doe" not in stored


def test_what_cannot_be_recorded_is_not_shown(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Access) -> None:
        raise StoreUnavailable("the core store cannot be written")

    monkeypatch.setattr(web.hub.store.audit, "record", down)
    id_ = web.hub.written(web.hub.entries["lab/oru_potassium"], "Observation")
    for path in (f"/fhir/Observation/{id_}", "/fhir/Patient", "/feed?bodies=true"):
        answer = web.client.get(path)
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert "100234" not in answer.text and "4.1" not in answer.text


def test_a_store_that_is_down_is_said_without_details(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("cannot be read", why="disk of Jane Doe")

    monkeypatch.setattr(web.hub.store, "read", down)
    answer = web.client.get("/fhir/Patient/x")
    assert answer.status_code == 503 and answer.json()["resourceType"] == "OperationOutcome"
    assert "Doe" not in answer.text


def test_a_fault_is_a_plain_500_and_quotes_nothing(
    web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(web.hub.store, "read", broken)
    with caplog.at_level(logging.DEBUG):
        answer = web.client.get("/fhir/Patient/x")
    assert answer.status_code == 500 and answer.json()["resourceType"] == "OperationOutcome"
    assert "Doe" not in answer.text and "Doe" not in caplog.text and "ValueError" in caplog.text


def test_a_fault_of_a_page_is_a_plain_500(
    web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(web.gauge, "now", broken)
    answer = web.client.get("/status.json")
    assert answer.status_code == 500
    assert "Doe" not in answer.text and "Doe" not in caplog.text


def test_no_request_is_logged(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "hub"), caplog.at_level(logging.DEBUG, "uvicorn"):
        web.client.get("/fhir/Patient?identifier=100234")
        web.client.get("/fhir/Patient/100234")
    ours = [r for r in caplog.records if r.name.startswith(("hub", "uvicorn", "engine"))]
    assert not [r for r in ours if "100234" in r.getMessage()]


def test_tokens_have_names_and_are_judged() -> None:
    tokens = Tokens.read(f"# who may read\nehr {'e' * 30}\n\nreporting {'r' * 30}\n")
    assert tokens.who(f"Bearer {'e' * 30}") == "ehr"
    assert tokens.who(f"Bearer {'r' * 30}") == "reporting"
    assert tokens.who(f"Bearer {'x' * 30}") is None
    password = base64.b64encode(f"anybody:{'e' * 30}".encode()).decode()
    assert tokens.who(f"Basic {password}") is None
    assert tokens.who(f"Basic {password}", basic=True) == "ehr"
    assert tokens.who("Basic !!!", basic=True) is None
    for text in ("", "# nothing\n", "short\n", f"a {'x' * 30} more\n", f"a {'x' * 30}\na {'y' * 30}\n"):
        with pytest.raises(ConfigError) as refused:
            Tokens.read(text)
        assert "xxx" not in str(refused.value) and "short" not in str(refused.value).split("fewer")[0]


def test_strangers_cannot_fill_the_audit_table(web: Web) -> None:
    now = [100.0]
    audit: Audit = web.hub.store.audit
    recorder = Recorder(audit, lambda: now[0])
    before = audit.head()[0]
    for _ in range(500):
        recorder.stranger("fhir", "192.0.2.1")
    assert audit.head()[0] - before == 10
    now[0] += 1
    recorder.stranger("fhir", "192.0.2.1")
    assert web.last_audit() == [("-", "fhir:refused", "fhir", "401 from 192.0.2.1; 490 more before it")]
