"""The status message that whoever placed an order is sent when a modality begins, ends or gives up a step."""

from __future__ import annotations

from pathlib import Path

import pytest
from imaging_orders import Ward

from engine.channels.node.statusout import status_message
from engine.formats.hl7v2.parse import parse
from engine.kernel.message import Draft, Work
from engine.mapping.outbound.library import OutMaps

GIVEN = {
    "sender": "HUB",
    "facility": "NORTH",
    "receiver": "EHR",
    "control": "S1",
    "now": "2026-05-04T15:00:00Z",
}


@pytest.fixture(scope="module")
def maps() -> OutMaps:
    return OutMaps.open(Path(__file__).parents[2])


def performed(ward: Ward, status: str, linked: bool = True, mpps: bool = True) -> str:
    (order,) = ward.all("ServiceRequest")
    system, value = ("urn:dicom:uid", "urn:oid:1.2.9") if mpps else ("urn:other", "9")
    body = {
        "resourceType": "Task",
        "identifier": [{"system": system, "value": value}],
        "status": status,
        "intent": "order",
        "for": order["subject"],
        "executionPeriod": {"start": "2026-05-04T10:05:00-05:00"},
        "input": [
            {"type": {"text": "Scheduled Procedure Step ID"}, "valueString": "S1"},
            {"type": {"text": "Modality"}, "valueCodeableConcept": {"coding": [{"code": "MR"}]}},
        ],
    }
    if linked:
        body["basedOn"] = [{"reference": f"ServiceRequest/{order['id']}"}]
    id_ = ward.store.identify("Task", system, value)
    draft = Draft("task", "Task", id_, body, ((system, value),), map="Step_Task")
    entry = 1000 + ward.count
    ward.count += 1
    ward.store.apply([Work(entry, entry, "imaging", "MR01", (), drafts=[draft])])
    return id_


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    ward = Ward(tmp_path / "hub")
    ward.take("orders/orm_o01_imaging_new_v2.4")
    return ward


@pytest.mark.parametrize(
    ("status", "code", "result"), [("in-progress", "IP", "I"), ("completed", "CM", ""), ("failed", "DC", "X")]
)
def test_what_the_step_says_of_its_order(
    ward: Ward, maps: OutMaps, status: str, code: str, result: str
) -> None:
    body = status_message(ward.store, maps, performed(ward, status), GIVEN)
    assert body is not None
    found = {s.name: s.fields for s in parse(body).segments}
    assert found["MSH"][9] == "ORM^O01^ORM_O01" and found["MSH"][10] == "S1"
    assert found["PID"][3].startswith("5500417^^^NORTH")
    assert found["PV1"][19].startswith("V91001")
    orc, obr = found["ORC"], found["OBR"]
    assert (orc[1], orc[2], orc[5]) == ("SC", "P7200^EHR", code)
    assert (obr[4].split("^")[0], obr[18], obr[19], obr[20], obr[24]) == (
        "MRKNEE",
        "AC7200",
        "RP7200",
        "S1",
        "MR",
    )
    assert (obr[25] if len(obr) > 25 else "") == result


def test_the_hub_itself_takes_the_message(ward: Ward, maps: OutMaps) -> None:
    body = status_message(ward.store, maps, performed(ward, "completed"), GIVEN)
    assert body is not None
    ward.say(body.decode())
    (order,) = ward.all("ServiceRequest")
    assert order["status"] == "completed"


def test_nothing_is_said_without_an_order_or_a_state(ward: Ward, maps: OutMaps) -> None:
    assert status_message(ward.store, maps, performed(ward, "completed", linked=False), GIVEN) is None
    assert status_message(ward.store, maps, performed(ward, "requested"), GIVEN) is None
    assert status_message(ward.store, maps, performed(ward, "completed", mpps=False), GIVEN) is None
    assert status_message(ward.store, maps, "nothing", GIVEN) is None
