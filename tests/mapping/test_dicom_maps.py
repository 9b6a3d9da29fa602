"""The maps of DICOM: what samples become, that it is valid, and that every attribute is accounted for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydicom import data as pydicom_data

from engine.fhir.validate import validate
from engine.formats.dicom.document import parse, study_of
from engine.formats.dicom.header import is_dicom
from engine.formats.xml.places import leaves
from engine.kernel.errors import FormatError
from engine.mapping.check import check_other
from engine.mapping.convert import Conversion, map_arrived, trace_arrived, unkeyed
from engine.mapping.project import Maps
from engine.mapping.tests_inline import run_all
from engine.mapping.treearrived import TreeArrived, dicom_arrived

HERE = Path(__file__).parents[2]
SAMPLES = HERE / "sample_messages/dicom"
NORTH = "urn:oid:2.16.840.1.113883.19.4.7"
STUDY = "urn:oid:2.25.314159265358979323846.1"


@cache
def maps() -> Maps:
    return Maps.open(HERE).of("dicom")


def traced(arrived: TreeArrived) -> Conversion:
    return trace_arrived(arrived, maps(), "standard", "test")


def sample(name: str, **changes: str) -> Conversion:
    data = (SAMPLES / name).read_bytes()
    for old, new in changes.items():
        assert old.encode() in data
        data = data.replace(old.encode(), new.encode())
    return traced(dicom_arrived(parse(data)))


def bodies(done: Conversion, kind: str) -> list[dict[str, Any]]:
    return [d.body for d in done.built.drafts if d.type == kind]


def flags(done: Conversion) -> set[tuple[str, bool]]:
    return {(f.code, f.work) for f in done.built.flags}


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda p: p.name)
def test_a_sample_becomes_valid_resources_and_every_attribute_is_accounted_for(path: Path) -> None:
    arrived = dicom_arrived(parse(path.read_bytes()))
    done = traced(arrived)
    assert done.built.held is None
    assert done.built.drafts
    for draft in done.built.drafts:
        if draft.write != "known":
            assert validate(draft.body) == [], draft.name
    told = {m.source for m in done.report.mapped} | {u.source for u in done.report.unmapped}
    assert {leaf.place for leaf in leaves(arrived.document.root)} == told


@pytest.mark.parametrize("path", sorted(SAMPLES.iterdir()), ids=lambda p: p.name)
def test_the_fast_program_makes_the_same(path: Path) -> None:
    program = maps().program("standard")
    built = map_arrived(dicom_arrived(parse(path.read_bytes())), program, unkeyed, "test")
    slow = traced(dicom_arrived(parse(path.read_bytes())))
    assert [d.body for d in built.drafts] == [d.body for d in slow.built.drafts]
    assert [f.code for f in built.flags] == [f.code for f in slow.built.flags]


def test_the_inline_tests_hold_and_the_linter_finds_nothing() -> None:
    results = list(run_all(maps()))
    assert len(results) > 50
    assert [r for r in results if r.differences] == []
    assert check_other(maps()) == []


def test_the_linter_knows_attributes(tmp_path: Path) -> None:
    import shutil

    for name in ("mappings", "terminology"):
        shutil.copytree(HERE / name, tmp_path / name)
    path = tmp_path / "mappings/dicom/imaging/Study_ImagingStudy.yaml"
    path.write_text(path.read_text().replace("[StudyDescription, ", "[StudyDescripton, "))
    found = check_other(Maps.open(tmp_path).of("dicom"))
    assert [(f.rule, "StudyDescription" in str(f)) for f in found] == [("M02", True)]


# -- studies -----------------------------------------------------------------------------------------------


def test_a_told_study_is_linked_to_whom_it_was_found_to_belong() -> None:
    done = sample("study_entry.json")
    (study,) = bodies(done, "ImagingStudy")
    assert study["subject"] == {"type": "Patient", "identifier": {"system": NORTH, "value": "100234"}}
    assert study["basedOn"] == [
        {"type": "ServiceRequest", "identifier": {"system": "urn:dicom:uid", "value": STUDY}}
    ]
    assert study["started"] == "2026-05-02T08:30:15-05:00"
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 2)
    assert [i["number"] for i in study["series"][0]["instance"]] == [1, 2]
    assert not bodies(done, "Patient")
    (endpoint,) = bodies(done, "Endpoint")
    assert endpoint["address"] == "https://hub.example.org/dicomweb"
    assert "endpoint" in study


@pytest.mark.parametrize(
    ("state", "flag"), [("unmatched", "imaging-unmatched"), ("mismatch", "imaging-mismatch")]
)
def test_a_study_of_nobody_known_names_nobody_the_store_could_find(state: str, flag: str) -> None:
    whole = json.loads((SAMPLES / "study_entry.json").read_bytes())
    whole["link"] = {**whole["link"], "state": state, "reason": "birth-date-differs"}
    done = traced(dicom_arrived(parse(json.dumps(whole).encode())))
    (study,) = bodies(done, "ImagingStudy")
    assert "type" not in study["subject"]  # a reference without a type is never looked for
    assert study["subject"]["identifier"]["system"] == "urn:hub:own/id/imaging-patient-not-linked"
    assert "basedOn" not in study
    assert (flag, True) in flags(done)
    assert any("birth-date-differs" in f.text for f in done.built.flags)


def test_a_reason_that_is_no_word_is_not_repeated() -> None:
    whole = json.loads((SAMPLES / "study_entry.json").read_bytes())
    whole["link"] = {"state": "unmatched", "reason": "patient SAMPLE WREN not found"}
    done = traced(dicom_arrived(parse(json.dumps(whole).encode())))
    assert all("SAMPLE" not in f.text for f in done.built.flags)


def test_a_study_without_instances_is_registered() -> None:
    whole = json.loads((SAMPLES / "study_entry.json").read_bytes())
    whole["series"] = []
    (study,) = bodies(traced(dicom_arrived(parse(json.dumps(whole).encode()))), "ImagingStudy")
    assert study["status"] == "registered"
    assert "series" not in study


def test_images_of_a_folder_become_the_study_they_are_of() -> None:
    done = traced(
        dicom_arrived(study_of(parse((SAMPLES / f"{n}.dcm").read_bytes()) for n in ("ct_1", "ct_2")))
    )
    (study,) = bodies(done, "ImagingStudy")
    (series,) = study["series"]
    assert series["bodySite"] == {
        "system": "http://snomed.info/sct",
        "code": "816094009",
        "display": "Chest",
    }
    assert series["laterality"]["code"] == "24028007"
    assert len(series["instance"]) == study["numberOfInstances"] == 2
    assert study["subject"]["identifier"] == {"system": NORTH, "value": "100234"}


def test_pixels_are_ignored_with_a_reason_and_nothing_else_is_silent() -> None:
    done = sample("ct_1.dcm")
    why = {u.source.rpartition("/")[2].partition("[")[0]: u.state for u in done.report.unmapped}
    assert why["Rows"] == why["BitsAllocated"] == "ignored"
    assert why["PatientName"] != "ignored"


# -- steps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "task", "order"),
    [
        ("mpps_in_progress.dcm", {}, "in-progress", ["active"]),
        ("mpps_completed.dcm", {}, "completed", ["completed"]),
        ("mpps_in_progress.dcm", {"IN PROGRESS ": "DISCONTINUED"}, "failed", []),
    ],
)
def test_a_step_says_how_far_it_is_and_what_that_means_for_its_order(
    name: str, changes: dict[str, str], task: str, order: list[str]
) -> None:
    done = sample(name, **changes)
    (body,) = bodies(done, "Task")
    assert body["status"] == task
    assert body["focus"]["identifier"] == {"system": "urn:dicom:uid", "value": STUDY}
    assert body["for"]["identifier"] == {"system": NORTH, "value": "100234"}
    assert [o["status"] for o in bodies(done, "ServiceRequest")] == order
    writes = {d.type: d.write for d in done.built.drafts}
    assert writes["Task"] == "merge"
    assert {writes[kind] for kind in writes if kind != "Task"} == {"known"}  # nothing is made of it


# -- reports -----------------------------------------------------------------------------------------------


def test_measurements_become_observations_of_their_group() -> None:
    done = sample("sr_measurements.dcm")
    (report,) = bodies(done, "DiagnosticReport")
    assert (report["status"], report["issued"]) == ("final", "2026-05-02T10:15:00-05:00")
    assert report["imagingStudy"][0]["identifier"]["value"] == STUDY
    group, length, density, shape = bodies(done, "Observation")
    assert length["valueQuantity"] == {
        "value": length["valueQuantity"]["value"],
        "unit": "mm",
        "system": "http://unitsofmeasure.org",
        "code": "mm",
    }
    assert str(length["valueQuantity"]["value"]) == "12.50"  # the digits as they were written
    assert length["bodySite"]["text"] == "Right Lung"
    assert length["extension"][0]["valueUri"] == f"{STUDY}.1.2"
    assert density["dataAbsentReason"]["coding"][0]["code"] == "114006"
    assert "valueQuantity" not in density
    assert shape["valueCodeableConcept"]["text"] == "Round shape"
    assert group["valueCodeableConcept"]["text"] == "Nodule"
    assert len(group["hasMember"]) == 3
    assert len(report["result"]) == 4
    assert {o["subject"]["identifier"]["value"] for o in bodies(done, "Observation")} == {"100234"}
    codes = [o["code"]["coding"][0].get("code") for o in bodies(done, "Observation")]
    assert "112225" not in codes  # how thick a slice is: said of an image, not of the patient


def test_what_is_measured_of_a_fetus_says_so_and_is_not_final() -> None:
    done = sample("sr_obstetric.dcm")
    for observation in bodies(done, "Observation"):
        (focus,) = [e for e in observation["extension"] if e["url"].endswith("observation-focusCode")]
        assert focus["valueCodeableConcept"]["coding"][0]["code"] == "121026"
        assert focus["valueCodeableConcept"]["text"] == "Fetus A"
        assert observation["status"] == "preliminary"
    (measured,) = [o for o in bodies(done, "Observation") if "valueQuantity" in o]
    assert measured["component"][0]["valueCodeableConcept"]["text"] == "Mean"


def test_what_is_said_of_a_specimen_is_not_said_of_the_patient() -> None:
    done = sample("sr_obstetric.dcm", **{"121026": "121027"})
    assert not bodies(done, "Observation")
    assert any(u.source.endswith("NumericValue[1]") for u in done.report.unmapped)


def test_a_selection_names_its_images() -> None:
    (document,) = bodies(sample("key_objects.dcm"), "DocumentReference")
    assert document["type"]["text"] == "Of Interest"
    assert document["description"] == "The nodule on the right"
    assert [r["identifier"]["value"] for r in document["context"]["related"]] == [STUDY, f"{STUDY}.1.2"]


@pytest.mark.parametrize("name", ["sr_measurements.dcm", "mpps_completed.dcm", "key_objects.dcm"])
def test_a_number_without_its_issuer_links_to_nobody(name: str) -> None:
    done = sample(name, **{"2.16.840.1.113883.19.4.7": "not-an-oid-that-is-known"[:24]})
    assert done.built.held is None
    for draft in done.built.drafts:
        subject = draft.body.get("subject") or draft.body.get("for")
        if subject is not None:
            assert "system" not in subject["identifier"], draft.name
    assert {code for code, _ in flags(done)} & {"no-issuer", "unknown-issuer"}


# -- objects of others -------------------------------------------------------------------------------------


def test_objects_in_the_wild_are_mapped_or_refused_and_what_they_become_is_valid() -> None:
    mapped = 0
    for path in sorted(Path(pydicom_data.__file__).parent.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if not is_dicom(data) or len(data) > 300_000:
            continue
        try:
            arrived = dicom_arrived(parse(data))
        except FormatError:
            continue
        done = traced(arrived)
        for draft in done.built.drafts:
            if draft.write != "known":
                assert validate(draft.body) == [], (path.name, draft.body)
        assert done.built.drafts, path.name
        mapped += 1
    assert mapped > 40
