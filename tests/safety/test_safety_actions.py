"""A message that takes back, calls off or updates what nobody knows: written, and put on somebody's list."""

from __future__ import annotations

import pytest
from safety_hub import Hub, adt, header, obx, orm, oru, stay, who


def told(kind: str, *segments: str) -> str:
    return "\n".join((header(kind, "EHR"), who(), *segments))


RXA = "RXA|0|1|20260501|20260501|08^HepB^CVX|0.5|mL^^UCUM|||||||||||||CP|"
DOCTOR = "ORC|RE|P1^EHR|F1^EHR"
SCH = "SCH|A1^EHR|F1^SCHED|||||||||^^^20260510090000-0500^20260510093000-0500"
DRUG = "RXE||312617^Prednisone 5 MG^RXNORM|2||TAB^Tablet^L"
DG1 = "DG1|1||I10^Hypertension^I10C|||F|||||||||||||||"
PRB = "|20260501|I10^Hypertension^I10C|PR1^EHR|||20260501"

PAIRS = {
    "RXA-21 D": (told("VXU^V04^VXU_V04", DOCTOR, RXA + "A"), told("VXU^V04^VXU_V04", DOCTOR, RXA + "D")),
    "RXA-21 U": (told("VXU^V04^VXU_V04", DOCTOR, RXA + "A"), told("VXU^V04^VXU_V04", DOCTOR, RXA + "U")),
    "ORC-1 CA": (orm("NW"), orm("CA")),
    "ORC-1 OC": (orm("NW"), orm("OC")),
    "ORC-1 DC": (
        told("RDE^O11^RDE_O11", "ORC|NW|RX1^EHR", DRUG),
        told("RDE^O11^RDE_O11", "ORC|DC|RX1^EHR", DRUG),
    ),
    "DG1-21 D": (adt("A01", who(), stay(), DG1 + "A"), adt("A08", who(), stay(), DG1 + "D")),
    "PRB-1 DE": (told("PPR^PC1^PPR_PC1", "PRB|AD" + PRB), told("PPR^PC3^PPR_PC1", "PRB|DE" + PRB)),
    "S15": (told("SIU^S12^SIU_S12", SCH), told("SIU^S15^SIU_S12", SCH)),
    "S17": (told("SIU^S12^SIU_S12", SCH), told("SIU^S17^SIU_S12", SCH)),
    "A11": (adt("A01", who(), stay()), adt("A11", who(), stay())),
    "OBX-11 W": (oru(who(), obx("4.1")), oru(who(), obx("4.1", "W"))),
}


@pytest.mark.parametrize("first, second", [pytest.param(*pair, id=name) for name, pair in PAIRS.items()])
@pytest.mark.parametrize("known", [True, False])
def test_what_finds_nothing_to_change_is_put_on_a_list(
    hub: Hub, first: str, second: str, known: bool
) -> None:
    if known:
        assert "nothing-to-change" not in [f.code for f in hub.any(first).flags]
    outcome = hub.any(second)
    assert outcome.status == "done"
    assert ("nothing-to-change" in [f.code for f in outcome.flags if f.work]) is not known


def test_a_result_that_could_not_be_obtained_is_news(hub: Hub) -> None:
    outcome = hub.lab(oru(who(), obx("", "X"), status="X"))
    assert "nothing-to-change" not in [f.code for f in outcome.flags]
