"""An event that goes to programs holds nothing of the patient, whatever the message is."""

from __future__ import annotations

import json
import re

import jsonschema_rs
from safety_hub import ROOT, Hub

from engine.channels.delivering.events import event_body
from engine.formats.hl7v2.split import split_messages

PAGES = ROOT / "docs/analysts"
SCHEMA = jsonschema_rs.Draft202012Validator(json.loads((PAGES / "events.schema.json").read_text()))
SAMPLES = [
    path
    for folder, each in (("adt", 5), ("lab", 4), ("orders", 3), ("scheduling", 3), ("immunization", 1))
    for path in sorted((ROOT / "sample_messages" / folder).glob("*.hl7"))[::each]
]


def people_in(message: bytes) -> set[str]:
    """Return what a message says of people: numbers, names, birth dates, addresses, telephones."""
    found: set[str] = set()
    for line in message.decode("latin-1").replace("\n", "\r").split("\r"):
        fields = [*line.split("|"), *[""] * 40]
        told = {"PID": (2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 18, 19), "NK1": (2, 4, 5), "MRG": (1, 2, 3, 4, 7)}
        for number in told.get(fields[0], ()):
            for repetition in fields[number].split("~"):
                found.update(repetition.replace("&", "^").split("^")[:2])
    return {word for word in found if len(word) > 3}


def test_nothing_of_the_patient(hub: Hub) -> None:
    told: set[str] = set()
    for path in SAMPLES:
        data = path.read_bytes()
        people = people_in(data)
        hub.any(data) if len(split_messages(data)) == 1 else hub.send_all(data, "lab_oru")
        entry = hub.journal.get(hub.journal.head())
        assert entry is not None
        names = dict.fromkeys((type, id) for type, id, _, _ in hub.store.written_by(entry.id))
        resources = [r for type, id in names if (r := hub.store.read(type, id)) is not None]
        if not resources:
            continue
        body = event_body(entry, resources, hub.store.outcome(entry.id))
        SCHEMA.validate(json.loads(body))
        said = set(re.findall(r'"([^"]*)"', body.decode()))
        assert not people & said, f"{path.name}: {people & said}"
        assert not [word for word in people if len(word) > 6 and word in body.decode()], path.name
        told.add(json.loads(body)["type"])
    assert {"result.final", "patient.admitted", "order.placed", "immunization.recorded"} <= told
