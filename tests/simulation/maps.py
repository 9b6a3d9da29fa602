"""What a message says, without maps: a pipeline that needs no project and is pure as the real one is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from engine.formats.hl7v2.order_keys import order_keys
from engine.kernel.message import Draft, Due, Entry, Work

from .schedule import Schedule


class Maps:
    """A result sets an Observation and its Patient, a merge two Patients."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.revision = 1
        self.channels: dict[str, Any] = {"lab": SimpleNamespace(park_key=False)}

    def prepare(self, entry: Entry) -> None: ...

    def work(self, entry: Entry) -> Work:
        self._schedule.cross("maps")
        revision = f"r{self.revision}"
        made = Work(entry.id, entry.position, entry.channel, entry.sender, entry.lanes, revision)
        made.drafts = self.drafts(entry, revision)
        keys = tuple(hash_of(key) for key in order_keys(entry.body))
        made.deliveries = (Due("archive", keys), Due("copy", keys, state=True), Due("letters", keys))
        return made

    def drafts(self, entry: Entry, revision: str) -> list[Draft]:
        """Return what an entry says under a revision of the maps."""
        _, pid, third = (line.split(b"|") for line in entry.body.rstrip(b"\r").split(b"\r"))
        patient = pid[3].split(b"^")[0].decode()
        if third[0] == b"MRG":
            other = third[1].split(b"^")[0].decode()
            said = [("Patient", patient, f"has {other}"), ("Patient", other, f"is {patient}")]
        else:
            number = f"{patient}-{third[3].decode()}"
            said = [("Patient", patient, "seen"), ("Observation", number, third[5].decode())]
        drafts = []
        for n, (kind, id, value) in enumerate(said):
            body: dict[str, Any] = {"resourceType": kind, "value": f"{value}, {entry.control_id}, {revision}"}
            if kind == "Observation":
                body["subject"] = {"reference": f"Patient/{patient}"}
            drafts.append(Draft(f"d{n}", kind, id, body))
        return drafts


def hash_of(key: str) -> int:
    """Return a number for what keeps the order."""
    number = 0
    for letter in key.encode():
        number = (number * 131 + letter) & 0xFFFFFFFFFFFF
    return number
