"""QIDO-RS: what is found, what of it is shown, how much at one time, and what is no question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicomweb_side import Side, make_side, sample

from engine.console.dicomweb_search import _CAP
from engine.imaging.searching import TooBroad

BASE = "http://127.0.0.1:8080/dicomweb"
STUDIES = {"1.2.1": ("MÜLLER^JÜRGEN", "20260103", "CT"), "1.2.2": ("MILLER^ANN", "20260210", "MR"),
           "1.2.3": ("MEIER^ZOE", "20260315", "CT")}  # fmt: skip


def image(study: str, series: str, number: int, name: str, day: str, modality: str) -> bytes:
    issuer = pydicom.Dataset()
    issuer.LocalNamespaceEntityID = "NORTH"
    request = pydicom.Dataset()
    request.AccessionNumber, request.RequestedProcedureID = f"A{study[-1]}", f"P{study[-1]}"
    return sample(
        "CT_small.dcm",
        SpecificCharacterSet="ISO_IR 192",
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.{series}",
        SOPInstanceUID=f"{study}.{series}.{number}",
        PatientName=name,
        PatientID=f"PID{study[-1]}",
        StudyDate=day,
        Modality=modality,
        SeriesNumber=series,
        InstanceNumber=number,
        AccessionNumber=f"A{study[-1]}",
        IssuerOfAccessionNumberSequence=[issuer],
        RequestAttributesSequence=[request],
    )


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """Three studies of two series of two images each. Tests only ask."""
    made = make_side(tmp_path_factory.mktemp("dicomweb"))
    made.keep(*(image(study, s, n, *STUDIES[study]) for study in STUDIES for s in ("1", "2") for n in (1, 2)))
    yield made
    made.kept.index.close()


def studies(side: Side, query: str) -> set[str]:
    answer = side.get(f"/studies?{query}")
    assert answer.status_code == 200, answer.text
    return {row["0020000D"]["Value"][0] for row in answer.json()}


FOUND = {
    "": set(STUDIES),
    "PatientID=*": set(STUDIES),
    "PatientID=PID2": {"1.2.2"},
    "00100020=PID2": {"1.2.2"},
    "PatientName=M%C3%9CLLER*": {"1.2.1"},
    "PatientName=m?ller*": {"1.2.1", "1.2.2"},
    "StudyDate=20260103-20260301": {"1.2.1", "1.2.2"},
    "StudyDate=20260210-": {"1.2.2", "1.2.3"},
    "StudyDate=20260315": {"1.2.3"},
    "AccessionNumber=A1": {"1.2.1"},
    "ModalitiesInStudy=CT": {"1.2.1", "1.2.3"},
    "StudyInstanceUID=1.2.1,1.2.3": {"1.2.1", "1.2.3"},
    "StudyInstanceUID=1.2.1%5C1.2.2": {"1.2.1", "1.2.2"},
    "00080051.00400031=NORTH": set(STUDIES),
    "IssuerOfAccessionNumberSequence.LocalNamespaceEntityID=SOUTH": set(),
    "PatientID=PID1&StudyDate=20260210": set(),
    "PatientName=": set(STUDIES),
    "PatientID=PID2&fuzzymatching=false&accept=application/dicom%2Bjson": {"1.2.2"},
}


@pytest.mark.parametrize("query", FOUND)
def test_studies_are_found_by_their_keys(side: Side, query: str) -> None:
    assert studies(side, query) == FOUND[query]


def test_nothing_found_is_an_empty_array(side: Side) -> None:
    """Orthanc as a client fails on 204 without a body."""
    answer = side.get("/studies?PatientID=nobody")
    assert (answer.status_code, answer.content) == (200, b"[]")
    assert answer.headers["content-type"] == "application/dicom+json"


# PS3.18 tables 10.6.3-3 to 10.6.3-5, those that a CT image of this hub has
OF_STUDY = (
    "00080005 00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 00100030 "
    "00100040 0020000D 00200010 00201206 00201208"
)
OF_SERIES = "00080005 00080060 00081190 0020000E 00200011 00201209 00400275"
OF_INSTANCE = "00080005 00080016 00080018 00080056 00081190 00200013 00280010 00280011 00280100"
STUDY, SERIES, INSTANCE = set(OF_STUDY.split()), set(OF_SERIES.split()), set(OF_INSTANCE.split())
ONE = "/studies/1.2.1/series/1.2.1.1"
IMAGE = f"{ONE}/instances/1.2.1.1.1"


@pytest.mark.parametrize(
    "path, count, required, not_shown, address",
    [
        ("/studies", 3, STUDY, SERIES - STUDY | {"00081030"}, "/studies/1.2.1"),
        ("/studies/1.2.1/series", 2, SERIES, {"00100010", "00201208"}, ONE),
        ("/series", 6, SERIES | STUDY, INSTANCE - SERIES - STUDY, ONE),
        ("/studies/1.2.1/instances", 4, INSTANCE | SERIES, {"00100010"}, IMAGE),
        (f"{ONE}/instances", 2, INSTANCE, {"00100010", "00400275"}, IMAGE),
        ("/instances", 12, INSTANCE | SERIES | STUDY, {"00180050"}, IMAGE),
    ],
)
def test_what_is_shown_of_each_level(
    side: Side, path: str, count: int, required: set[str], not_shown: set[str], address: str
) -> None:
    rows = side.get(path).json()
    assert len(rows) == count
    for row in rows:
        assert required <= set(row), required - set(row)
        assert not not_shown & set(row)
        assert row["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert BASE + address in {row["00081190"]["Value"][0] for row in rows}


def test_counts_and_modalities_of_a_study(side: Side) -> None:
    (row,) = side.get("/studies?StudyInstanceUID=1.2.1").json()
    assert row["00201206"]["Value"] == [2]
    assert row["00201208"]["Value"] == [4]
    assert row["00080061"]["Value"] == ["CT"]
    assert row["00100010"]["Value"] == [{"Alphabetic": "MÜLLER^JÜRGEN"}]
    (row,) = side.get("/studies/1.2.1/series?SeriesNumber=2").json()
    assert (row["00201209"]["Value"], row["00200011"]["Value"]) == ([2], [2])


def test_instances_by_the_keys_of_levels_above(side: Side) -> None:
    rows = side.get("/instances?PatientID=PID2&SeriesNumber=1&InstanceNumber=2").json()
    assert [row["00080018"]["Value"] for row in rows] == [["1.2.2.1.2"]]


def test_more_is_shown_where_it_is_asked_for(side: Side) -> None:
    path = "/studies/1.2.1/series/1.2.1.1/instances?limit=1"
    plain = set(side.get(path).json()[0])
    more = set(side.get(f"{path}&includefield=SliceThickness&includefield=00200032,00100010").json()[0])
    assert more - plain == {"00180050", "00200032", "00100010"}
    everything = set(side.get(f"{path}&includefield=all").json()[0])
    assert everything > more | {"00080060", "00080050"}
    assert set(side.get(f"{path}&includefield=PatientComments").json()[0]) >= plain
    assert "00180050" not in side.get("/studies?includefield=all").json()[0]


def test_pages(side: Side) -> None:
    whole = [row["00080018"]["Value"][0] for row in side.get("/instances").json()]
    pages = []
    for offset in range(0, 15, 5):
        answer = side.get(f"/instances?limit=5&offset={offset}")
        assert "warning" not in answer.headers
        pages += [row["00080018"]["Value"][0] for row in answer.json()]
    assert pages == whole
    assert side.get("/instances?offset=12").json() == []


def test_more_than_is_shown_at_one_time_is_said(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _CAP == 1000
    monkeypatch.setattr("engine.console.dicomweb_search._CAP", 5)
    for query in ("", "?limit=6"):
        answer = side.get(f"/instances{query}")
        assert len(answer.json()) == 5
        assert answer.headers["warning"].startswith('299 127.0.0.1:8080 "The number of results exceeded')
    assert "warning" not in side.get("/instances?limit=5").headers
    assert "warning" not in side.get("/instances?offset=7").headers


def test_fuzzy_matching_is_not_done_and_that_is_said(side: Side) -> None:
    answer = side.get("/studies?PatientName=MULLER&fuzzymatching=true")
    assert answer.json() == []
    assert "299 127.0.0.1:8080" in answer.headers["warning"]
    assert "fuzzymatching parameter is not supported" in answer.headers["warning"]


WRONG = (
    "limit=x", "limit=-1", "offset=1e3", "limit=", "fuzzymatching=yes", "includefield=Nothing", "Nothing=1",
    "includefield=0010", "00100020.00100020=1", "PatientID=1&00100020=2", "0008,0020=1", "Rows=1", "=",
    "PatientID=%00", "00091001=1", "PixelData=1", "IssuerOfAccessionNumberSequence=1", "a.b.c.d.e.f.g.h.i=1",
    "Modality=CT", "SOPInstanceUID=1.2", "StudyDate=" + "1" * 20_000,
)  # fmt: skip


@pytest.mark.parametrize("query", WRONG)
def test_what_is_no_question_is_refused_without_repeating_it(side: Side, query: str) -> None:
    answer = side.get(f"/studies?{query}")
    assert answer.status_code == 400, answer.text
    assert query.partition("=")[2] in ("", "1") or query.partition("=")[2] not in answer.text.replace(
        "1000", ""
    )


def test_a_query_must_not_contradict_its_address(side: Side) -> None:
    assert side.get("/studies/1.2.1/series?StudyInstanceUID=1.2.2").status_code == 400
    assert len(side.get("/studies/1.2.1/series?StudyInstanceUID=1.2.1").json()) == 2


@pytest.mark.parametrize(
    "accept", ["application/dicom+xml", "text/html", 'multipart/related; type="application/dicom+json"']
)
def test_answers_are_json_only(side: Side, accept: str) -> None:
    assert side.get("/studies", accept).status_code == 406


def test_too_many_parameters(side: Side) -> None:
    assert side.get("/studies?" + "&".join(["includefield=PatientID"] * 101)).status_code == 400


def test_a_question_that_is_too_broad(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    def broad(*_: Any) -> Iterator[Any]:
        raise TooBroad("the query is too broad", why="it is", remedy="ask for less")
        yield

    monkeypatch.setattr(side.kept, "search", broad)
    assert side.get("/studies").status_code == 413


def test_an_empty_hub_has_nothing(tmp_path: Path) -> None:
    side = make_side(tmp_path)
    for path in ("/studies", "/series", "/instances"):
        assert side.get(path).json() == []
    side.kept.index.close()
