"""What a node gives out for a C-GET or C-MOVE: of one patient, by whole keys."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from engine.channels.node.services import Services
from engine.formats.dicom.matching import matches
from engine.kernel.imaging import NotUnique, Peer
from engine.listeners.dicom_settings import DicomSettings

PEER = Peer("imaging", "WS01", "10.0.0.1", "HUB")


def data(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


class Holds:
    """Studies, each of one object that goes by the study's UID."""

    def __init__(self, *studies: Dataset) -> None:
        self.studies = studies

    def search(self, level: str, query: Dataset) -> Any:
        return (one for one in self.studies if matches(query, one, level=level))

    def instances(self, study: str = "", series: str = "", sop: Any = ()) -> list[str]:
        return [study for one in self.studies if study in ("", one.StudyInstanceUID)]


def retrieved(*studies: Dataset, default: str = "", level: str = "PATIENT", **asked: Any) -> list[Any]:
    settings = DicomSettings(port=1, ae_title="HUB", issuers={"patient": default})
    nothing: Any = None
    services = Services(
        settings, nothing, Holds(*studies), nothing, nothing, nothing, lambda access: None, lambda: 0
    )
    return list(services.retrieve(PEER, level, data(QueryRetrieveLevel=level, **asked)))


def issued(uid: str, issuer: str = "", number: str = "77") -> Dataset:
    return data(StudyInstanceUID=uid, PatientID=number, **({"IssuerOfPatientID": issuer} if issuer else {}))


NORTH, SOUTH, BARE, OTHER = (
    issued("1.1", "NORTH"),
    issued("1.2", "SOUTH"),
    issued("1.3"),
    issued("1.4", "NORTH", "7"),
)


def test_all_of_one_patient_is_given():
    assert retrieved(NORTH, OTHER, issued("1.9", "NORTH"), PatientID="77") == ["1.1", "1.9"]
    assert retrieved(BARE, OTHER, PatientID="77") == ["1.3"]
    assert retrieved(NORTH, OTHER, PatientID="78") == []


@pytest.mark.parametrize("studies", [(NORTH, SOUTH), (NORTH, BARE)], ids=["two issuers", "one is not known"])
def test_a_number_that_several_issuers_have_is_refused_without_its_issuer(studies: tuple[Dataset, ...]):
    with pytest.raises(NotUnique) as refused:
        retrieved(*studies, PatientID="77")
    assert "77" not in str(refused.value) and "NORTH" not in str(refused.value)
    assert retrieved(*studies, PatientID="77", IssuerOfPatientID="NORTH") == ["1.1"]
    assert retrieved(*studies, PatientID="77", IssuerOfPatientID="EAST") == []


def test_a_study_without_an_issuer_is_of_the_one_the_site_names():
    assert retrieved(NORTH, BARE, default="NORTH", PatientID="77") == ["1.1", "1.3"]
    assert retrieved(NORTH, BARE, default="NORTH", PatientID="77", IssuerOfPatientID="NORTH") == [
        "1.1",
        "1.3",
    ]
    with pytest.raises(NotUnique):
        retrieved(NORTH, BARE, default="SOUTH", PatientID="77")


def test_an_issuer_that_is_said_by_its_universal_id_is_one():
    said = issued("1.5")
    said.IssuerOfPatientIDQualifiersSequence = [data(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")]
    with pytest.raises(NotUnique):
        retrieved(NORTH, said, PatientID="77")
    assert retrieved(NORTH, said, PatientID="77", IssuerOfPatientID="1.2.3") == ["1.5"]


@pytest.mark.parametrize("wild", ["*", "7?", "7*"])
def test_a_wildcard_is_not_a_number(wild: str):
    assert retrieved(NORTH, OTHER, PatientID=wild) == []


def test_a_study_of_somebody_else_is_not_given_for_a_patient():
    assert retrieved(NORTH, OTHER, PatientID="77", StudyInstanceUID="1.4") == []
    assert retrieved(NORTH, OTHER, PatientID="7", StudyInstanceUID="1.4") == ["1.4"]
    assert retrieved(NORTH, OTHER, level="STUDY", StudyInstanceUID=["1.1", "1.4"]) == ["1.1", "1.4"]
