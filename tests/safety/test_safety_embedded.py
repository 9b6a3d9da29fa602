"""A CDA document inside an MDM or ORU: worked on with its message, about its patient or about nobody."""

from __future__ import annotations

import base64

import pytest
from safety_hub import ROOT, Hub, header

OID = "2.16.840.1.113883.19.77.3"
CCD = (ROOT / "sample_messages/cda/ccd.xml").read_bytes()


def mdm(
    document: bytes, number: str = "H-40271", authority: str = f"HARBOUR&{OID}&ISO", event: str = "T02"
) -> str:
    """An MDM with a document in OBX-5."""
    text = base64.b64encode(document).decode()
    return "\n".join(
        [
            header(f"MDM^{event}^MDM_T02", "DOCS"),
            f"EVN|{event}|20260501120000-0500",
            f"PID|1||{number}^^^{authority}^MR||SAMPLE^WREN||19610412|F",
            "PV1|1|O",
            "TXA|1|CD|text/xml|20260501|||||||D-77^DOCS|||||AU||AV",
            f"OBX|1|ED|34133-9^Summary^LN||^text^XML^Base64^{text}||||||F",
        ]
    )


def test_the_document_is_worked_on_about_the_messages_patient(hub: Hub) -> None:
    outcome = hub.any(mdm(CCD))
    assert outcome.status == "done" and not [f for f in outcome.flags if f.code.startswith("document-")]
    patient = hub.one("Patient")
    assert [i["value"] for i in patient["identifier"]] == ["H-40271"], "the message says who it is"
    conditions = hub.all("Condition")
    assert conditions and {c["subject"]["reference"] for c in conditions} == {f"Patient/{patient['id']}"}
    assert hub.one("Composition")["subject"]["reference"] == f"Patient/{patient['id']}"


@pytest.mark.parametrize(
    ("number", "authority"), [("H-99999", f"HARBOUR&{OID}&ISO"), ("H-40271", "HARBOUR&1.2.3.4&ISO")]
)
def test_a_document_of_another_patient_is_flagged_and_mixed_with_nobody(
    hub: Hub, number: str, authority: str
) -> None:
    outcome = hub.any(mdm(CCD, number, authority))
    assert outcome.status == "done"
    assert [f.work for f in outcome.flags if f.code == "document-other-patient"] == [True]
    assert not hub.all("Condition") and not hub.all("Composition") and hub.all("DocumentReference")


def test_a_document_that_cannot_be_read_stays_an_attachment(hub: Hub) -> None:
    outcome = hub.any(mdm(CCD[: len(CCD) // 2]))
    assert [f.code for f in outcome.flags if f.work] == ["document-not-read"]
    assert hub.all("DocumentReference") and not hub.all("Condition")


def test_an_event_without_content_works_on_no_document(hub: Hub) -> None:
    hub.any(mdm(CCD, event="T11"))
    assert not hub.all("Condition")


def test_a_result_may_hold_one_too(hub: Hub) -> None:
    text = base64.b64encode(CCD).decode()
    pid = f"PID|1||H-40271^^^HARBOUR&{OID}&ISO^MR||SAMPLE^WREN||19610412|F"
    outcome = hub.lab(
        "\n".join(
            [
                header("ORU^R01^ORU_R01"),
                pid,
                "OBR|1|P1^EHR|F1^LIS|11502-2^Report^LN|||20260501083000-0500|||||||||||||||20260501115900-0500||LAB|F",
                f"OBX|1|ED|11502-2^Report^LN||^text^XML^Base64^{text}||||||F",
            ]
        )
    )
    assert outcome.status == "done" and hub.all("Condition")


def test_a_replay_gives_the_same(hub: Hub) -> None:
    first = hub.any(mdm(CCD))
    before = {(k, r["id"]) for k in ("Condition", "Composition", "Observation") for r in hub.all(k)}
    assert hub.replay(first.entry).written == 0
    assert {(k, r["id"]) for k in ("Condition", "Composition", "Observation") for r in hub.all(k)} == before
