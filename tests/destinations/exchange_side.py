"""A health information exchange for tests: takes ITI-65 transactions by the rules, finds by identifier."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from behaviour import MARKS
from fhir_side import Asked, Reply, Server, outcome

_CAPABLE = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "software": {"name": "Exchange"}}


class Exchange:
    """Keeps what it is provided, whole or not at all."""

    secrets = ("an-exchange-token-of-this-test",)

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.bundles: list[dict[str, Any]] = []
        self.asked: list[Asked] = []
        self.refuses = self.loses = self.quiet = False
        self.hides = ""  # a type whose entries fail inside a 200
        self._server: Server | None = Server(self._say)
        self._port = self._server.port
        self.words: dict[str, Any] = {
            "url": self._server.url,
            "auth": {"bearer": self.secrets[0]},
            "patient_system": "urn:hie:patients",
            "sharing": {"source": "2.999.1", "domain": "2.999.3", "organization": "Mercy"},
        }
        self.put("Patient/p1", {"identifier": [{"system": "urn:hie:patients", "value": "77"}]})

    def put(self, name: str, body: dict[str, Any]) -> None:
        kind, _, id_ = name.partition("/")
        self.held[name] = {"resourceType": kind, "id": id_, **body}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for name, body in self.held.items() if name.startswith(f"{kind}/")]

    def taken(self) -> list[bytes]:
        return [json.dumps(body).encode() for body in self.of("DocumentReference")]

    def away(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None

    def back(self) -> None:
        self._server = self._server or Server(self._say, self._port)

    def refuse(self) -> None:
        self.refuses = True

    def lose_answer(self) -> None:
        self.loses = True

    def _say(self, asked: Asked) -> Reply | None:
        self.asked.append(asked)
        if asked.method == "GET":
            return 200, {}, json.dumps(_CAPABLE).encode()
        path = asked.path.strip("/").removeprefix("fhir").strip("/")
        if path.endswith("/_search"):
            return self._search(path.partition("/")[0], parse_qs(asked.body.decode())["identifier"][0])
        if self.refuses:
            return 422, {}, outcome("invalid", " ".join(MARKS), (f"DocumentReference.{MARKS[0]}",))
        answer = self._transaction(json.loads(asked.body))
        if self.loses:
            self.loses = False
            return None
        return 200, {}, b"" if self.quiet else json.dumps(answer).encode()

    def _search(self, kind: str, token: str) -> Reply:
        system, _, value = token.rpartition("|")
        found = [one for one in self.of(kind) if {"system": system, "value": value} in _bare(one)]
        body = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]}
        return 200, {}, json.dumps(body).encode()

    def _transaction(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """Create what is not there, and resolve references within (R4 http.html#trules)."""
        assert bundle["type"] == "transaction"
        self.bundles.append(bundle)
        names, fresh = {}, []
        for entry in bundle["entry"]:
            kind, query = entry["request"]["url"], parse_qs(entry["request"].get("ifNoneExist", ""))
            token = query.get("identifier", [""])[0]
            system, _, value = token.rpartition("|")
            there = [o for o in self.of(kind) if token and {"system": system, "value": value} in _bare(o)]
            name = f"{kind}/{there[0]['id']}" if there else f"{kind}/n{len(self.held) + len(fresh)}"
            names[entry["fullUrl"]] = name
            if not there:
                fresh.append((name, entry["resource"]))
        results = []
        for entry in bundle["entry"]:
            kind = entry["request"]["url"]
            if kind == self.hides:
                results.append(
                    {"response": {"status": "422", "outcome": json.loads(outcome("invalid", "x", ()))}}
                )
                continue
            location = f"{names[entry['fullUrl']]}/_history/1"
            results.append({"response": {"status": "201 Created", "location": location}})
        for name, resource in fresh if not self.hides else ():
            text = json.dumps(resource)
            for full, to in names.items():
                text = text.replace(f'"{full}"', f'"{to}"')
            self.put(name, json.loads(text))
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": results}


def _bare(body: dict[str, Any]) -> list[dict[str, str]]:
    found = [*(body.get("identifier") or ())]
    found += [body["masterIdentifier"]] if "masterIdentifier" in body else []
    return [{"system": one.get("system", ""), "value": one["value"]} for one in found]
