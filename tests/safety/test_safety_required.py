"""An explicit delete (`""`) of what identifies or is demanded: held or flagged, never emptied in silence."""

from __future__ import annotations

import pytest
from safety_hub import Hub, adt, obx, orm, oru, stay, who

DELETE = '""'

HELD_ADT = {
    "PID-3": adt("A08", who().replace("77^^^NORTH^MR", DELETE), stay()),
    "PID-3.1": adt("A08", who('""^^^NORTH^MR'), stay()),
    "PV1-2": adt("A08", who(), stay(kind=DELETE)),
    "PV1-19 of an update": adt("A08", who(), stay().replace("V100^^^NORTH^VN", DELETE)),
    "PV1-19 of a discharge": adt("A03", who(), stay().replace("V100^^^NORTH^VN", DELETE)),
    "MRG-1": adt("A40", who(), 'MRG|""'),
}
HELD_LAB = {
    "PID-3": oru(who('""^^^NORTH^MR'), obx("9.9")),
    "OBX-3": oru(who(), obx("9.9", code=DELETE)),
    "OBX-3.1": oru(who(), obx("9.9", code='""^Potassium^LN')),
    "OBX-11": oru(who(), obx("9.9", DELETE)),
    "OBR-4": oru(who(), obx("9.9")).replace("24320-4^Panel^LN", DELETE),
    "OBR-25": oru(who(), obx("9.9"), status=DELETE),
    "both numbers": oru(who(), obx("9.9"), filler=DELETE, placer=DELETE),
    "the only number": oru(who(), obx("9.9"), filler=DELETE, placer=""),
    "ORC-1": orm(DELETE),
    "ORC-2": orm("NW", placer=DELETE),
}


def everything(hub: Hub) -> list[object]:
    return [hub.all(t) for t in ("Patient", "Encounter", "Observation", "DiagnosticReport", "ServiceRequest")]


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        *(pytest.param("adt", m, id=f"adt {name}") for name, m in HELD_ADT.items()),
        *(pytest.param("lab_oru", m, id=f"lab {name}") for name, m in HELD_LAB.items()),
    ],
)
def test_a_delete_of_what_must_be_there_is_held(hub: Hub, channel: str, message: str) -> None:
    hub.adt(adt("A01", who(), stay()))
    hub.lab(oru(who(), obx("4.1")))
    before = everything(hub)
    assert hub.send(message, channel).status == "parked"
    assert everything(hub) == before


def test_where_the_other_number_says_which_order_it_is_flagged(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "P")))
    outcome = hub.lab(oru(who(), obx("4.2"), filler=DELETE))
    assert outcome.status == "done"
    assert "delete-of-key" in [f.code for f in outcome.flags if f.work]
    assert str(hub.one("Observation")["valueQuantity"]["value"]) == "4.2"


def test_a_result_whose_visit_is_deleted_is_not_held(hub: Hub) -> None:
    outcome = hub.lab(oru(who(), obx("4.1"), visit=stay().replace("V100^^^NORTH^VN", DELETE)))
    assert outcome.status == "done"
    assert "delete-of-key" in [f.code for f in outcome.flags]


def test_a_deleted_field_beside_valued_ones_of_another_order_is_its_own(hub: Hub) -> None:
    second = oru(who(), obx("9.9"), filler=DELETE, placer=DELETE).split("\n", 2)[2]
    outcome = hub.lab(oru(who(), obx("4.1")) + "\n" + second)
    assert (outcome.status, outcome.cause) == ("parked", "delete-of-required")
