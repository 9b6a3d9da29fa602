"""No code, word of status, number or time in what a sample becomes that is not in it or in a code map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fhir_judges import samples, shipped_maps
from inventions import CLINICAL, facts, inventions, tables

from engine.cli.convert import convert_bytes
from engine.fhir import jsonio
from engine.formats.hl7v2.split import split_messages


@pytest.mark.parametrize("path", samples(), ids=lambda p: p.name)
def test_nothing_is_invented(path: Path) -> None:
    data = path.read_bytes()
    for record, result in zip(split_messages(data), convert_bytes(data, shipped_maps()), strict=True):
        assert result.bundle is not None
        assert inventions(bytes(record.data), result.bundle) == []


MESSAGE = (
    b"MSH|^~\\&|LIS|NORTH|HUB|CDR|20260501120000-0500||ORU^R01^ORU_R01|M1|P|2.5.1\r"
    b"PID|1||77^^^NORTH^MR||DOE^JO||19800101|F\r"
    b"OBR|1||F1^LIS|24320-4^Basic panel^LN|||202605010830-0500|||||||||||||||20260501115900-0500||LAB|F\r"
    b"OBX|1|NM|2823-3^Potassium^LN||4.10|mmol/L^^UCUM|3.5-5.1|N|||F\r"
)


def _made() -> dict[str, Any]:
    (result,) = convert_bytes(MESSAGE, shipped_maps())
    assert result.bundle is not None
    copy: dict[str, Any] = jsonio.loads(jsonio.dumps(result.bundle))
    return copy


def _resource(bundle: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def test_what_was_sent_is_no_invention() -> None:
    made = _made()
    assert inventions(MESSAGE, made) == []
    seen = [f for e in made["entry"] for f in facts(e["resource"], e["resource"]["resourceType"], "")]
    assert {".valueQuantity.value", ".code.coding.code", ".birthDate", ".gender"} <= {f[0] for f in seen}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Observation", "code.coding.0.code", "2951-2"),
        ("Observation", "status", "amended"),
        ("Observation", "valueQuantity.value", 41),
        ("Observation", "valueQuantity.value", "4.1"),  # a digit that was sent is gone
        ("Observation", "valueQuantity.code", "mg/dL"),
        ("Observation", "effectiveDateTime", "2026-05-01T08:31:00-05:00"),
        ("Observation", "effectiveDateTime", "2026-05-01T08:30:15-05:00"),
        ("Observation", "interpretation.0.coding.0.code", "H"),
        ("Observation", "referenceRange.0.low.value", "3.6"),
        ("DiagnosticReport", "issued", "2026-05-01T00:00:00-05:00"),
        ("Patient", "gender", "male"),
        ("Patient", "birthDate", "1980-01-02"),
    ],
)
def test_an_invention_is_found(kind: str, path: str, value: object) -> None:
    made = _made()
    at: Any = _resource(made, kind)
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    assert last in at
    at[last] = value
    found = inventions(MESSAGE, made)
    assert len(found) == 1 and str(value) in found[0]


def test_clinical_codes_are_never_excused_by_a_constant() -> None:
    made = _made()
    _resource(made, "Observation")["code"]["coding"][0]["code"] = "SS"  # a constant of PID_Patient
    assert CLINICAL.search("http://loinc.org") and tables()["f"]
    assert inventions(MESSAGE, made) == ["Observation.code.coding.code: SS"]
