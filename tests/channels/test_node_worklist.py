"""The worklist of a node: what orders and registrations say, as a modality is answered."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from imaging_orders import NOON, Ward, asking
from pynetdicom.dsutils import decode, encode

from engine.channels.node.worklist import Worklist
from engine.kernel.message import Draft, Work

CHICAGO = ZoneInfo("America/Chicago")
NEW = "orders/orm_o01_imaging_new_v2.4"
CHANGE = "orders/orm_o01_imaging_change_v2.4"
CANCEL = "orders/orm_o01_imaging_cancel_v2.4"
TWO = "orders/orm_o01_imaging_two_steps_v2.3.1"
PETCT = "orders/omi_o23_two_steps_v2.5.1"


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path / "hub")


def listed(ward: Ward, **more: Any) -> Worklist:
    more.setdefault("clock", lambda: NOON)
    return Worklist(ward.store, zone=CHICAGO, own=f"{ward.hub.config.identity_base}/id/", **more)


def asked(worklist: Worklist, **keys: Any) -> list[Any]:
    return list(worklist.answers(asking(**keys)))


def steps(answers: list[Any]) -> list[tuple[str, str, str]]:
    items = [a.ScheduledProcedureStepSequence[0] for a in answers]
    return [(i.ScheduledProcedureStepID, i.Modality, i.ScheduledProcedureStepStartTime) for i in items]


def test_an_order_with_all_that_it_says(ward: Ward) -> None:
    ward.take(NEW)
    (found,) = asked(listed(ward))
    assert found.SpecificCharacterSet == "ISO_IR 192"
    assert (found.PatientName, found.PatientID, found.IssuerOfPatientID) == (
        "OKAFOR^ADA^N",
        "5500417",
        "NORTH",
    )
    assert (found.PatientBirthDate, found.PatientSex) == ("19850614", "F")
    assert (found.AccessionNumber, found.RequestedProcedureID) == ("AC7200", "RP7200")
    assert list(found.IssuerOfAccessionNumberSequence) == []  # nobody but the hub gave it a name space
    assert found.RequestedProcedureDescription == "MR knee left"
    assert found.RequestedProcedureCodeSequence[0].CodeValue == "MRKNEE"
    assert found.RequestedProcedurePriority == "STAT"
    assert found.ReasonForTheRequestedProcedure == "Knee pain"
    assert (found.RequestingPhysician, found.ReferringPhysicianName) == ("QUILL^NORA^^DR", "")  # no PV1-8
    assert (found.AdmissionID, found.CurrentPatientLocation) == ("V91001", "4E 2 A")
    assert (found.MedicalAlerts, found.Allergies) == ("Pacemaker", "Iodinated contrast")
    assert (found.PatientWeight, found.PregnancyStatus) == (None, None)
    assert found.PlacerOrderNumberImagingServiceRequest == "P7200"
    assert found.FillerOrderNumberImagingServiceRequest == ""
    (step,) = found.ScheduledProcedureStepSequence
    assert (step.Modality, step.ScheduledProcedureStepID) == ("MR", "S1")
    assert (step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime) == (
        "20260504",
        "100000",
    )
    assert (step.ScheduledStationAETitle, step.ScheduledProcedureStepLocation) == ("", "")
    assert step.ScheduledProcedureStepStatus == "SCHEDULED"
    (order,) = ward.all("ServiceRequest")
    (uid,) = [i["value"] for i in order["identifier"] if i.get("system") == "urn:dicom:uid"]
    assert uid == f"urn:oid:{found.StudyInstanceUID}" and found.StudyInstanceUID.startswith("2.25.")


def test_changes_show_at_once_and_the_study_keeps_its_uid(ward: Ward) -> None:
    worklist = listed(ward)
    assert asked(worklist) == []
    ward.take(NEW)
    (before,) = asked(worklist)
    ward.take(CHANGE)
    (after,) = asked(worklist)
    assert steps([after]) == [("S1", "MR", "143000")]
    assert after.StudyInstanceUID == before.StudyInstanceUID
    ward.take(CANCEL)
    assert asked(worklist) == [] == asked(listed(ward))


@pytest.mark.parametrize("control", ["CA", "HD", "DC", "OC", "CR"])
def test_what_is_called_off_or_held_is_not_scanned(ward: Ward, control: str) -> None:
    ward.take(NEW)
    worklist = listed(ward)
    assert len(asked(worklist)) == 1
    ward.take(CANCEL, {"ORC|OC": f"ORC|{control}"})
    assert asked(worklist) == []


def test_what_could_not_be_called_off_is_listed_again(ward: Ward) -> None:
    ward.take(NEW)
    worklist = listed(ward)
    ward.take(CANCEL, {"ORC|OC": "ORC|CA"})
    assert asked(worklist) == []
    ward.take(CANCEL, {"ORC|OC": "ORC|UC"})
    assert steps(asked(worklist)) == [("S1", "MR", "100000")]


@pytest.mark.parametrize("sample", [TWO, PETCT])
def test_every_step_of_a_procedure_is_listed(ward: Ward, sample: str) -> None:
    ward.take(sample)
    found = asked(listed(ward))
    assert {s for s, _, _ in steps(found)} == {"S1", "S2"}
    assert len({a.StudyInstanceUID for a in found}) == 1
    assert all(a.RequestedProcedureID and a.AccessionNumber for a in found)


def test_steps_of_several_modalities_have_their_own(ward: Ward) -> None:
    ward.take(PETCT)
    worklist = listed(ward)
    assert steps(asked(worklist, modality="CT")) == [("S2", "CT", "080000")]
    (found,) = asked(worklist, modality="PT", title="PETCT01")
    (step,) = found.ScheduledProcedureStepSequence
    assert step.ScheduledProtocolCodeSequence[0].CodeValue == "PETWB"
    assert (step.ScheduledStationName, step.ScheduledProcedureStepLocation) == ("PETCT1", "ROOM9")
    assert found.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"
    assert asked(worklist, title="OTHER") == []


def test_the_uid_of_the_sender_is_used(ward: Ward) -> None:
    ward.take(TWO)
    assert {a.StudyInstanceUID for a in asked(listed(ward))} == {"1.2.840.99999.7100"}


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ({}, 3),
        ({"modality": "MR"}, 1),
        ({"modality": "M*"}, 1),
        ({"day": "20260503"}, 2),
        ({"day": "20260503-20260504"}, 3),
        ({"day": "-20260503"}, 2),
        ({"day": "20260505-"}, 0),
        ({"day": "20260503", "ScheduledProcedureStepStartTime": "0915-1000"}, 1),
        ({"day": "20260503-20260503", "ScheduledProcedureStepStartTime": "0915-1000"}, 1),
        ({"ScheduledProcedureStepID": "S2"}, 1),
        ({"AccessionNumber": "AC7100"}, 2),
        ({"AccessionNumber": "AC7?00"}, 3),
        ({"RequestedProcedureID": "RP7200"}, 1),
        ({"PatientID": "5500417"}, 3),
        ({"PatientID": "5500418"}, 0),
        ({"PatientName": "okafor*"}, 3),
        ({"PatientName": "OKAFOR^ADA*"}, 3),
        ({"PatientName": "OKAFOR^BO*"}, 0),
        ({"PatientSex": "M"}, 0),
    ],
)
def test_keys(ward: Ward, keys: dict[str, str], count: int) -> None:
    ward.take(NEW)
    ward.take(TWO)
    assert len(asked(listed(ward), **keys)) == count


def test_days_of_the_list(ward: Ward) -> None:
    ward.take(NEW)
    day = 86_400_000
    now = [NOON]
    worklist = listed(ward, days=(7, 30), clock=lambda: now[0])
    for moved, count in ((0, 1), (9 * day, 1), (10 * day, 0), (-28 * day, 1), (-29 * day, 0)):
        now[0] = NOON + moved
        assert len(asked(worklist)) == count, moved


def test_the_wall_clock_of_the_site(ward: Ward) -> None:
    ward.take(NEW, {"20260504100000-0500": "20260504030000+0000"})
    assert [
        a.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate for a in asked(listed(ward))
    ] == ["20260503"]
    (found,) = Worklist(ward.store, clock=lambda: NOON).answers(asking())
    assert found.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate == "20260504"


def test_a_merge_shows_the_survivor(ward: Ward) -> None:
    ward.take(NEW)
    worklist = listed(ward)
    asked(worklist)
    ward.say(
        "MSH|^~\\&|ADT|NORTH|HUB|CDR|20260502150000-0500||ADT^A40^ADT_A39|M1|P|2.5.1\r"
        "EVN|A40|20260502150000-0500\r"
        "PID|1||9900001^^^NORTH&2.16.840.1.113883.19.4.7&ISO^MR||OKAFOR^ADA^NIA||19850614|F\r"
        "MRG|5500417^^^NORTH&2.16.840.1.113883.19.4.7&ISO^MR\r",
        "adt",
    )
    (found,) = asked(worklist)
    assert (found.PatientID, found.PatientName) == ("9900001", "OKAFOR^ADA^NIA")
    assert asked(worklist, PatientID="9900001") == [found]


def test_the_number_that_modalities_go_by(ward: Ward) -> None:
    ward.take(
        NEW,
        {"19.4.7&ISO^MR": "19.4.7&ISO^MR~E77^^^ENTERPRISE&2.999.7&ISO^PI"},
    )
    (found,) = asked(listed(ward, issuer="urn:oid:2.999.7"))
    assert (found.PatientID, found.IssuerOfPatientID) == ("E77", "ENTERPRISE")
    assert [o.PatientID for o in found.OtherPatientIDsSequence] == ["5500417"]


def test_a_laboratory_order_is_not_listed(ward: Ward) -> None:
    ward.take("lab/orm_new")
    assert asked(listed(ward)) == []


def performed(ward: Ward, status: str, *steps: str, entry: int = 1000, study: str = "") -> None:
    """What a modality tells of a step, as its Task has it; of a `study` whose order is not clear."""
    order = ward.all("ServiceRequest")[0]
    uid = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.9"}
    body = {
        "resourceType": "Task",
        "identifier": [uid],
        "status": status,
        "intent": "order",
        "for": order["subject"],
        "basedOn": [
            {"type": "ServiceRequest", "identifier": {**uid, "value": f"urn:oid:{study}"}}
            if study
            else {"reference": f"ServiceRequest/{order['id']}"}
        ],
        "input": [{"type": {"text": "Scheduled Procedure Step ID"}, "valueString": step} for step in steps],
    }
    id_ = ward.store.identify("Task", uid["system"], uid["value"])
    draft = Draft("task", "Task", id_, body, ((uid["system"], uid["value"]),), map="Step_Task")
    ward.store.apply([Work(entry, entry, "imaging", "CT01", (), drafts=[draft])])


def test_a_step_that_a_modality_ended_leaves(ward: Ward) -> None:
    ward.take(PETCT)
    worklist = listed(ward)
    performed(ward, "in-progress", "S2")
    found = {a.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID: a for a in asked(worklist)}
    assert found["S2"].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "STARTED"
    assert found["S1"].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "SCHEDULED"
    performed(ward, "completed", "S2", entry=1001)
    assert steps(asked(worklist)) == steps(asked(listed(ward))) == [("S1", "PT", "080000")]


def test_a_discontinued_step_leaves(ward: Ward) -> None:
    ward.take(NEW)
    worklist = listed(ward)
    performed(ward, "failed")
    assert asked(worklist) == []


def test_a_list_kept_up_is_the_list_built_anew(ward: Ward) -> None:
    worklist = listed(ward)
    for sample in (NEW, TWO, CHANGE, PETCT, CANCEL):
        ward.take(sample)
        assert [str(a) for a in asked(worklist)] == [str(a) for a in asked(listed(ward))]


def test_a_long_alert_is_not_cut(ward: Ward) -> None:
    words = " ".join(["Pacemaker, not MR conditional, ask cardiology"] * 3)
    ward.take(NEW, {"Pacemaker": words})
    (found,) = asked(listed(ward))
    assert " ".join(found.MedicalAlerts) == words and all(len(v) <= 64 for v in found.MedicalAlerts)


def test_the_order_is_done_only_with_its_last_step(ward: Ward) -> None:
    """A modality that ended one step completes the order; the other step is still to do."""
    ward.take(PETCT)
    worklist = listed(ward)
    asked(worklist)
    performed(ward, "completed", "S2")
    done = "ORC|SC|P7300^EHR|R7300^RIS||CM\rOBR|1|P7300^EHR|R7300^RIS|PETCT^PET-CT whole body^L"
    head = "MSH|^~\\&|RIS|NORTH|HUB|CDR|20260502101500-0500||OMI^O23^OMI_O23|X|P|2.5.1\r"
    pid = "PID|1||5500417^^^NORTH&2.16.840.1.113883.19.4.7&ISO^MR||OKAFOR^ADA^N||19850614|F\r"
    ward.say(f"{head}{pid}{done}\r")
    assert ward.all("ServiceRequest")[0]["status"] == "completed"
    assert steps(asked(worklist)) == steps(asked(listed(ward))) == [("S1", "PT", "080000")]
    performed(ward, "completed", "S1", "S2", entry=1001)
    assert asked(worklist) == [] == asked(listed(ward))


def test_a_completed_order_leaves(ward: Ward) -> None:
    ward.take(NEW)
    worklist = listed(ward)
    ward.take(CANCEL, {"ORC|OC|P7200^EHR|||": "ORC|SC|P7200^EHR|||CM"})
    assert asked(worklist) == [] == asked(listed(ward))


def test_an_answer_can_be_sent(ward: Ward) -> None:
    """It is encoded and read again as it was, in explicit and implicit little endian."""
    ward.take(NEW, {"OKAFOR^ADA^N": "MÜLLER^JÜRGEN"})
    (found,) = asked(listed(ward))
    for implicit in (True, False):
        sent = encode(found, implicit, True)
        assert sent is not None
        again = decode(BytesIO(sent), implicit, True)
        assert str(again.PatientName) == "MÜLLER^JÜRGEN"
        assert str(again.ScheduledProcedureStepSequence) == str(found.ScheduledProcedureStepSequence)
        assert again.PatientWeight is None and again.Allergies == "Iodinated contrast"


def test_a_step_of_several_orders_of_one_study_leaves(ward: Ward) -> None:
    first = "20260503090000-0500^^R||20260502101500-0500"
    ward.take(TWO, {f"R7102^RIS||||^^^{first}": f"R7102^RIS||||^^^20260503093000{first[14:]}"})
    assert len(ward.all("ServiceRequest")) == 2
    worklist = listed(ward)
    assert {s for s, _, _ in steps(asked(worklist))} == {"S1", "S2"}
    performed(ward, "completed", "S1", study="1.2.840.99999.7100")
    assert steps(asked(worklist)) == steps(asked(listed(ward))) == [("S2", "CT", "093000")]
