"""The ids of one message's resources: a repeat gives them again, a line elsewhere changes nobody's name."""

from __future__ import annotations

from typing import Any

import pytest
from mapping_maker import MSH, build, maps_of, message_of, of_type, rows, shipped

from engine.mapping.convert import trace_message
from engine.mapping.runmade import RunMaking

PID = "PID|1||77^^^NORTH^MR||DOE^JO||19800101|F"
ORU = MSH.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01")
OBR = "OBR|1|P1^EHR|F1^LIS|24320-4^Panel^LN|||20260501|||||||||||||||||LAB|F"
HEAD = f"{ORU}\n{PID}\nORC|RE|P1^EHR|F1^LIS\n{OBR}\n"


def obx(code: str, value: str, sub: str = "") -> str:
    return f"OBX|1|NM|{code}^x^LN|{sub}|{value}||||||F\n"


def results(*lines: str) -> list[tuple[str, str]]:
    """(value, id) of the results of one message, in their order."""
    drafts = build(shipped(), HEAD + "".join(lines)).drafts
    return [(str(d.body["valueQuantity"]["value"]), d.id) for d in drafts if d.type == "Observation"]


def test_results_of_one_code_are_told_apart_by_their_order_in_it_and_not_by_their_place() -> None:
    plain = results(obx("GLU", "1"), obx("GLU", "2"), obx("GLU", "3"))
    between = results(
        obx("NA", "9"), obx("GLU", "1"), obx("K", "8"), obx("GLU", "2"), obx("CL", "7"), obx("GLU", "3")
    )
    assert len({i for _, i in plain}) == 3
    assert [r for r in between if r in plain] == plain
    assert plain == results(obx("GLU", "1"), obx("GLU", "2"), obx("GLU", "3"))


def test_the_second_of_a_code_is_no_code_that_a_sender_can_write() -> None:
    twice = results(obx("GLU", "1"), obx("GLU", "2"))
    for code in ("GLU#2", "GLU\\E\\#2", "GLU\\F\\2"):
        assert not {i for _, i in twice} & {i for _, i in results(obx(code, "1"))}


@pytest.mark.parametrize("sub", ["", "1"])
def test_two_equal_results_are_two_and_flagged(sub: str) -> None:
    built = build(shipped(), HEAD + obx("GLU", "5.0", sub) + obx("GLU", "5.0", sub))
    both = [d.id for d in built.drafts if d.type == "Observation"]
    (report,) = of_type(built, "DiagnosticReport")
    assert len(set(both)) == 2 and [r["reference"][9:] for r in report["result"]] == both
    assert "duplicate-key" in [f.code for f in built.flags]


def test_one_order_said_twice_alike_is_one_order() -> None:
    twice = HEAD + obx("GLU", "1") + HEAD.split("\n", 2)[2] + obx("K", "2")
    built = build(shipped(), twice)
    assert len(of_type(built, "ServiceRequest")) == 1 and len(of_type(built, "Observation")) == 2


ALLERGY = rows(
    "code: AL1-3\nclinicalStatus: {value: =allergyintolerance-clinical#active, assumed: x}",
    "AllergyIntolerance",
    "AL1",
)
PATIENT = rows("identifier(list): PID-3", key="PID-3(5=MR)")
ADT = (
    "map: ADT_A01\nfrom: ADT_A01\nto: Bundle\nresources:\n  patient: {per: ., rows: [PID_Patient]}\n"
    "  allergy: {per: AL1, rows: [AL1_AllergyIntolerance], when: AL1-3 valued, links: {patient: patient}}\n"
)


def allergies(msh: str, *codes: str, pid: str = PID, entry: str = "entry") -> list[str]:
    text = "\n".join([msh, pid, *(f"AL1|1|DA|{c}" for c in codes)])
    built = build(maps_of(PATIENT, ALLERGY, ADT), text, entry=entry)
    return [d.id for d in built.drafts if d.type == "AllergyIntolerance"]


def test_a_resource_without_a_key_is_its_senders() -> None:
    one, other = allergies(MSH, "A", "B"), allergies(MSH.replace("|FAC|", "|ELSEWHERE|"), "A", "B")
    assert len({*one, *other}) == 4  # the second of one hospital never replaces the second of another
    assert one == allergies(MSH, "A", "B", entry="another entry")
    split = [MSH.replace("|APP|FAC|", m) for m in ("|A|B\\F\\C|", "|A\\F\\B|C|")]
    assert set(allergies(split[0], "A")).isdisjoint(allergies(split[1], "A"))


def test_an_entry_without_a_keyed_resource_names_the_sender_too() -> None:
    nobody = "PID|1||||DOE^JO"

    def ids(facility: str) -> set[str]:
        msh = MSH.replace("|FAC|", f"|{facility}|")
        done = trace_message(message_of(f"{msh}\n{nobody}\nAL1|1|DA|A"), shipped(), "standard", "same")
        return {d.id for d in done.built.drafts if not d.keys}

    assert ids("NORTH") and ids("NORTH").isdisjoint(ids("SOUTH"))


def test_a_place_is_counted_below_its_parent() -> None:
    order = "OBR|1||F1|A|||||||||||||||||||||F\nOBX|1|ST|K||a||||||F\n"
    two = f"{ORU}\n{PID}\nNK1|1|DOE^A|MTH\nNK1|2|DOE^B|FTH\n{order}"
    second = f"PID|1||88^^^NORTH^MR||ROE^SU\nNK1|1|ROE^C|MTH\n{order.replace('F1', 'F2')}"

    def relatives(text: str) -> dict[str, str]:
        drafts = build(shipped(), text).drafts
        return {d.body["name"][0]["given"][0]: d.id for d in drafts if d.type == "RelatedPerson"}

    both, one, alone = relatives(two + second), relatives(two), relatives(f"{ORU}\n{second}")
    assert both == {**one, **alone} and len(both) == 3


def test_what_makes_no_resource_takes_no_place() -> None:
    assert allergies(MSH, "A", "", "B") == allergies(MSH, "A", "B")


# -- places --------------------------------------------------------------------------------------------


def test_two_paths_of_places_never_have_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    place = RunMaking._place

    def kept(self: Any, value: str) -> Any:
        seen.append(value)
        return place(self, value)

    monkeypatch.setattr(RunMaking, "_place", kept)
    message = ADT.split("  allergy")[0] + "  encounter: {per: ., rows: [PV1_Encounter]}\n"
    text = "status: {value: =planned, assumed: x}\nclass: {from: PV1-2, code: EncounterClass}\n"
    text += "location(now): {location: {from: PV1-3(1), make: PL_Location}}"
    maps = maps_of(PATIENT, rows(text, "Encounter", "PV1"), message)
    keys = []
    for pl in ("W\\E\\^\\F\\R", "W\\E\\\\F\\^R", "W\\F\\^R", "W^\\F\\R", "W\\E\\\\F\\room=R"):
        seen.clear()
        build(maps, f"{PID}\nPV1|1|I|{pl}")
        keys.append(seen[-1])
    assert len(set(keys)) == len(keys)
    assert keys[0] == "point of care=W\\\\|room=\\|R"


# -- an explicit delete beside other repetitions -------------------------------------------------------


@pytest.mark.parametrize(
    ("pid3", "where"),
    [
        ('77^^^NORTH^MR~""', "PID[1]-3"),
        ('""~77^^^NORTH^MR', "PID[1]-3"),
        ('""', ""),
        ('77^^^NORTH^MR~88^^^""^PI', ""),
        ("77^^^NORTH^MR", ""),
    ],
)
def test_a_delete_beside_other_repetitions_deletes_nothing_and_is_told(pid3: str, where: str) -> None:
    built = build(maps_of(PATIENT, ADT.split("  allergy")[0]), f"PID|1||{pid3}")
    told = [(f.where, f.work) for f in built.flags if f.code == "delete-beside-values"]
    assert told == ([(where, True)] if where else [])
    if where:
        (patient,) = built.drafts
        assert patient.cleared == () and [i["value"] for i in patient.body["identifier"]] == ["77"]


# -- made with rows of its own -------------------------------------------------------------------------


def payors(company: str, facility: str = "FAC", street: str = "") -> list[str]:
    coverage = rows(
        "status: =active\npayor:\n  make: Organization\n  rows: {identifier(company): IN1-3, address: IN1-5}",
        "Coverage",
        "IN1",
    )
    message = ADT.split("  allergy")[0] + "  coverage: {per: INSURANCE, rows: [IN1_Coverage]}\n"
    text = f"{MSH.replace('|FAC|', f'|{facility}|')}\n{PID}\nIN1|1|EPO|{company}||{street}"
    drafts = build(maps_of(PATIENT, coverage, message), text).drafts
    return [d.id for d in drafts if d.type == "Organization"]


def test_a_company_is_named_by_its_number_and_who_gave_it() -> None:
    assert payors("C80^^^ELM") == payors("C80^^^ELM", "OTHER", "1 Bank St") != payors("C80^^^OAK")
    assert len(payors("C80^^^ELM")) == 1


def test_a_number_that_nobody_vouches_for_is_the_senders() -> None:
    assert payors("C80") == payors("C80")
    assert payors("C80") != payors("C80", "OTHER")
