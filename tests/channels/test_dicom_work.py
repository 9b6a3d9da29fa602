"""Studies, steps and reports of DICOM in a real store: what they belong to, and what they never do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hub_project import HERE, Hub, shipped_maps
from imaging_orders import Json, Ward
from pydicom import dcmread

from engine.channels import otherwork
from engine.channels.replay import ask_replay
from engine.formats.dicom.header import OTHER_BYTES, TOO_LONG, header_copy
from engine.kernel.clock import now_ms
from engine.kernel.message import NewEntry, Outcome

SAMPLES = HERE / "sample_messages/dicom"
UID = "2.25.314159265358979323846.1"
NORTH = "urn:oid:2.16.840.1.113883.19.4.7"
ORDER = f"""MSH|^~\\&|EHR|NORTH|HUB|CDR|20260501120000-0500||OMI^O23^OMI_O23|M1|P|2.5.1
PID|1||100234^^^NORTH&2.16.840.1.113883.19.4.7&ISO^MR||SAMPLE^WREN||19610412|F
ORC|NW|P1^EHR|||||||20260501115900-0500|||D12^QUILL^NORA^^^^^^NORTH
TQ1|1||||||20260502080000-0500
OBR|1|P1^EHR||24627-2^CT chest^LN
IPC|AC77|RP1|{UID}|SPS1|CT^Computed tomography^DCM
"""
REGISTERED = """MSH|^~\\&|ADT|NORTH|HUB|CDR|20260501100000-0500||ADT^A28^ADT_A05|A1|P|2.5.1
EVN|A28|20260501100000-0500
PID|1||100234^^^NORTH&2.16.840.1.113883.19.4.7&ISO^MR||SAMPLE^WREN||19610412|F
"""


class Node(Ward):
    """A hub with a node's channel too; what the node journals is put into the journal here."""

    def __init__(self, root: Path, issuer: str = "") -> None:
        (root / "channels").mkdir(parents=True)
        for name in ("mappings", "terminology"):
            (root / name).symlink_to(HERE / name)
        for name in ("orders", "adt", "imaging"):
            shutil.copy(HERE / "channels" / f"{name}.yaml", root / "channels")
        if issuer:
            path = root / "channels" / "imaging.yaml"
            before = path.read_text()
            path.write_text(
                before.replace("    ae_title:", f"    issuers: {{patient: {issuer}}}\n    ae_title:")
            )
            assert path.read_text() != before
        more = "disk_reserve_mb: 1\nworkers: 1\nterminology: {load_shipped: false}\n"
        (root / "config.yaml").write_text(f"{(HERE / 'config.yaml').read_text()}\n{more}")
        self.hub = Hub.open(root, shipped_maps())
        self.store = self.hub.store
        self.count = 0

    def tell(self, body: bytes | str, changes: dict[str, str] | None = None, sender: str = "CT01") -> Outcome:
        """Journal an object, or a study entry, and work it off."""
        data = (SAMPLES / body).read_bytes() if isinstance(body, str) else body
        for old, new in (changes or {}).items():
            assert old.encode() in data, old
            data = data.replace(old.encode(), new.encode())
        self.count += 1
        entry = NewEntry(
            "imaging", data, now_ms(), sender=sender, peer="127.0.0.1",
            control_id=f"D{self.count}", message_type="dicom",
        )  # fmt: skip
        id_ = self.hub.journal.append([entry])[0].id
        self.hub.work()
        done = self.store.outcome(id_)
        assert done is not None
        return done

    def study(self, count: int = 2, **link: Any) -> Outcome:
        """Tell of the study with so many instances."""
        whole = json.loads((SAMPLES / "study_entry.json").read_bytes())
        whole["link"] |= link
        (series,) = whole["series"]
        series["instances"] = [
            {**series["instances"][0], "00080018": {"vr": "UI", "Value": [f"{UID}.1.{n}"]}}
            for n in range(1, count + 1)
        ]
        return self.tell(json.dumps(whole).encode(), sender="hub")

    def one(self, kind: str) -> Json:
        (found,) = self.all(kind)
        return found


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "hub")
    yield made
    made.hub.close()


NAMED = REGISTERED.replace("NORTH&2.16.840.1.113883.19.4.7&ISO", "NORTH")
"""The same patient, of an authority that has a name only."""


def without_issuer(name: str) -> bytes:
    """Give a sample that does not say whose number it has."""
    dataset = dcmread(SAMPLES / name)
    del dataset.IssuerOfPatientIDQualifiersSequence
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize("name", ["mpps_completed.dcm", "sr_measurements.dcm", "key_objects.dcm"])
@pytest.mark.parametrize("numbers", ["100234^^^NORTH^MR", "9^^^OTHER&1.2.3&ISO^MR~100234^^^NORTH^PI"])
def test_a_number_of_the_node_s_named_authority_is_that_of_hl7(
    tmp_path: Path, name: str, numbers: str
) -> None:
    node = Node(tmp_path / "hub", issuer="NORTH")
    node.say(NAMED.replace("100234^^^NORTH^MR", numbers), "adt")
    done = node.tell(without_issuer(name))
    assert (done.status, flags(done).get("patient-not-known")) == ("done", None), done
    found = [
        b for kind in ("DiagnosticReport", "DocumentReference", "Observation", "Task") for b in node.all(kind)
    ]
    whose = {(b.get("subject") or b["for"])["reference"] for b in found}
    assert whose == {patient_of(node)}
    node.hub.close()


@pytest.mark.parametrize("name", ["mpps_completed.dcm", "sr_measurements.dcm"])
def test_another_person_of_that_number_is_not_meant(tmp_path: Path, name: str) -> None:
    node = Node(tmp_path / "hub", issuer="NORTH")
    node.say(NAMED.replace("19610412", "19990101"), "adt")
    done = node.tell(without_issuer(name))
    assert (done.status, done.cause) == ("parked", "patient-mismatch")
    node.hub.close()


def test_the_same_number_of_another_named_authority_is_nobody_s(tmp_path: Path) -> None:
    node = Node(tmp_path / "hub", issuer="SOUTH")
    node.say(NAMED, "adt")
    done = node.tell(without_issuer("sr_measurements.dcm"))
    assert flags(done)["patient-not-known"] is True
    assert "reference" not in node.one("DiagnosticReport")["subject"]
    node.hub.close()


def flags(done: Outcome) -> dict[str, bool]:
    return {f.code: f.work for f in done.flags}


def patient_of(node: Node) -> str:
    return f"Patient/{node.one('Patient')['id']}"


def test_a_study_is_linked_to_patient_and_order_and_grows_without_doubling(node: Node) -> None:
    node.say(ORDER)
    assert node.study(2).status == "done"
    study = node.one("ImagingStudy")
    assert study["subject"]["reference"] == patient_of(node)
    assert study["basedOn"][0]["reference"] == f"ServiceRequest/{node.one('ServiceRequest')['id']}"
    node.study(5)
    grown = node.one("ImagingStudy")
    assert grown["id"] == study["id"]
    assert [len(s["instance"]) for s in grown["series"]] == [5]
    assert (grown["numberOfSeries"], grown["numberOfInstances"]) == (1, 5)
    node.study(1)  # four were deleted: what is told is what is there
    assert [len(s["instance"]) for s in node.one("ImagingStudy")["series"]] == [1]
    node.study(1)
    assert len(node.all("Endpoint")) == 1


def test_a_study_told_again_changes_nothing(node: Node) -> None:
    node.say(ORDER)
    node.study()
    before = node.one("ImagingStudy")
    done = node.study()
    assert done.written == 0
    assert node.one("ImagingStudy") == before


def test_a_study_waits_for_its_patient_and_order(node: Node) -> None:
    node.study()
    assert "reference" not in node.one("ImagingStudy")["subject"]
    node.say(ORDER)
    study = node.one("ImagingStudy")
    assert study["subject"]["reference"] == patient_of(node)
    assert study["basedOn"][0]["reference"].startswith("ServiceRequest/")


def test_a_study_that_fits_nobody_links_to_nobody_and_is_linked_later(node: Node) -> None:
    node.say(ORDER)
    done = node.study(state="mismatch", reason="birth-date-differs")
    assert flags(done)["imaging-mismatch"] is True
    study = node.one("ImagingStudy")
    assert "reference" not in study["subject"]
    assert "basedOn" not in study
    node.say(REGISTERED, "adt")  # whatever comes, that subject never becomes somebody
    assert "reference" not in node.one("ImagingStudy")["subject"]
    node.study(state="linked", by="hand")
    assert node.one("ImagingStudy")["subject"]["reference"] == patient_of(node)


def test_no_patient_comes_of_dicom(node: Node) -> None:
    node.study()
    for name in ("mpps_in_progress.dcm", "sr_measurements.dcm", "key_objects.dcm"):
        assert node.tell(name).status == "done"
    assert node.all("Patient") == []
    node.say(REGISTERED, "adt")
    body = node.one("Patient")
    for name in ("mpps_completed.dcm", "sr_measurements.dcm", "key_objects.dcm"):
        node.tell(name)
    assert node.one("Patient") == body
    for kind in ("DiagnosticReport", "DocumentReference", "Observation"):
        assert {b["subject"]["reference"] for b in node.all(kind)} == {patient_of(node)}


def test_an_image_alone_is_told_with_its_study(node: Node) -> None:
    done = node.tell("ct_1.dcm")
    assert (done.status, done.cause, done.written) == ("skipped", "told with its study", 0)


def test_a_step_begins_and_completes_its_order(node: Node) -> None:
    node.say(ORDER)
    order = node.one("ServiceRequest")
    node.tell("mpps_in_progress.dcm")
    assert node.one("ServiceRequest")["status"] == "active"
    task = next(t for t in node.all("Task") if t["status"] == "in-progress")
    assert task["focus"]["reference"] == f"ServiceRequest/{order['id']}"
    assert task["for"]["reference"] == patient_of(node)
    node.tell("mpps_completed.dcm")
    done = node.one("ServiceRequest")
    assert done["status"] == "completed"
    assert {k: v for k, v in done.items() if k not in ("status", "meta")} == {
        k: v for k, v in order.items() if k not in ("status", "meta")
    }


def test_a_step_given_up_leaves_its_order(node: Node) -> None:
    node.say(ORDER)
    node.tell("mpps_in_progress.dcm", {"IN PROGRESS ": "DISCONTINUED"})
    assert node.one("ServiceRequest")["status"] == "active"


def test_no_order_is_made_of_a_step(node: Node) -> None:
    done = node.tell("mpps_completed.dcm")
    assert (done.status, flags(done)["not-known"]) == ("done", False)
    assert node.all("ServiceRequest") == []
    assert node.one("Task")["status"] == "completed"


@pytest.mark.parametrize("name", ["mpps_in_progress.dcm", "mpps_completed.dcm"])
def test_an_order_that_comes_after_its_step_keeps_its_status_and_people_are_told(
    node: Node, name: str
) -> None:
    node.say(REGISTERED, "adt")
    step = node.tell(name)
    done = node.say(ORDER)
    ended = name == "mpps_completed.dcm"
    assert [
        (f.work, f"entry {step.entry} " in f.text) for f in done.flags if f.code == "performed-before"
    ] == [(True, True)] * ended
    order = node.one("ServiceRequest")
    assert order["status"] == "active"
    task = next(t for t in node.all("Task") if "owner" in t)
    assert task["focus"]["reference"] == f"ServiceRequest/{order['id']}"
    assert not [f for f in node.say(ORDER).flags if f.code == "performed-before"]  # said once
    assert node.one("ServiceRequest")["status"] == "active"
    node.say(ORDER.replace("ORC|NW|P1^EHR|||", "ORC|SC|P1^EHR|||CM"))  # whoever placed it says it
    assert node.one("ServiceRequest")["status"] == "completed"


def test_an_order_of_another_patient_is_not_said_to_be_performed(node: Node) -> None:
    node.say(OTHER, "adt")
    node.tell(robins("mpps_completed.dcm"))
    assert "performed-before" not in flags(node.say(ORDER))


def test_a_revoked_order_stays_revoked(node: Node) -> None:
    node.say(ORDER)
    node.say(ORDER.replace("ORC|NW", "ORC|OC"))
    assert node.one("ServiceRequest")["status"] == "revoked"
    done = node.tell("mpps_in_progress.dcm")
    assert flags(done)["has-ended"] is True
    assert node.one("ServiceRequest")["status"] == "revoked"


def test_steps_replayed_leave_their_order_as_it_is(node: Node) -> None:
    node.say(ORDER)
    entries = [node.tell(f"mpps_{name}.dcm").entry for name in ("in_progress", "completed")]
    before = node.one("ServiceRequest")
    for entry in entries:
        again = ask_replay(node.hub.journal, entry, "analyst", "a test").id
        node.hub.work()
        done = node.store.outcome(again)
        assert done is not None and done.status == "done", done
    after = node.one("ServiceRequest")
    assert {k: v for k, v in after.items() if k != "meta"} == {k: v for k, v in before.items() if k != "meta"}
    assert [t["status"] for t in node.all("Task") if t.get("focus") and "owner" in t] == ["completed"]


@pytest.mark.parametrize("name", ["mpps_completed.dcm", "sr_measurements.dcm", "key_objects.dcm"])
def test_a_number_that_is_another_person_s_parks_what_comes_under_it(node: Node, name: str) -> None:
    node.say(REGISTERED.replace("19610412", "19990101"), "adt")
    done = node.tell(name)
    assert (done.status, done.cause) == ("parked", "patient-mismatch")
    assert not node.all("Task") and not node.all("Observation") and not node.all("DocumentReference")


OTHER = """MSH|^~\\&|ADT|NORTH|HUB|CDR|20260501100000-0500||ADT^A28^ADT_A05|A1|P|2.5.1
EVN|A28|20260501100000-0500
PID|1||100888^^^NORTH&2.16.840.1.113883.19.4.7&ISO^MR||EXAMPLE^ROBIN||19900101|F
"""


def robins(name: str) -> bytes:
    """Give a sample as another patient's, in the same study."""
    dataset = dcmread(SAMPLES / name)
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "100888", "EXAMPLE^ROBIN", "19900101"
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ["mpps_in_progress.dcm", "mpps_completed.dcm"])
def test_a_step_of_one_patient_leaves_the_order_of_another(node: Node, name: str, known: bool) -> None:
    node.say(ORDER)
    if known:
        node.say(OTHER, "adt")
    before = node.one("ServiceRequest"), len(node.all("Task"))
    done = node.tell(robins(name))
    assert (done.status, done.cause) == ("parked", "order-of-another-patient")
    assert (node.one("ServiceRequest"), len(node.all("Task"))) == before


def test_a_step_given_up_of_one_patient_is_not_linked_to_the_order_of_another(node: Node) -> None:
    node.say(ORDER)
    node.say(OTHER, "adt")
    done = node.tell(robins("mpps_in_progress.dcm").replace(b"IN PROGRESS ", b"DISCONTINUED"))
    assert flags(done)["order-of-another-patient"] is True
    (task,) = (t for t in node.all("Task") if t["status"] == "failed")
    assert "reference" in task["for"] and "reference" not in task["focus"]
    assert all("reference" not in one for one in task["basedOn"])


def test_a_report_of_one_patient_is_not_based_on_the_order_of_another(node: Node) -> None:
    node.say(ORDER)
    node.say(OTHER, "adt")
    done = node.tell(robins("sr_measurements.dcm"))
    assert flags(done)["order-of-another-patient"] is True
    report = node.one("DiagnosticReport")
    assert "reference" in report["subject"] and "reference" not in report["basedOn"][0]
    node.say(ORDER.replace("24627-2^CT chest", "24627-2^CT of the chest"))  # nor when the order is told again
    assert "reference" not in node.one("DiagnosticReport")["basedOn"][0]


def test_a_report_that_came_before_the_order_of_another_waits_on(node: Node) -> None:
    node.say(OTHER, "adt")
    node.tell(robins("sr_measurements.dcm"))
    node.say(ORDER)
    assert "reference" not in node.one("DiagnosticReport")["basedOn"][0]


def test_a_report_of_a_patient_who_is_not_known_is_based_on_no_order(node: Node) -> None:
    node.say(ORDER)
    done = node.tell(robins("sr_measurements.dcm"))
    assert flags(done)["patient-not-known"] is True
    assert "reference" not in node.one("DiagnosticReport")["basedOn"][0]


def test_a_report_told_again_is_the_same(node: Node) -> None:
    node.tell("sr_measurements.dcm")
    first = node.tell("sr_measurements.dcm")
    assert first.written == 0
    assert len(node.all("Observation")) == 4


def test_reports_and_studies_find_each_other_in_either_order(node: Node) -> None:
    node.say(ORDER)
    node.tell("sr_measurements.dcm")
    assert "reference" not in node.one("DiagnosticReport")["imagingStudy"][0]
    node.study()
    name = f"ImagingStudy/{node.one('ImagingStudy')['id']}"
    assert node.one("DiagnosticReport")["imagingStudy"][0]["reference"] == name
    assert {o["derivedFrom"][0]["reference"] for o in node.all("Observation")} == {name}
    node.tell("key_objects.dcm")  # and one that comes after its study
    assert node.one("DocumentReference")["context"]["related"][0]["reference"] == name


def test_a_study_that_is_nobody_s_any_more_is_in_no_patient_s_record(node: Node) -> None:
    node.say(ORDER)
    node.study()
    node.study(state="mismatch", reason="unbound")
    node.tell("sr_measurements.dcm")  # it says whose it is, the study does not: they are not one patient's
    assert "reference" not in node.one("DiagnosticReport")["imagingStudy"][0]
    node.study(state="linked", by="hand")
    name = f"ImagingStudy/{node.one('ImagingStudy')['id']}"
    assert node.one("DiagnosticReport")["imagingStudy"][0]["reference"] == name


def test_a_report_of_a_patient_who_comes_later_is_linked_by_a_replay_alone(node: Node) -> None:
    node.study()
    done = node.tell("sr_measurements.dcm")
    assert [f.code for f in done.flags if f.work and f.code == "patient-not-known"]
    node.say(REGISTERED, "adt")
    report = node.one("DiagnosticReport")
    assert "reference" not in report["subject"] and report["subject"]["identifier"]["value"] == "100234"
    again = ask_replay(node.hub.journal, done.entry, "analyst", "registered now").id
    node.hub.work()
    outcome = node.store.outcome(again)
    assert outcome is not None and outcome.status == "done", outcome
    report = node.one("DiagnosticReport")
    assert report["subject"]["reference"] == patient_of(node)
    name = f"ImagingStudy/{node.one('ImagingStudy')['id']}"
    assert report["imagingStudy"][0]["reference"] == name


def test_a_report_that_came_before_another_person_of_its_number_is_never_theirs(node: Node) -> None:
    done = node.tell("sr_measurements.dcm")
    node.say(REGISTERED.replace("SAMPLE^WREN||19610412", "OTHER^PERSON||20010203"), "adt")
    assert "reference" not in node.one("DiagnosticReport")["subject"]
    again = ask_replay(node.hub.journal, done.entry, "analyst", "whose is it?").id
    node.hub.work()
    outcome = node.store.outcome(again)
    assert outcome is not None and outcome.cause == "patient-mismatch", outcome


def test_a_damaged_object_parks_alone(node: Node) -> None:
    data = (SAMPLES / "sr_measurements.dcm").read_bytes()
    done = node.tell(data[: len(data) // 2])
    assert (done.status, done.cause) == ("parked", "not-readable")
    assert node.tell("sr_obstetric.dcm").status == "done"


def copied(name: str, changes: dict[str, str], *marks: str) -> bytes:
    """The header copy of a sample, changed, as the ingest journals it."""
    data = (SAMPLES / name).read_bytes()
    for old, new in changes.items():
        assert old.encode() in data and len(old) == len(new), old
        data = data.replace(old.encode(), new.encode())
    return header_copy(data, address="ab" * 16, size=len(data), aet="CT01", marks=marks)


@pytest.mark.parametrize("name", ["sr_measurements.dcm", "key_objects.dcm", "ct_1.dcm"])
def test_other_bytes_under_a_known_uid_are_parked_and_change_nothing(node: Node, name: str) -> None:
    node.say(ORDER)
    node.tell(copied(name, {}))
    before = {kind: node.all(kind) for kind in ("DiagnosticReport", "DocumentReference", "Observation")}
    done = node.tell(copied(name, {"100234": "100999"}, OTHER_BYTES), sender="PACS")
    assert (done.status, done.cause, done.where) == ("parked", "other-bytes", "SOPInstanceUID")
    assert {kind: node.all(kind) for kind in before} == before
    again = ask_replay(node.hub.journal, done.entry, "ann", "again").id
    node.hub.work()
    found = node.store.outcome(again)
    assert found is not None and (found.status, found.cause) == ("parked", "other-bytes")
    assert {kind: node.all(kind) for kind in before} == before


def test_other_bytes_that_were_edited_count_as_what_they_say_now(node: Node) -> None:
    done = node.tell(copied("sr_measurements.dcm", {}, OTHER_BYTES))
    assert done.cause == "other-bytes" and node.all("DiagnosticReport") == []
    edited = copied("sr_measurements.dcm", {"100234": "100235"}, OTHER_BYTES)
    again = ask_replay(node.hub.journal, done.entry, "ann", "it is this one", edited).id
    node.hub.work()
    assert node.store.outcome(again).status == "done" and len(node.all("DiagnosticReport")) == 1  # type: ignore[union-attr]


def test_a_report_that_the_journal_knows_with_other_bytes_is_parked_unmarked_too(node: Node) -> None:
    for number in ("100234", "100999"):
        body = copied("sr_measurements.dcm", {"100234": number})
        new = NewEntry("imaging", body, now_ms(), sender="CT01", control_id="1.2.3", message_type="dicom SR")
        last = node.hub.journal.append([new])[0].id
        node.hub.work()
    assert node.store.outcome(last).cause == "other-bytes"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["sr_measurements.dcm", "key_objects.dcm"])
def test_a_report_of_which_the_journal_has_a_part_is_parked(node: Node, name: str) -> None:
    data = (SAMPLES / name).read_bytes()
    body = header_copy(data[:-100], address="ab" * 16, size=len(data), aet="CT01", limit=len(data) - 600)
    done = node.tell(body)
    assert (done.status, done.cause) == ("parked", "too-long")
    assert node.tell(copied("ct_1.dcm", {}, TOO_LONG)).status == "skipped"  # nothing is made of an image
    assert node.all("DiagnosticReport") == node.all("DocumentReference") == node.all("Observation") == []


def test_a_report_as_long_as_what_is_read_of_one_is_parked(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = copied("sr_measurements.dcm", {})
    monkeypatch.setattr(otherwork, "LIMIT", len(body))
    assert node.tell(body).cause == "too-long"
