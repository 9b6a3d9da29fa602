"""A hub that takes prescriptions, for the tests of their life in a real store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hub_project import HERE, Hub

from engine.kernel.clock import now_ms
from engine.kernel.message import NewEntry, Outcome

RECORD = "<MedicalRecordIdentificationNumberEHR>H-40271</MedicalRecordIdentificationNumberEHR>"
Json = dict[str, Any]


class Pharmacy:
    """A hub with the channel `prescriptions`, and what its store holds."""

    def __init__(self, root: Path) -> None:
        for name in ("mappings", "terminology"):
            shutil.copytree(HERE / name, root / name)
        (root / "channels").mkdir()
        shutil.copy(HERE / "channels" / "prescriptions.yaml", root / "channels")
        text = (HERE / "config.yaml").read_text()
        more = "disk_reserve_mb: 1\nworkers: 1\nterminology: {load_shipped: false}\n"
        (root / "config.yaml").write_text(f"{text}\n{more}")
        self.hub = Hub.open(root)
        self.count = 0

    def take(self, name: str, changes: dict[str, str] | None = None) -> Outcome:
        """Receive a sample and work it off."""
        body = (HERE / "sample_messages/ncpdp/elements" / f"{name}.xml").read_text()
        for old, new in (changes or {}).items():
            assert old in body, old
            body = body.replace(old, new)
        self.count += 1
        entry = NewEntry(
            "prescriptions", body.encode(), now_ms(), sender="x", peer="127.0.0.1",
            control_id=f"M{self.count}", message_type=f"ncpdp {name}",
        )  # fmt: skip
        id_ = self.hub.journal.append([entry])[0].id
        self.hub.work()
        done = self.hub.store.outcome(id_)
        assert done is not None
        return done

    def all(self, kind: str) -> list[Json]:
        """All current resources of a type."""
        return self.hub.resources(kind)

    def rx(self, number: str) -> Json:
        """The prescription with that order number."""
        (found,) = [b for b in self.all("MedicationRequest") if numbers(b) & {number}]
        return found


def numbers(body: Json) -> set[str]:
    return {i["value"] for i in body.get("identifier", ()) if i.get("type")}


def flags_of(done: Outcome) -> set[tuple[str, bool]]:
    return {(f.code, f.work) for f in done.flags}
