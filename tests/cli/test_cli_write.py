"""`hub write`: files and patients of the core store out as other formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_project import HERE, Hub, make_project
from lxml import etree

from engine.cli.write import read_given, write_file
from engine.kernel.errors import HubError
from engine.mapping.outbound.write import Refused

SAMPLES = HERE / "sample_messages"
X12 = ["sender=NORTHBAY", "receiver=BLUEPEAK", "control=7"]
SIGNED = ["signature=Y", "assignment=A", "benefits=Y", "release=Y"]
DOCUMENT = ["root=2.999.1", "organization=Northbay Clinic", "software=hub"]


def write(format, file, out, given, report=None, patient="", root=HERE):
    return write_file(root, format, file, patient, out, given, report)


def test_a_claim_from_a_file_with_its_report(tmp_path: Path, capsys):
    out, report = tmp_path / "claims.x12", tmp_path / "claims.report.json"
    assert write("837P", SAMPLES / "outbound" / "claim.json", out, X12 + SIGNED, report) == 0
    assert out.read_text().startswith(
        "ISA*00*          *00*          *ZZ*NORTHBAY       *ZZ*BLUEPEAK       *"
    )
    assert "*000000007*" in out.read_text()
    told = json.loads(report.read_text())
    assert any(
        v["target"] == "CLM[1]-01" and v["source"] == "Claim/c1.identifier[0].value" for v in told["written"]
    )
    assert "values written" in capsys.readouterr().out
    assert "NB-77001" not in report.read_text()


def test_nothing_is_written_where_something_is_missing(tmp_path: Path):
    out = tmp_path / "claims.x12"
    with pytest.raises(Refused):
        write("837P", SAMPLES / "outbound" / "claim.json", out, SIGNED)
    with pytest.raises(Refused):
        write("837P", SAMPLES / "outbound" / "claim.json", out, X12)
    with pytest.raises(HubError):
        write("999P", SAMPLES / "outbound" / "claim.json", out, X12)
    with pytest.raises(HubError):
        write("837P", None, out, X12)
    assert not out.exists()


def test_what_is_set_is_name_and_value():
    assert read_given(["title=A = B"]) == {"title": "A = B"}
    with pytest.raises(HubError):
        read_given(["title"])


def test_a_document_of_a_patient_in_the_store(tmp_path: Path):
    root = make_project(tmp_path / "project")
    hub = Hub.open(root)
    hub.take("lab_oru", "lab/oru_cmp")
    patient = hub.store.search("Patient", [], 10, None).resources[0]
    hub.close()
    out = tmp_path / "ccd.xml"
    write("ccd", None, out, DOCUMENT, patient=patient["id"], root=root)
    ns = {"h": "urn:hl7-org:v3"}
    document = etree.fromstring(out.read_bytes())
    family = document.xpath("string(//h:recordTarget//h:patient/h:name/h:family)", namespaces=ns)
    assert family == patient["name"][0]["family"]
    assert len(document.xpath("//h:organizer/h:component/h:observation", namespaces=ns)) == 14


def test_a_patient_who_is_not_there(tmp_path: Path):
    root = make_project(tmp_path / "project")
    hub = Hub.open(root)
    hub.take("lab_oru", "lab/oru_cmp")
    hub.close()
    with pytest.raises(HubError):
        write("ccd", None, tmp_path / "x", DOCUMENT, patient="nobody", root=root)


def test_an_order_in_the_store_with_what_it_refers_to(tmp_path: Path):
    root = make_project(tmp_path / "project")
    hub = Hub.open(root)
    entry = hub.take("lab_oru", "lab/orm_new")
    order, patient = hub.written(entry, "ServiceRequest"), hub.written(entry, "Patient")
    stored = hub.store.read("ServiceRequest", order)
    family = hub.store.read("Patient", patient)["name"][0]["family"]
    hub.close()
    out = tmp_path / "order.hl7"
    names = ["sender=HUB", "receiver=LAB", "control=5"]
    write_file(root, "orm", None, "", out, names, None, [f"ServiceRequest/{order}"])
    segments = {line.split("|")[0]: line.split("|") for line in out.read_bytes().decode().split("\r")}
    assert segments["PID"][5].startswith(family)
    assert segments["ORC"][2].split("^")[0] == stored["identifier"][0]["value"]
    with pytest.raises(HubError):
        write_file(root, "orm", None, "", out, names, None, ["ServiceRequest/nothing"])
