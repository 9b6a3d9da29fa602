"""A hub that takes FHIR, for the tests of what its store holds afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hub_project import HERE, Hub

from engine.channels.posting import posted_by
from engine.kernel.message import Outcome
from engine.listeners.mail import mail_of

Json = dict[str, Any]
BASE = "https://gateway.example/fhir"
MRN = "urn:oid:2.999.3.1"
DEVICE = "/id/device-observation"


class Gateway:
    """A hub with the channel `wearables`, and one of FHIR as it is sent: `partner`."""

    def __init__(self, root: Path, fhir: str = "") -> None:
        for name in ("mappings", "terminology"):
            shutil.copytree(HERE / name, root / name)
        (root / "channels").mkdir()
        shipped = (HERE / "channels" / "wearables.yaml").read_text()
        (root / "channels" / "wearables.yaml").write_text(shipped)
        partner = shipped.replace("channel: wearables", "channel: partner").replace("2604", "2605")
        partner = partner.replace("DEVICES", "by type").replace("Observation|Device|Patient|", "")
        partner = partner.replace("accept: [fhir transaction|batch|collection|message]", "accept: [fhir]")
        (root / "channels" / "partner.yaml").write_text(partner + fhir)
        text = (HERE / "config.yaml").read_text()
        more = "disk_reserve_mb: 1\nworkers: 1\nterminology: {load_shipped: false}\n"
        (root / "config.yaml").write_text(f"{text}\n{more}")
        self.hub = Hub.open(root)

    def take(self, body: Json | bytes, channel: str = "wearables") -> Outcome:
        """Receive a body as the port would, and work it off."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        found = next(c for c in self.hub.channels if c.name == channel)
        mail = mail_of(data, posted_by(found), "127.0.0.1")
        id_ = self.hub.journal.append(mail.entries)[0].id
        self.hub.work()
        done = self.hub.store.outcome(id_)
        assert done is not None
        return done

    def all(self, kind: str) -> list[Json]:
        """All current resources of a type."""
        return self.hub.resources(kind)

    def one(self, kind: str) -> Json:
        """The one resource of a type."""
        (found,) = self.all(kind)
        return found


def sample(name: str) -> Json:
    """A sample as a dict."""
    found: Json = json.loads((HERE / "sample_messages/fhir" / f"{name}.json").read_text())
    return found


def patient(number: str = "4711", **more: Any) -> Json:
    """A patient with a number of the hospital."""
    return {"resourceType": "Patient", "identifier": [{"system": MRN, "value": number}], **more}


def pulse(value: float = 64, **more: Any) -> Json:
    """A pulse of a watch, without a number of its own."""
    body: Json = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": f"Patient?identifier={MRN}|4711"},
        "effectiveDateTime": "2026-05-01T11:55:00-05:00",
        "valueQuantity": {
            "value": value,
            "unit": "/min",
            "system": "http://unitsofmeasure.org",
            "code": "/min",
        },
    }
    return body | more


def bundle(*resources: Json, kind: str = "collection") -> Json:
    """A Bundle that asks for nothing."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": r} for r in resources]}


def transaction(*asked: tuple[str, str, Json | None]) -> Json:
    """A transaction of (method, url, resource)."""
    entries: list[Json] = []
    for method, url, resource in asked:
        entry: Json = {"request": {"method": method, "url": url}}
        if resource is not None:
            entry["resource"] = resource
        entries.append(entry)
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
