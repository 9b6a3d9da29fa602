"""Performed procedure steps: the table of PS3.4 F.7, an entry for every change, nobody else's step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from engine.channels.node.keys import order_keys
from engine.channels.node.steps import MPPS, Steps
from engine.kernel.imaging import Peer, Step
from engine.kernel.message import Accepted, NewEntry

CT = Peer("imaging", "CT01", "10.0.0.7")


class Book:
    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.entries: list[NewEntry] = []

    def step(self, uid: str) -> Step | None:
        return self.steps.get(uid)

    def put_step(self, step: Step, studies: Iterable[str] = ()) -> None:
        self.steps[step.uid] = step
        self.studies = list(studies)

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        self.entries += entries
        return [Accepted(len(self.entries))]


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def steps(book: Book) -> Steps:
    return Steps(book, book.append, lambda: 1000, lambda ds: order_keys(ds, "NORTH"))


def begun(**more: Any) -> Dataset:
    scheduled = Dataset()
    scheduled.StudyInstanceUID = "1.2.3"
    scheduled.AccessionNumber = "AC1"
    out = Dataset()
    out.ScheduledStepAttributesSequence = [scheduled]
    out.PatientID, out.PatientName = "77", "Doe^Jo"
    out.PerformedProcedureStepID, out.PerformedStationAETitle = "P1", "CT01"
    out.PerformedProcedureStepStartDate, out.PerformedProcedureStepStartTime = "20260501", "120000"
    out.PerformedProcedureStepStatus, out.Modality = "IN PROGRESS", "CT"
    for keyword, value in more.items():
        setattr(out, keyword, value)
    return out


def said(**more: Any) -> Dataset:
    out = Dataset()
    for keyword, value in more.items():
        setattr(out, keyword, value)
    return out


def test_a_step_begins_goes_on_and_ends_and_each_state_is_an_entry(steps: Steps, book: Book) -> None:
    assert steps.create(CT, "1.9", begun()) == 0
    assert steps.set(CT, "1.9", said(PerformedProcedureStepDescription="CT chest")) == 0
    done = said(PerformedProcedureStepStatus="COMPLETED", PerformedProcedureStepEndDate="20260501")
    assert steps.set(CT, "1.9", done) == 0
    assert [e.message_type for e in book.entries] == [
        "dicom mpps in progress",
        "dicom mpps in progress",
        "dicom mpps completed",
    ]
    assert all(e.order_keys == ("NORTH|77", "study|1.2.3") for e in book.entries)
    last = dcmread(BytesIO(book.entries[-1].body))
    assert last.file_meta.MediaStorageSOPClassUID == MPPS and last.SOPInstanceUID == "1.9"
    assert (last.PatientName, last.PerformedProcedureStepDescription) == ("Doe^Jo", "CT chest")
    assert book.steps["1.9"].status == "COMPLETED" and book.studies == ["1.2.3"]


@pytest.mark.parametrize("end", ["COMPLETED", "DISCONTINUED"])
def test_what_has_ended_stays(steps: Steps, book: Book, end: str) -> None:
    steps.create(CT, "1.9", begun())
    assert steps.set(CT, "1.9", said(PerformedProcedureStepStatus=end)) == 0
    assert steps.set(CT, "1.9", said(PerformedProcedureStepStatus="IN PROGRESS")) == 0x0110
    assert book.steps["1.9"].status == end and len(book.entries) == 2


@pytest.mark.parametrize(
    ("uid", "dataset", "status"),
    [
        ("1.9", begun(PerformedProcedureStepStatus="COMPLETED"), 0x0106),
        ("1.9", begun(Modality=""), 0x0120),
        ("1.9", begun(ScheduledStepAttributesSequence=[]), 0x0120),
        ("1.8", begun(), 0x0111),
    ],
)
def test_what_is_no_beginning_is_refused_and_journaled_nowhere(
    steps: Steps, book: Book, uid: str, dataset: Dataset, status: int
) -> None:
    steps.create(CT, "1.8", begun())
    assert steps.create(CT, uid, dataset) == status
    assert len(book.entries) == 1


def test_an_unknown_step_cannot_be_set(steps: Steps, book: Book) -> None:
    assert steps.set(CT, "1.9", said(PerformedProcedureStepStatus="COMPLETED")) == 0x0112
    assert not book.entries


def test_a_status_that_is_none_is_refused(steps: Steps, book: Book) -> None:
    steps.create(CT, "1.9", begun())
    assert steps.set(CT, "1.9", said(PerformedProcedureStepStatus="DONE")) == 0x0106
    assert book.steps["1.9"].status == "IN PROGRESS"


def test_a_set_never_makes_it_another_patients(steps: Steps, book: Book) -> None:
    steps.create(CT, "1.9", begun())
    other = said(PatientID="99", PatientName="Roe^Al", PerformedProcedureStepStatus="COMPLETED")
    assert steps.set(CT, "1.9", other) == 0
    kept = book.steps["1.9"].dataset
    assert (kept.PatientID, kept.PatientName) == ("77", "Doe^Jo")
    assert book.entries[-1].order_keys[0] == "NORTH|77"


def test_without_an_issuer_there_is_no_key_of_a_patient() -> None:
    assert order_keys(begun()) == ("study|1.2.3",)
