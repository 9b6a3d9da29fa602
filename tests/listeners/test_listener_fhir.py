"""FHIR at the door: which addresses are answered, what is promised, what is refused and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from hypothesis import given, settings
from hypothesis import strategies as st
from test_listener_http import Bench, Client
from twisted.internet import defer

from engine.kernel.errors import StoreUnavailable
from engine.listeners.accepting import FhirIn, read_takes
from engine.listeners.ack_rules import AckSettings
from engine.listeners.entries import Source
from engine.listeners.fhir_door import Asked
from engine.listeners.fhir_mail import mail_asked

SAMPLES = Path(__file__).parents[2] / "sample_messages/fhir"
PULSE = (SAMPLES / "wearable_observation.json").read_bytes()
MONITOR = (SAMPLES / "monitor_transaction.json").read_bytes()
MEDIA = "application/fhir+json"


def rules(word: str = "fhir", **fhir: Any) -> AckSettings:
    """Return the settings of a channel that accepts FHIR."""
    takes = read_takes(word)
    assert takes is not None
    return AckSettings(others=(takes,), v2=False, fhir=FhirIn(**fhir))


def ask(
    body: bytes, path: str = "/fhir", method: str = "POST", rules_: AckSettings | None = None, **headers: Any
) -> tuple[Bench, Client]:
    bench = Bench(rules_ or rules(), path="/fhir")
    bench.port.in_thread = defer.maybeDeferred
    client = bench.connect().post(body, path, method, **{"Content_Type": MEDIA, **headers})
    bench.turn()
    return bench, client


def said(client: Client) -> tuple[int, dict[str, Any]]:
    status, headers, body = client.responses[-1]
    assert headers["content-type"] == MEDIA
    return status, json.loads(body)


def outcome(client: Client) -> tuple[int, str, str]:
    status, body = said(client)
    OperationOutcome.model_validate(body)
    (issue,) = body["issue"]
    return status, issue["severity"], issue["diagnostics"]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/fhir", "POST"),
        ("/fhir/", "POST"),
        ("/fhir/Observation/hr-20260501-115500", "PUT"),
        ("/fhir/Observation/hr-20260501-115500?_format=json", "PUT"),
    ],
)
def test_a_resource_is_kept_and_answered_by_202(path: str, method: str) -> None:
    bench, client = ask(PULSE, path, method)
    status, severity, text = outcome(client)
    assert (status, severity) == (202, "information") and text.startswith("kept as entry 1")
    assert "not in the core store yet" in text
    (entry,) = bench.journal.entries
    assert (entry.kind, entry.message_type, entry.body) == ("message", "fhir Observation", PULSE)
    assert entry.order_keys == ("2.999.3.1|4711",)


def test_a_post_to_a_type_asks_for_an_id_and_has_none() -> None:
    body = PULSE.replace(b'"id": "hr-20260501-115500",', b"")
    assert outcome(ask(body, "/fhir/Observation")[1])[0] == 202
    status, _, text = outcome(ask(PULSE, "/fhir/Observation")[1])
    assert status == 422 and "PUT it to Observation/id" in text


def test_a_transaction_is_answered_entry_by_entry_and_promises_no_more() -> None:
    bench, client = ask(MONITOR, rules_=rules(base="https://gateway.example/fhir"))
    status, body = said(client)
    Bundle.model_validate(body)
    assert (status, body["type"], len(body["entry"])) == (200, "transaction-response", 4)
    assert {e["response"]["status"] for e in body["entry"]} == {"202 Accepted"}
    assert bench.journal.entries[0].sender == "https://gateway.example/fhir"


def test_nothing_is_answered_before_the_journal_has_it_and_503_when_it_cannot() -> None:
    bench = Bench(rules(), path="/fhir")
    bench.port.in_thread = defer.maybeDeferred
    client = bench.connect().post(PULSE, "/fhir", Content_Type=MEDIA)
    assert not client.statuses
    bench.journal.fail = StoreUnavailable("no disk")
    bench.turn()
    assert outcome(client)[:2] == (503, "error") and not bench.journal.entries


def test_the_same_bytes_again_are_one_entry() -> None:
    bench, _ = ask(PULSE)
    again = bench.connect().post(PULSE, "/fhir", Content_Type=MEDIA)
    bench.turn()
    assert len(bench.journal.entries) == 1 and outcome(again)[2].startswith("kept as entry 1")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"not json", "cannot be read"),
        (b'{"resourceType": "Observation"', "not JSON"),
        (b'{"resourceType": "Observation", "id": "a", "id": "b"}', "id stands twice"),
        (b'{"resourceType": "Observation", "valueInteger": NaN}', "NaN"),
        (b'{"status": "final"}', "cannot be read"),
        (b'["resourceType"]', "no JSON object"),
        (b"<Observation xmlns='http://hl7.org/fhir'/>", "FHIR as XML is not read"),
        (b'{"resourceType": "Bundle", "type": "searchset"}', "searchset is not taken"),
        (b'{"resourceType": "Obversation"}', "no type of FHIR R4"),
        (b'{"resourceType": "Binary"}', "no document of the Bundle names this Binary"),
        (b'{"resourceType": "Parameters"}', "says nothing of anybody"),
        (MONITOR.replace(b'"PUT"', b'"PATCH"'), "no PATCH: send the resource whole (Bundle.entry[1])"),
        (MONITOR.replace(b'"PUT"', b'"DELETE"'), "no DELETE"),
        (MONITOR.replace(b'"PUT"', b'"GET"'), "nothing is read here"),
        (MONITOR.replace(b'"method": "PUT"', b'"ifMatch": "1", "method": "PUT"'), "depends on a version"),
    ],
)
def test_what_is_no_fhir_or_asks_for_more_is_kept_and_told(body: bytes, says: str) -> None:
    bench, client = ask(body)
    status, severity, text = outcome(client)
    assert (status, severity) == (422, "error") and says in text and "kept as entry 1" in text
    (entry,) = bench.journal.entries
    assert entry.kind in ("garbage", "refused") and entry.body == body


@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/hl7", "POST", {}, 404),
        ("/fhirs", "POST", {}, 404),
        ("/fhir/Observation/1/_history/2", "PUT", {}, 404),
        ("/fhir/Observation/1", "POST", {}, 405),
        ("/fhir/Observation/1", "DELETE", {}, 405),
        ("/fhir/Observation/1", "PATCH", {}, 405),
        ("/fhir/Observation", "GET", {}, 405),
        ("/fhir/Observation?identifier=a|4711", "PUT", {}, 400),
        ("/fhir/Observation", "POST", {"If_None_Exist": "identifier=a|1"}, 400),
        ("/fhir/Observation/1", "PUT", {"If_Match": 'W/"1"'}, 400),
        ("/fhir", "POST", {"Content_Type": "application/fhir+xml"}, 415),
        ("/fhir", "POST", {"Content_Length": "99999999999"}, 413),
    ],
)
def test_other_addresses_and_conditions_are_refused_and_nothing_is_kept(
    path: str, method: str, headers: dict[str, Any], status: int
) -> None:
    bench, client = ask(PULSE, path, method, **headers)
    assert outcome(client)[:2] == (status, "error") and not bench.journal.entries


@pytest.mark.parametrize(
    ("path", "method"), [("/fhir/Patient", "POST"), ("/fhir/Observation/another", "PUT")]
)
def test_an_address_that_names_something_else_is_refused_and_kept(path: str, method: str) -> None:
    bench, client = ask(PULSE, path, method)
    assert outcome(client)[0] == 422 and bench.journal.entries[0].kind == "refused"


def test_only_types_that_the_channel_names_are_taken() -> None:
    bench, client = ask(MONITOR, rules_=rules("fhir Observation"))
    assert outcome(client)[0] == 422 and bench.journal.entries[0].kind == "refused"
    assert said(ask(PULSE, rules_=rules("fhir Observation"))[1])[0] == 202


def test_metadata_says_what_the_port_does() -> None:
    _, client = ask(b"", "/fhir/metadata", "GET", rules("fhir Observation|transaction"))
    status, body = said(client)
    CapabilityStatement.model_validate(body)
    (rest,) = body["rest"]
    assert status == 200 and body["fhirVersion"] == "4.0.1"
    assert [r["type"] for r in rest["resource"]] == ["Observation"]
    assert [i["code"] for i in rest["interaction"]] == ["transaction"]


def test_a_channel_without_fhir_answers_as_before() -> None:
    takes = read_takes("cda")
    assert takes is not None
    bench = Bench(AckSettings(others=(takes,), v2=False), path="/fhir")
    client = bench.connect().post(PULSE, "/fhir", Content_Type=MEDIA)
    assert client.statuses == [415]


@given(st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_kept_and_answered(body: bytes) -> None:
    bench = Bench(rules())
    source: Source = bench.port.source
    mail = mail_asked(body, source, "192.0.2.7", Asked())
    assert [e.body for e in mail.entries] == [body]
    answer = mail.answer([None], 0)
    assert answer.status in (202, 422) and "internal error" not in answer.body.decode()


@given(
    st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"X"]),
    st.binary(max_size=40).map(lambda b: b"/fhir" + b) | st.binary(max_size=40),
    st.dictionaries(st.sampled_from([b"if-match", b"if-none-exist", b"host"]), st.binary(max_size=5)),
)
@settings(max_examples=150, deadline=None)
def test_any_address_is_answered(method: bytes, target: bytes, headers: dict[bytes, bytes]) -> None:
    door = Bench(rules(), path="/fhir").port.fhir
    assert door is not None
    asked = door.asked(method, target, headers)
    if not isinstance(asked, Asked):
        assert 400 <= asked[0] < 500
        OperationOutcome.model_validate(json.loads(door.refusal(*asked)))
    elif not asked.metadata:
        assert method == (b"PUT" if asked.id else b"POST")
