"""ORU out: what of a report goes out, and that it is the same report where it is read back."""

from __future__ import annotations

import copy
from typing import Any

import hl7
import pytest
from hl7apy.parser import parse_message
from hub_project import Hub

from engine.channels.writing import given_for, render, written_for
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.write import Refused

WORDS = {"sender": "HUB", "facility": "NORTHLAB", "receiver": "EHR", "receiverFacility": "LAKESIDE"}
FACTS = {"received": "2026-06-01T14:10:00.000Z", "event": "R01", "type": "ORU"}
SUBID = "http://hl7.org/fhir/StructureDefinition/observation-v2-subid"
NOTES = "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.note"
LOINC = "http://loinc.org"
Json = dict[str, Any]


def read(hub: Hub, reference: str) -> Json:
    return hub.store.read(*reference.split("/"))


def result(hub: Hub, reference: str) -> Json:
    """What is to survive of a result."""
    one = read(hub, reference)
    sub = [
        part["valueString"] for x in one.get("extension", ()) if x["url"] == SUBID for part in x["extension"]
    ]
    parents, documents = [], []
    for other in one.get("derivedFrom", ()):
        found = read(hub, other["reference"])
        if found["resourceType"] == "Observation":
            parents.append((found["code"]["coding"][0]["code"], found.get("valueCodeableConcept")))
        else:
            documents += [
                (c["attachment"].get("contentType"), c["attachment"].get("data"), c["attachment"].get("url"))
                for c in found["content"]
            ]
    return {
        "code": one["code"]["coding"][0],
        "status": (one["status"], one.get("_status")),
        "values": {
            k: v for k, v in one.items() if k.startswith("value") or k in ("dataAbsentReason", "component")
        },
        "flags": [c["code"] for i in one.get("interpretation", ()) for c in i["coding"][:1]],
        "range": one.get("referenceRange"),
        "notes": [n["text"] for n in one.get("note", ())],
        "time": one.get("effectiveDateTime"),
        "sub": sub,
        "parents": parents,
        "documents": documents,
    }


def reports(hub: Hub, entry: int) -> list[Json]:
    """What is to survive of the reports that an entry wrote."""
    out = []
    for type_, id_, *_ in hub.store.written_by(entry):
        if type_ != "DiagnosticReport":
            continue
        one = hub.store.read(type_, id_)
        numbers = {
            i["type"]["coding"][0]["code"]: i["value"]
            for i in one["identifier"]
            if "coding" in i.get("type", {})
        }
        specimens = [read(hub, s["reference"]).get("type", {}).get("coding") for s in one.get("specimen", ())]
        out.append(
            {
                "numbers": numbers,
                "status": one["status"],
                "code": one["code"]["coding"][0],
                "times": (one.get("effectiveDateTime"), one.get("issued")),
                "notes": [
                    x["valueAnnotation"]["text"] for x in one.get("extension", ()) if x["url"] == NOTES
                ],
                "specimens": specimens,
                "results": [result(hub, r["reference"]) for r in one["result"]],
            }
        )
    return sorted(out, key=lambda report: str(report["numbers"]))


SAMPLES = [
    "lab/oru_micro",
    "lab/oru_ed_pdf",
    "lab/oru_rp",
    "lab/oru_repetitions",
    "lab/oru_corrected",
    "lab/oru_notes",
    "lab/oru_dst",
    "lab/oru_specimens",
    "traps/12_statuses",
    "traps/01_values",
    "traps/15_culture",
]


def test_reports_go_out_and_are_the_same_where_they_are_read(hubs, maps):
    here, there = hubs
    for name in SAMPLES:
        entry = here.take("lab_oru", name)
        names = [f"{type_}/{id_}" for type_, id_, *_ in here.store.written_by(entry)]
        out = render(
            maps, "oru", written_for(maps, "oru", names, here.store), given_for(name, entry, FACTS, WORDS)
        )
        taken = there.receive("lab_oru", out.body)
        there.work()
        assert there.store.outcome(taken).status == "done", name
        assert reports(there, taken) == reports(here, entry), name
        text = out.body.decode()
        assert "urn:hub:own" not in text, name  # the hub's own keys stay at home
        assert len(hl7.parse(text).segments("OBX")) == text.count("\rOBX|")
        assert parse_message(text, find_groups=True).validate()


def concept(code: str, system: str = LOINC) -> Json:
    return {"coding": [{"system": system, "code": code}]}


PATIENT = {
    "resourceType": "Patient", "id": "p", "name": [{"family": "SAMPLE"}],
    "identifier": [{"value": "1", "system": "urn:oid:2.999.1"}],
}  # fmt: skip


def lines(maps: OutMaps, *observations: Json, **report: Any) -> list[list[str]]:
    """Write a report of these results; its OBX as fields."""
    found = [
        {"resourceType": "Observation", "subject": {"reference": "Patient/p"}, **one} for one in observations
    ]
    said = {
        "resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": concept("85354-9"),
        "subject": {"reference": "Patient/p"},
        "result": [{"reference": f"Observation/{one['id']}"} for one in found],
        "identifier": [{"value": "F1", "type": concept("FILL", "http://terminology.hl7.org/CodeSystem/v2-0203")}],
        **report,
    }  # fmt: skip
    given = {**given_for("k", 1, FACTS, WORDS)}
    body = render(maps, "oru", copy.deepcopy([PATIENT, said, *found]), given).body.decode()
    return [line.split("|") for line in body.split("\r") if line.startswith("OBX")]


def quantity(value: float, unit: str = "mm[Hg]") -> Json:
    return {"value": value, "unit": unit, "code": unit, "system": "http://unitsofmeasure.org"}


def pressure(id_: str, status: str = "final") -> Json:
    return {
        "id": id_, "status": status, "code": concept("85354-9"),
        "component": [
            {"code": concept("8480-6"), "valueQuantity": quantity(120)},
            {"code": concept("8462-4"), "valueQuantity": {**quantity(80), "comparator": "<"}},
        ],
    }  # fmt: skip


def test_parts_of_a_result_are_results_of_their_own_that_stay_together(maps):
    found = lines(maps, pressure("a"), pressure("b", "corrected"))
    told = [(x[2], x[3].split("^")[0], x[4], x[5], x[11]) for x in found]
    assert told == [
        ("", "85354-9", "1", "", "F"),
        ("NM", "8480-6", "1.1", "120", "F"),
        ("SN", "8462-4", "1.2", "<^80", "F"),
        ("", "85354-9", "2", "", "C"),
        ("NM", "8480-6", "2.1", "120", "C"),
        ("SN", "8462-4", "2.2", "<^80", "C"),
    ]


@pytest.mark.parametrize(
    ("parts", "rows"),
    [
        ([{"valueQuantity": quantity(1)}, {"valueQuantity": quantity(2)}], [("NM", "1~2")]),
        (
            [{"valueQuantity": quantity(1)}, {"valueQuantity": quantity(2, "kPa")}],
            [("", ""), ("NM", "1"), ("NM", "2")],
        ),
        ([{"valueQuantity": quantity(1)}, {"valueString": "x"}], [("", ""), ("NM", "1"), ("ST", "x")]),
        ([{"valueQuantity": quantity(1)}], [("", ""), ("NM", "1")]),
        (
            [
                {"valueQuantity": quantity(1), "interpretation": [concept("H")]},
                {"valueQuantity": quantity(2)},
            ],
            [("", ""), ("NM", "1"), ("NM", "2")],
        ),
    ],
)
def test_only_equal_parts_are_repetitions_of_one(maps, parts, rows):
    whole = {
        "id": "a",
        "status": "final",
        "code": concept("1"),
        "component": [{"code": concept("1"), **p} for p in parts],
    }
    assert [(x[2], x[5]) for x in lines(maps, whole)] == rows


@pytest.mark.parametrize(
    ("value", "type_", "said", "unit"),
    [
        ({"valueRange": {"low": quantity(1), "high": quantity(10)}}, "SN", "^1^-^10", "mm[Hg]"),
        ({"valueRange": {"low": quantity(1)}}, "SN", ">=^1", "mm[Hg]"),
        ({"valueRange": {"high": quantity(9)}}, "SN", "<=^9", "mm[Hg]"),
        (
            {"valueRatio": {"numerator": quantity(8, "ug/mL"), "denominator": quantity(4)}},
            "SN",
            "^8^:^4",
            "ug/mL",
        ),
        ({"valueBoolean": True}, "CWE", "Y^^HL70136", ""),
        ({"valuePeriod": {"start": "2026-05-01", "end": "2026-05-02"}}, "DR", "20260501^20260502", ""),
    ],
)
def test_values_of_every_type_are_there_or_the_message_is_not(maps, value, type_, said, unit):
    (row,) = lines(maps, {"id": "a", "status": "final", "code": concept("1"), **value})
    assert (row[2], row[5], row[6].split("^")[0]) == (type_, said, unit)


ALONE = {"id": "a", "status": "final", "code": concept("1"), "valueString": "x"}


@pytest.mark.parametrize(
    ("observations", "report"),
    [
        ([{**ALONE, "valueString": None, "valueSampledData": {"origin": quantity(1)}}], {}),
        ([ALONE], {"result": [{"reference": "Observation/a"}, {"reference": "Observation/elsewhere"}]}),
        ([ALONE], {"result": []}),
        ([{**ALONE, "derivedFrom": [{"type": "Observation", "identifier": {"value": "7"}}]}], {}),
        ([{**ALONE, "derivedFrom": [{"reference": "Observation/unknown"}]}], {}),
        ([{**ALONE, "derivedFrom": [{"reference": "DocumentReference/unknown"}]}], {}),
        ([ALONE], {"presentedForm": [{"contentType": "application/pdf"}]}),
        (
            [
                {**ALONE, "derivedFrom": [{"reference": "Observation/b"}, {"reference": "Observation/c"}]},
                {**ALONE, "id": "b"},
                {**ALONE, "id": "c"},
            ],
            {"result": [{"reference": "Observation/a"}]},
        ),
    ],
)
def test_a_report_without_a_part_of_it_is_refused(maps, observations, report):
    kept = [{k: v for k, v in one.items() if v is not None} for one in observations]
    with pytest.raises(Refused):
        lines(maps, *kept, **report)


def test_the_report_as_a_document_goes_with_it(maps):
    form = {"contentType": "application/pdf", "data": "JVBERi0xLjQK"}
    link = {"url": "https://docs.mercy.example/7", "contentType": "text/html"}
    found = lines(maps, ALONE, presentedForm=[form, link])
    assert [(x[2], x[4], x[5], x[11]) for x in found[1:]] == [
        ("ED", "1", "^AP^PDF^Base64^JVBERi0xLjQK", "F"),
        ("RP", "2", "https://docs.mercy.example/7^^TEXT^HTML", "F"),
    ]


def test_a_document_may_be_larger_than_64_kib(maps):
    data = "QUJD" * 100_000
    found = lines(maps, ALONE, presentedForm=[{"contentType": "application/pdf", "data": data}])
    assert found[1][5] == f"^AP^PDF^Base64^{data}"


def test_a_value_made_from_another_of_the_same_report_has_no_isolate(maps):
    creatinine = {**ALONE, "id": "b"}
    egfr = {**ALONE, "derivedFrom": [{"reference": "Observation/b"}]}
    assert len(lines(maps, egfr, creatinine)) == 2
