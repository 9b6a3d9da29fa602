"""The samples of pharmacy, finance and master files through the real maps: what would harm if wrong."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class

from engine.cli.convert import convert_bytes
from engine.fhir import jsonio
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(
    p for d in ("pharmacy", "finance", "master") for p in (ROOT / "sample_messages" / d).glob("*.hl7")
)
Json = dict[str, Any]
PID = "PID|1||77^^^NORTH^MR||DOE^JO||19800101|F||||||||||ACC1^^^NORTH^AN"


@cache
def shipped_maps() -> Maps:
    return Maps.open(ROOT)


def converted(raw: bytes) -> dict[str, list[Json]]:
    """The resources of one message by type, with what they are called by under `_url`."""
    (result,) = convert_bytes(raw, shipped_maps())
    assert result.error is None
    assert result.report["errors"] == []
    out: dict[str, list[Json]] = {}
    for entry in json.loads(jsonio.dumps(result.bundle)).get("entry", []):
        body = entry["resource"]
        out.setdefault(body["resourceType"], []).append({**body, "_url": entry["fullUrl"]})
    return out


def sample(name: str) -> dict[str, list[Json]]:
    return converted((ROOT / f"sample_messages/{name}.hl7").read_bytes())


def message(event: str, *lines: str, app: str = "RX") -> dict[str, list[Json]]:
    head = f"MSH|^~\\&|{app}|NORTH|HUB|CDR|20260501120000-0500||{event}|M1|P|2.5.1"
    return converted("\r".join([head, *lines, ""]).encode())


def one(found: dict[str, list[Json]], kind: str) -> Json:
    (body,) = found[kind]
    return body


def code(concept: Json) -> str:
    return str(concept["coding"][0]["code"])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_every_sample_becomes_valid_resources(path: Path) -> None:
    found = converted(path.read_bytes())
    urls = {r["_url"] for rs in found.values() for r in rs}
    for kind, bodies in found.items():
        for body in bodies:
            plain = {k: v for k, v in body.items() if k != "_url"}
            assert not [i for i in fhirkit.validate(plain) if i.severity == "error"]
            get_fhir_model_class(kind).model_validate(plain)
            for text in json.dumps(plain).split('"reference": "')[1:]:
                target = text.split('"', 1)[0]
                assert target in urls or target.startswith("#")


def test_samples_are_of_many_versions() -> None:
    versions = {p.read_bytes().split(b"\r")[0].split(b"|")[11] for p in SAMPLES}
    assert len(SAMPLES) >= 12
    assert {b"2.3", b"2.4", b"2.5.1", b"2.6", b"2.7", b"2.8"} <= versions


def test_a_new_order_and_its_stop_are_one_order() -> None:
    new, stop = (
        one(sample("pharmacy/omp_new"), "MedicationRequest"),
        one(sample("pharmacy/omp_discontinue"), "MedicationRequest"),
    )
    assert new["_url"] == stop["_url"]
    assert (new["status"], stop["status"]) == ("active", "stopped")
    assert code(stop["statusReason"]) == "RASH"
    (dose,) = new["dosageInstruction"]
    assert dose["doseAndRate"][0]["doseQuantity"]["value"] == 1
    assert dose["timing"]["repeat"]["timeOfDay"] == ["08:00:00", "20:00:00"]
    assert code(dose["route"]) == "PO"


def test_a_taper_is_one_order_with_two_steps() -> None:
    order = one(sample("pharmacy/rde_encoded_taper"), "MedicationRequest")
    steps = order["dosageInstruction"]
    assert [code(s["timing"]["code"]) for s in steps] == ["BID", "QD"]
    assert [s["timing"]["repeat"]["boundsPeriod"]["end"] for s in steps] == ["2026-05-03", "2026-05-08"]
    assert order["note"] == [{"text": "Do not stop without asking"}]


def test_as_written_and_as_encoded_never_share_a_dose() -> None:
    written, encoded = sample("pharmacy/rde_written_and_encoded")["MedicationRequest"]
    assert (written["intent"], encoded["intent"]) == ("original-order", "filler-order")
    assert "doseRange" in written["dosageInstruction"][0]["doseAndRate"][0]
    assert encoded["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]["value"] == 1
    assert encoded["basedOn"] == [{"reference": written["_url"]}]
    assert "route" not in written["dosageInstruction"][0]


def test_as_needed_is_never_lost() -> None:
    (dose,) = one(sample("pharmacy/rde_v23_prn"), "MedicationRequest")["dosageInstruction"]
    assert dose["asNeededBoolean"] is True
    assert code(dose["timing"]["code"]) == "Q6H"


def test_a_compound_names_base_and_additive() -> None:
    drug = one(sample("pharmacy/omp_compound"), "Medication")
    assert [code(i["itemCodeableConcept"]) for i in drug["ingredient"]] == ["D5W250", "11124"]
    assert [i["strength"]["numerator"]["value"] for i in drug["ingredient"]] == [250, 1]


def test_components_of_one_order_never_reach_another() -> None:
    found = message(
        "RDE^O11^RDE_O11",
        PID,
        "ORC|NW|P1^EHR",
        "RXE||VANC^Vancomycin bag^L|1||BAG",
        "TQ1|1||Q8H",
        "RXC|B|D5W^Dextrose^L|250|mL",
        "RXC|A|VAN^Vancomycin^L|1|g",
        "ORC|NW|P2^EHR",
        "RXE||ASA^Aspirin^L|1||TAB",
        "TQ1|1||BID",
    )
    drugs = {code(m["code"]): m for m in found["Medication"]}
    assert len(drugs["VANC"]["ingredient"]) == 2
    assert "ingredient" not in drugs["ASA"]
    assert [code(r["dosageInstruction"][0]["timing"]["code"]) for r in found["MedicationRequest"]] == [
        "Q8H",
        "BID",
    ]


@pytest.mark.parametrize(
    ("control", "stands", "status"),
    [
        ("NW", "", "active"),
        ("CA", "", "unknown"),  # asked for; nobody knows the order, so it is not active for it
        ("OC", "", "cancelled"),
        ("DC", "", "stopped"),
        ("OD", "", "stopped"),
        ("OH", "", "on-hold"),
        ("RU", "", "stopped"),
        ("XO", "HD", "on-hold"),
        ("SC", "CM", "completed"),
        ("SC", "RP", "stopped"),
        ("RF", "", "unknown"),
        ("UA", "", "unknown"),
    ],
)
def test_how_an_order_stands(control: str, stands: str, status: str) -> None:
    found = message(
        "RDE^O11^RDE_O11", PID, f"ORC|{control}|P1^EHR|F1^RX||{stands}", "RXE||ASA^Aspirin^L|1||TAB"
    )
    assert one(found, "MedicationRequest")["status"] == status


def test_what_was_not_given_never_looks_given() -> None:
    given = sample("pharmacy/ras_given_refused_held")["MedicationAdministration"]
    assert [g["status"] for g in given] == ["completed", "not-done", "not-done"]
    assert [code(g["statusReason"][0]) for g in given[1:]] == ["PATREF", "HOLD"]


@pytest.mark.parametrize(
    ("amount", "refusal", "completion", "action", "status"),
    [
        ("1", "", "CP", "A", "completed"),
        ("1", "", "", "", "completed"),
        ("0", "", "", "", "unknown"),
        ("1", "", "PA", "", "stopped"),
        ("", "", "NA", "", "not-done"),
        ("1", "REF^Refused^L", "", "", "not-done"),
        ("1", "^Refused", "", "", "not-done"),
        ("1", "", "XX", "", "unknown"),
        ("1", "", "CP", "D", "entered-in-error"),
        ("1", "", "RE", "D", "entered-in-error"),
    ],
)
def test_status_of_a_dose(amount: str, refusal: str, completion: str, action: str, status: str) -> None:
    rxa = (
        f"RXA|0|1|20260501080000-0500||ASA^Aspirin^L|{amount}|TAB||||||||||| {refusal}||{completion}|{action}"
    )
    found = message("RAS^O17^RAS_O17", PID, "ORC|RE|P1^EHR", rxa.replace("| ", "|"))
    assert one(found, "MedicationAdministration")["status"] == status


def test_a_deleted_dose_is_the_same_dose() -> None:
    first = sample("pharmacy/ras_given_refused_held")["MedicationAdministration"][0]
    deleted = one(sample("pharmacy/ras_deleted"), "MedicationAdministration")
    assert first["_url"] == deleted["_url"]
    assert deleted["status"] == "entered-in-error"


def test_two_doses_of_one_order_are_two() -> None:
    found = message(
        "RAS^O17^RAS_O17",
        PID,
        "ORC|RE|P1^EHR",
        "RXA|0|1|20260501080000-0500||ASA^Aspirin^L|1|TAB|||||||||||||CP",
        "ORC|RE|P1^EHR",
        "RXA|0|1|20260501200000-0500||ASA^Aspirin^L|1|TAB|||||||||||||CP",
    )
    assert len({a["_url"] for a in found["MedicationAdministration"]}) == 2


def test_a_dispense_and_its_return_are_one() -> None:
    out, back = (one(sample(f"pharmacy/{n}"), "MedicationDispense") for n in ("rds_dispense", "rds_returned"))
    assert out["_url"] == back["_url"]
    assert (out["status"], back["status"]) == ("completed", "cancelled")
    assert out["substitution"]["wasSubstituted"] is True
    assert out["authorizingPrescription"][0]["identifier"]["value"] == "RX5001"


def test_gives_are_instances_of_their_order() -> None:
    gives = sample("pharmacy/rgv_two_gives")["MedicationRequest"]
    assert [g["intent"] for g in gives] == ["instance-order", "instance-order"]
    assert len({g["_url"] for g in gives}) == 2
    assert {g["basedOn"][0]["identifier"]["value"] for g in gives} == {"RX5001"}


def test_an_answer_names_the_order_it_answers() -> None:
    asked = one(sample("pharmacy/rde_encoded_taper"), "MedicationRequest")
    answer = one(sample("pharmacy/rre_accepted"), "MedicationRequest")
    assert asked["_url"] == answer["_url"]
    assert answer["medicationReference"].keys() == {"extension"}  # an order that is there keeps its drug


def test_an_answer_that_refuses_changes_nothing() -> None:
    found = message("RRE^O12^RRE_O12", "MSA|AE|Q1", PID, "ORC|UA|P1^EHR|F1^RX")
    assert "MedicationRequest" not in found


def test_a_credit_is_no_charge_and_a_payment_no_item() -> None:
    found = sample("finance/dft_charges")
    assert [(c["status"], c["meta"]["tag"][0]["code"]) for c in found["ChargeItem"]] == [
        ("billable", "CG"),
        ("not-billable", "CD"),
    ]
    charge = found["ChargeItem"][0]
    assert str(charge["priceOverride"]["value"]) in ("120.5", "120.50")
    assert charge["account"] == [{"reference": one(found, "Account")["_url"]}]
    assert {"reference": one(found, "Procedure")["_url"]} in charge["service"]
    assert [c["code"] for c in charge["code"]["coding"]] == ["410010", "71045"]
    assert charge["note"] == [{"text": "modifier 26 Professional component"}]


def test_a_credit_of_the_same_number_does_not_overwrite_its_charge() -> None:
    lines = [f"FT1|1|T1||20260501|20260501|{kind}|X^Exam^L|||1|10&USD" for kind in ("CG", "CD")]
    found = message("DFT^P03^DFT_P03", "EVN|P03|20260501", PID, "PV1|1|O", *lines)
    assert len({c["_url"] for c in found["ChargeItem"]}) == 2


def test_an_account_has_its_guarantors_and_ends() -> None:
    opened, ended = one(sample("finance/bar_open"), "Account"), one(sample("finance/bar_end"), "Account")
    assert opened["_url"] == ended["_url"]
    assert (opened["status"], ended["status"]) == ("active", "inactive")
    parties = [g["party"]["reference"] for g in opened["guarantor"]]
    found = sample("finance/bar_open")
    assert parties[1] == next(o["_url"] for o in found["Organization"] if o["name"] == "Elm Street Bakery")
    assert parties[0] in {r["_url"] for r in found["RelatedPerson"]}
    assert "guarantor" not in ended


def test_a_diagnosis_taken_back_was_entered_in_error() -> None:
    taken, kept = sample("finance/bar_p12_correct")["Condition"]
    assert code(taken["verificationStatus"]) == "entered-in-error"
    assert "verificationStatus" not in kept


def test_staff_are_the_people_that_orders_name() -> None:
    staff = sample("master/mfn_staff")["Practitioner"]
    quill = next(p for p in staff if p["name"][0]["family"] == "QUILL")
    olde = next(p for p in staff if p["name"][0]["family"] == "OLDE")
    orderer = one(sample("pharmacy/omp_discontinue"), "MedicationRequest")["requester"]["reference"]
    people = sample("pharmacy/omp_discontinue")["Practitioner"]
    assert quill["_url"] in {p["_url"] for p in people}, orderer
    assert (quill["active"], olde["active"]) == (True, False)


def test_a_record_has_nothing_of_the_record_before_it() -> None:
    olde = next(p for p in sample("master/mfn_staff")["Practitioner"] if p["name"][0]["family"] == "OLDE")
    assert not olde.keys() & {"qualification", "communication", "telecom", "birthDate"}


def test_a_place_of_the_master_file_is_the_place_of_a_visit() -> None:
    places = {p.get("description"): p for p in sample("master/mfn_places")["Location"]}
    assert places["Third floor west"]["status"] == "active"
    assert places["Bed by the window"]["status"] == "inactive"
    visit = message(
        "BAR^P05^BAR_P05",
        "EVN|P05|20260501",
        PID,
        "PV1|1|I|3W^301^A^NORTH||||||||||||||||V1^^^NORTH",
        app="ADTSYS",
    )
    visited = {p["_url"] for p in visit["Location"]}
    assert {places["Third floor west"]["_url"], places["Bed by the window"]["_url"]} <= visited


def test_a_test_has_its_ranges_and_a_removed_one_is_not_written() -> None:
    test = one(sample("master/mfn_tests"), "ObservationDefinition")
    assert [(i["category"], i.get("gender")) for i in test["qualifiedInterval"]] == [
        ("reference", "female"),
        ("reference", "male"),
        ("critical", None),
    ]
    assert test["permittedDataType"] == ["Quantity"]
