"""What is told again: allergies with prescriptions, another drug, a cancelled prescription, a fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import HERE
from pharmacy import RECORD, Pharmacy, flags_of

from engine.channels.replay import ask_replay


@pytest.fixture
def pharmacy(tmp_path: Path) -> Iterator[Pharmacy]:
    made = Pharmacy(tmp_path)
    yield made
    made.hub.close()


def _again(more: dict[str, str] | None = None, **header: str) -> dict[str, str]:
    """Return the changes of a sample that give it other numbers and another time."""
    names = {"id": "M-101", "order": "ORD-5501", "sent": "2026-03-02T09:15:00-05:00"}
    return {names[name]: value for name, value in header.items()} | (more or {})


ALLERGIES = ("<Allergies>", "</Allergies>")
NO_ALLERGY = "<NoKnownAllergies>Y</NoKnownAllergies>"


def _none_known() -> dict[str, str]:
    """The change that says "none known" instead of the sample's allergy."""
    text = (HERE / "sample_messages/ncpdp/elements/newrx.xml").read_text()
    begin, end = (text.index(mark) for mark in ALLERGIES)
    return {text[begin : end + len(ALLERGIES[1])]: NO_ALLERGY}


def test_an_allergy_told_with_three_prescriptions_is_one(pharmacy: Pharmacy) -> None:
    for n in range(3):
        done = pharmacy.take(
            "newrx", _again(order=f"ORD-{n}", id=f"M-{n}", sent=f"2026-03-0{n + 2}T09:15:00Z")
        )
        assert done.status == "done" and not any(work for _, work in flags_of(done))
    (allergy,) = pharmacy.all("AllergyIntolerance")
    ended = {
        "</DrugProductCoded>": "</DrugProductCoded><ExpirationDate><Date>2026-03-05</Date></ExpirationDate>"
    }
    pharmacy.take("newrx", _again(ended, order="ORD-9", id="M-9", sent="2026-03-09T09:15:00Z"))
    (after,) = pharmacy.all("AllergyIntolerance")
    assert after["id"] == allergy["id"] and after["clinicalStatus"]["coding"][0]["code"] == "inactive"
    assert len(pharmacy.all("MedicationRequest")) == 4
    other = {"7980": "2670", "penicillin G": "codeine"}
    pharmacy.take("newrx", _again(other, order="ORD-10", id="M-10", sent="2026-03-10T09:15:00Z"))
    assert len(pharmacy.all("AllergyIntolerance")) == 2


def test_allergies_of_patients_without_a_number_are_their_prescriptions(pharmacy: Pharmacy) -> None:
    for n in range(2):
        pharmacy.take("newrx", _again({RECORD: ""}, order=f"ORD-{n}", id=f"M-{n}"))
    told = pharmacy.all("AllergyIntolerance")
    assert len({one["patient"]["reference"] for one in told}) == len(told) == 2


def test_another_prescribers_patient_with_that_number_keeps_their_own_allergy(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    colleague = {"1234567893001": "1999999999001", "1234567893<": "1992999999<", "Wren": "Robin"}
    assert pharmacy.take("newrx", _again(colleague, id="M-9")).status == "done"
    told = pharmacy.all("AllergyIntolerance")
    assert len({one["patient"]["reference"] for one in told}) == len(told) == 2


@pytest.mark.parametrize("none_first", [True, False])
def test_no_known_allergies_never_stands_unseen_beside_an_allergy(
    pharmacy: Pharmacy, none_first: bool
) -> None:
    none, one = _none_known(), dict[str, str]()
    first, second = (none, one) if none_first else (one, none)
    done = pharmacy.take("newrx", first)
    assert not any(work for _, work in flags_of(done))
    done = pharmacy.take("newrx", _again(second, order="ORD-2", id="M-2", sent="2026-03-03T09:15:00-05:00"))
    assert done.status == "done" and ("allergy-contradicted", True) in flags_of(done)
    assert len(pharmacy.all("AllergyIntolerance")) == 2
    same = pharmacy.take("newrx", _again(second, order="ORD-3", id="M-3", sent="2026-03-04T09:15:00-05:00"))
    assert ("allergy-contradicted", True) not in flags_of(same)  # it was told


def test_both_in_one_message_are_seen_and_other_patients_do_not_matter(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    apart = {"H-40271": "H-7", "Wren": "Robin", **_none_known()}
    done = pharmacy.take("newrx", _again(apart, order="ORD-2", id="M-2"))
    assert not any(work for _, work in flags_of(done))
    both = {"<Allergies>": NO_ALLERGY + "<Allergies>", "H-40271": "H-8", "Wren": "Rook"}
    done = pharmacy.take("newrx", _again(both, order="ORD-3", id="M-3"))
    assert ("allergy-contradicted", True) in flags_of(done)


COUNTED = "\n          <CodeListQualifier>87"
WARFARIN = {"metformin 500 MG Oral Tablet": "warfarin 5 MG Oral Tablet", "861007": "855332"}


@pytest.mark.parametrize(
    "other",
    [
        WARFARIN,
        {"metformin 500 MG Oral Tablet": "warfarin 5 MG Oral Tablet"},
        {"861007": "855332", "00093104801": "00093104802"},
        {"<StrengthValue>500": "<StrengthValue>850"},
    ],
)
def test_another_drug_under_a_known_number_waits_for_a_person(
    pharmacy: Pharmacy, other: dict[str, str]
) -> None:
    pharmacy.take("newrx")
    before = pharmacy.rx("ORD-5501")
    done = pharmacy.take("newrx", _again(other, id="M-9", sent="2026-03-02T10:15:00-05:00"))
    assert (done.status, done.cause) == ("parked", "other-drug")
    assert pharmacy.rx("ORD-5501") == before and len(pharmacy.all("Task")) == 1


def test_the_same_prescription_sent_again_is_the_same(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    alike = {"metformin 500 MG Oral Tablet": "METFORMIN 500 mg  Oral Tablet"}
    done = pharmacy.take("newrx", _again(alike, id="M-9", sent="2026-03-02T10:15:00-05:00"))
    assert done.status == "done" and len(pharmacy.all("MedicationRequest")) == 1
    assert not any(work for _, work in flags_of(done))
    new = pharmacy.take("newrx", _again(WARFARIN, id="M-10", order="ORD-10"))
    assert new.status == "done" and pharmacy.rx("ORD-10")["status"] == "active"


@pytest.mark.parametrize(
    "other", [{"twice a day": "four times a day"}, {"<NumberOfRefills>2": "<NumberOfRefills>9"}]
)
def test_other_terms_under_a_known_number_are_seen(pharmacy: Pharmacy, other: dict[str, str]) -> None:
    pharmacy.take("newrx")
    done = pharmacy.take("newrx", _again(other, id="M-9", sent="2026-03-02T10:15:00-05:00"))
    assert done.status == "done" and ("prescription-changed", True) in flags_of(done)


def test_two_entries_of_one_allergen_in_a_message_are_both_kept(pharmacy: Pharmacy) -> None:
    text = (HERE / "sample_messages/ncpdp/elements/newrx.xml").read_text()
    begin, end = (text.index(mark) for mark in ALLERGIES)
    entry = text[begin : end + len(ALLERGIES[1])]
    twice = {entry: entry + entry.replace("Hives", "Rash").replace("247472004", "271807003")}
    for n in range(2):
        done = pharmacy.take("newrx", _again(twice, order=f"ORD-{n}", id=f"M-{n}"))
        assert done.status == "done"
    (told,) = pharmacy.all("AllergyIntolerance")
    assert [r["manifestation"][0]["text"] for r in told["reaction"]] == ["Hives", "Rash"]
    dated = {entry: entry + entry.replace("2011-05-02", "2019-05-02"), "Wren": "Robin", "H-40271": "H-8"}
    assert pharmacy.take("newrx", _again(dated, order="ORD-7", id="M-7")).status == "done"
    assert len(pharmacy.all("AllergyIntolerance")) == 3


def test_a_prescription_that_a_pharmacy_quoted_first_is_what_its_prescriber_says(pharmacy: Pharmacy) -> None:
    pharmacy.take("rxfill_dispensed", {"metformin 500 MG Oral Tablet": "metformin generic"})
    assert pharmacy.rx("ORD-5501")["status"] == "unknown"
    assert pharmacy.take("newrx", _again(sent="2026-03-07T09:15:00-05:00")).status == "done"
    told = pharmacy.rx("ORD-5501")
    assert told["status"] == "active"
    assert told["medicationReference"]["display"] == "metformin 500 MG Oral Tablet"


@pytest.mark.parametrize("answer", ["newrx", "rxchange_response_approved"])
def test_what_was_cancelled_is_not_in_force_again_without_a_person(pharmacy: Pharmacy, answer: str) -> None:
    pharmacy.take("newrx")
    pharmacy.take("cancelrx", _again(sent="2026-03-03T09:15:00-05:00"))
    before = pharmacy.rx("ORD-5501")
    assert before["status"] == "cancelled"
    resent = _again({"<MessageID>": "<MessageID>X"}, sent="2026-03-09T09:15:00-05:00")
    done = pharmacy.take(answer, resent)
    assert (done.status, done.cause) == ("parked", "prescription-ended")
    assert pharmacy.rx("ORD-5501") == before
    late = pharmacy.take("newrx", _again(id="M-8", sent="2026-03-01T09:15:00-05:00"))
    assert late.status == "done" and pharmacy.rx("ORD-5501")["status"] == "cancelled"
    new = pharmacy.take("newrx", _again(id="M-10", order="ORD-10", sent="2026-03-10T09:15:00-05:00"))
    assert new.status == "done" and pharmacy.rx("ORD-10")["status"] == "active"


def test_a_fill_told_twice_is_seen_and_none_is_lost(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    first = pharmacy.take("rxfill_dispensed")
    assert ("possible-duplicate", True) not in flags_of(first)
    again = pharmacy.take("rxfill_dispensed", {"M-140": "M-940"})
    assert again.status == "done" and ("possible-duplicate", True) in flags_of(again)
    assert len(pharmacy.all("MedicationDispense")) == 2  # a person says whether it is a second one
    by_its_own_number = {"<PrescriberOrderNumber>ORD-5501</PrescriberOrderNumber>": "", "M-140": "M-941"}
    assert ("possible-duplicate", True) in flags_of(pharmacy.take("rxfill_dispensed", by_its_own_number))


@pytest.mark.parametrize(
    "other",
    [
        {"<Date>2026-03-06": "<Date>2026-04-06"},
        {
            f"<Value>60</Value>{COUNTED}": f"<Value>30</Value>{COUNTED}",
        },
        {"<MedicationDispensed>": "<MedicationDispensed><FillNumber>1</FillNumber>"},
        {"RX-88": "RX-89", "ORD-5501": "ORD-2"},
    ],
)
def test_another_fill_is_another(pharmacy: Pharmacy, other: dict[str, str]) -> None:
    pharmacy.take("newrx")
    pharmacy.take("newrx", _again(id="M-2", order="ORD-2"))
    pharmacy.take("rxfill_dispensed")
    done = pharmacy.take("rxfill_dispensed", {"M-140": "M-940", **other})
    assert done.status == "done" and ("possible-duplicate", True) not in flags_of(done)
    assert len(pharmacy.all("MedicationDispense")) == 2


def test_refills_told_without_their_date_are_told_apart_by_the_day_they_were_sent(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    bare = {"LastFillDate": "OtherDate"}
    pharmacy.take("rxfill_dispensed", bare)
    month_later = {"2026-03-02T09:15": "2026-04-02T09:15", "M-140": "M-940", **bare}
    assert ("possible-duplicate", True) not in flags_of(pharmacy.take("rxfill_dispensed", month_later))
    again = {"2026-03-02T09:15": "2026-04-02T11:15", "M-140": "M-941", **bare}
    assert ("possible-duplicate", True) in flags_of(pharmacy.take("rxfill_dispensed", again))


def test_a_replay_of_prescription_and_fill_leaves_all_as_it_is(pharmacy: Pharmacy) -> None:
    first = pharmacy.take("newrx")
    fill = pharmacy.take("rxfill_dispensed")
    pharmacy.take("cancelrx", _again(sent="2026-03-03T09:15:00-05:00"))
    before = pharmacy.rx("ORD-5501")
    for entry in (first.entry, fill.entry):
        asked = ask_replay(pharmacy.hub.journal, entry, "a tester", "to see it")
        pharmacy.hub.work()
        done = pharmacy.hub.store.outcome(asked.id)
        assert done is not None and done.status == "done"
        assert ("possible-duplicate", True) not in flags_of(done)
        assert pharmacy.rx("ORD-5501")["status"] == before["status"] == "cancelled"
        assert len(pharmacy.all("MedicationDispense")) == 1
