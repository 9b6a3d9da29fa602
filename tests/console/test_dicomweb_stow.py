"""STOW-RS: every part is kept byte for byte or refused with its reason; nothing half-sent is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dicomweb_side import Side, body_of, make_side, place, sample

CT = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    made = make_side(tmp_path, most=1 << 20)
    yield made
    made.kept.index.close()


def reasons(answer: Any) -> dict[str, int]:
    """Return why instances failed, by their UIDs."""
    items = answer.json().get("00081198", {}).get("Value", [])
    return {item["00081155"]["Value"][0]: item["00081197"]["Value"][0] for item in items}


def others(answer: Any) -> list[int]:
    """Return why parts failed that do not say which instance they are."""
    return [item["00081197"]["Value"][0] for item in answer.json().get("0008119A", {}).get("Value", [])]


def test_what_is_stored_says_where_it_is_to_be_had(side: Side) -> None:
    answer = side.stow(sample("CT_small.dcm"), accept="application/dicom+json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    body = answer.json()
    (item,) = body["00081199"]["Value"]
    assert item["00081150"]["Value"] == ["1.2.840.10008.5.1.4.1.1.2"]
    assert "00081198" not in body
    assert body["00081190"]["Value"] == [f"http://127.0.0.1:8080/dicomweb/studies/{CT}"]
    kept = side.client.get(item["00081190"]["Value"][0], headers={"Accept": ANY})
    assert sample("CT_small.dcm") in kept.content
    (received,) = side.kept.received
    assert received.is_file
    assert (received.peer.channel, received.peer.aet, received.peer.address) == (
        "imaging",
        "token",
        "127.0.0.1",
    )
    assert received.transfer_syntax == "1.2.840.10008.1.2.1"


def test_one_object_comes_without_parts_too(side: Side) -> None:
    content = sample("CT_small.dcm")
    answer = side.client.post(
        "/dicomweb/studies", content=content, headers={"Content-Type": "application/dicom"}
    )
    assert answer.status_code == 200
    (one,) = side.kept.instances(CT)
    assert side.get(place(one), "application/dicom; transfer-syntax=*").content == content


def test_a_body_in_small_pieces_is_the_same_body(side: Side) -> None:
    files = [sample("CT_small.dcm"), sample("JPEG2000.dcm"), sample("image_dfl.dcm")]
    body = body_of(*files)
    kind = "multipart/related; type=application/dicom; boundary=a-boundary"

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), 997):
            yield body[at : at + 997]

    answer = side.client.post("/dicomweb/studies", content=pieces(), headers={"Content-Type": kind})
    assert answer.status_code == 200
    held = [
        side.kept.instances(sop=(sop["00081155"]["Value"][0],))[0]
        for sop in answer.json()["00081199"]["Value"]
    ]
    for file, one in zip(files, held, strict=True):
        assert side.get(place(one), "application/dicom; transfer-syntax=*").content == file


def test_some_may_fail(side: Side) -> None:
    answer = side.stow(sample("CT_small.dcm"), b"no DICOM at all", sample("JPEG2000.dcm"))
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 2
    assert (reasons(answer), others(answer)) == ({}, [0xC000])


def test_a_study_in_the_address_is_the_only_one(side: Side) -> None:
    other = sample("MR_small_implicit.dcm")
    answer = side.stow(sample("CT_small.dcm"), other, study=CT)
    assert answer.status_code == 202
    assert list(reasons(answer).values()) == [0xA900]
    assert answer.json()["00081190"]["Value"][0].endswith(CT)
    assert len(side.kept.received) == 1
    answer = side.stow(other, study=CT)
    assert (answer.status_code, list(reasons(answer).values())) == (409, [0xA900])


@pytest.mark.parametrize(
    "status, code, found",
    [(0xA700, 503, 0xA700), (0xA900, 409, 0xA900), (0xC000, 409, 0xC000), (0x0111, 409, 0x0111)],
)
def test_what_storing_says_is_passed_on(side: Side, status: int, code: int, found: int) -> None:
    side.kept.status = status
    answer = side.stow(sample("CT_small.dcm"))
    assert (answer.status_code, list(reasons(answer).values())) == (code, [found])
    assert ("retry-after" in answer.headers) == (code == 503)
    assert side.kept.instances(CT) == []


def test_a_warning_is_told_with_what_was_stored(side: Side) -> None:
    side.kept.status = 0xB000
    answer = side.stow(sample("CT_small.dcm"))
    assert answer.status_code == 202
    assert answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB000]


def test_a_full_disk_is_said_and_leaves_nothing(side: Side) -> None:
    side.kept.room = 70_000
    big = sample("CT_small.dcm", Columns=1024, PixelData=bytes(1 << 18), SOPInstanceUID="1.2.3")
    answer = side.stow(sample("CT_small.dcm"), big, sample("JPEG2000.dcm"))
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 2
    assert reasons(answer) == {"1.2.3": 0xA700}
    side.kept.room = 10
    answer = side.stow(sample("CT_small.dcm"))
    assert (answer.status_code, list(reasons(answer).values())) == (503, [0xA700])
    assert [one.abandoned for one in side.kept.coming] == [False, True, False, True]
    assert list((side.kept.objects.root / "incoming").iterdir()) == []


def test_an_object_over_the_limit_is_too_long(side: Side) -> None:
    big = sample("CT_small.dcm", Rows=1024, Columns=1024, PixelData=bytes(2 << 20), SOPInstanceUID="1.2.3")
    answer = side.stow(big)
    assert (answer.status_code, reasons(answer)) == (413, {"1.2.3": 0xA700})
    assert side.kept.coming[0].abandoned
    assert side.stow(big, sample("CT_small.dcm")).status_code == 202


@pytest.mark.parametrize(
    "kind, status",
    [
        ("text/plain", 415),
        ("", 415),
        ("multipart/form-data; boundary=a-boundary", 415),
        ('multipart/related; type="application/dicom+json"; boundary=a-boundary', 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=another', 400),
        ('multipart/related; type="application/dicom"; boundary=' + "x" * 80, 400),
    ],
)
def test_bodies_of_other_kinds(side: Side, kind: str, status: int) -> None:
    body = body_of(sample("CT_small.dcm"))
    answer = side.client.post("/dicomweb/studies", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert side.kept.received == []


def test_an_answer_in_another_form_is_not_acceptable_and_nothing_is_stored(side: Side) -> None:
    assert side.stow(sample("CT_small.dcm"), accept="application/dicom+xml").status_code == 406
    assert side.kept.received == []


def test_a_body_that_ends_too_early_keeps_only_what_was_whole(side: Side) -> None:
    body = body_of(sample("CT_small.dcm"), sample("JPEG2000.dcm"))
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=a-boundary'}
    answer = side.client.post("/dicomweb/studies", content=body[: len(body) - 500], headers=kind)
    assert (answer.status_code, others(answer)) == (202, [0xC000])
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert [row.detail.split()[-3:] for row in side.ledger.rows] == [["1", "failed", "0"]]
    answer = side.client.post("/dicomweb/studies", content=body[:500], headers=kind)
    assert answer.status_code == 400
    assert side.client.post("/dicomweb/studies", content=b"", headers=kind).status_code == 400
    assert list((side.kept.objects.root / "incoming").iterdir()) == []


def test_a_part_of_another_kind_fails_alone(side: Side) -> None:
    body = b"--a-boundary\r\nContent-Type: application/json\r\n\r\n{}\r\n" + body_of(sample("CT_small.dcm"))
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=a-boundary'}
    answer = side.client.post("/dicomweb/studies", content=body, headers=kind)
    assert (answer.status_code, others(answer)) == (202, [0xC000])


def test_nothing_is_stored_where_nothing_may_be(tmp_path: Path) -> None:
    side = make_side(tmp_path)
    path = f"/dicomweb/studies/{CT}/series"
    answer = side.client.post(path, content=b"")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    side.kept.index.close()
