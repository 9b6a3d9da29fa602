"""What a document tells of another person, of nobody or of what never happened is no fact about the patient."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.cli.convert import convert_bytes
from engine.fhir import jsonio
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
# ruff: noqa: E501
DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<id root="1.9.9" extension="D1"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><title>Summary</title>
<effectiveTime value="20260101100000+0000"/><confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
<recordTarget><patientRole><id root="1.9.1" extension="M-77"/><patient><name><given>Ida</given>
<family>Probe</family></name></patient></patientRole></recordTarget>
<author><time value="20260101100000+0000"/><assignedAuthor><id root="1.9.4" extension="A1"/></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization><id root="1.9.5"/><name>Harbour</name>
</representedCustodianOrganization></assignedCustodian></custodian>
<component><structuredBody><component><section><templateId root="2.16.840.1.113883.10.20.22.2.5.1"/>
<code code="11450-4" codeSystem="2.16.840.1.113883.6.1"/><title>Problems</title><text>x</text>
<entry><act classCode="ACT" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.3"/>
<id root="1.9.2" extension="c1"/><code code="CONC" codeSystem="2.16.840.1.113883.5.6"/><statusCode code="active"/>
<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">
<templateId root="2.16.840.1.113883.10.20.22.4.4"/><id root="1.9.2" extension="o1"/>
<code code="55607006" codeSystem="2.16.840.1.113883.6.96"/><statusCode code="completed"/>
<effectiveTime><low value="20180203"/></effectiveTime>
<value xsi:type="CD" code="38341003" codeSystem="2.16.840.1.113883.6.96"/></observation></entryRelationship></act></entry>
</section></component></structuredBody></component></ClinicalDocument>"""
OBSERVATION = '<observation classCode="OBS" moodCode="EVN">'
MOTHER = (
    '<subject><relatedSubject classCode="PRS"><code code="MTH" codeSystem="2.16.840.1.113883.5.111"/>'
    "</relatedSubject></subject>"
)


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def _made(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    (result,) = convert_bytes(text.encode(), maps())
    assert result.bundle is not None, result.error
    bundle = json.loads(jsonio.dumps(result.bundle))
    return [e["resource"] for e in bundle["entry"]], result.report


def _conditions(text: str) -> list[dict[str, Any]]:
    return [r for r in _made(text)[0] if r["resourceType"] == "Condition"]


def test_a_problem_is_the_patients() -> None:
    (condition,) = _conditions(DOCUMENT)
    assert condition["clinicalStatus"]["coding"][0]["code"] == "active"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (OBSERVATION, '<observation classCode="OBS" moodCode="EVN" negationInd="true">'),
        (OBSERVATION, '<observation classCode="OBS" moodCode="EVN" negationInd="TRUE ">'),
        (OBSERVATION, '<observation classCode="OBS" moodCode="EVN" sdtc:valueNegationInd="true">'),
        ('<act classCode="ACT" moodCode="EVN">', '<act classCode="ACT" moodCode="EVN" negationInd="1">'),
        ('<entryRelationship typeCode="SUBJ">', '<entryRelationship typeCode="SUBJ" negationInd="true">'),
        ("<value xsi", '<value sdtc:valueNegationInd="true" xsi'),
    ],
)
def test_what_is_denied_anywhere_is_refuted(was: str, now: str) -> None:
    assert was in DOCUMENT
    (condition,) = _conditions(DOCUMENT.replace(was, now))
    assert condition["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert "clinicalStatus" not in condition


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (OBSERVATION, '<observation classCode="OBS" moodCode="GOL">'),
        (OBSERVATION, '<observation classCode="OBS" moodCode="RQO">'),
        (OBSERVATION, '<observation classCode="OBS" moodCode="EVN" nullFlavor="NI">'),
        ("<entry>", '<entry nullFlavor="NA">'),
        ('<act classCode="ACT" moodCode="EVN">', '<act classCode="ACT" moodCode="EVN" nullFlavor="UNK">'),
        ("<section>", '<section nullFlavor="NI">'),
        ("<component><section>", '<component nullFlavor="NI"><section>'),
        ("11450-4", "10157-6"),  # in family history it is a relative's
        ("<value xsi", MOTHER + "<value xsi"),
        ("<title>Problems</title>", "<title>Problems</title>" + MOTHER),
    ],
)
def test_what_is_not_told_of_the_patient_makes_nothing_of_him(was: str, now: str) -> None:
    assert was in DOCUMENT
    made, report = _made(DOCUMENT.replace(was, now))
    kinds = {r["resourceType"] for r in made}
    assert not kinds & {"Condition", "Observation", "FamilyMemberHistory", "ServiceRequest"}
    assert any(u["value"] == "38341003" for u in report["unmapped"])
    if MOTHER in now:
        assert "another-person" in {w["code"] for w in report["warnings"]}


def test_a_result_is_retracted_with_its_panel() -> None:
    panel = (
        '<organizer classCode="BATTERY" moodCode="EVN"><id root="1.9.2" extension="p"/>'
        '<code code="24323-8" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="nullified"/><component>'
        '<observation classCode="OBS" moodCode="EVN"><id root="1.9.2" extension="r"/>'
        '<code code="2160-0" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>'
        '<effectiveTime value="20260101"/><value xsi:type="PQ" value="1.1" unit="mg/dL"/></observation>'
        "</component></organizer>"
    )
    begin, end = DOCUMENT.index("<act "), DOCUMENT.index("</act>") + len("</act>")
    text = (
        (DOCUMENT[:begin] + panel + DOCUMENT[end:])
        .replace("11450-4", "30954-2")
        .replace("22.2.5.1", "22.2.3.1")
    )
    made, _ = _made(text)
    told = {
        r["resourceType"]: r["status"]
        for r in made
        if r["resourceType"] in ("Observation", "DiagnosticReport")
    }
    assert told == {"Observation": "entered-in-error", "DiagnosticReport": "entered-in-error"}


def test_what_a_patient_is_at_risk_of_is_no_condition_of_his() -> None:
    made, _ = _made(DOCUMENT.replace('22.4.3"', '22.4.136"'))
    kinds = [r["resourceType"] for r in made]
    assert "RiskAssessment" in kinds and "Condition" not in kinds


def test_two_patients_are_nobodys_document() -> None:
    other = '<recordTarget><patientRole><id root="1.9.1" extension="M-78"/></patientRole></recordTarget>'
    made, report = _made(DOCUMENT.replace("<author>", other + "<author>", 1))
    assert all("reference" not in r["subject"] for r in made if r["resourceType"] == "Condition")
    assert "several-patients" in {w["code"] for w in report["warnings"]}
