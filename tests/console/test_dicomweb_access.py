"""DICOMweb: who may, that it is recorded before it is shown, and that nothing is said to anybody else."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from console_web import Web
from dicomweb_side import Side, body_of, make_side, place, sample
from hub_project import TOKEN
from starlette.testclient import TestClient

from engine.console.app import create_app
from engine.console.dicomweb import DicomWeb
from engine.formats.dicom.header import read_header
from engine.store.audit import Access

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'
NAME, NUMBER = "CompressedSamples^CT1", "1CT1"


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    made = make_side(tmp_path)
    made.keep(sample("CT_small.dcm"))
    made.ledger.rows.clear()
    made.kept.opened = 0
    yield made
    made.kept.index.close()


def basic(password: str, user: str = "orthanc") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


PATHS = ("/studies", "/studies/1.2", "/studies/1.2/metadata", "/wado", "", "/nowhere")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, basic("wrong"), basic(""), {"Authorization": "Basic !"}],
)
def test_a_stranger_is_told_nothing_and_recorded(
    side: Side, path: str, method: str, headers: dict[str, str]
) -> None:
    answer = side.stranger.request(method, f"/dicomweb{path}", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"error": "a token is needed"})
    assert "Bearer" in answer.headers["www-authenticate"]
    assert 'Basic realm="hub"' in answer.headers["www-authenticate"]
    (row,) = side.ledger.rows
    assert (row.who, row.action, row.what, row.detail) == (
        "-",
        "dicomweb:refused",
        "dicomweb",
        "401 from 192.0.2.7",
    )


def test_a_stranger_stores_nothing(side: Side) -> None:
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=a-boundary'}
    before = len(side.kept.received)
    answer = side.stranger.post("/dicomweb/studies", content=body_of(sample("JPEG2000.dcm")), headers=headers)
    assert answer.status_code == 401
    assert len(side.kept.received) == before


def test_the_token_is_a_password_too(side: Side) -> None:
    assert side.stranger.get("/dicomweb/studies", headers=basic(TOKEN)).status_code == 200
    assert side.ledger.rows[-1].who == "token"


def test_every_access_is_recorded_with_who_and_what(side: Side) -> None:
    (one,) = side.kept.instances(sop=(next(iter(side.kept.sent)),))
    uids = f"{one.study}/{one.series}/{one.sop_instance}"
    asked = (
        (f"/studies?PatientName={NAME}", "search", "studies", f"200 PatientName={NAME} found 1: {one.study}"),
        (place(one), "retrieve", "instance", f"200 {uids} instances 1"),
        (f"/studies/{one.study}", "retrieve", "study", f"200 {one.study} instances 1"),
        (f"{place(one)}/metadata", "metadata", "instance", f"200 {uids} instances 1"),
        (f"{place(one)}/frames/1", "frames", "instance", f"200 {uids} instances 1 frames 1"),
        (f"{place(one)}/rendered", "rendered", "instance", f"200 {uids} instances 1 frames 1"),
        (f"{place(one)}/thumbnail", "thumbnail", "instance", f"200 {uids} instances 1"),
        (f"{place(one)}/bulkdata/7FE00010", "bulkdata", "instance", f"200 {uids} instances 1"),
        ("/studies/1.2.3", "refused", "study", "404 GET studies/1.2.3"),
        (f"/studies?PatientNam={NAME}", "refused", "dicomweb", f"400 GET studies PatientNam={NAME}"),
    )
    for path, action, what, detail in asked:
        side.ledger.rows.clear()
        side.get(path)
        assert side.ledger.rows == [Access("token", f"dicomweb:{action}", what, detail)]


def test_what_cannot_be_recorded_is_not_shown(side: Side) -> None:
    (one,) = side.kept.instances(sop=(next(iter(side.kept.sent)),))
    side.ledger.broken = True
    for path in ("/studies", place(one), f"{place(one)}/metadata", f"{place(one)}/rendered", "/nowhere"):
        answer = side.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert NAME.encode() not in answer.content
    assert side.stow(sample("JPEG2000.dcm")).status_code == 503
    assert side.stranger.get("/dicomweb/studies").status_code == 503


def test_nothing_of_a_patient_or_a_question_is_logged(side: Side, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (one,) = side.kept.instances(sop=(next(iter(side.kept.sent)),))
    for path in (
        f"/studies?PatientName={NAME}",
        f"/studies?{NUMBER}=1",
        place(one),
        f"/studies/{one.study}/x",
    ):
        answer = side.get(path)
        assert NUMBER not in str(answer.headers)
        if answer.status_code >= 400:
            assert NUMBER not in answer.text
    side.kept.gone = True
    assert side.get(place(one)).status_code == 503
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("hub")]
    assert ours == ["the objects cannot be reached"]
    logged = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]  # the client's own
    assert not any(NUMBER in line or NAME in line for line in logged)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", ["/studies/1.2/series", "/instances", "/studies", "/studies/1.2"])
def test_other_methods(side: Side, method: str, path: str) -> None:
    answer = side.client.request(method, f"/dicomweb{path}", content=b"")
    if method == "POST" and path in ("/studies", "/studies/1.2"):
        assert answer.status_code == 415
        return
    stores = path in ("/studies", "/studies/1.2")
    assert (answer.status_code, answer.headers["allow"]) == (
        405,
        "GET, HEAD, POST" if stores else "GET, HEAD",
    )
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    "uid", ["1.2.x", "1..2", ".1", "1.2.", "-1", "1" * 65, "1.2%00", "%C2%B2", "*", "1.2\\1.3"]
)
def test_what_is_no_uid_is_refused_before_it_is_looked_for(side: Side, uid: str) -> None:
    below = f"/studies/1.2/series/1.3/instances/{uid}/rendered"
    for path in (f"/studies/{uid}", f"/studies/{uid}/series", f"/studies/1.2/series/{uid}", below):
        answer = side.get(path)
        assert (answer.status_code, answer.json()) == (
            400,
            {"error": "the address holds something that is no UID"},
        )
    assert side.kept.opened == 0


NOTHING = (
    "", "/x", "/patients", "/studies/1.2", "/studies/1.2/x", "/studies/1.2/series/1.3",
    "/studies/1.2/series/1.3/instances/1.4", "/studies/1.2/series/1.3/instances/1.4/frames",
)  # fmt: skip


@pytest.mark.parametrize("path", NOTHING)
def test_addresses_of_nothing(side: Side, path: str) -> None:
    assert side.get(path).status_code == 404


def test_an_instance_is_only_below_its_own_study_and_series(side: Side) -> None:
    (other,) = side.keep(sample("JPEG2000.dcm"))
    (one,) = side.kept.instances(sop=(next(iter(side.kept.sent)),))
    path = f"/studies/{other.study}/series/{one.series}/instances/{one.sop_instance}"
    assert side.get(path).status_code == 404
    assert side.get(f"/studies/{other.study}/series/{one.series}").status_code == 404


def test_an_object_that_is_damaged_breaks_nothing_else(side: Side) -> None:
    (one,) = side.kept.instances(sop=(next(iter(side.kept.sent)),))
    damaged = side.kept.objects.root / one.address[:2] / one.address
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(bytes(data))
    answer = side.get(place(one), ANY)
    assert answer.status_code == 503
    rows = side.get(f"{place(one)}/metadata").json()
    assert rows[0]["00080018"]["Value"] == [one.sop_instance]  # what the index knows


def test_the_web_side_of_a_hub_serves_it_with_its_own_tokens_and_audit_table(
    web: Web, tmp_path: Path
) -> None:
    side = make_side(tmp_path)
    side.keep(sample("CT_small.dcm"))
    app = create_app(
        web.hub.config,
        web.hub.keyring,
        web.hub.store,
        web.gauge,
        TOKEN,
        dicomweb=DicomWeb(side.kept, side.kept),
    )
    client = TestClient(app, "http://127.0.0.1:8080", headers=basic(TOKEN), client=("127.0.0.1", 50000))
    answer: Any = client.get("/dicomweb/studies")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    ((who, action, what, _),) = web.last_audit()
    assert (who, action, what) == ("token", "dicomweb:search", "studies")
    assert web.hub.store.audit.verify() is None
    assert (
        client.post("/dicomweb/studies", content=b"").status_code == 405
    )  # no way to the disk: nothing is stored
    assert 'area="dicomweb"' in web.client.get("/metrics").text or client.get("/metrics").status_code == 200
    assert web.client.get("/dicomweb/studies").status_code == 404  # a hub without imaging
    side.kept.index.close()


SCOPED = {
    "reader": "dicomweb.read",
    "modality": "dicomweb.store",
    "fhir": "system/*.rs feed",
    "imaging": "system/ImagingStudy.rs",
    "patients": "patient/*.rs",
    "usual": "",
}


@pytest.mark.parametrize(
    ("who", "reads", "stores"),
    [
        ("reader", 200, 403),
        ("modality", 403, 200),
        ("fhir", 200, 403),  # system/*.rs is system/ImagingStudy.rs, too
        ("imaging", 200, 403),
        ("patients", 403, 403),
        ("usual", 200, 403),
    ],
)
def test_a_token_does_what_its_scopes_say(tmp_path: Path, who: str, reads: int, stores: int) -> None:
    lines = [f"{name} {name * 5:x<30} {scopes}" for name, scopes in SCOPED.items()]
    side = make_side(tmp_path, tokens="\n".join([TOKEN, *lines]))
    side.keep(sample("CT_small.dcm"))
    side.client.headers["Authorization"] = f"Bearer {who * 5:x<30}"
    for path in ("/studies", "/instances"):
        answer = side.get(path)
        assert answer.status_code == reads, answer.text
        assert (
            reads == 200 or 'insufficient_scope", scope="dicomweb.read"' in answer.headers["www-authenticate"]
        )
        assert side.ledger.rows[-1].who == who
    brought = sample("MR_small.dcm")
    answer = side.stow(brought)
    assert answer.status_code == stores, answer.text
    number = str(read_header(BytesIO(brought)).SOPInstanceUID)
    assert len(side.kept.instances(sop=(number,))) == (stores == 200)
    side.kept.index.close()


def test_a_key_stores_to_its_channels_only(tmp_path: Path) -> None:
    from engine.console.callers import Callers
    from engine.console.refusals import Refusal
    from engine.console.tokens import Tokens
    from engine.security.keys import Keyring
    from engine.staff.staff import Staff

    keyring = Keyring.open(tmp_path / "hub.key", existing_data=False)
    staff = Staff.open(f"sqlite:///{tmp_path / 'staff.db'}", keyring)
    callers = Callers(Tokens.read(TOKEN), staff)
    for name, channels, may in (
        ("ct", ("imaging",), True),
        ("mr", ("other_*",), False),
        ("all", ("*",), True),
    ):
        _, text = staff.keys.add(name, ["dicomweb.store"], "chief", channels=channels)
        caller = callers.who(f"Bearer {text}")
        assert caller is not None and caller.who == f"key/{name}"
        if may:
            caller.needs("dicomweb.store", "imaging")
        else:
            with pytest.raises(Refusal, match="not for the channel"):
                caller.needs("dicomweb.store", "imaging")
    staff.close()
