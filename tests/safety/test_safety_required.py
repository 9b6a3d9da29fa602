"""An explicit delete (`""`) of what identifies or is demanded: held or flagged, never emptied in silence."""

from __future__ import annotations

import pytest
from safety_hub import Hub, adt, header, obx, orm, oru, stay, who

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

BOOKED = (
    "SCH|A1^EHR|F1^SCHED|||||||||^^^20260510090000-0500^20260510093000-0500||||||||||||||Booked",
    "RXA|0|1|20260501|20260501|08^HepB^CVX|0.5|mL^^UCUM|||||||||||||CP|A",
    "PRB|AD|20260501|I10^Hypertension^I10C|PR1^EHR|||20260501||||||C^Confirmed|A^Active",
)


def booked(at: str, event: str = "S12") -> str:
    return "\n".join([header(f"SIU^{event}^SIU_S12", "SCHED"), BOOKED[0].replace(at, DELETE), who()])


def given(number: int) -> str:
    fields = BOOKED[1].split("|")
    if number:
        fields[number] = DELETE
    return "\n".join([header("VXU^V04^VXU_V04", "EHR"), who(), "ORC|RE|P1^EHR|D1^EHR", "|".join(fields)])


def problem(number: int) -> str:
    fields = BOOKED[2].split("|")
    if number:
        fields[number] = DELETE
    return "\n".join([header("PPR^PC2^PPR_PC1", "EHR"), who(), "|".join(fields)])


HELD_OTHER = {
    "SCH-25": (booked("?"), booked("Booked", "S14")),
    "SCH-11.4": (booked("?"), booked("20260510090000-0500", "S14")),
    "SCH-11.5": (booked("?"), booked("20260510093000-0500", "S14")),
    "both numbers of SCH": (
        booked("?"),
        booked("A1^EHR|F1^SCHED", "S14").replace(DELETE, f"{DELETE}|{DELETE}"),
    ),
    **{f"RXA-{n}": (given(0), given(n)) for n in (3, 5, 6, 20)},
    **{f"PRB-{n}": (problem(0), problem(n)) for n in (3, 13, 14)},
}


@pytest.mark.parametrize("first, second", [pytest.param(*m, id=name) for name, m in HELD_OTHER.items()])
def test_a_delete_of_what_any_resource_must_have_is_held(hub: Hub, first: str, second: str) -> None:
    kinds = ("Appointment", "Immunization", "Condition")
    assert hub.any(first).status == "done"
    before = [hub.all(kind) for kind in kinds]
    outcome = hub.any(second)
    assert (outcome.status, outcome.cause) == ("parked", "delete-of-required")
    assert [hub.all(kind) for kind in kinds] == before and any(before)


def test_a_time_of_discharge_that_is_deleted_by_an_update_is_put_on_a_list(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay()))
    open_visit = hub.adt(adt("A08", who(), stay(until=DELETE)))
    assert "delete-ignored" not in [f.code for f in open_visit.flags]
    hub.adt(adt("A03", who(), stay(until="20260505")))
    outcome = hub.adt(adt("A08", who(), stay(until=DELETE)))
    assert "delete-ignored" in [f.code for f in outcome.flags if f.work]
    assert hub.one("Encounter")["period"]["end"] == "2026-05-05"


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
