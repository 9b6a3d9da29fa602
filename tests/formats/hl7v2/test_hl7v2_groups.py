"""Group arrangement: where every segment goes, in good messages and in those senders really write."""

from __future__ import annotations

import pytest
from hl7v2_samples import ORU, message
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.hl7v2.dictionary import version
from engine.formats.hl7v2.groups import Group, arrange, arrange_message
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.structures import structure_for


def shape(group):
    return " ".join(f"{c.name}({shape(c)})" if isinstance(c, Group) else c.name for c in group.children)


def arranged(kind, segments, number="2.5.1"):
    found = parse(message(kind, segments, number))
    root = arrange_message(found)
    assert sorted(id(s) for _, s in root.walk()) == sorted(
        id(s) for s in found.segments
    )  # none lost, none doubled
    return shape(root).removeprefix("MSH "), [(r.code, r.where) for r in found.repairs]


GOOD = [
    (
        "ORU^R01",
        "PID PV1 ORC OBR OBX OBX NTE ORC OBR NTE OBX SPM",
        "PATIENT_RESULT(PATIENT(PID VISIT(PV1))"
        " ORDER_OBSERVATION(ORC OBR OBSERVATION(OBX) OBSERVATION(OBX NTE))"
        " ORDER_OBSERVATION(ORC OBR NTE OBSERVATION(OBX) SPECIMEN(SPM)))",
    ),
    (
        "ORU^R01",
        "PID NTE OBR NTE OBX NTE SPM NTE",
        "PATIENT_RESULT(PATIENT(PID NTE) ORDER_OBSERVATION(OBR NTE OBSERVATION(OBX NTE) SPECIMEN(SPM NTE)))",
    ),
    (
        "ORU^R01",
        "PID OBR OBX PID OBR OBX",
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR OBSERVATION(OBX)))"
        " PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR OBSERVATION(OBX)))",
    ),
    (
        "ORU^R01",
        "PID OBR OBX SPM OBX",
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR OBSERVATION(OBX)"
        " SPECIMEN(SPM SPECIMEN_OBSERVATION(OBX))))",
    ),
    (
        "ORU^R01",
        "PID ORC NTE OBR TQ1 OBX",
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(ORC NTE OBR TIMING_QTY(TQ1) OBSERVATION(OBX)))",
    ),
    (
        "OML^O21",
        "PID PV1 IN1 IN2 ORC TQ1 OBR OBX SPM ORC OBR SPM SAC",
        "PATIENT(PID PATIENT_VISIT(PV1) INSURANCE(IN1 IN2))"
        " ORDER(ORC TIMING(TQ1) OBSERVATION_REQUEST(OBR OBSERVATION(OBX) SPECIMEN(SPM)))"
        " ORDER(ORC OBSERVATION_REQUEST(OBR SPECIMEN(SPM CONTAINER(SAC))))",
    ),
    (
        "OML^O21",
        "PID ORC OBR OBX PID ORC OBR OBX",
        "PATIENT(PID) ORDER(ORC OBSERVATION_REQUEST(OBR OBSERVATION(OBX)"
        " PRIOR_RESULT(PATIENT_PRIOR(PID) ORDER_PRIOR(ORC OBR OBSERVATION_PRIOR(OBX)))))",
    ),
    (
        "ORM^O01",
        "PID PV1 ORC OBR NTE OBX ORC RXO",
        "PATIENT(PID PATIENT_VISIT(PV1)) ORDER(ORC ORDER_DETAIL(OBR NTE OBSERVATION(OBX)))"
        " ORDER(ORC ORDER_DETAIL(RXO))",
    ),
    (
        "VXU^V04",
        "PID NK1 PV1 ORC RXA RXR OBX OBX ORC RXA",
        "PID NK1 PATIENT_VISIT(PV1) ORDER(ORC RXA RXR OBSERVATION(OBX) OBSERVATION(OBX)) ORDER(ORC RXA)",
    ),
    (
        "ADT^A01",
        "EVN PID NK1 PV1 AL1 PR1 ROL IN1 IN2 IN1",
        "EVN PID NK1 PV1 AL1 PROCEDURE(PR1 ROL) INSURANCE(IN1 IN2) INSURANCE(IN1)",
    ),
    ("ADT^A40", "EVN PID PD1 MRG PID MRG", "EVN PATIENT(PID PD1 MRG) PATIENT(PID MRG)"),
    (
        "SIU^S12",
        "SCH NTE PID PV1 RGS AIS NTE AIG AIL AIP RGS AIL",
        "SCH NTE PATIENT(PID PV1) RESOURCES(RGS SERVICE(AIS NTE) GENERAL_RESOURCE(AIG) LOCATION_RESOURCE(AIL)"
        " PERSONNEL_RESOURCE(AIP)) RESOURCES(RGS LOCATION_RESOURCE(AIL))",
    ),
    ("MDM^T02", "EVN PID PV1 TXA OBX OBX NTE", "EVN PID PV1 TXA OBSERVATION(OBX) OBSERVATION(OBX NTE)"),
    (
        "OUL^R22",
        "PID PV1 SPM OBX OBR ORC OBX NTE OBX SPM OBR OBX",
        "PATIENT(PID VISIT(PV1)) SPECIMEN(SPM SPECIMEN_OBSERVATION(OBX)"
        " ORDER(OBR ORC RESULT(OBX NTE) RESULT(OBX)))"
        " SPECIMEN(SPM ORDER(OBR RESULT(OBX)))",
    ),
]


@pytest.mark.parametrize(("kind", "segments", "expected"), GOOD)
def test_good_messages(kind, segments, expected):
    assert arranged(kind, segments) == (expected, [])


@pytest.mark.parametrize(
    "number", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.2", "2.9", ""]
)
def test_the_paths_of_a_message_do_not_depend_on_its_version(number):
    for kind, segments, expected in GOOD:
        assert arranged(kind, segments, number)[0] == expected


DAMAGED = [
    (
        "OBX before any OBR",
        "ORU^R01",
        "PID OBX OBX OBR OBX",
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBSERVATION(OBX) OBSERVATION(OBX))"
        " ORDER_OBSERVATION(OBR OBSERVATION(OBX)))",
        [("group-without-head", "OBX[1]")],
    ),
    ("no PID", "ORU^R01", "OBR OBX", "PATIENT_RESULT(ORDER_OBSERVATION(OBR OBSERVATION(OBX)))", []),
    (
        "PV1 after the order: the results stay with their patient and their order",
        "ORU^R01",
        "PID OBR PV1 PV2 OBX",
        "PATIENT_RESULT(PATIENT(PID VISIT(PV1 PV2)) ORDER_OBSERVATION(OBR OBSERVATION(OBX)))",
        [("misplaced-segment", "PV1[1]"), ("misplaced-segment", "PV2[1]")],
    ),
    (
        "a note after a misplaced segment stays with it",
        "ORU^R01",
        "PID OBR OBX NK1 NTE OBX",
        "PATIENT_RESULT(PATIENT(PID NK1 NTE) ORDER_OBSERVATION(OBR OBSERVATION(OBX) OBSERVATION(OBX)))",
        [("misplaced-segment", "NK1[1]")],
    ),
    (
        "SPM before the results",
        "ORU^R01",
        "PID OBR SPM OBX OBX",
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR SPECIMEN(SPM) OBSERVATION(OBX) OBSERVATION(OBX)))",
        [("specimen-before-results", "SPM[1]")],
    ),
    (
        "a segment the structure does not know, and a local one",
        "ORU^R01",
        "PID ZPI OBR OBX ZRX DG1 OBX",
        "PATIENT_RESULT(PATIENT(PID ZPI) ORDER_OBSERVATION(OBR OBSERVATION(OBX ZRX DG1) OBSERVATION(OBX)))",
        [("unexpected-segment", "DG1[1]")],
    ),
    (
        "missing ORC: the second OBR is a second order, not a prior result",
        "OML^O21",
        "PID ORC OBR OBX OBR OBX",
        "PATIENT(PID) ORDER(ORC OBSERVATION_REQUEST(OBR OBSERVATION(OBX)))"
        " ORDER(OBSERVATION_REQUEST(OBR OBSERVATION(OBX)))",
        [("group-without-head", "OBR[2]")],
    ),
    (
        "missing RGS",
        "SIU^S12",
        "SCH AIS AIP AIS",
        "SCH RESOURCES(SERVICE(AIS) PERSONNEL_RESOURCE(AIP) SERVICE(AIS))",
        [("group-without-head", "AIS[1]"), ("misplaced-segment", "AIS[2]")],
    ),
    (
        "insurance interrupted",
        "ADT^A01",
        "EVN PID PV1 IN1 GT1 IN2",
        "EVN PID PV1 INSURANCE(IN1 IN2) GT1",
        [("misplaced-segment", "GT1[1]")],
    ),
    (
        "out of order at the top",
        "ADT^A01",
        "EVN PID PV1 NK1 AL1",
        "EVN PID PV1 NK1 AL1",
        [("misplaced-segment", "NK1[1]")],
    ),
]


@pytest.mark.parametrize(
    ("kind", "segments", "expected", "repairs"), [row[1:] for row in DAMAGED], ids=[r[0] for r in DAMAGED]
)
def test_damaged_messages(kind, segments, expected, repairs):
    assert arranged(kind, segments) == (expected, repairs)


def test_an_observation_on_the_patient_where_the_version_or_the_visit_says_so():
    expected = (
        "PATIENT_RESULT(PATIENT(PID PATIENT_OBSERVATION(OBX){}) ORDER_OBSERVATION(ORC OBR OBSERVATION(OBX)))"
    )
    assert arranged("ORU^R01", "PID OBX ORC OBR OBX", "2.8") == (expected.format(""), [])
    assert arranged("ORU^R01", "PID OBX PV1 ORC OBR OBX") == (expected.format(" VISIT(PV1)"), [])
    without_orders = "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBSERVATION(OBX)))"
    assert arranged("ORU^R01", "PID OBX", "2.8")[0] == without_orders


def test_a_document_of_an_order_where_the_message_has_a_txa():
    assert arranged("ORU^R01", "PID ORC OBX TXA OBR OBX", "2.8") == (
        "PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(ORC ORDER_DOCUMENT(OBX TXA) OBR OBSERVATION(OBX)))",
        [],
    )


def test_paths_and_access():
    root = arrange_message(parse(ORU.encode()))
    observations = list(root.groups("PATIENT_RESULT/ORDER_OBSERVATION/OBSERVATION"))
    assert [group.path for group in observations] == ["PATIENT_RESULT/ORDER_OBSERVATION/OBSERVATION"] * 3
    assert [segment.name for segment in observations[1].own("NTE")] == ["NTE"]
    assert [segment.n for segment in observations[1].own("NTE")] == [3]


def test_an_unknown_structure_gives_a_flat_group():
    found = parse(message("XXX^X01", "PID OBX ZZZ"))
    assert structure_for(found) is None
    root = arrange(found, None)
    assert root.children == found.segments


def test_the_structure_of_a_version_can_be_used_as_it_is():
    found = parse(message("ORU^R01", "PID OBR OBX"))
    assert shape(arrange(found, version("2.3").structure("ORU_R01"))).startswith(
        "MSH PATIENT_RESULT(PATIENT(PID)"
    )


def test_arranging_twice_reports_once():
    found = parse(message("ORU^R01", "PID OBR OBX DG1"))
    arrange_message(found)
    arrange_message(found)
    assert len(found.repairs) == 1


NAMES = [
    "PID",
    "PV1",
    "NTE",
    "ORC",
    "OBR",
    "OBX",
    "SPM",
    "TQ1",
    "ZZ1",
    "XXX",
    "MSH",
    "NK1",
    "IN1",
    "RXA",
    "TXA",
    "RGS",
    "AIS",
    "MRG",
]


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(
        ["ORU^R01", "OML^O21", "ORM^O01", "VXU^V04", "ADT^A01", "ADT^A40", "SIU^S12", "OUL^R22", "DFT^P03"]
    ),
    names=st.lists(st.sampled_from(NAMES), max_size=25),
    number=st.sampled_from(["2.3", "2.5.1", "2.8"]),
)
def test_no_segment_is_ever_lost_or_doubled(kind, names, number):
    arranged(kind, " ".join(names), number)


@settings(max_examples=150, deadline=None)
@given(names=st.lists(st.sampled_from(["NTE", "OBR", "OBX", "SPM", "PV1", "ZZ1", "DG1", "TQ1"]), max_size=20))
def test_without_a_second_pid_every_result_stays_with_the_one_patient(names):
    found = parse(message("ORU^R01", "PID " + " ".join(names)))
    assert sum(1 for _ in arrange_message(found).groups("PATIENT_RESULT")) == 1
