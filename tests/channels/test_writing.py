"""What an entry wrote, written out again: the same bytes for the same parcel, and no order twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_project import HERE, Hub, make_project

from engine.channels.writing import (
    NothingToWrite,
    behind,
    given_for,
    render,
    written_for,
)
from engine.fhir import jsonio
from engine.formats.hl7v2.controlid import control_id
from engine.formats.hl7v2.header import peek
from engine.kernel.errors import HubError
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.write import Refused
from engine.store.search import Page

FACTS = {"received": "2026-05-01T14:10:00.123Z", "event": "O01", "control_id": "M1"}
WORDS = {"sender": "HUB", "facility": "MERCY", "receiver": "LAB", "receiverFacility": "LAKESIDE"}


@pytest.fixture(scope="module")
def maps() -> OutMaps:
    return OutMaps.open(HERE)


@pytest.fixture(scope="module")
def orders():
    """The resources of a file with an order, its patient, its requester and specimen."""
    bundle = jsonio.loads((HERE / "sample_messages/outbound/orders.json").read_bytes())
    return [entry["resource"] for entry in bundle["entry"]]


class reader:
    """A core store of these resources."""

    def __init__(self, resources):
        self.resources = {f"{r['resourceType']}/{r['id']}": r for r in resources}

    def read(self, kind, id_):
        return self.resources.get(f"{kind}/{id_}")

    def search(self, kind, params, count, cursor=None):
        ((_, patient),) = params
        every = [r for r in self.resources.values() if r["resourceType"] == kind]
        found = [r for r in every if r["subject"]["reference"] == patient]
        return Page(found, None)


def test_a_parcel_is_the_same_message_on_every_try(maps, orders):
    names = [f"{r['resourceType']}/{r['id']}" for r in orders]
    found = written_for(maps, "oml", names, reader(orders))
    first = render(maps, "oml", found, given_for("d-17", 17, FACTS, WORDS))
    again = render(OutMaps.open(HERE), "oml", found, given_for("d-17", 17, FACTS, WORDS))
    assert first.body == again.body and first.media == "application/hl7-v2"
    header = peek(first.body)
    assert (header.control_id, header.code, header.event) == ("d-17", "OML", "O21")
    assert header.fields[7] == "20260501141000.123+0000"
    assert render(maps, "oml", found, given_for("d-18", 17, FACTS, WORDS)).body != first.body


@pytest.mark.parametrize(
    ("key", "said"),
    [("d-17", "d-17"), ("x" * 20, "x" * 20), ("a key", None), ("x" * 21, None), ("lab|17", None)],
)
def test_a_control_id_fits_its_field(key, said):
    made = control_id(key)
    assert made == (said or made) and made == control_id(key)
    assert 0 < len(made) <= 20 and made.replace("-", "").isalnum()
    assert control_id(key + "1") != made


def test_words_say_neither_time_nor_control_id():
    given = given_for("k", 1_000_000_005, FACTS, {**WORDS, "control": "1", "now": "2001", "event": "A08"})
    assert (given["control"], given["now"], given["event"]) == ("k", FACTS["received"], "A08")
    assert given["interchange"] == "5" and (given["day"], given["time"]) == ("20260501", "1410")


def test_an_interchange_is_numbered_with_nine_digits(maps):
    claim = jsonio.loads((HERE / "sample_messages/outbound/claim.json").read_bytes())
    resources = [entry["resource"] for entry in claim["entry"]]
    words = {"sender": "NORTHBAY", "receiver": "BLUEPEAK", "signature": "Y", "assignment": "A"}
    given = given_for("deliver-77", 77, FACTS, {**words, "benefits": "Y", "release": "Y"})
    made = render(maps, "837P", resources, given)
    assert b"*000000077*" in made.body and made.media == "application/edi-x12"


def test_the_parent_of_an_order_is_not_ordered_again(maps, orders):
    order = next(r for r in orders if r["resourceType"] == "ServiceRequest")
    parent = {**order, "id": "parent", "identifier": [{**order["identifier"][0], "value": "PARENT"}]}
    child = {**order, "basedOn": [{"reference": "ServiceRequest/parent"}]}
    there = [r for r in orders if r["id"] != order["id"]] + [parent, child]
    found = written_for(maps, "oml", [f"ServiceRequest/{child['id']}"], reader(there))
    body = render(maps, "oml", found, given_for("k", 1, FACTS, WORDS)).body
    assert body.count(b"\rORC|") == 1 and b"PARENT" not in body

    named = behind(maps, "oml", [f"ServiceRequest/{child['id']}"], reader(there))
    assert render(maps, "oml", named, given_for("k", 1, FACTS, WORDS)).body == body
    both = written_for(maps, "oml", ["ServiceRequest/parent", f"ServiceRequest/{child['id']}"], reader(there))
    assert render(maps, "oml", both, given_for("k", 1, FACTS, WORDS)).body.count(b"\rORC|") == 2


def test_nothing_to_write_is_not_a_refusal(maps, orders):
    patient = [r for r in orders if r["resourceType"] == "Patient"]
    with pytest.raises(NothingToWrite) as e:
        render(maps, "oml", patient, given_for("k", 1, FACTS, WORDS))
    assert not isinstance(e.value, Refused)
    with pytest.raises(HubError):
        render(maps, "nothing", patient, given_for("k", 1, FACTS, WORDS))
    with pytest.raises(Refused):  # nobody says who sends it
        render(maps, "oml", orders, given_for("k", 1, FACTS, {}))


def test_names_that_are_not_ascii_say_how_they_are_written(maps, orders):
    patient = next(r for r in orders if r["resourceType"] == "Patient")
    named = {**patient, "name": [{"family": "Øst", "given": ["Zoë"]}]}
    resources = [named if r is patient else r for r in orders]
    body = render(maps, "oml", resources, given_for("k", 1, FACTS, WORDS)).body
    assert peek(body).charset == "UNICODE UTF-8" and "Øst^Zoë".encode() in body
    assert peek(render(maps, "oml", orders, given_for("k", 1, FACTS, WORDS)).body).charset == ""


def test_what_an_entry_wrote_in_a_real_store(tmp_path: Path, maps):
    hub = Hub.open(make_project(tmp_path / "project"))
    try:
        entry = hub.take("lab_oru", "lab/orm_new")
        names = [f"{kind}/{id_}" for kind, id_, *_ in hub.store.written_by(entry)]
        found = written_for(maps, "orm", names, hub.store)
        body = render(maps, "orm", found, given_for("k", entry, FACTS, WORDS)).body
        sent = {line.split(b"|")[0]: line.split(b"|") for line in body.split(b"\r")}
        came = {line.split(b"|")[0]: line.split(b"|") for line in hub.sample("lab/orm_new").split(b"\r")}
        assert sent[b"ORC"][2].split(b"^")[0] == came[b"ORC"][2].split(b"^")[0]
        assert sent[b"PID"][5].split(b"^")[:2] == came[b"PID"][5].split(b"^")[:2]
        assert sent[b"OBR"][4].split(b"^")[0] == came[b"OBR"][4].split(b"^")[0]
    finally:
        hub.close()


def test_a_corrected_result_goes_out_with_its_report(tmp_path: Path, maps):
    hub = Hub.open(make_project(tmp_path / "project"))
    try:
        first = hub.take("lab_oru", "lab/oru_potassium")
        body = hub.sample("lab/oru_potassium").replace(b"|LAB0001|", b"|LAB0002|", 1)
        found = next(line for line in body.split(b"\r") if line.startswith(b"OBX")).split(b"|")
        other = [*found[:5], b"3.3", *found[6:]]
        entry = hub.receive("lab_oru", body.replace(b"|".join(found), b"|".join(other)))
        hub.work()
        names = [f"{kind}/{id_}" for kind, id_, *_ in hub.store.written_by(entry)]
        report = hub.written(first, "DiagnosticReport")
        resources = written_for(maps, "oru", names, hub.store)
        assert [r["id"] for r in resources if r["resourceType"] == "DiagnosticReport"] == [report]
        sent = render(maps, "oru", resources, given_for("k", entry, FACTS, WORDS)).body
        assert b"|3.3|" in sent
    finally:
        hub.close()


def test_a_familys_account_brings_nobody_else(maps, orders):
    patient = next(r for r in orders if r["resourceType"] == "Patient")
    other = {**patient, "id": "brother"}
    account = {
        "resourceType": "Account",
        "id": "family",
        "subject": [{"reference": f"Patient/{patient['id']}"}, {"reference": "Patient/brother"}],
    }
    there = reader([*orders, other, account])
    names = [f"Patient/{patient['id']}", "Account/family"]
    found = written_for(maps, "adt", names, there)
    assert [r["id"] for r in found if r["resourceType"] == "Patient"] == [patient["id"]]
