"""Audit rows as AuditEvents: sound FHIR R4, whatever a row says."""

from __future__ import annotations

import base64
import json

import pytest

from engine.channels.auditevents import audit_event, bundle, ndjson
from engine.fhir.validate import validate
from engine.store.audit import AuditRow

AT = 1_790_000_000_123
ROWS = [
    AuditRow(1, AT, "ann", "fhir:read", "Observation/0f8fad5b-d9cb-469f-a165-70867728950e", "200"),
    AuditRow(2, AT, "ann", "fhir:search", "Patient", "200 identifier=4711 found 1: 0f8fad5b"),
    AuditRow(3, AT, "-", "fhir:refused", "fhir", "401 from 192.0.2.7; 3 more before it"),
    AuditRow(4, AT, "cli:root", "msg:open", "entry/8841", ""),
    AuditRow(5, AT, "bob", "console:message", "entry/8841", "raw\ttree"),
    AuditRow(6, AT, "pacs", "dicom:query", "study", "10.1.2.3 STUDY 1.2.840"),
    AuditRow(7, AT, "ann", "fhir:vread", "Patient/abc/_history/3", "503 the store is away"),
    AuditRow(8, AT, "hub", "audit:remove", "audit", "rows 1 to 5"),
    AuditRow(9, AT, "eve", "an odd  action", "", ""),
]


@pytest.mark.parametrize("base", ["https://hub.example", "urn:hub:own"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.action)
def test_every_row_is_a_sound_resource(row: AuditRow, base: str) -> None:
    made = audit_event(row, "Mercy Hub", base)
    assert validate(made) == []
    assert made["recorded"] == "2026-09-21T14:13:20.123Z" and made["agent"][0]["requestor"] is True


@pytest.mark.parametrize(
    ("number", "action", "outcome", "code"),
    [
        (1, "R", "0", "rest"),
        (2, "R", "0", "rest"),
        (3, "E", "4", "rest"),
        (4, "R", "0", "110110"),
        (6, "R", "0", "110112"),
        (7, "R", "8", "rest"),
        (8, "D", "0", "110101"),
    ],
)
def test_what_was_done_and_how_it_went(number: int, action: str, outcome: str, code: str) -> None:
    made = audit_event(ROWS[number - 1], "Hub", "https://hub.example")
    assert (made["action"], made["outcome"], made["type"]["code"]) == (action, outcome, code)


def test_who_where_and_about_what() -> None:
    read, search, stranger, opened, *_ = (audit_event(row, "Hub", "https://hub.example") for row in ROWS)
    assert read["agent"][0]["who"]["identifier"] == {"system": "https://hub.example/people", "value": "ann"}
    assert read["entity"][0]["what"] == {"reference": ROWS[0].what}
    assert base64.b64decode(search["entity"][0]["query"]).decode() == ROWS[1].detail
    assert stranger["agent"][0]["network"] == {"address": "192.0.2.7", "type": "2"}
    assert opened["entity"][0]["what"]["identifier"] == {
        "system": "https://hub.example/entry",
        "value": "8841",
    }


def test_as_lines_and_as_a_bundle() -> None:
    lines = [json.loads(line) for line in ndjson(ROWS, "Hub", "https://hub.example")]
    assert [one["id"] for one in lines] == [f"audit-{n}" for n in range(1, 10)]
    made = bundle(ROWS, "Hub", "https://hub.example", AT)
    assert validate(made) == [] and [e["resource"] for e in made["entry"]] == lines
    assert validate(bundle([], "Hub", "urn:hub:own", AT)) == []
