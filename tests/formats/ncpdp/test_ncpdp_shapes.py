"""Every transaction of SCRIPT in both shapes found in the wild: they read equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.formats.ncpdp.answers import script_keys
from engine.formats.ncpdp.message import TRANSACTIONS, Script, emit, parse
from engine.formats.ncpdp.parties import parties
from engine.formats.ncpdp.prescription import Amount, fill_status, prescriptions

SAMPLES = Path(__file__).parents[3] / "sample_messages" / "ncpdp"
NAMES = sorted(p.stem for p in (SAMPLES / "elements").glob("*.xml"))


def sample(shape: str, name: str) -> Script:
    data = (SAMPLES / shape / f"{name}.xml").read_bytes()
    script = parse(data)
    assert emit(script) == data and script.repairs == ()
    return script


def told(script: Script) -> dict[str, Any]:
    """All that the reader makes of a message, but for where things stand."""
    return {
        "header": (
            script.transaction,
            script.id,
            script.relates_to,
            script.sender,
            script.receiver,
            script.sent,
        ),
        "numbers": (script.order_number, script.reference_number, script_keys(script)),
        "answer": script.answer,
        "fill": fill_status(script),
        "parties": [p._replace(element=None, place="") for p in parties(script)],  # type: ignore[arg-type]
        "medications": [m._replace(element=None, place="") for m in prescriptions(script)],  # type: ignore[arg-type]
    }


def test_there_are_both_shapes_of_every_transaction() -> None:
    assert sorted(p.stem for p in (SAMPLES / "attributes").glob("*.xml")) == NAMES
    assert {sample("elements", n).transaction for n in NAMES} == set(TRANSACTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_both_shapes_read_equal(name: str) -> None:
    one, other = sample("elements", name), sample("attributes", name)
    assert (one.version, other.version) == ("2017071", "2023011")
    assert told(one) == told(other)


@pytest.mark.parametrize("shape", ["elements", "attributes"])
def test_what_a_new_prescription_says(shape: str) -> None:
    script = sample(shape, "newrx")
    (one,) = prescriptions(script)
    assert [(c.code, c.qualifier) for c in one.codes] == [("00093104801", "ND"), ("861007", "SCD")]
    assert one.quantity == Amount("60", "C48542", "38") and one.strength == Amount("500", "C28253")
    assert one.sig == "Take 1 tablet by mouth twice a day with food for 30 days"
    assert one.dates == (("EffectiveDate", "2026-03-05"),) and one.written == "2026-03-02"
    assert one.diagnoses[0][:2] == ("E119", "ABF")
    assert [p.role for p in parties(script)] == ["Patient", "Pharmacy", "Prescriber", "Supervisor"]


@pytest.mark.parametrize("shape", ["elements", "attributes"])
def test_a_prescription_is_named_by_its_number_and_who_gave_it(shape: str) -> None:
    """Whoever sends: the order number is the prescriber's, the reference number the pharmacy's."""
    new, cancel, fill = (sample(shape, n) for n in ("newrx", "cancelrx", "rxfill_partial"))
    assert script_keys(new) == script_keys(cancel) == ("prescriber|1234567893001|ORD-5501",)
    assert script_keys(fill) == ("prescriber|1234567893001|ORD-5501", "pharmacy|9876543|RX-88")
    assert script_keys(sample(shape, "newrx_compound")) != script_keys(new)
    assert script_keys(sample(shape, "status")) == ()


def test_without_qualifiers_the_parties_say_who_gave_a_number() -> None:
    data = (
        (SAMPLES / "elements" / "newrx.xml")
        .read_bytes()
        .replace(b' Qualifier="D"', b"")
        .replace(b' Qualifier="P"', b"")
    )
    script = parse(data)
    assert (script.prescriber, script.pharmacy) == ("1234567893", "9876543")
