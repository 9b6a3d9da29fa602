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
    dft = "\n".join([header("DFT^P03^DFT_P03", "BILL"), who(), "FT1|1|T9||20260501||CG|"])
    assert hub.any(dft).status == "done"
    assert hub.one("ChargeItem")["code"]["extension"][0]["valueCode"] == "unknown"
