"""A message that takes back, calls off or updates what nobody knows: written, and put on somebody's list."""

from __future__ import annotations

from typing import Any

import pytest
from safety_hub import Hub, adt, header, obx, orm, oru, stay, who

from engine.fhir.validate import validate
from engine.kernel.message import Outcome


def work_of(outcome: Outcome) -> list[str]:
    return [f.code for f in outcome.flags if f.work]


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


def ppr(event: str, action: str, state: str = "ACTIVE") -> str:
    return told(f"PPR^{event}^PPR_PC1", f"PRB|{action}{PRB}{'|' * 7}{state}")


def in_error(body: dict[str, Any]) -> bool:
    verified = body.get("verificationStatus", {}).get("coding", [{}])[0].get("code")
    return "entered-in-error" in (verified, body.get("lifecycleStatus"))


def test_a_problem_that_is_added_again_stands(hub: Hub) -> None:
    for message, wrong in ((ppr("PC1", "AD"), False), (ppr("PC3", "DE"), True), (ppr("PC1", "AD"), False)):
        assert work_of(hub.any(message)) == []
        problem = hub.one("Condition")
        assert in_error(problem) is wrong
        assert ("clinicalStatus" in problem) is not wrong
        assert validate(problem) == []


def test_a_goal_that_is_added_again_stands(hub: Hub) -> None:
    bare = GOL.removesuffix("ACTIVE")
    for code, action in (("PC6", "AD"), ("PC8", "DE"), ("PC6", "AD")):
        hub.any(told(f"PGL^{code}^PGL_PC6", f"GOL|{action}{bare}"))
        assert in_error(hub.one("Goal")) is (action == "DE")


def test_a_problem_in_error_that_is_told_again_is_somebodys_work(hub: Hub) -> None:
    for message in (ppr("PC1", "AD"), ppr("PC3", "DE")):
        hub.any(message)
    assert work_of(hub.any(ppr("PC2", "UP"))) == ["still-in-error"]
    assert in_error(hub.one("Condition"))


def test_an_allergy_in_error_is_not_active_and_comes_back_when_it_is_added(hub: Hub) -> None:
    entry = f"IAM|1|DA|{PENICILLIN}|SV|Hives|{{}}|AL7^NORTH||||||||||{{}}"
    hub.any(adt("A60", who(), entry.format("A", "")))
    hub.any(adt("A60", who(), entry.format("D", "E")))
    allergy = hub.one("AllergyIntolerance")
    assert in_error(allergy) and "clinicalStatus" not in allergy and validate(allergy) == []
    assert work_of(hub.any(al1(PENICILLIN))) == ["still-in-error"]
    assert work_of(hub.any(adt("A60", who(), entry.format("A", "")))) == []
    allergy = hub.one("AllergyIntolerance")
    assert not in_error(allergy) and allergy["clinicalStatus"]["coding"][0]["code"] == "active"


@pytest.mark.parametrize("number", ["", "DX2^NORTH"], ids=["without a number", "with a number"])
def test_one_diagnosis_taken_back_leaves_the_other_in_the_visit(hub: Hub, number: str) -> None:
    """Few senders number their diagnoses (DG1-20); the code and its kind say which is meant."""
    first = DG1 + "A"
    second = f"DG1|2||E11.9^Diabetes^I10C|||F{'|' * 14}{number}|"
    hub.any(adt("A01", who(), stay(), first, second + "A"))
    assert len(hub.one("Encounter")["diagnosis"]) == 2
    assert work_of(hub.any(adt("A08", who(), stay(), second + "D", at="20260501130000-0500"))) == []
    found = {c["code"]["coding"][0]["code"]: c for c in hub.all("Condition")}
    (left,) = hub.one("Encounter")["diagnosis"]
    assert left["condition"]["reference"] == f"Condition/{found['I10']['id']}"
    assert (in_error(found["I10"]), in_error(found["E11.9"])) == (False, True)
