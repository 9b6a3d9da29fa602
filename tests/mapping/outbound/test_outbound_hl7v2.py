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


def written(name, source, *kinds, change=None, **more):
    bundle = copy.deepcopy(sample(source))
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] in kinds]
    if change is not None:
        change(bundle)
    data, report = write_v2(project(), bundle, {**GIVEN, **more}, name)
    return lines(data), report, data


SHOTS = ("Patient", "Immunization", "Practitioner")


def test_vaccines_given_and_refused_go_to_a_registry_and_come_back():
    found, _, data = written("vxu", "patient", *SHOTS)
    shots = [x.split("|") for x in found if x.startswith("RXA")]
    assert [(x[5].split("^")[0], x[6], x[20], x[21]) for x in shots] == [
        ("158", "0.5", "CP", "A"),
        ("187", "999", "RE", "A"),
    ]
    assert shots[1][18].startswith("PATOBJ")
    pid = found[1].split("|")
    assert pid[10] == "2106-3^White^CDCREC" and pid[22].startswith("2186-5")
    done = next(iter(convert_bytes(data, Maps.open(ROOT))))
    back = [e["resource"] for e in done.bundle["entry"] if e["resource"]["resourceType"] == "Immunization"]
    told = {r["vaccineCode"]["coding"][0]["code"]: r["status"] for r in back}
    assert told == {"158": "completed", "187": "not-done"}


def test_an_immunization_in_error_deletes_its_record():
    def wrong(bundle):
        resource(bundle, "Immunization/flu")["status"] = "entered-in-error"

    with pytest.raises(Refused):  # nothing says whether it was given
        written("vxu", "patient", *SHOTS, change=wrong)


def few(bundle):
    """Keep the two results of the report."""
    keep = ("hba1c", "egfr")
    bundle["entry"] = [
        e
        for e in bundle["entry"]
        if e["resource"]["resourceType"] != "Observation" or e["resource"]["id"] in keep
    ]


RESULTS = ("Patient", "DiagnosticReport", "Observation", "Organization")


def test_results_go_out_and_come_back():
    found, _, data = written("oru", "patient", *RESULTS, change=few)
    results = [x.split("|") for x in found if x.startswith("OBX")]
    assert [(x[1], x[2], x[5], x[11]) for x in results] == [("1", "NM", "7.1", "F"), ("2", "SN", ">^60", "F")]
    assert results[0][6:9] == ["%^%^UCUM", "4.0-5.6 %", "H"]
    done = next(iter(convert_bytes(data, Maps.open(ROOT))))
    back = [e["resource"] for e in done.bundle["entry"] if e["resource"]["resourceType"] == "Observation"]
    values = {r["code"]["coding"][0]["code"]: r["valueQuantity"] for r in back}
    assert str(values["4548-4"]["value"]) == "7.1" and values["4548-4"]["code"] == "%"
    assert values["33914-3"]["comparator"] == ">"


@pytest.mark.parametrize(
    "change",
    [
        lambda b: resource(b, "Observation/hba1c").update(status="unknown"),
        lambda b: resource(b, "Observation/hba1c").update(component=[{"code": {}, "valueSampledData": {}}]),
        lambda b: resource(b, "Observation/egfr").pop("code"),
        lambda b: resource(b, "DiagnosticReport/chem")["result"].pop(),
        lambda b: resource(b, "DiagnosticReport/chem").update(status="unknown"),
    ],
)
def test_no_result_is_left_behind_or_told_without_its_status(change):
    def both(bundle):
        few(bundle)
        change(bundle)

    with pytest.raises(Refused):
        written("oru", "patient", *RESULTS, change=both)


def test_a_patient_is_registered_or_changed():
    found, _, data = written("adt", "orders", "Patient", "Encounter", event="A08")
    assert parse(data).repairs == []
    assert found[0].split("|")[8] == "ADT^A08^ADT_A01"
    assert found[3].split("|")[19] == "V-100^^^&2.999.7.3&ISO"
    with pytest.raises(Refused):
        written("adt", "orders", "Patient", "Encounter", event="A40")


def imaging(sample_, change=None):
    """Read an imaging order in, as converting a file does, and write it out again."""
    body = (ROOT / f"sample_messages/orders/{sample_}.hl7").read_bytes()
    done = next(iter(convert_bytes(body, Maps.open(ROOT))))
    bundle = copy.deepcopy(done.bundle)
    if change is not None:
        for entry in bundle["entry"]:
            change(entry["resource"])
    return lines(write_v2(project(), bundle, GIVEN, "omi")[0])


EVENT = "http://hl7.org/fhir/StructureDefinition/businessEvent"


@pytest.mark.parametrize(
    ("event", "status", "control"),
    [
        ("NW", "active", "NW"),
        ("NW", "revoked", "CA"),
        ("XO", "active", "XO"),
        ("CA", "active", "CA"),  # asked for, and not granted yet
        ("DC", "active", "DC"),
        ("HD", "active", "HD"),
        ("RL", "active", "RL"),
        ("OC", "revoked", "CA"),
        ("OH", "on-hold", "HD"),
        ("SC", "active", ""),
        ("OK", "active", ""),
        ("UA", "active", ""),
        ("RE", "completed", ""),
        ("NW OK", "active", ""),  # the filler has it
        ("XO OK", "active", "XO"),
        ("SC XO", "active", "XO"),
        ("XO", "revoked", ""),
        ("NW", "completed", ""),
    ],
)
@pytest.mark.parametrize("name", ["oml", "orm"])
def test_an_order_goes_out_as_what_was_asked_for(name, event, status, control):
    def change(bundle):
        one = resource(bundle, "ServiceRequest/a1c")
        told = [{"url": "value", "valueCodeableConcept": {"coding": [{"code": e}]}} for e in event.split()]
        one.update(status=status, extension=[{"url": EVENT, "extension": [value]} for value in told])

    if not control:
        with pytest.raises(Refused):
            order(name, change)
        return
    found = [x.split("|")[1] for x in lines(order(name, change)[0]) if x.startswith("ORC")]
    assert found == [control, "CA"]


def uid(resource_):
    """The store gives a Study Instance UID to an order that brings none."""
    if resource_["resourceType"] == "ServiceRequest" and all(
        i.get("system") != "urn:dicom:uid" for i in resource_["identifier"]
    ):
        resource_["identifier"].append({"system": "urn:dicom:uid", "value": "urn:oid:2.25.77"})


@pytest.mark.parametrize(
    ("name", "steps", "modalities"),
    [
        ("omi_o23_modality_v2.8", ["SPS1"], ["CT"]),
        ("omi_o23_two_steps_v2.5.1", ["S1", "S2"], ["PT", "CT"]),
        ("orm_o01_imaging_new_v2.4", ["S1"], ["MR"]),
    ],
)
def test_imaging_orders_with_their_steps(name, steps, modalities):
    found = imaging(name, uid)
    ipc = [line.split("|") for line in found if line.startswith("IPC")]
    assert [one[4].split("^")[0] for one in ipc] == steps
    assert [one[5].split("^")[0] for one in ipc] == modalities
    assert all(one[1] and one[2] and one[3][0].isdigit() for one in ipc)
    came = (ROOT / f"sample_messages/orders/{name}.hl7").read_text()
    numbers = next(line for line in came.replace("\n", "\r").split("\r") if line.startswith("ORC")).split("|")
    orc = next(line for line in found if line.startswith("ORC")).split("|")
    assert orc[1:3] == numbers[1:3]


def test_an_imaging_order_without_a_step_is_one_by_itself():
    def alone(resource_):
        uid(resource_)
        if resource_["resourceType"] == "Task":
            resource_.clear()
            resource_.update(resourceType="Basic", code={"text": "x"})

    ipc = [x.split("|") for x in imaging("omi_o23_modality_v2.8", alone) if x.startswith("IPC")]
    assert [[part.split("^")[0] for part in one[1:6]] for one in ipc] == [
        ["AC77", "RP1", "1.2.840.99999.7", "SPS1", "CT"]
    ]


def test_what_a_modality_did_is_no_step_to_do():
    def performed(resource_):
        uid(resource_)
        if resource_["resourceType"] == "Task" and resource_["identifier"][1]["value"] == "S2":
            resource_["identifier"].append({"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"})

    ipc = [x.split("|") for x in imaging("omi_o23_two_steps_v2.5.1", performed) if x.startswith("IPC")]
    assert [one[4].split("^")[0] for one in ipc] == ["S1"]


@pytest.mark.parametrize("lacks", ["ACSN", "RPID", "UID"])
def test_an_imaging_order_without_its_numbers_is_refused(lacks):
    def change(resource_):
        uid(resource_)
        if resource_["resourceType"] == "ServiceRequest":
            resource_["identifier"] = [
                i
                for i in resource_["identifier"]
                if not (
                    (lacks == "ACSN" and i.get("type", {}).get("coding", [{}])[0].get("code") == "ACSN")
                    or (lacks == "RPID" and i.get("type", {}).get("text") == "Requested Procedure ID")
                    or (lacks == "UID" and i.get("system") == "urn:dicom:uid")
                )
            ]

    with pytest.raises(Refused) as e:
        imaging("omi_o23_modality_v2.8", change)
    assert any("IPC" in reason for reason in e.value.reasons)
