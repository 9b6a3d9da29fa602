"""What is known of a body before it is mapped: its number, its kind, whose it is, what it is found by."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.formats.content import recognise
from engine.formats.facts import Facts, facts_of
from engine.kernel.errors import FormatError

SAMPLES = Path(__file__).parents[2] / "sample_messages"


def facts(name: str, *changes: tuple[str, str]) -> Facts:
    data = (SAMPLES / name).read_bytes()
    for old, new in changes:
        assert old.encode() in data, old
        data = data.replace(old.encode(), new.encode())
    return facts_of(data, recognise(data))


def test_a_document() -> None:
    found = facts("cda/ccd.xml")
    assert found.message_type == "cda 34133-9" and found.control.endswith("^CCD-1")
    assert {("patient", "H-40271"), ("name", "wren"), ("birth", "19610412"), ("document", "CCD-1")} <= set(
        found.words
    )
    assert found.keys[0] == "2.16.840.1.113883.19.77.3|H-40271" and found.headers["guide"] == "C-CDA R2.1"


def test_a_null_number_orders_nobody_and_finds_nobody() -> None:
    found = facts("cda/ccd.xml")
    assert not [k for k in found.keys if k.startswith("2.16.840.1.113883.4.1")], (
        "a social security number, null"
    )


def test_a_claim_and_its_parts() -> None:
    found = facts("x12/837P_professional_claim.x12")
    assert found.message_type == "x12 837P" and found.sender == "ZZ|NORTHBAY" and found.test
    assert {"x12 MI|BPK100200300", "x12 claim|NB-77001", "x12 claim|NB-77002"} <= set(found.keys)
    assert {("claim", "NB-77001"), ("name", "abernathy"), ("birth", "19790412")} <= set(found.words)
    assert found.headers["GS-08"] == "005010X222A1"


def test_a_batch_about_many_keeps_only_its_senders_order() -> None:
    data = (SAMPLES / "x12/835_payment.x12").read_bytes().replace(b"\n", b"")
    at = data.index(b"CLP*")
    many = b"".join(b"CLP*C%d*1*1*1**12*P%d~" % (n, n) for n in range(40))
    found = facts_of(data[:at] + many + data[at:], "x12")
    assert found.keys == () and ("claim", "C39") in found.words


@pytest.mark.parametrize("name", sorted(p.name for p in (SAMPLES / "x12").glob("*.x12")))
def test_every_set_is_named_by_its_table(name: str) -> None:
    found = facts(f"x12/{name}")
    assert found.kind == name.split("_")[0] and found.control


def test_a_prescription() -> None:
    found = facts("ncpdp/newrx_2017071.xml")
    assert found.message_type == "ncpdp NewRx" and found.control == "M-1"
    assert ("order", "ORD-5501") in found.words and any("ORD-5501" in k for k in found.keys)


def test_what_cannot_be_read_is_refused() -> None:
    for data, format in (
        (b"<ClinicalDocument", "cda"),
        (b"<Message/>", "ncpdp"),
        (b"GS*HC~", "x12"),
        (b"", ""),
    ):
        with pytest.raises(FormatError):
            facts_of(data, format)
