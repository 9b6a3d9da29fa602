"""What a CDA document becomes as a whole: header, sections with their text, parties, bodies."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from engine.cli.converted import Result, convert_others
from engine.fhir.validate import validate
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "sample_messages/cda").glob("*.xml"))
Json = dict[str, Any]


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def convert(data: bytes) -> Result:
    [result] = convert_others("cda", BytesIO(data), maps())
    assert result.error is None, result.error
    return result


@cache
def sample(name: str) -> Result:
    return convert((ROOT / "sample_messages/cda" / name).read_bytes())


def resources(result: Result, kind: str) -> list[Json]:
    assert result.bundle is not None
    plain = json.loads(json.dumps(result.bundle, default=str))
    return [e["resource"] for e in plain["entry"] if e["resource"]["resourceType"] == kind]


def document(
    header: str = "", body: str = "", patient: str = '<id root="1.2.3.4" extension="H-1"/>'
) -> bytes:
    return (
        '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><typeId root="2.16.840.1.113883.1.3"'
        ' extension="POCD_HD000040"/><id root="1.2.3" extension="D-1"/>'
        '<code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><title>Summary</title>'
        '<effectiveTime value="20200102101112+0000"/><confidentialityCode code="N"'
        ' codeSystem="2.16.840.1.113883.5.25"/>'
        f"<recordTarget><patientRole>{patient}<patient><name><given>Wren</given><family>Sample</family></name>"
        '</patient></patientRole></recordTarget><author><time value="20200102101112+0000"/><assignedAuthor>'
        '<id root="2.16.840.1.113883.4.6" extension="1234567893"/><assignedPerson><name><family>Quill'
        "</family></name></assignedPerson></assignedAuthor></author><custodian><assignedCustodian>"
        '<representedCustodianOrganization><id root="1.2.3.9"/><name>Pier</name>'
        f"</representedCustodianOrganization></assignedCustodian></custodian>{header}"
        f"<component>{body or '<structuredBody/>'}</component></ClinicalDocument>"
    ).encode()


def section(inner: str, title: str = "Results", code: str = "30954-2") -> str:
    return (
        f'<structuredBody><component><section><code code="{code}" codeSystem="2.16.840.1.113883.6.1"/>'
        f"<title>{title}</title>{inner}</section></component></structuredBody>"
    )


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_every_sample_becomes_a_valid_bundle(path: Path) -> None:
    result = convert(path.read_bytes())
    assert result.report["errors"] == []
    assert result.bundle is not None
    for entry in result.bundle["entry"]:
        assert validate(entry["resource"]) == []
    known = {e["fullUrl"] for e in result.bundle["entry"]}
    told = set(re.findall(r'"reference": "(urn:uuid:[^"]+)"', json.dumps(result.bundle, default=str)))
    assert told <= known


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_every_leaf_is_mapped_or_named(path: Path) -> None:
    from engine.formats.cda.document import parse

    result = convert(path.read_bytes())
    told = {m["source"] for m in result.report["mapped"]} | {u["source"] for u in result.report["unmapped"]}
    leaves = {leaf.place for leaf in parse(path.read_bytes()).leaves()}
    assert {p for p in leaves if p not in told} == set()


def test_a_composition_has_the_header_and_what_its_entries_became() -> None:
    [composition] = resources(sample("ccd.xml"), "Composition")
    assert composition["type"]["coding"][0]["code"] == "34133-9"
    assert composition["status"] == "final"
    assert composition["subject"]["reference"].startswith("urn:uuid:")
    for s in composition["section"]:
        assert s["text"]["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml"')
    assert any(s.get("entry") for s in composition["section"])


def test_sections_stay_nested_and_say_why_they_are_empty() -> None:
    inner = (
        "<text>Outer</text><component><section nullFlavor='NASK'><title>Inner</title></section></component>"
    )
    [composition] = resources(convert(document(body=section(inner))), "Composition")
    [outer] = composition["section"]
    [within] = outer["section"]
    assert "Outer" in outer["text"]["div"]
    assert within["emptyReason"]["coding"][0]["code"] == "notasked"
    assert within["text"]["status"] == "generated"  # cmp-1: a section holds something


def test_an_embedded_file_is_kept_as_sent() -> None:
    sent = base64.b64encode(b"%PDF-1.4 made up").decode()
    body = f'<nonXMLBody><text mediaType="application/pdf" representation="B64">{sent}</text></nonXMLBody>'
    data = document(body=body)
    [reference] = resources(convert(data), "DocumentReference")
    inside, whole = (c["attachment"] for c in reference["content"])
    assert (inside["contentType"], inside["data"]) == ("application/pdf", sent)
    assert base64.b64decode(whole["data"]) == data


def test_a_file_kept_elsewhere_is_a_link() -> None:
    body = '<nonXMLBody><text mediaType="application/pdf"><reference value="scan.pdf"/></text></nonXMLBody>'
    [reference] = resources(convert(document(body=body)), "DocumentReference")
    assert reference["content"][0]["attachment"]["url"] == "scan.pdf"


def test_a_replacement_names_what_it_replaces() -> None:
    header = (
        '<relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.3" extension="D-0"/>'
        '<setId root="1.2.3" extension="S"/><versionNumber value="1"/></parentDocument></relatedDocument>'
    )
    result = convert(document(header))
    [composition] = resources(result, "Composition")
    [reference] = resources(result, "DocumentReference")
    assert composition["relatesTo"][0]["code"] == "replaces"
    assert composition["relatesTo"][0]["targetIdentifier"]["value"] == "D-0"
    assert reference["relatesTo"][0]["target"]["identifier"]["value"] == "D-0"


def test_a_patient_without_a_number_is_written_and_would_be_parked() -> None:
    result = convert(document(patient='<id nullFlavor="UNK"/>'))
    assert [p["name"][0]["family"] for p in resources(result, "Patient")] == ["Sample"]
    assert "no-patient-key" in {w["code"] for w in result.report["warnings"]}


def test_a_social_security_number_does_not_decide_who_it_is() -> None:
    two = '<id root="2.16.840.1.113883.4.1" extension="111-00-2330"/><id root="1.2.3.4" extension="H-1"/>'
    one = '<id root="1.2.3.4" extension="H-1"/>'
    urls = []
    for ids in (two, one):
        bundle = convert(document(patient=ids)).bundle
        assert bundle is not None
        urls += [e["request"]["url"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"]
    assert urls[0] == urls[1]


def test_what_says_that_it_is_nothing_becomes_nothing() -> None:
    entry = (
        '<entry{0}><observation classCode="OBS" moodCode="EVN"{1}><id root="1.2.5" extension="o"/>'
        '<code code="2160-0" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>'
        '<effectiveTime value="20190101"/><value xsi:type="PQ" value="1" unit="mg/dL"/></observation></entry>'
    )
    said = convert(document(body=section(entry.format("", ""))))
    assert len(resources(said, "Observation")) == 1
    for null in ((' nullFlavor="NI"', ""), ("", ' nullFlavor="UNK"')):
        result = convert(document(body=section(entry.format(*null))))
        assert resources(result, "Observation") == []
        assert any(u["value"] == "2160-0" for u in result.report["unmapped"])


def test_one_person_met_twice_is_one_resource_with_all_addresses() -> None:
    header = (
        "<legalAuthenticator><time value='20200103'/><signatureCode code='S'/><assignedEntity>"
        "<id root='2.16.840.1.113883.4.6' extension='1234567893'/><addr><city>Portree</city></addr>"
        "<assignedPerson><name><family>Quill</family></name></assignedPerson></assignedEntity></legalAuthenticator>"
    )
    [practitioner] = resources(convert(document(header)), "Practitioner")
    assert practitioner["name"] == [{"family": "Quill"}]
    assert practitioner["address"] == [{"city": "Portree"}]


def test_no_active_content_reaches_the_narrative() -> None:
    text = (
        '<text><paragraph onclick="x()">Fine</paragraph><linkHtml href="javascript:a()">go</linkHtml></text>'
    )
    result = convert(document(body=section(text)))
    [composition] = resources(result, "Composition")
    div = composition["section"][0]["text"]["div"]
    assert "Fine" in div
    assert not re.search(r"onclick|javascript", div)


@pytest.mark.parametrize(
    "ids",
    [
        '<id root="1.2.3.4"/>',
        '<id root="1.2.3.4" extension=" "/>',
        '<id extension="12345"/>',
        '<id root="2.16.840.1.113883.4.1" extension="999-99-9999"/>',
    ],
)
def test_what_tells_nobody_from_another_merges_nobody(ids: str) -> None:
    result = convert(document(patient=ids))
    assert "no-patient-key" in {w["code"] for w in result.report["warnings"]}
    assert result.bundle is not None
    [url] = [
        e["request"]["url"] for e in result.bundle["entry"] if e["resource"]["resourceType"] == "Patient"
    ]
    other = convert(document(patient=ids).replace(b"Wren", b"Robin"))
    assert other.bundle is not None
    assert url not in {e["request"]["url"] for e in other.bundle["entry"]}


PROBLEM = (
    '<entry><observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.4"/>'
    '<id root="1.2.5" extension="p"/><code code="55607006" codeSystem="2.16.840.1.113883.6.96"/>'
    '<statusCode code="completed"/><effectiveTime><low value="2019"/></effectiveTime>'
    '<value xsi:type="CD" code="38341003" codeSystem="2.16.840.1.113883.6.96"/>{}</observation></entry>'
)


def test_a_relatives_problem_is_not_the_patients() -> None:
    assert (
        len(
            resources(convert(document(body=section(PROBLEM.format(""), "Problems", "11450-4"))), "Condition")
        )
        == 1
    )
    family = convert(document(body=section(PROBLEM.format(""), "Family History", "10157-6")))
    assert resources(family, "Condition") == []
    assert any(u["value"] == "38341003" for u in family.report["unmapped"])
    mother = (
        '<participant typeCode="SBJ"><participantRole classCode="PRS"><code code="MTH"/></participantRole>'
        "</participant>"
    )
    assert (
        resources(convert(document(body=section(PROBLEM.format(mother), "Problems", "11450-4"))), "Condition")
        == []
    )


def test_a_section_that_has_nothing_and_entries_is_told() -> None:
    said = document(
        body=section(PROBLEM.format(""), "Problems", "11450-4").replace(
            "<section>", '<section nullFlavor="NI">'
        )
    )
    assert "null-section" in {w["code"] for w in convert(said).report["warnings"]}


def test_a_relative_without_a_number_is_of_one_patient_alone() -> None:
    told = (
        '<informant><relatedEntity classCode="PRS"><relatedPerson><name><given>Robin</given></name>'
        "</relatedPerson></relatedEntity></informant>"
    )
    urls = []
    for number in ("H-1", "H-2"):
        bundle = convert(document(told, patient=f'<id root="1.2.3.4" extension="{number}"/>')).bundle
        assert bundle is not None
        urls += [
            e["request"]["url"] for e in bundle["entry"] if e["resource"]["resourceType"] == "RelatedPerson"
        ]
    assert len(set(urls)) == 2
    nobody = convert(document(told, patient='<id nullFlavor="UNK"/>'))
    assert resources(nobody, "RelatedPerson") == []  # contained in the Composition that names it
    [composition] = resources(nobody, "Composition")
    assert [c["resourceType"] for c in composition["contained"]] == ["RelatedPerson"]
