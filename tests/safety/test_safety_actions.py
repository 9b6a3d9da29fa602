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
GOL = "|20260501|WALK^Walk a mile^99GOAL|G7^EHR|||20260501|||||||||||ACTIVE"
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
    "GOL-1 DE": (told("PGL^PC6^PGL_PC6", "GOL|AD" + GOL), told("PGL^PC7^PGL_PC6", "GOL|DE" + GOL)),
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


IAM = "IAM|1|DA|{}|SV|{}|{}|AL7^NORTH"
PENICILLIN, AMOXICILLIN = "7980^Penicillin^RXN", "723^Amoxicillin^RXN"


def allergens(hub: Hub) -> list[str]:
    return sorted(a["code"]["coding"][0]["display"] for a in hub.all("AllergyIntolerance"))


def al1(allergen: str) -> str:
    return adt("A08", who(), f"AL1|1|DA|{allergen}|SV|Hives")


def iam(allergen: str, action: str = "A") -> str:
    return adt("A60", who(), IAM.format(allergen, "Hives", action))


@pytest.mark.parametrize("turned", [False, True])
def test_an_allergy_told_by_allergen_and_by_number_is_one(hub: Hub, turned: bool) -> None:
    messages = [al1(PENICILLIN), iam(PENICILLIN)]
    for message in reversed(messages) if turned else messages:
        assert hub.any(message).status == "done"
    assert allergens(hub) == ["Penicillin"]
    assert hub.any(adt("A60", who(), "IAM|1||||||AL7^NORTH||||||||||E")).status == "done"
    assert hub.one("AllergyIntolerance")["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_an_entry_corrects_its_allergen_by_its_number(hub: Hub) -> None:
    hub.any(iam(PENICILLIN))
    assert hub.any(iam(AMOXICILLIN, "U")).status == "done"
    assert allergens(hub) == ["Amoxicillin"]


@pytest.mark.parametrize("last", [iam(AMOXICILLIN, "U"), iam(AMOXICILLIN)])
def test_no_allergen_takes_the_place_of_one_that_two_have_told(hub: Hub, last: str) -> None:
    hub.any(al1(PENICILLIN))
    hub.any(iam(PENICILLIN))
    outcome = hub.any(last)
    assert (outcome.status, outcome.cause) == ("parked", "ambiguous-key")
    assert allergens(hub) == ["Penicillin"]


def test_an_old_allergen_of_a_corrected_entry_is_not_put_back(hub: Hub) -> None:
    hub.any(iam(PENICILLIN))
    hub.any(iam(AMOXICILLIN, "U"))
    outcome = hub.any(al1(PENICILLIN))
    assert (outcome.status, outcome.cause) == ("parked", "ambiguous-key")
    assert allergens(hub) == ["Amoxicillin"]


@pytest.mark.parametrize("together", [True, False], ids=["one message", "two messages"])
def test_taking_one_of_two_entries_of_an_allergen_off_the_list_leaves_the_other(
    hub: Hub, together: bool
) -> None:
    """A chart often has penicillin twice, with a number each; a nurse deletes the second."""
    first, second = (
        f"IAM|{n}|DA|{PENICILLIN}|SV|{r}|{{}}|AL{n}^NORTH" for n, r in ((1, "Hives"), (2, "Shock"))
    )
    if together:
        assert hub.any(adt("A60", who(), first.format("A"), second.format("A"))).status == "done"
    else:
        for line in (first, second):
            assert hub.any(adt("A60", who(), line.format("A"))).status == "done"

    def listed() -> dict[str, tuple[str, str]]:
        return {
            next(i["value"] for i in a["identifier"] if "system" not in i): (
                a["clinicalStatus"]["coding"][0]["code"],
                a["reaction"][0]["manifestation"][0]["text"],
            )
            for a in hub.all("AllergyIntolerance")
        }

    assert listed() == {"AL1": ("active", "Hives"), "AL2": ("active", "Shock")}
    assert hub.any(adt("A60", who(), second.format("D"))).status == "done"
    assert listed() == {"AL1": ("active", "Hives"), "AL2": ("inactive", "Shock")}
    outcome = hub.any(adt("A60", who(), f"IAM|1|DA|{PENICILLIN}|||D|AL3^NORTH"))
    assert "nothing-to-change" in [f.code for f in outcome.flags if f.work]
    assert listed_active(hub) == 1


def listed_active(hub: Hub) -> int:
    found = [a["clinicalStatus"]["coding"][0]["code"] for a in hub.all("AllergyIntolerance")]
    return found.count("active")


def test_two_allergens_are_two(hub: Hub) -> None:
    hub.any(al1(AMOXICILLIN))
    hub.any(iam(PENICILLIN))
    assert allergens(hub) == ["Amoxicillin", "Penicillin"]


def test_an_allergy_that_is_unchanged_is_not_written_over(hub: Hub) -> None:
    hub.any(adt("A60", who(), IAM.format("7980^Penicillin^RXN", "Hives", "A")))
    hub.any(adt("A60", who(), IAM.format("7980^Penicillin^RXN", "Rash", "X")))
    assert hub.one("AllergyIntolerance")["reaction"][0]["manifestation"][0]["text"] == "Hives"


def test_an_unchanged_problem_that_nobody_knows_is_news(hub: Hub) -> None:
    outcome = hub.any(told("PPR^PC2^PPR_PC1", "PRB|UC" + PRB))
    assert [f.code for f in outcome.flags if f.work] == []
    assert hub.one("Condition")["code"]["coding"][0]["code"] == "I10"


def test_a_goal_unlinked_from_its_problem_stays_a_goal(hub: Hub) -> None:
    hub.any(told("PPR^PC1^PPR_PC1", "PRB|AD" + PRB, "GOL|AD" + GOL))
    assert "addresses" in hub.one("Goal")
    hub.any(told("PPR^PC2^PPR_PC1", "PRB|UC" + PRB, "GOL|UN" + GOL))
    goal, problem = hub.one("Goal"), hub.one("Condition")
    assert "addresses" not in goal
    assert goal["lifecycleStatus"] == "active"
    assert "verificationStatus" not in problem


def test_a_problem_unlinked_from_a_goal_stays_a_problem(hub: Hub) -> None:
    hub.any(told("PGL^PC6^PGL_PC6", "GOL|AD" + GOL, "PRB|AD" + PRB))
    assert "addresses" in hub.one("Goal")
    hub.any(told("PGL^PC7^PGL_PC6", "GOL|UC" + GOL, "PRB|UN" + PRB))
    assert "addresses" not in hub.one("Goal")
    assert "verificationStatus" not in hub.one("Condition")


ROL = "ROL|{}^NORTH|{}|{}|{}^ABEL^TOM^^^^^^NORTH|20260501"
SURGEON, NURSE = "SU^Surgeon^L", "NU^Nurse^L"


def performers(hub: Hub) -> list[str]:
    found = hub.one("Procedure").get("performer", ())
    return [one["function"]["coding"][0]["code"] for one in found]


def test_one_role_is_taken_back_and_the_others_stay(hub: Hub) -> None:
    pr1 = "PR1|1||0D9670Z^Drainage^I10P||20260501||||||||||||||PR7^EHR"
    roles = [ROL.format("R1", "AD", SURGEON, "D1"), ROL.format("R2", "AD", NURSE, "D2")]
    hub.any(adt("A08", who(), stay(), pr1, *roles))
    assert performers(hub) == ["SU", "NU"]
    hub.any(adt("A08", who(), stay(), pr1, ROL.format("R1", "DE", SURGEON, "D1")))
    assert performers(hub) == ["NU"]
    hub.any(adt("A08", who(), stay(), pr1, ROL.format("R3", "AD", SURGEON, "D3")))
    assert sorted(performers(hub)) == ["NU", "SU"]


def test_one_restriction_is_lifted_and_the_other_stays(hub: Hub) -> None:
    place, name = "ARV|1|{}|LOC^Location^L|PHY^Physician^L", "ARV|2|{}|DEM^Demographics^L|PAT^Patient^L"
    hub.any(adt("A01", who(), place.format("A"), name.format("A")))
    hub.any(adt("A08", who(), place.format("D")))
    (left,) = [e for e in hub.patient("77")["extension"] if "access-restriction" in e["url"]]
    assert "Demographics" in str(left)
