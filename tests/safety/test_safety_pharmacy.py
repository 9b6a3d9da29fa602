"""Drug orders, dispenses, doses and allergies over several messages: stopped is stopped, two are two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from safety_hub import Hub, header, who

DRUG = "RXE||312617^Prednisone 5 MG^RXNORM|2||TAB^Tablet^L"


@pytest.fixture(autouse=True)
def everything(hub: Hub) -> None:
    """Let the registration channel take every kind of message."""
    channel = hub.channels["adt"]
    assert channel.mllp is not None
    rules = channel.mllp.rules.model_copy(update={"accept": ()})
    hub.channels["adt"] = replace(channel, mllp=channel.mllp.model_copy(update={"rules": rules}))


def told(kind: str, *segments: str, patient: str = "77") -> str:
    """A message of one patient, by its structure, e.g. RDE_O11."""
    name, event = kind.split("_")
    return "\r".join((header(f"{name}^{event}^{kind}", app="PHARM"), who(patient), *segments)) + "\r"


def statuses(hub: Hub, kind: str = "MedicationRequest") -> list[Any]:
    return [one.get("status") for one in hub.all(kind)]


def test_a_discontinue_with_the_placers_number_stops_what_the_filler_began(hub: Hub) -> None:
    hub.adt(told("RDE_O11", "ORC|NW||F1^PH", DRUG))
    hub.adt(told("RDE_O11", "ORC|DC|RX1^CPOE|F1^PH", DRUG))
    assert statuses(hub) == ["stopped"]


def test_a_discontinue_with_the_fillers_number_alone_finds_the_order(hub: Hub) -> None:
    hub.adt(told("RDE_O11", "ORC|NW|RX1^CPOE", DRUG))
    hub.adt(told("RDE_O11", "ORC|XO|RX1^CPOE|F1^PH", DRUG))
    hub.adt(told("RDE_O11", "ORC|DC||F1^PH", DRUG))
    assert statuses(hub) == ["stopped"]


def test_a_bare_filler_number_is_not_another_orders_placer_number(hub: Hub) -> None:
    hub.adt(told("RDE_O11", "ORC|NW|100|200", DRUG))
    hub.adt(told("RDE_O11", "ORC|DC|200|300", DRUG))
    assert statuses(hub) == ["active", "stopped"]


def test_orders_of_one_prescription_stay_apart(hub: Hub) -> None:
    drug = DRUG + "||||||||||RX77"
    hub.adt(told("RDE_O11", "ORC|NW|RX1^CPOE", drug))
    hub.adt(told("RDE_O11", "ORC|DC|RX2^CPOE", drug))
    assert statuses(hub) == ["active", "stopped"]


def test_a_filler_number_of_two_orders_never_turns_one_drug_into_another(hub: Hub) -> None:
    hub.adt(told("RDE_O11", "ORC|NW|RX1^CPOE|F1^PH", DRUG))
    before = hub.all("MedicationRequest")
    outcome = hub.adt(told("RDE_O11", "ORC|NW|RX2^CPOE|F1^PH", "RXE||1191^Aspirin^RXNORM|1||TAB"))
    assert (outcome.status, outcome.cause) == ("parked", "ambiguous-key")
    assert hub.all("MedicationRequest") == before


def rds(rxd: str, control: str = "RE") -> str:
    return told("RDS_O13", f"ORC|{control}|RX1^CPOE|F1^PH", rxd)


def test_a_refill_never_overwrites_the_earlier_dispense(hub: Hub) -> None:
    for when in ("20260501143000-0500", "20260601143000-0500"):
        hub.adt(rds(f"RXD|1|248656^Azi^RXNORM|{when}|20|TAB"))
    assert [d["whenPrepared"][:7] for d in hub.all("MedicationDispense")] == ["2026-05", "2026-06"]


def test_another_drug_is_another_dispense(hub: Hub) -> None:
    for drug in ("248656^Azi^RXNORM", "1191^Aspirin^RXNORM"):
        hub.adt(rds(f"RXD|0|{drug}|20260501143000-0500|20|TAB"))
    assert len(hub.all("MedicationDispense")) == 2


def test_a_dispense_taken_back_is_the_one_that_was_told(hub: Hub) -> None:
    rxd = "RXD|1|248656^Azi^RXNORM|20260501143000-0500|20|TAB"
    hub.adt(rds(rxd))
    hub.adt(rds(rxd, "OC"))
    assert statuses(hub, "MedicationDispense") == ["cancelled"]


def ras(rxa: str) -> str:
    return told("RAS_O17", "ORC|RE|RX1^CPOE|F1^PH", rxa)


def test_refused_then_given_then_refused(hub: Hub) -> None:
    begin = "RXA|1|1|20260501201000-0500||248656^Azi^RXNORM"
    refused = begin + "|||||||||||||PATREF^Refused^L||RE|{}"
    hub.adt(ras(refused.format("A")))
    hub.adt(ras(begin + "|1|TAB|||||||||||||CP|U"))
    (dose,) = hub.all("MedicationAdministration")
    assert (dose["status"], "statusReason" in dose) == ("completed", False)
    hub.adt(ras(refused.format("U")))
    (dose,) = hub.all("MedicationAdministration")
    assert (dose["status"], "dosage" in dose) == ("not-done", False)
    assert dose["statusReason"][0]["coding"][0]["code"] == "PATREF"


def oml(control: str, placer: str = "P1^EHR") -> str:
    return told("OML_O21", f"ORC|{control}|{placer}", f"OBR|1|{placer}||2075-0^Chloride^LN")


@pytest.mark.parametrize("control", ["RU", "RQ"])
def test_a_replaced_lab_order_is_not_in_force_beside_its_replacement(hub: Hub, control: str) -> None:
    hub.adt(oml("NW"))
    hub.adt(oml(control))
    hub.adt(oml("RO", "P2^EHR"))
    assert statuses(hub, "ServiceRequest") == ["revoked", "active"]


@pytest.mark.parametrize("control", ["CA", "HD", "RP", "DC"])
def test_a_request_about_an_order_nobody_knows_makes_no_active_order(hub: Hub, control: str) -> None:
    hub.adt(oml(control))
    hub.adt(told("RDE_O11", f"ORC|{control}|RX1^CPOE", DRUG))
    found = statuses(hub, "ServiceRequest") + statuses(hub)
    assert len(found) == 2
    assert "active" not in found


def test_a_request_to_cancel_leaves_a_known_order_as_it_stands(hub: Hub) -> None:
    hub.adt(oml("NW"))
    hub.adt(oml("CA"))
    assert statuses(hub, "ServiceRequest") == ["active"]
    hub.adt(oml("CR"))
    assert statuses(hub, "ServiceRequest") == ["revoked"]


def a60(control: str, iam: str) -> str:
    """An entry of a list of allergies: IAM-6 and the fields before and after it."""
    return told("ADT_A60", "EVN|A60|20260501120000-0500", iam.format(control))


def shown(hub: Hub) -> list[tuple[str, str]]:
    return [
        (one["clinicalStatus"]["coding"][0]["code"], one["code"]["coding"][0]["code"])
        for one in hub.all("AllergyIntolerance")
    ]


def test_an_allergy_is_known_by_its_own_number(hub: Hub) -> None:
    hub.adt(a60("A", "IAM|1|DA|1191^Asp^RXN|SV|Hives|{}|AL2^EHR"))
    hub.adt(a60("U", "IAM|1|DA|7980^Pen^RXN|SV|Hives|{}|AL2^EHR"))
    assert shown(hub) == [("active", "7980")]
    hub.adt(a60("A", "IAM|1|DA|1191^Asp^RXN|SV|Hives|{}|AL3^EHR"))
    assert shown(hub) == [("active", "7980"), ("active", "1191")]
    hub.adt(a60("D", "IAM|1|||||{}|AL2^EHR"))
    assert shown(hub) == [("inactive", "7980"), ("active", "1191")]


def test_an_allergy_number_belongs_to_its_patient(hub: Hub) -> None:
    for patient in ("77", "88"):
        evn, iam = "EVN|A60|20260501120000-0500", "IAM|1|DA|1191^Asp^RXN|SV|Hives|A|1"
        hub.adt(told("ADT_A60", evn, iam, patient=patient))
    assert len(hub.all("AllergyIntolerance")) == 2


@pytest.mark.parametrize("line", ['AL1|3||""', "AL1|3", "AL1|3|DA||SV|Hives|20190101"])
def test_an_allergy_to_nothing_is_none_and_somebody_is_told(hub: Hub, line: str) -> None:
    outcome = hub.adt(told("ADT_A01", line))
    assert hub.all("AllergyIntolerance") == []
    assert "allergy-without-allergen" in [flag.code for flag in outcome.flags]


def test_an_entry_without_allergen_and_number_is_no_allergy(hub: Hub) -> None:
    hub.adt(a60("A", "IAM|1|DA||SV|Hives|{}"))
    assert hub.all("AllergyIntolerance") == []


def dispensed(kind: str, placer: str, filler: str = "F1^PH") -> list[str]:
    if kind == "RDS_O13":
        done = "RXD|1|312617^Prednisone 5 MG^RXNORM|20260501090000-0500|20|TAB^Tablet^L||D1"
    else:
        done = "RXA|0|1|20260501090000-0500||312617^Prednisone 5 MG^RXNORM|2|TAB^Tablet^L"
    order = [f"ORC|RE|{placer}|{filler}", DRUG, "TQ1|1|||BID", "RXR|PO"]
    return [*order, done] if kind == "RDS_O13" else [*order[:4], done, "RXR|PO"]


@pytest.mark.parametrize("kind", ["RDS_O13", "RAS_O17"])
def test_what_was_given_of_another_placers_order_waits(hub: Hub, kind: str) -> None:
    hub.adt(told("RDE_O11", "ORC|NW|RX1^CPOE|F1^PH", DRUG))
    head = hub.store.head()
    outcome = hub.adt(told(kind, *dispensed(kind, "RX2^CPOE")))
    assert (outcome.status, outcome.cause) == ("parked", "ambiguous-key")
    assert hub.store.head() == head
    assert hub.adt(told(kind, *dispensed(kind, "RX1^CPOE"))).status == "done"
    assert len(hub.all("MedicationRequest")) == 1


@pytest.mark.parametrize("kind", ["RDS_O13", "RAS_O17"])
def test_one_filler_number_of_two_orders_in_one_message_waits(hub: Hub, kind: str) -> None:
    outcome = hub.adt(told(kind, *dispensed(kind, "RX1^CPOE"), *dispensed(kind, "RX2^CPOE")))
    assert (outcome.status, outcome.cause) == ("parked", "ambiguous-key")
    assert hub.store.head() == 0
