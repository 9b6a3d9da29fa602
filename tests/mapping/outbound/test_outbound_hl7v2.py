"""Orders out as OML^O21 and ORM^O01, and back."""

from __future__ import annotations

import copy

import pytest
from outbound_maker import ROOT, project, resource, sample

from engine.cli.convert import convert_bytes
from engine.formats.hl7v2.parse import parse
from engine.mapping.outbound.write import Refused, write_v2
from engine.mapping.project import Maps

GIVEN = {"sender": "HUB", "receiver": "LAB", "control": "77", "now": "2026-09-01T08:20:00Z"}


def order(name="oml", change=None, given=GIVEN):
    bundle = copy.deepcopy(sample("orders"))
    if change is not None:
        change(bundle)
    return write_v2(project(), bundle, given, name)


def lines(data):
    return data.decode().split("\r")


@pytest.mark.parametrize("name", ["oml", "orm"])
def test_an_order_and_one_called_off(name):
    data, report = order(name)
    message = parse(data)
    assert message.repairs == []
    found = lines(data)
    assert found[0].startswith("MSH|^~\\&|HUB||LAB||20260901082000+0000||O")
    assert [x.split("|")[1:3] for x in found if x.startswith("ORC")] == [
        ["NW", "ORD-1^^2.999.7.2^ISO"],
        ["CA", "ORD-2^^2.999.7.2^ISO"],
    ]
    assert [x.split("|")[1] for x in found if x.startswith("OBR")] == ["1", "2"]
    assert "NTE|1||fasting \\F\\ no" in found
    assert report.flags == []


def test_codes_keep_their_systems():
    obr = next(x for x in lines(order()[0]) if x.startswith("OBR"))
    assert obr.split("|")[4] == "4548-4^Hemoglobin A1c^LN^A1C^HbA1c^urn:oid:2.999.7.5"
    spm = next(x for x in lines(order()[0]) if x.startswith("SPM"))
    assert spm.split("|")[4] == "BLD^Whole blood^HL70487"


def test_back_it_is_the_same_order():
    done = next(iter(convert_bytes(order()[0], Maps.open(ROOT))))
    back = [e["resource"] for e in done.bundle["entry"]]
    orders = {r["identifier"][0]["value"]: r for r in back if r["resourceType"] == "ServiceRequest"}
    assert set(orders) == {"ORD-1", "ORD-2"}
    one = orders["ORD-1"]
    assert (one["status"], one["intent"], one["priority"]) == ("active", "order", "stat")
    assert one["authoredOn"] == "2026-09-01T08:00:00-05:00"
    assert one["code"]["coding"][0] == {
        "system": "http://loinc.org",
        "code": "4548-4",
        "display": "Hemoglobin A1c",
    }
    assert one["note"][0]["text"] == "fasting | no"
    patient = next(r for r in back if r["resourceType"] == "Patient")
    asked = resource(sample("orders"), "Patient/wren")
    assert (patient["birthDate"], patient["gender"]) == (asked["birthDate"], asked["gender"])
    assert patient["identifier"][0]["value"] == "H-40271"
    assert patient["name"][0]["family"] == "Sample"


@pytest.mark.parametrize(
    "change",
    [
        lambda b: resource(b, "ServiceRequest/a1c").update(status="draft"),
        lambda b: resource(b, "ServiceRequest/lipid").update(status="entered-in-error"),
        lambda b: resource(b, "ServiceRequest/a1c").pop("code"),
        lambda b: resource(b, "ServiceRequest/a1c").pop("identifier"),
        lambda b: resource(b, "Patient/wren").pop("identifier"),
        lambda b: resource(b, "ServiceRequest/a1c").update(subject={"reference": "Patient/other"}),
    ],
)
def test_what_is_no_order_to_send_is_refused(change):
    with pytest.raises(Refused):
        order(change=change)


@pytest.mark.parametrize("name", ["sender", "receiver", "control"])
def test_what_the_caller_must_say(name):
    with pytest.raises(Refused):
        order(given={k: v for k, v in GIVEN.items() if k != name})
