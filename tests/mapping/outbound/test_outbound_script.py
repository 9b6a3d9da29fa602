"""A prescription out as NewRx: what the pharmacy needs, or nothing."""

from __future__ import annotations

import copy

import pytest
from outbound_maker import project, resource, sample

from engine.formats.ncpdp.message import parse
from engine.formats.ncpdp.prescription import prescriptions
from engine.mapping.outbound.write import Refused, write_script

GIVEN = {"sender": "1234567893", "message": "M-1", "now": "2026-03-02T09:15:00-05:00", "rxnorm": "SCD"}


def newrx(change=None, given=GIVEN):
    bundle = copy.deepcopy(sample("prescription"))
    if change is not None:
        change(resource(bundle, "MedicationRequest/metformin"), bundle)
    data, report = write_script(project(), bundle, given)
    return parse(data), report


def test_our_reader_reads_the_prescription_back():
    script, report = newrx()
    assert (script.transaction, script.id, script.order_number) == ("NewRx", "M-1", "ORD-5501")
    assert (script.sender.code, script.receiver.code) == ("1234567893", "9876543")
    drug = next(iter(prescriptions(script)))
    assert drug.description == "metformin 500 MG Oral Tablet"
    assert [(c.code, c.qualifier) for c in drug.codes] == [("00093104801", "ND"), ("861007", "SCD")]
    assert (drug.quantity.value, drug.quantity.unit, drug.days_supply, drug.refills) == (
        "60",
        "C48542",
        "30",
        "2",
    )
    assert drug.sig == "Take 1 tablet by mouth twice a day with food"
    assert report.not_written == [] and report.flags == []


def test_without_its_term_type_no_rxnorm_code_is_sent():
    script, report = newrx(given={k: v for k, v in GIVEN.items() if k != "rxnorm"})
    assert [c.qualifier for c in next(iter(prescriptions(script))).codes] == ["ND"]
    assert any("medicationCodeableConcept.coding[1].code" in p for p in report.not_written)


@pytest.mark.parametrize(
    "change",
    [
        lambda rx, b: rx.update(status="cancelled"),
        lambda rx, b: rx.update(status="draft"),
        lambda rx, b: rx.update(intent="proposal"),
        lambda rx, b: rx.update(doNotPerform=True),
        lambda rx, b: rx.pop("dosageInstruction"),
        lambda rx, b: rx["dosageInstruction"].append({"doseAndRate": [{"doseQuantity": {"value": 2}}]}),
        lambda rx, b: rx["dispenseRequest"].pop("quantity"),
        lambda rx, b: rx.pop("substitution"),
        lambda rx, b: rx.update(authoredOn="2026-03"),
        lambda rx, b: rx.update(modifierExtension=[{"url": "http://example.org/x", "valueBoolean": True}]),
        lambda rx, b: resource(b, "Patient/wren").pop("birthDate"),
        lambda rx, b: b["entry"].append({"resource": {**rx, "id": "other"}}),
    ],
)
def test_what_a_pharmacy_must_not_get_is_refused(change):
    with pytest.raises(Refused):
        newrx(change)


def test_two_instructions_are_both_sent():
    def two(rx, bundle):
        rx["dosageInstruction"].append({"text": "Then 2 tablets a day"})

    script, _ = newrx(two)
    assert next(iter(prescriptions(script))).sig == (
        "Take 1 tablet by mouth twice a day with food; Then 2 tablets a day"
    )


def test_a_reason_that_is_no_icd_10_stays_behind_and_is_told():
    def snomed(rx, bundle):
        rx["reasonCode"] = [{"coding": [{"system": "http://snomed.info/sct", "code": "44054006"}]}]

    _, report = newrx(snomed)
    assert "MedicationRequest/metformin.reasonCode[0].coding[0].code" in report.not_written
