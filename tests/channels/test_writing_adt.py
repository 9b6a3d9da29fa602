"""ADT out: what happened goes out as its own event; our own maps and other parsers read it back."""

from __future__ import annotations

from typing import Any

import hl7
import pytest
from hl7apy.parser import parse_message
from hub_project import Hub

from engine.channels.writing import NothingToWrite, given_for, render, written_for
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.write import Refused

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
WORDS = {"sender": "HUB", "facility": "MERCY", "receiver": "EHR", "receiverFacility": "LAKESIDE"}


def event_of(body: bytes) -> str:
    return body.split(b"\r")[0].split(b"|")[8].split(b"^")[1].decode()


def sent(hub: Hub, maps: OutMaps, entry: int, body: bytes, **words: str) -> bytes:
    facts = {"received": f"2026-06-01T14:10:{entry % 60:02}.000Z", "event": event_of(body), "type": "ADT"}
    names = [f"{type_}/{id_}" for type_, id_, *_ in hub.store.written_by(entry)]
    resources = written_for(maps, "adt", names, hub.store)
    return render(maps, "adt", resources, given_for(f"k{entry}", entry, facts, {**WORDS, **words})).body


def place(hub: Hub, reference: str) -> list[str]:
    """The names of a place and all it is part of."""
    found = hub.store.read(*reference.split("/"))
    above = found.get("partOf")
    return [found["name"], *(place(hub, above["reference"]) if above else [])]


def visit(hub: Hub, entry: int) -> dict[str, Any] | None:
    """What is to survive the way out and in again, of the visit that an entry wrote."""
    ids = [id_ for type_, id_, *_ in hub.store.written_by(entry) if type_ == "Encounter"]
    if not ids:
        return None
    one = hub.store.read("Encounter", ids[0])
    return {
        "status": one["status"],
        "class": one["class"].get("code"),
        "number": [i["value"] for i in one["identifier"]],
        "period": one.get("period"),
        "places": [
            (x.get("status"), place(hub, x["location"]["reference"])) for x in one.get("location", ())
        ],
        "doctors": [
            (
                p["type"][0]["coding"][0]["code"],
                hub.store.read(*p["individual"]["reference"].split("/"))["identifier"][0]["value"],
            )
            for p in one.get("participant", ())
        ],
        "disposition": one.get("hospitalization", {})
        .get("dischargeDisposition", {})
        .get("coding", [{}])[0]
        .get("code"),
    }


def persons(hub: Hub, entry: int) -> dict[str, Any]:
    """The patients that an entry wrote, by their first number."""
    out = {}
    for type_, id_, *_ in hub.store.written_by(entry):
        if type_ != "Patient":
            continue
        one = hub.store.read("Patient", id_)
        links = [
            (x["type"], hub.store.read(*x["other"]["reference"].split("/"))["identifier"][0]["value"])
            for x in one.get("link", ())
        ]
        name = (one.get("name") or [{}])[0]
        out[one["identifier"][0]["value"]] = (
            name.get("family"), name.get("given"), one.get("birthDate"), one.get("gender"),
            one.get("active"), links,
        )  # fmt: skip
    return out


STAY = [
    "adt_a01_admit",
    "adt_a02_transfer",
    "adt_a12_cancel_transfer",
    "adt_a03_discharge",
    "adt_a13_cancel_discharge",
    "adt_a21_leave",
    "adt_a22_back_from_leave",
    "adt_a11_cancel_admit",
    "adt_a40_two_pairs",
    "adt_a34_merge_v2.3",
    "adt_a31_latin1",
]


def test_a_stay_goes_out_event_by_event_and_is_the_same_on_the_other_side(hubs, maps):
    here, there = hubs
    for name in STAY:
        body = here.sample(f"adt/{name}")
        entry = here.receive("adt", body)
        here.work()
        out = sent(here, maps, entry, body)
        assert event_of(out) == event_of(body)
        taken = there.receive("adt", out)
        there.work()
        assert there.store.outcome(taken).status == "done", name
        assert visit(there, taken) == visit(here, entry), name
        found, asked = persons(there, taken), persons(here, entry)
        assert found == {number: asked.get(number, said) for number, said in found.items()}, name
        if event_of(body) in ("A34", "A40"):
            assert found == asked and any(said[5] for said in found.values())
        theirs = hl7.parse(out.decode())
        assert str(theirs.segment("MSH")[9]).startswith(f"ADT^{event_of(body)}^ADT_A")
        assert parse_message(out.decode(), find_groups=False).msh.msh_9.msh_9_2.to_er7() == event_of(body)


def test_a_merge_is_sent_as_nothing_else(hubs, maps):
    here, _ = hubs
    body = (
        here.sample("adt/adt_a40_two_pairs").replace(b"1009990", b"1009992").replace(b"1009991", b"1009993")
    )
    entry = here.receive("adt", body.replace(b"MER00019", b"MER10019"))
    here.work()
    out = sent(here, maps, entry, body, event="A08")  # what the settings say does not make it an update
    lines = out.decode().split("\r")
    assert event_of(out) == "A40"
    assert [line[:3] for line in lines if line[:3] in ("PID", "MRG", "PV1")] == ["PID", "MRG", "PID", "MRG"]
    assert [line.split("|")[1].split("^")[0] for line in lines if line.startswith("MRG")] == [
        "1009992",
        "1009993",
    ]
    names = [f"{type_}/{id_}" for type_, id_, *_ in here.store.written_by(entry)]
    found = written_for(maps, "adt", names, here.store)
    for event in ("A08", "A31", "A01"):
        with pytest.raises(Refused, match="Patients"):
            render(
                maps,
                "adt",
                found,
                {**given_for("k", 1, {"received": "2026-06-01T14:10:00Z"}, WORDS), "event": event},
            )
    retired = next(r for r in found if r.get("active") is False)
    survivor = next(r for r in found if r["id"] == retired["link"][0]["other"]["reference"].partition("/")[2])
    given = {**given_for("k", 1, {"received": "2026-06-01T14:10:00Z"}, WORDS), "event": "A40"}
    for pair in ([retired], [survivor], [{**retired, "identifier": survivor["identifier"]}, survivor]):
        with pytest.raises(Refused):
            render(maps, "adt", pair, given)


def test_a_number_that_both_have_is_not_given_up(hubs, maps):
    given = {**given_for("k", 1, {"received": "2026-06-01T14:10:00Z"}, WORDS), "event": "A40"}

    def number(value: str, kind: str) -> dict[str, Any]:
        return {
            "value": value,
            "system": "urn:oid:2.999.1",
            "type": {"coding": [{"system": V2_0203, "code": kind}]},
        }

    name = [{"family": "SAMPLE"}]
    kept = {
        "resourceType": "Patient", "id": "a", "name": name,
        "identifier": [number("1", "MR"), number("E7", "PI")],
    }  # fmt: skip
    gone = {
        "resourceType": "Patient", "id": "b", "name": name, "active": False,
        "identifier": [number("2", "MR"), number("E7", "PI"), number("3", "SS")],
        "link": [{"type": "replaced-by", "other": {"reference": "Patient/a"}}],
    }  # fmt: skip
    out = render(maps, "adt", [kept, gone], given).body.decode()
    mrg = next(line for line in out.split("\r") if line.startswith("MRG"))
    assert mrg.split("|")[1] == "2^^^&2.999.1&ISO^MR"


@pytest.mark.parametrize("event", ["A17", "A24", "A35", "A37", "A41", "A42", "A44", "A45", "A49", "A50"])
def test_what_fhir_does_not_say_as_it_was_is_refused_and_never_skipped(maps, event):
    given = {**given_for("k", 1, {"received": "2026-06-01T14:10:00Z"}, WORDS), "event": event}
    with pytest.raises(Refused, match=event) as e:
        render(maps, "adt", [{"resourceType": "Account", "id": "a"}], given)
    assert not isinstance(e.value, NothingToWrite)


@pytest.mark.parametrize(
    ("type_", "own", "settings", "event"),
    [
        ("ADT", "A08", "A31", "A31"),
        ("ADT", "A40", "A08", "A40"),
        ("ADT", "A11", "A08", "A11"),
        ("ADT", "A03", "A08", "A03"),
        ("ADT", "A02", "", "A02"),
        ("ORU", "R01", "A08", "A08"),
    ],
)
def test_the_settings_change_a_registration_and_nothing_that_happened(type_, own, settings, event):
    facts = {"received": "2026-06-01T14:10:00Z", "type": type_, "event": own}
    assert given_for("k", 1, facts, {**WORDS, **({"event": settings} if settings else {})})["event"] == event


def test_the_hubs_own_key_of_a_stay_is_no_visit_number(maps):
    visit_ = {
        "resourceType": "Encounter", "id": "v", "status": "in-progress",
        "subject": {"reference": "Patient/p"},
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "identifier": [{"system": "urn:hub:own/id/stay", "value": "NORTH|77||2026"}],
    }  # fmt: skip
    patient = {
        "resourceType": "Patient", "id": "p", "name": [{"family": "SAMPLE"}],
        "identifier": [{"value": "1", "system": "urn:oid:2.999.1"}, {"value": "0", "use": "old"}],
    }  # fmt: skip
    given = {**given_for("k", 1, {"received": "2026-06-01T14:10:00Z"}, WORDS), "event": "A01"}
    out = render(maps, "adt", [patient, visit_], given).body
    assert b"|77|" not in out and b"stay" not in out and b"NORTH" not in out
    assert out.split(b"PID|")[1].split(b"|")[2] == b"1^^^&2.999.1&ISO"
