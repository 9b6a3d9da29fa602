"""Deletes: `""` deletes what it says and no more; silence deletes nothing that somebody else wrote."""

from __future__ import annotations

from safety_hub import Hub, adt, stay, who

ADDRESSES = "||1 Elm^^Troy^NY~2 Oak^^Rome^NY"
PHONES = "||555-1~555-2|555-9"
FULL = f"|{ADDRESSES}{PHONES}||S"


def person(hub: Hub) -> dict[str, object]:
    return {k: v for k, v in hub.patient("77").items() if k not in ("meta", "id")}


def test_a_delete_of_the_home_phones_leaves_the_work_phone(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL)))
    assert [t["value"] for t in person(hub)["telecom"]] == ["555-1", "555-2", "555-9"]  # type: ignore[attr-defined]
    hub.adt(adt("A31", who(rest='|||||""')))
    assert [t["value"] for t in person(hub)["telecom"]] == ["555-9"]  # type: ignore[attr-defined]
    assert len(person(hub)["address"]) == 2  # type: ignore[arg-type]


def test_a_delete_of_all_addresses_leaves_the_rest(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL)))
    before = person(hub)
    hub.adt(adt("A31", who(rest='|||""')))
    after = person(hub)
    assert "address" not in after
    assert {**after, "address": before["address"]} == before


def test_a_delete_of_one_component_leaves_the_others(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest="|||1 Elm^^Troy^NY")))
    hub.adt(adt("A31", who(rest='|||1 Elm^^""^NY')))
    assert person(hub)["address"] == [{"line": ["1 Elm"], "state": "NY"}]


def test_a_delete_beside_others_deletes_nothing_else(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL)))
    hub.adt(adt("A31", who(rest='|||""~3 Ash^^Ilium')))
    assert person(hub)["address"] == [{"line": ["3 Ash"], "city": "Ilium"}]
    assert len(person(hub)["telecom"]) == 3  # type: ignore[arg-type]


def test_a_delete_of_birth_date_and_sex(hub: Hub) -> None:
    hub.adt(adt("A01"))
    hub.adt(adt("A31", 'PID|1||77^^^NORTH^MR||DOE^JO||""|""'))
    assert not {"birthDate", "gender"} & person(hub).keys()
    assert person(hub)["name"] == [{"family": "DOE", "given": ["JO"]}]


def test_empty_fields_of_an_update_delete_nothing(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL)))
    before = person(hub)
    hub.adt(adt("A31", "PID|1||77^^^NORTH^MR||DOE^JO"))
    assert person(hub) == before


def test_a_snapshot_removes_what_its_sender_wrote_and_leaves_out(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL)))
    hub.adt(adt("A08", who(rest="|||1 Elm^^Troy^NY")))
    assert "telecom" not in person(hub)
    assert "maritalStatus" not in person(hub)
    assert len(person(hub)["address"]) == 1  # type: ignore[arg-type]


def test_a_snapshot_spares_what_another_sender_wrote(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL), stay()))
    before = person(hub)
    hub.adt(adt("A08", "PID|1||77^^^NORTH^MR||DOE^JO", f"PV1|1|I{'|' * 17}V100^^^NORTH^VN", app="OTHER"))
    assert person(hub) == before
    visit = hub.one("Encounter")
    assert (visit["status"], visit["period"]["start"]) == ("in-progress", "2026-05-01T11:45:00-05:00")
    assert visit["location"]


def test_what_two_senders_say_leaves_when_the_second_stops(hub: Hub) -> None:
    hub.adt(adt("A01", who(born="", rest="")))
    hub.adt(adt("A08", who(rest=FULL), app="OTHER"))
    hub.adt(adt("A08", "PID|1||77^^^NORTH^MR||DOE^JO", app="OTHER"))
    assert not {"birthDate", "maritalStatus", "telecom", "address"} & person(hub).keys()
    assert person(hub)["gender"] == "female"  # the first said it too


def test_a_discharge_taken_back_deletes_nothing_of_the_person(hub: Hub) -> None:
    hub.adt(adt("A01", who(rest=FULL), stay()))
    hub.adt(adt("A03", who(rest=FULL), stay(until="20260505")))
    before = person(hub)
    hub.adt(adt("A13", "PID|1||77^^^NORTH^MR||DOE^JO", stay()))
    assert person(hub) == before
    assert "end" not in hub.one("Encounter")["period"]
    assert hub.one("Encounter")["status"] == "in-progress"


def test_allergies_and_diagnoses_a_message_leaves_out_stay(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay(), "AL1|1|DA|7980^Penicillin^RXN|SV", "DG1|1||I21.4^NSTEMI^I10C|||A"))
    hub.adt(adt("A08", who(), stay()))
    assert len(hub.all("AllergyIntolerance")) == 1
    assert len(hub.all("Condition")) == 1


def test_a_deleted_diagnosis_is_an_error_and_others_stay(hub: Hub) -> None:
    def dg1(code: str, action: str) -> str:
        return f"DG1|1||{code}^X^I10C|||A{'|' * 15}{action}"

    hub.adt(adt("A01", who(), stay(), dg1("I21.4", "A"), dg1("E11.9", "A")))
    hub.adt(adt("A08", who(), stay(), dg1("I21.4", "D")))
    first, second = hub.all("Condition")
    assert first["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "verificationStatus" not in second


def test_no_known_allergy_is_never_an_allergy_to_something(hub: Hub) -> None:
    hub.adt(adt("A01", who(), "AL1|1||NKA^No Known Allergies^L"))
    hub.adt(adt("A08", who(), "AL1|1|DA|7980^Penicillin^RXN|SV"))
    none, penicillin = hub.all("AllergyIntolerance")
    assert none["code"]["text"] == "No Known Allergies"
    assert not {"category", "type", "reaction"} & none.keys()
    assert penicillin["code"]["text"] == "Penicillin"


def test_relatives_known_by_their_place_are_never_mixed(hub: Hub) -> None:
    hub.adt(adt("A01", who(), "NK1|1|DOE^MARA|MTH||555-1|||||||||||19600101", "NK1|2|DOE^BOB|FTH"))
    hub.adt(adt("A31", who(), "NK1|1|DOE^BOB|FTH"))
    first = hub.all("RelatedPerson")[0]
    assert first["name"][0]["given"] == ["BOB"]
    assert not {"telecom", "birthDate"} & first.keys()  # Mara's
