"""Orders, documents and charges that speak of what came in another message."""

from __future__ import annotations

import pytest
from safety_hub import Hub, header, who


def culture(placer: str, filler: str, parent: str = "", pid: str = "") -> str:
    obr = f"OBR|1|{placer}|{filler}|600-7^Culture^LN{'|' * 25}{parent}"
    return "\n".join([header("OML^O21^OML_O21", "EHR"), pid or who(), f"ORC|NW|{placer}|{filler}", obr])


def order(hub: Hub, number: str) -> dict[str, object]:
    (found,) = [r for r in hub.all("ServiceRequest") if r["identifier"][0]["value"] == number]
    return found


@pytest.mark.parametrize("turned", [False, True], ids=["parent first", "child first"])
@pytest.mark.parametrize("parent", ["P1&EHR^", "^F1&LIS", "P1&EHR^F1&LIS"])
def test_an_order_finds_its_parent_in_another_message(hub: Hub, turned: bool, parent: str) -> None:
    messages = [culture("P1^EHR", "F1^LIS"), culture("P2^EHR", "F2^LIS", parent)]
    for message in reversed(messages) if turned else messages:
        assert hub.any(message).status == "done"
    (based,) = order(hub, "P2")["basedOn"]  # type: ignore[misc]
    assert based["reference"] == f"ServiceRequest/{order(hub, 'P1')['id']}"


@pytest.mark.parametrize("turned", [False, True], ids=["parent first", "child first"])
@pytest.mark.parametrize(
    "stranger",
    [culture("P1^EHR", "F1^LIS", pid=who("88", "ROE^ANN", "19900101")), culture("P1^OTHER", "P1^EHR")],
    ids=["another patient", "another authority or kind of number"],
)
def test_the_same_number_elsewhere_is_no_parent(hub: Hub, turned: bool, stranger: str) -> None:
    messages = [stranger, culture("P2^EHR", "F2^LIS", "P1&EHR^")]
    for message in reversed(messages) if turned else messages:
        assert hub.any(message).status == "done"
    (based,) = order(hub, "P2")["basedOn"]  # type: ignore[misc]
    assert "reference" not in based
    assert based["identifier"]["value"] == "P1"


def mdm(event: str, at: str, txa: str, text: str) -> str:
    lines = [header(f"MDM^{event}^MDM_T02", "DOC"), f"EVN|{event}|{at}", who(), txa]
    return "\n".join([*lines, f"OBX|1|TX|18842-5^Discharge summary^LN||{text}||||||F"])


def test_the_original_that_comes_after_its_replacement_stays_superseded_and_is_kept(hub: Hub) -> None:
    hub.any(mdm("T10", "20260502120000-0500", "TXA|1|DS|TX|||||||||DOC2^DOC|DOC1^DOC||||AU", "New"))
    hub.any(mdm("T02", "20260501120000-0500", "TXA|1|DS|TX|||||||||DOC1^DOC|||||LA||AV", "Old"))
    found = {d["masterIdentifier"]["value"]: d for d in hub.all("DocumentReference")}
    assert {number: d["status"] for number, d in found.items()} == {"DOC1": "superseded", "DOC2": "current"}
    assert "T2xk" in [c["attachment"].get("data") for c in found["DOC1"]["content"]]


def test_a_document_that_names_itself_as_parent_is_one_and_current(hub: Hub) -> None:
    hub.any(mdm("T02", "20260501120000-0500", "TXA|1|DS|TX|||||||||DOC1^DOC|||||LA||AV", "Old"))
    outcome = hub.any(mdm("T10", "20260502120000-0500", "TXA|1|DS|TX|||||||||DOC1^DOC|DOC1^DOC||||AU", "New"))
    assert [f.code for f in outcome.flags if f.work] == ["mended"]
    document = hub.one("DocumentReference")
    assert (document["status"], "relatesTo" in document) == ("current", False)


def test_a_charge_without_a_code_is_kept(hub: Hub) -> None:
    assert hub.any(dft("FT1|1|T9||20260501||CG|")).status == "done"
    assert hub.one("ChargeItem")["code"]["extension"][0]["valueCode"] == "unknown"


def dft(*charges: str) -> str:
    return "\n".join([header("DFT^P03^DFT_P03", "BILL"), who(), *charges])


CHARGE = "FT1|1|T9|B{}|2026050{}||CG|410010^Chest x-ray^L|||1"
CREDIT = "FT1|1|T9|B5|20260505||CD|410010^Chest x-ray^L|||1"


@pytest.mark.parametrize("turned", [False, True], ids=["charge first", "credit first"])
def test_a_credit_is_linked_to_the_charge_of_its_number(hub: Hub, turned: bool) -> None:
    messages = [dft(CHARGE.format(1, 1)), dft(CREDIT)]
    for message in reversed(messages) if turned else messages:
        assert hub.any(message).status == "done"
    found = {c["status"]: c for c in hub.all("ChargeItem")}
    (link,) = found["not-billable"]["supportingInformation"]
    assert link["reference"] == f"ChargeItem/{found['billable']['id']}"


def test_a_credit_that_fits_two_charges_is_linked_to_neither(hub: Hub) -> None:
    for day in (1, 2):
        hub.any(dft(CHARGE.format(day, day)))
    outcome = hub.any(dft(CREDIT))
    assert "several-match" in [f.code for f in outcome.flags]
    (credit,) = [c for c in hub.all("ChargeItem") if c["status"] == "not-billable"]
    assert "reference" not in credit["supportingInformation"][0]


def test_a_credit_of_something_else_is_linked_to_nothing(hub: Hub) -> None:
    hub.any(dft(CHARGE.format(1, 1).replace("410010", "410099")))
    hub.any(dft(CREDIT))
    (credit,) = [c for c in hub.all("ChargeItem") if c["status"] == "not-billable"]
    assert "reference" not in credit["supportingInformation"][0]


@pytest.mark.parametrize("event", ["R22", "R23"])
def test_what_was_seen_of_a_tube_with_several_orders_is_one_however_often_told(hub: Hub, event: str) -> None:
    def told(volume: str) -> str:
        orders = [f"OBR|{n}|P{n}^EHR|F{n}^LIS|718-7^Hemoglobin^LN" for n in (1, 2)]
        lines = ["SPM|1|S7&EHR^F7&LIS||BLD", f"OBX|1|NM|3169-4^Volume^LN||{volume}|mL|||||F"]
        box = ["SAC||AC9^LIS|T90^LIS"] if event == "R23" else []
        return "\n".join([header(f"OUL^{event}^OUL_{event}", "LAS"), who(), *lines, *box, *orders])

    for volume in ("4.5", "4.2"):
        outcome = hub.any(told(volume))
        assert outcome.status == "done"
        assert "no-key" not in [f.code for f in outcome.flags]
    (seen,) = [o for o in hub.all("Observation") if o["code"]["coding"][0]["code"] == "3169-4"]
    assert str(seen["valueQuantity"]["value"]) == "4.2"
