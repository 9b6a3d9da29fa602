"""What every destination owes, of the kind `fhir`: our ids, the server's own, one resource a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from behaviour import MARKS, Behaviour
from fhir_side import Asked, Reply, Server, outcome

from engine.kernel.delivery import Parcel

_CAPABLE = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "rest": [
        {
            "interaction": [{"code": "transaction"}],
            "resource": [{"type": "Patient", "updateCreate": True, "conditionalUpdate": True}],
        }
    ],
}


class Holding:
    """A FHIR server that keeps what it is sent by id, or by the identifier it is asked to look for."""

    secrets = ("a-secret-token-of-this-test",)

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Any]] = {}
        self._refuses = self._loses = False
        self._server: Server | None = Server(self._say)
        self._port = self._server.port
        self.words: dict[str, Any] = {"url": self._server.url, "auth": {"bearer": self.secrets[0]}}

    def taken(self) -> list[bytes]:
        """Observations it has: patients are only mentioned."""
        return [
            json.dumps(one).encode() for name, one in self._held.items() if name.startswith("Observation")
        ]

    def away(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
        self._server = None

    def back(self) -> None:
        """Open it again."""
        self._server = self._server or Server(self._say, self._port)

    def refuse(self) -> None:
        """Judge all content, quoting it."""
        self._refuses = True

    def lose_answer(self) -> None:
        """Take the next one and say nothing."""
        self._loses = True

    def _say(self, asked: Asked) -> Reply | None:
        if asked.method == "GET":
            return 200, {}, json.dumps(_CAPABLE).encode()
        if self._refuses:
            return 422, {}, outcome("invalid", " ".join(MARKS), (f"Patient.{MARKS[0]}",))
        body = json.loads(asked.body)
        if body["resourceType"] != "Bundle":
            path = asked.path.removeprefix("/fhir/")
            query = asked.headers.get("if-none-exist", "")
            made = self._take({"method": asked.method, "url": path, "ifNoneExist": query}, body)
            status, headers, content = 200, {"Location": made}, b""
        else:
            entries = [
                {"response": {"status": "200 OK", "location": self._take(e["request"], e["resource"])}}
                for e in body["entry"]
            ]
            answer = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
            status, headers, content = 200, {}, json.dumps(answer).encode()
        if self._loses:
            self._loses = False
            return None
        return status, headers, content

    def _take(self, request: dict[str, str], resource: dict[str, Any]) -> str:
        url, none_exists = request["url"], request.get("ifNoneExist") or ""
        kind = url.partition("?")[0].partition("/")[0]
        name = (
            url
            if "/" in url.partition("?")[0]
            else f"{kind}/{abs(hash(url.partition('?')[2] or none_exists))}"
        )
        if not (none_exists and name in self._held):
            self._held[name] = resource
        return f"{name}/_history/1"


class TestFhir(Behaviour):
    word = "fhir"
    more: dict[str, Any] = {}

    @pytest.fixture
    def side(self) -> Iterator[Holding]:
        side = Holding()
        side.words |= self.more
        yield side
        side.away()

    def parcel(self, n: int = 1) -> Parcel:
        family, given, number = MARKS
        patient = {
            "resourceType": "Patient",
            "id": "p-1",
            "name": [{"family": family, "given": [given]}],
            "identifier": [{"system": "urn:mrn", "value": number}],
        }
        observation = {
            "resourceType": "Observation",
            "id": f"o-{n}",
            "meta": {"versionId": "1"},
            "status": "final",
            "code": {"text": "Potassium"},
            "subject": {"reference": "Patient/p-1"},
        }
        body = {"resourceType": "Bundle", "entry": [{"resource": observation}, {"resource": patient}]}
        return Parcel(
            f"lab_oru-{100 + n}-copy-1",
            100 + n,
            "lab_oru",
            json.dumps(body).encode(),
            "application/fhir+json",
            {"control_id": f"C{n}-{number}"},
            mentioned=("Patient/p-1",),
        )


class TestFhirTheirs(TestFhir):
    more = {"ids": "theirs"}


class TestFhirAlone(TestFhir):
    more = {"ids": "theirs", "transactions": False}
