"""An external terminology server: asked as FHIR says, remembered, and never waited for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from engine.codes.remote import KNOWN, UNKNOWN, Breaker, RemoteCodes, ServerAway
from engine.codes.together import Together
from engine.kernel.errors import HubError
from engine.terminology.concepts import Concept, Match, Release

LOINC = "http://loinc.org"
GLUCOSE = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "name", "valueString": "LOINC"},
        {"name": "version", "valueString": "2.82"},
        {"name": "display", "valueString": "Glucose"},
        {
            "name": "property",
            "part": [{"name": "code", "valueCode": "parent"}, {"name": "value", "valueCode": "LP1"}],
        },
        {
            "name": "property",
            "part": [
                {"name": "code", "valueCode": "PROPERTY"},
                {"name": "value", "valueCoding": {"code": "MCnc"}},
            ],
        },
        {
            "name": "property",
            "part": [{"name": "code", "valueCode": "inactive"}, {"name": "value", "valueBoolean": False}],
        },
    ],
}


class Server:
    """A server that says what the test wants, and a clock that stands still."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda r: httpx.Response(200, json=GLUCOSE)
        self.time = 1000.0

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)

    def codes(self, **more: Any) -> RemoteCodes:
        clock = lambda: self.time  # noqa: E731
        return RemoteCodes(
            "https://tx.example/fhir/", transport=httpx.MockTransport(self._handle), clock=clock, **more
        )

    def fails(self, _: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no answer")


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_concept(server: Server) -> None:
    found = server.codes(token="secret").lookup(LOINC, "2345-7")
    assert found is not None and (found.display, found.version, found.active) == ("Glucose", "2.82", True)
    assert found.properties == {"PROPERTY": "MCnc"} and found.parents == ("LP1",)
    (request,) = server.asked
    assert (
        str(request.url)
        == "https://tx.example/fhir/CodeSystem/$lookup?system=http%3A%2F%2Floinc.org&code=2345-7"
    )
    assert request.headers["authorization"] == "Bearer secret"


def test_answers_are_remembered_what_is_unknown_not_as_long(server: Server) -> None:
    codes = server.codes()
    for _ in range(3):
        codes.lookup(LOINC, "2345-7")
    server.answer = lambda r: httpx.Response(404, json={"resourceType": "OperationOutcome", "issue": []})
    for _ in range(3):
        assert codes.lookup(LOINC, "nothing") is None
    assert len(server.asked) == 2
    server.time += UNKNOWN + 1
    codes.lookup(LOINC, "nothing")
    codes.lookup(LOINC, "2345-7")
    assert len(server.asked) == 3
    server.time += KNOWN
    codes.lookup(LOINC, "2345-7")
    assert len(server.asked) == 4


def test_a_server_that_is_away_is_left_alone_and_old_answers_do(server: Server) -> None:
    codes = server.codes()
    assert codes.lookup(LOINC, "2345-7") is not None
    server.time += KNOWN + 1
    server.answer = server.fails
    for _ in range(4):
        with pytest.raises(ServerAway):
            codes.lookup(LOINC, "other")
    assert codes.lookup(LOINC, "2345-7") is not None  # old, and better than nothing; the fifth failure
    assert codes.breaker.state == "open"
    asked = len(server.asked)
    for _ in range(50):
        with pytest.raises(ServerAway, match="not asked for now"):
            codes.lookup(LOINC, "other")
    assert len(server.asked) == asked
    server.time += 31
    assert codes.breaker.state == "half-open"
    with pytest.raises(ServerAway):
        codes.lookup(LOINC, "other")
    assert len(server.asked) == asked + 1  # one tried, the others go on waiting, longer now
    server.time += 31
    assert codes.breaker.state == "open"
    server.time += 31
    server.answer = lambda r: httpx.Response(200, json=GLUCOSE)
    assert codes.lookup(LOINC, "other") is not None and codes.breaker.state == "closed"


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_in_trouble_is_away(server: Server, status: int) -> None:
    server.answer = lambda r: httpx.Response(status, text="oops")
    with pytest.raises(ServerAway, match=str(status)):
        server.codes().lookup(LOINC, "2345-7")


def test_a_refusal_is_told_and_opens_no_breaker(server: Server) -> None:
    server.answer = lambda r: httpx.Response(401, json={"resourceType": "OperationOutcome", "issue": []})
    codes = server.codes()
    for _ in range(10):
        with pytest.raises(HubError, match="status 401"):
            codes.lookup(LOINC, "2345-7")
    assert codes.breaker.state == "closed"
    server.answer = lambda r: httpx.Response(
        422, json={"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
    )
    assert codes.lookup(LOINC, "2345-7") is None


def test_an_answer_that_comes_drop_by_drop_ends_in_time(server: Server) -> None:
    class Drops(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            for _ in range(100):
                server.time += 0.5
                yield b" "

    server.answer = lambda r: httpx.Response(200, stream=Drops())
    began = server.time
    with pytest.raises(ServerAway, match="ReadTimeout"):
        server.codes(timeout=2.0).lookup(LOINC, "2345-7")
    assert server.time - began < 4


def test_one_of_many_tries_after_the_pause() -> None:
    now = 0.0
    breaker = Breaker(failures=2, pause=10, clock=lambda: now)
    for _ in range(2):
        breaker.failed()
    now = 11
    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]


def test_the_other_questions(server: Server) -> None:
    answers: dict[str, Any] = {
        "/fhir/CodeSystem/$validate-code": {"parameter": [{"name": "result", "valueBoolean": True}]},
        "/fhir/CodeSystem/$subsumes": {"parameter": [{"name": "outcome", "valueCode": "subsumes"}]},
        "/fhir/ConceptMap/$translate": {
            "parameter": [
                {"name": "result", "valueBoolean": True},
                {
                    "name": "match",
                    "part": [
                        {"name": "equivalence", "valueCode": "wider"},
                        {"name": "concept", "valueCoding": {"system": LOINC, "code": "2345-7"}},
                    ],
                },
                {"name": "match", "part": [{"name": "equivalence", "valueCode": "unmatched"}]},
            ]
        },
        "/fhir/ValueSet/$expand": {
            "resourceType": "ValueSet",
            "expansion": {"contains": [{"system": LOINC, "code": "2345-7", "display": "Glucose"}]},
        },
        "/fhir/metadata": {
            "resourceType": "TerminologyCapabilities",
            "codeSystem": [
                {"uri": LOINC, "version": [{"code": "2.81"}, {"code": "2.82", "isDefault": True}]}
            ],
        },
    }
    server.answer = lambda r: httpx.Response(200, json=answers[r.url.path])
    codes = server.codes()
    assert codes.validate(LOINC, "2345-7") == (True, "")
    assert codes.subsumes(LOINC, "a", "b") == "subsumes"
    (match,) = codes.translate("urn:l", "K", LOINC)
    assert (match.code, match.equivalence, match.source) == ("2345-7", "wider", "https://tx.example/fhir")
    assert [c.code for c in codes.search(LOINC, "gluc", 5, 0, {"CLASS": "CHEM"})] == ["2345-7"]
    sent = json.loads(server.asked[-1].content)
    value_set = next(p["resource"] for p in sent["parameter"] if p["name"] == "valueSet")
    assert value_set["compose"]["include"][0]["filter"] == [{"property": "CLASS", "op": "=", "value": "CHEM"}]
    assert [r.version for r in codes.releases()] == ["2.82", "2.81"]


class Here:
    """A store with one system."""

    def releases(self) -> list[Release]:
        return [Release(LOINC, "2.82")]

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        return Concept(system, code, "from here")

    def translate(self, system: str, code: str, target: str, version: str = "") -> list[Match]:
        return []


def test_what_is_loaded_here_never_goes_out_and_a_server_away_has_nothing(server: Server) -> None:
    both = Together(Here(), server.codes())  # type: ignore[arg-type]
    here = both.lookup(LOINC, "2345-7")
    assert here is not None and here.display == "from here" and server.asked == []
    there = both.lookup("urn:other", "2345-7")
    assert there is not None and there.display == "Glucose"
    server.answer = server.fails
    assert both.lookup("urn:other", "1") is None and both.search("urn:other", "x") == []
    assert both.validate("urn:other", "1")[0] is False and both.subsumes("urn:other", "1", "2") is None
    assert both.translate(LOINC, "1", "urn:other") == []
    assert [r.system for r in both.releases()] == [LOINC]
    assert both.lookup(LOINC, "2345-7") is not None
