"""What is asked for in odd ways is answered cleanly: by what was wanted, or by a refusal that says why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from dicomweb_side import Side, make_side, place, sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.console.dicomweb_accept import Wish, wishes
from engine.console.exchange import Ask

SYNTAX = "1.2.840.10008.1.2.4.50"


def wished(accept: str, *parameters: str) -> list[Wish]:
    return wishes(Ask("GET", query=tuple(("accept", p) for p in parameters), headers={"accept": accept}))


ANY = Wish("*/*", None)
DICOM, PARTS = Wish("application/dicom", False), Wish("application/dicom", True)
PNG, JPEG = Wish("image/png", False), Wish("image/jpeg", False)
READ = {
    "": [ANY],
    "*/*": [ANY],
    "application/dicom+json": [Wish("application/dicom+json", False)],
    "multipart/related": [Wish("*/*", True)],
    'multipart/related; type="application/dicom"': [PARTS],
    "multipart/related;type=application/dicom": [PARTS],
    'Multipart/Related; TYPE="Application/DICOM"; transfer-syntax=*': [replace(PARTS, syntax="*")],
    f'multipart/related; type="image/jpeg"; transfer-syntax={SYNTAX}, application/dicom;q=0.5': [
        Wish("image/jpeg", True, SYNTAX),
        replace(DICOM, quality=0.5),
    ],
    "image/png;q=0.1, image/jpeg;q=0.9": [replace(JPEG, quality=0.9), replace(PNG, quality=0.1)],
    "image/png;q=0": [],
    "image/png;q=high, image/jpeg": [JPEG],
    'multipart/related; type="a/b,c/d"; x="\\"", image/png': [Wish("a/b,c/d", True), PNG],
    "nonsense, image/png": [PNG],
    'image/png; x="never ends, image/jpeg': [JPEG],
}


@pytest.mark.parametrize("accept, expected", READ.items())
def test_media_ranges_are_read_as_the_standard_writes_them(accept: str, expected: list[Wish]) -> None:
    assert wished(accept) == expected


def test_the_parameter_comes_first_and_its_plus_may_be_a_blank() -> None:
    assert wished("text/html", "application/dicom json") == [
        Wish("application/dicom+json", False),
        Wish("text/html", False),
    ]


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """A hub with one plain and one compressed image."""
    made = make_side(tmp_path_factory.mktemp("dicomweb"), most=1 << 20)
    made.keep(sample("CT_small.dcm"), sample("JPEG2000.dcm"))
    yield made
    made.kept.index.close()


def clean(answer: Any, *statuses: int) -> None:
    """Say whether an answer is one: what was wanted, or a refusal of whoever asked."""
    assert answer.status_code in statuses or 400 <= answer.status_code < 500, (
        answer.status_code,
        answer.text,
    )
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error"}


WORDS = (
    "*/* image/* image/png image/jpeg application/dicom application/octet-stream application/dicom+json "
    'multipart/related type= transfer-syntax= 1.2.840.10008.1.2.1 boundary=x q=0.5 q=0 * ; , = " \\ a'
)
TOKENS = st.sampled_from([*WORDS.split(), "; ", ", ", " ", SYNTAX, '"application/dicom"'])
ACCEPT = st.one_of(
    st.lists(TOKENS, max_size=14).map("".join),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


RESOURCES = ("", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010")


@FUZZ
@given(ACCEPT, st.integers(0, 1), st.sampled_from(RESOURCES))
def test_any_accept_header_gets_an_answer(side: Side, accept: str, which: int, resource: str) -> None:
    one = side.kept.instances(sop=(sorted(side.kept.sent)[which],))[0]
    clean(side.get(place(one) + resource, accept.strip()), 200)
    clean(side.get(f"{place(one)}{resource}?accept={quote(accept)}"), 200)


NAMES = (
    "PatientID PatientName 00100010 StudyDate StudyTime limit offset includefield fuzzymatching Rows all "
    "NumberOfFrames StudyInstanceUID ModalitiesInStudy 00081140.00081155 PatientBirthDate InstanceNumber "
    "RequestAttributesSequence.00400009 ImagePositionPatient SliceThickness 00080005 SOPClassUID accept"
)
KEYS = st.one_of(st.sampled_from(NAMES.split()), st.text(max_size=12))
SAID = "* ? 1 -1 20260101-20260201 - 20261399 a,b all true 1.2.3, 1e400 nan Ü 00100010 \\ 1\\2"
VALUES = st.one_of(st.sampled_from([*SAID.split(), "", "\x00", "9" * 30]), st.text(max_size=20))


@FUZZ
@given(
    st.lists(st.tuples(KEYS, VALUES), max_size=5),
    st.sampled_from(["/studies", "/series", "/instances", "/studies/1.2/series", "/studies/1.2/instances"]),
)
def test_any_question_gets_an_answer(side: Side, pairs: list[tuple[str, str]], path: str) -> None:
    query = "&".join(f"{quote(k, errors='replace')}={quote(v, errors='replace')}" for k, v in pairs)
    clean(side.get(f"{path}?{query}"), 200)


PIECES = (
    *(
        b"--b",
        b"\r\n",
        b"--",
        b"Content-Type: application/dicom",
        b"\r\n\r\n",
        b"\r\n--b\r\n",
        b"\r\n--b--\r\n",
    ),
    *(b"DICM", bytes(128) + b"DICM", sample("CT_small.dcm")[:400], sample("image_dfl.dcm")[:2000]),
    sample("JPEG2000.dcm"),
)
KINDS = ('multipart/related; type="application/dicom"; boundary=b', "application/dicom")


@FUZZ
@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=40)), max_size=12), st.sampled_from(KINDS)
)
def test_any_body_gets_an_answer(side: Side, pieces: list[bytes], kind: str) -> None:
    answer = side.client.post("/dicomweb/studies", content=b"".join(pieces), headers={"Content-Type": kind})
    assert answer.status_code in (200, 202, 400, 409), (answer.status_code, answer.text)
    assert list((side.kept.objects.root / "incoming").iterdir()) == []


@FUZZ
@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="?#"), max_size=30))
def test_any_address_gets_an_answer(side: Side, rest: str) -> None:
    one = side.kept.instances(sop=(sorted(side.kept.sent)[0],))[0]
    for path in (
        f"/{quote(rest)}",
        f"{place(one)}/frames/{quote(rest)}",
        f"{place(one)}/bulkdata/{quote(rest)}",
    ):
        clean(side.get(path), 200)
