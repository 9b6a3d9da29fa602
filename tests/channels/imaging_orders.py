"""A hub that takes orders and registrations, for the tests of a node's worklist and links."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hub_project import HERE, Hub, shipped_maps
from pydicom.dataset import Dataset

Json = dict[str, Any]
NOON = 1_777_723_200_000  # 2026-05-02 12:00 UTC: the day of the samples


class Ward:
    """A hub with the channels `orders`, `adt` and `lab_oru`, and what its store holds."""

    def __init__(self, root: Path) -> None:
        (root / "channels").mkdir(parents=True)
        for name in ("mappings", "terminology"):
            (root / name).symlink_to(HERE / name)
        for name in ("orders", "adt", "lab_oru"):
            shutil.copy(HERE / "channels" / f"{name}.yaml", root / "channels")
        text = (HERE / "config.yaml").read_text()
        more = "disk_reserve_mb: 1\nworkers: 1\nterminology: {load_shipped: false}\n"
        (root / "config.yaml").write_text(f"{text}\n{more}")
        self.hub = Hub.open(root, shipped_maps())
        self.store = self.hub.store
        self.count = 0

    def take(self, name: str, changes: dict[str, str] | None = None, channel: str = "orders") -> Any:
        """Receive a sample and work it off; texts may be put in place of others."""
        body = (HERE / "sample_messages" / f"{name}.hl7").read_bytes().decode()
        for old, new in (changes or {}).items():
            assert old in body, old
            body = body.replace(old, new)
        return self.say(body, channel)

    def say(self, body: str, channel: str = "orders") -> Any:
        """Receive a message and work it off; its outcome."""
        self.count += 1
        lines = body.replace("\n", "\r").split("\r")
        fields = lines[0].split("|")
        fields[9] = f"C{self.count}"
        entry = self.hub.receive(channel, "\r".join(["|".join(fields), *lines[1:]]).encode())
        self.hub.work()
        done = self.store.outcome(entry)
        assert done is not None and done.status == "done", done
        return done

    def all(self, kind: str) -> list[Json]:
        """All current resources of a type."""
        return self.hub.resources(kind)


def asking(modality: str = "", day: str = "", title: str = "", **keys: Any) -> Dataset:
    """Make a query of a modality, with every key that IHE asks for."""
    query = Dataset()
    for keyword in (
        *(
            "AccessionNumber",
            "PatientName",
            "PatientID",
            "IssuerOfPatientID",
            "PatientBirthDate",
            "PatientSex",
        ),
        *("RequestedProcedureID", "RequestedProcedureDescription", "StudyInstanceUID", "RequestingPhysician"),
        *("ReferringPhysicianName", "AdmissionID", "CurrentPatientLocation", "MedicalAlerts", "Allergies"),
        *("PregnancyStatus", "PatientWeight", "RequestedProcedurePriority", "ReasonForTheRequestedProcedure"),
        *("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest"),
    ):
        setattr(query, keyword, None if keyword in ("PregnancyStatus", "PatientWeight") else "")
    query.IssuerOfAccessionNumberSequence = []
    query.OtherPatientIDsSequence = []
    query.RequestedProcedureCodeSequence = []
    query.ReferencedStudySequence = []
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate = modality, title, day
    for keyword in (
        *("ScheduledProcedureStepStartTime", "ScheduledPerformingPhysicianName", "ScheduledProcedureStepID"),
        *("ScheduledProcedureStepDescription", "ScheduledProcedureStepLocation", "ScheduledStationName"),
        "ScheduledProcedureStepStatus",
    ):
        setattr(step, keyword, keys.pop(keyword, ""))
    step.ScheduledProtocolCodeSequence = []
    query.ScheduledProcedureStepSequence = [step]
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
