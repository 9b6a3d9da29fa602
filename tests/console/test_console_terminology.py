"""The terminology operations: what they answer is valid R4, true, guarded, and read by another's client."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import uvicorn
from console_web import Web, web_side
from fhirclient.models.capabilitystatement import CapabilityStatement
from fhirclient.models.parameters import Parameters
from fhirclient.models.terminologycapabilities import TerminologyCapabilities
from fhirclient.models.valueset import ValueSet
from fhirclient.server import FHIRServer
from hub_project import TOKEN, Hub, make_project

from engine.cli.termsload import load_all
from engine.codes.loaders.summary import Asked
from engine.codes.remote import RemoteCodes
from engine.codes.shipped import listed
from engine.codes.store import CodeStore
from engine.console.app import create_app
from engine.fhir.validate import validate

LOINC = "http://loinc.org"
GENDER = "http://hl7.org/fhir/administrative-gender"
TREE = "urn:test:animals"
PACKAGE: list[dict[str, Any]] = [
    {
        "resourceType": "CodeSystem",
        "url": TREE,
        "version": "2",
        "name": "Animals",
        "status": "active",
        "content": "complete",
        "hierarchyMeaning": "is-a",
        "concept": [
            {
                "code": "mammal",
                "display": "Mammal",
                "concept": [
                    {"code": "dog", "display": "Dog", "designation": [{"language": "de", "value": "Hund"}]},
                    {"code": "cat", "display": "Cat"},
                ],
            },
            {"code": "bird", "display": "Bird"},
        ],
    },
    {
        "resourceType": "ValueSet",
        "url": "urn:test:vs:pets",
        "version": "1",
        "name": "Pets",
        "status": "active",
        "compose": {
            "include": [
                {
                    "system": TREE,
                    "filter": [{"property": "concept", "op": "descendent-of", "value": "mammal"}],
                }
            ],
            "exclude": [{"system": TREE, "concept": [{"code": "cat"}]}],
        },
    },
]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    hub = Hub.open(make_project(tmp_path_factory.mktemp("terms") / "project"))
    folder = tmp_path_factory.mktemp("package")
    jobs = [(s.path, s.loader, s.asked) for s in listed(hub.root) if s.path.name == "loinc"]
    for n, resource in enumerate(PACKAGE):
        path = folder / f"{resource['resourceType']}-{n}.json"
        path.write_text(json.dumps(resource))
        jobs.append((path, "fhir", Asked()))
    load_all(hub.root, jobs, None, False, True)
    made = web_side(hub)
    yield made
    made.gauge.close()
    hub.close()


def ask(web: Web, address: str, status: int = 200, **query: str) -> dict[str, Any]:
    made: dict[str, Any] = web.get(f"/fhir/{address}?{urlencode(query)}", status)
    assert validate(made) == [], made
    return made


def parts(made: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters by name, those of one name as a list."""
    found: dict[str, Any] = {}
    for one in made["parameter"]:
        value = next((v for k, v in one.items() if k.startswith("value")), None)
        if "part" in one:
            value = {p["name"]: next(v for k, v in p.items() if k.startswith("value")) for p in one["part"]}
        if one["name"] in ("property", "match", "designation"):
            found.setdefault(one["name"], []).append(value)
        else:
            found[one["name"]] = value
    return found


def test_lookup(web: Web) -> None:
    said = parts(ask(web, "CodeSystem/$lookup", system=LOINC, code="2345-7"))
    assert said["name"] == "LOINC" and said["display"] == "Glucose [Mass/volume] in Serum or Plasma"
    properties = {p["code"]: p["value"] for p in said["property"]}
    assert properties["PROPERTY"] == "MCnc" and properties["inactive"] is False
    only = parts(ask(web, "CodeSystem/$lookup", system=LOINC, code="2345-7", property="SYSTEM"))
    assert [p["code"] for p in only["property"]] == ["SYSTEM"]
    dog = parts(ask(web, "CodeSystem/$lookup", system=TREE, code="dog"))
    assert dog["version"] == "2" and {"code": "parent", "value": "mammal"} in dog["property"]
    assert {"language": "de", "value": "Hund"}.items() <= dog["designation"][0].items()
    table = parts(ask(web, "CodeSystem/$lookup", system=GENDER, code="female"))  # ships with the project
    assert table["display"] == "Female"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"system": LOINC, "code": "99999-9"}, 404, "not-found"),
        ({"system": "urn:nobody", "code": "1"}, 404, "not-found"),
        ({"system": LOINC, "code": "2345-7", "version": "1.0"}, 404, "not-found"),
        ({"code": "2345-7"}, 400, "required"),
        ({"system": LOINC, "code": "2345-7", "nonsense": "1"}, 400, "not-supported"),
    ],
)
def test_a_lookup_that_finds_nothing(web: Web, query: dict[str, str], status: int, code: str) -> None:
    made = ask(web, "CodeSystem/$lookup", status, **query)
    assert made["resourceType"] == "OperationOutcome" and made["issue"][0]["code"] == code
    assert "99999-9" not in str(made)


def test_validate_code(web: Web) -> None:
    right = parts(ask(web, "CodeSystem/$validate-code", url=LOINC, code="2345-7"))
    assert right == {"result": True, "display": "Glucose [Mass/volume] in Serum or Plasma"}
    wrong = parts(ask(web, "CodeSystem/$validate-code", url=LOINC, code="1-1"))
    assert wrong["result"] is False and "not in" in wrong["message"]
    named = parts(ask(web, "CodeSystem/$validate-code", url=LOINC, code="2345-7", display="Sodium"))
    assert named["result"] is False and "Glucose" in named["message"]


def test_units_are_a_grammar(web: Web) -> None:
    ucum = "http://unitsofmeasure.org"
    assert parts(ask(web, "CodeSystem/$validate-code", url=ucum, code="mg/dL")) == {
        "result": True,
        "display": "mg/dL",
    }
    wrong = parts(ask(web, "CodeSystem/$validate-code", url=ucum, code="furlongs"))
    assert wrong["result"] is False and wrong["message"]
    assert parts(ask(web, "CodeSystem/$lookup", system=ucum, code="10*3/uL"))["name"] == "UCUM"


def test_subsumes(web: Web) -> None:
    for a, b, outcome in (
        ("mammal", "dog", "subsumes"),
        ("dog", "mammal", "subsumed-by"),
        ("dog", "dog", "equivalent"),
        ("dog", "bird", "not-subsumed"),
    ):
        assert parts(ask(web, "CodeSystem/$subsumes", system=TREE, codeA=a, codeB=b)) == {"outcome": outcome}
    assert ask(web, "CodeSystem/$subsumes", 404, system=TREE, codeA="dog", codeB="fish")


def codes(made: dict[str, Any]) -> list[str]:
    return [c["code"] for c in made["expansion"].get("contains", ())]


def test_expand_pages_and_filters(web: Web) -> None:
    first = ask(web, "ValueSet/$expand", url=f"{LOINC}/vs", count="3")
    second = ask(web, "ValueSet/$expand", url=f"{LOINC}/vs", count="3", offset="3")
    assert len(codes(first)) == 3 and not set(codes(first)) & set(codes(second))
    assert "total" not in first["expansion"] and second["expansion"]["offset"] == 3
    glucose = ask(web, "ValueSet/$expand", url=f"{LOINC}/vs", filter="gluc serum", count="50")
    assert "2345-7" in codes(glucose)
    assert all("lucose" in c["display"] for c in glucose["expansion"]["contains"][:3])
    assert glucose["expansion"]["total"] == len(codes(glucose))
    too_many = ask(web, "ValueSet/$expand", 422, url=f"{LOINC}/vs")
    assert too_many["issue"][0]["code"] == "too-costly"
    assert codes(ask(web, "ValueSet/$expand", url="urn:test:vs:pets")) == ["dog"]
    assert set(codes(ask(web, "ValueSet/$expand", url=GENDER))) >= {"male", "female"}
    assert ask(web, "ValueSet/$expand", 404, url="urn:nobody")
    member = parts(ask(web, "ValueSet/$validate-code", url="urn:test:vs:pets", system=TREE, code="dog"))
    assert member["result"] is True
    for code in ("cat", "mammal", "bird"):
        no = parts(ask(web, "ValueSet/$validate-code", url="urn:test:vs:pets", system=TREE, code=code))
        assert no["result"] is False


def test_a_value_set_that_comes_with_the_call(web: Web) -> None:
    sent = {
        "resourceType": "ValueSet",
        "status": "draft",
        "compose": {
            "include": [
                {"system": TREE, "filter": [{"property": "concept", "op": "is-a", "value": "mammal"}]},
                {"system": LOINC, "concept": [{"code": "2345-7"}]},
            ]
        },
    }
    body = {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": sent}]}
    answer = web.client.post("/fhir/ValueSet/$expand", json=body)
    assert answer.status_code == 200 and validate(answer.json()) == []
    assert sorted(codes(answer.json())) == ["2345-7", "cat", "dog", "mammal"]
    sent["compose"]["include"][0]["filter"][0]["op"] = "regex"  # type: ignore[index]
    answer = web.client.post("/fhir/ValueSet/$expand", json=body)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "not-supported")
    assert web.client.post("/fhir/ValueSet/$expand", content=b"{").status_code == 400


def test_translate_by_a_table_that_people_own(web: Web) -> None:
    acme = "urn:hub:own/ConceptMap/acme_lab_to_loinc"
    made = parts(ask(web, "ConceptMap/$translate", url=acme, system="L", code="K"))
    assert made["result"] is True
    (match,) = made["match"]
    assert match["concept"]["code"] == "2823-3" and match["equivalence"] == "equivalent"
    assert match["source"] == acme
    none = parts(ask(web, "ConceptMap/$translate", url=acme, system="L", code="nobody's"))
    assert none["result"] is False and "match" not in none
    gender = parts(
        ask(
            web,
            "ConceptMap/$translate",
            system="http://terminology.hl7.org/CodeSystem/v2-0001",
            code="F",
            targetsystem=GENDER,
        )
    )
    assert gender["match"][0]["concept"]["code"] == "female"
    assert ask(web, "ConceptMap/$translate", 404, url="urn:nobody", system="L", code="K")


def test_a_table_that_was_approved_a_moment_ago_is_asked(web: Web) -> None:
    path = web.hub.root / "terminology/maps/acme_lab_to_loinc.csv"
    path.write_text(path.read_text() + "L,NEWGLU,,equal,http://loinc.org,2345-7,,approved,ann,2026-11-21,\n")
    acme = "urn:hub:own/ConceptMap/acme_lab_to_loinc"
    made = parts(ask(web, "ConceptMap/$translate", url=acme, system="L", code="NEWGLU"))
    assert made["match"][0]["equivalence"] == "equal"


def test_nobody_without_a_token_and_every_question_recorded(web: Web) -> None:
    address = f"/fhir/CodeSystem/$lookup?system={quote(LOINC)}&code=2345-7"
    assert web.stranger.get(address).status_code == 401
    assert web.elsewhere.get(address).status_code == 401
    web.get(address)
    (row,) = web.last_audit()
    assert row[1:] == ("fhir:lookup", "CodeSystem", f"200 system={LOINC} code=2345-7")
    assert web.client.get("/fhir/CodeSystem/$nonsense").status_code == 404
    assert web.client.get("/fhir/Patient/$everything").status_code == 404
    assert web.client.delete("/fhir/CodeSystem/$lookup").status_code == 405


def test_the_statements_tell_what_there_is(web: Web) -> None:
    said = ask(web, "metadata")
    told = {r["type"]: [o["name"] for o in r.get("operation", ())] for r in said["rest"][0]["resource"]}
    assert told["CodeSystem"] == ["lookup", "subsumes", "validate-code"]
    assert told["ValueSet"] == ["expand", "validate-code"] and told["ConceptMap"] == ["translate"]
    assert told["Patient"] == []
    terms = ask(web, "metadata", mode="terminology")
    assert terms["resourceType"] == "TerminologyCapabilities"
    loaded = {s["uri"]: [v["code"] for v in s.get("version", ())] for s in terms["codeSystem"]}
    assert loaded[TREE] == ["2"] and len(loaded[LOINC]) == 1 and GENDER in loaded


def test_our_own_client_agrees_with_the_store(web: Web) -> None:
    def forward(request: httpx.Request) -> httpx.Response:
        answer = web.client.request(
            request.method,
            request.url.raw_path.decode(),
            content=request.content,
            headers={"Content-Type": request.headers.get("content-type", "")},
        )
        return httpx.Response(answer.status_code, content=answer.content)

    remote = RemoteCodes("http://127.0.0.1:8080/fhir", transport=httpx.MockTransport(forward))
    here = CodeStore(web.hub.config.data_dir / "codes.db")
    for system, code in ((LOINC, "2345-7"), (LOINC, "718-7"), (TREE, "dog"), (TREE, "fish")):
        mine, theirs = here.lookup(system, code), remote.lookup(system, code)
        assert theirs == (mine and replace(mine, properties=dict(mine.properties)))
        assert remote.validate(system, code)[0] == here.validate(system, code)[0]
    assert remote.subsumes(TREE, "mammal", "cat") == "subsumes"
    assert remote.subsumes(TREE, "mammal", "fish") is None
    found = [c.code for c in here.search(LOINC, "gluc serum", 10)]
    assert [c.code for c in remote.search(LOINC, "gluc serum", 10)] == found and found
    assert {r.system for r in remote.releases()} >= {LOINC, TREE}
    translated = remote.translate("http://terminology.hl7.org/CodeSystem/v2-0001", "F", GENDER)
    assert [(m.code, m.equivalence) for m in translated] == [("female", "equivalent")]


def test_an_independent_client_reads_all_of_it(web: Web) -> None:
    hub = web.hub
    app = create_app(hub.config, hub.keyring, hub.store, web.gauge, hub.config.token_file.read_text())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        running.start()
        try:
            while not server.started:
                time.sleep(0.01)
            client = FHIRServer(None, base_uri=f"http://127.0.0.1:{port}/fhir")
            client.session.headers["Authorization"] = f"Bearer {TOKEN}"

            def read(path: str) -> Any:
                return client.request_json(path)

            statement = CapabilityStatement(read("metadata"))
            kinds = {r.type: r for r in statement.rest[0].resource}
            assert [o.name for o in kinds["CodeSystem"].operation] == ["lookup", "subsumes", "validate-code"]
            terms = TerminologyCapabilities(read("metadata?mode=terminology"))
            assert LOINC in {s.uri for s in terms.codeSystem} and terms.expansion.paging
            found = Parameters(read(f"CodeSystem/$lookup?system={LOINC}&code=2345-7"))
            assert next(p.valueString for p in found.parameter if p.name == "display").startswith("Glucose")
            pets = ValueSet(read("ValueSet/$expand?url=urn:test:vs:pets"))
            assert [(c.system, c.code) for c in pets.expansion.contains] == [(TREE, "dog")]
            url = quote("urn:hub:own/ConceptMap/acme_lab_to_loinc")
            match = Parameters(read(f"ConceptMap/$translate?url={url}&system=L&code=K"))
            assert next(p for p in match.parameter if p.name == "match").part[1].valueCoding.code == "2823-3"
            outcome = Parameters(read(f"CodeSystem/$subsumes?system={TREE}&codeA=mammal&codeB=cat"))
            assert outcome.parameter[0].valueCode == "subsumes"
        finally:
            server.should_exit = True
            running.join(10)
