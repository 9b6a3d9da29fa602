"""DICOMweb over real sockets, into a real journal, asked by a client that nobody here wrote."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
import uvicorn
from console_web import web_side
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from dicomweb_side import body_of, sample
from hub_project import TOKEN, Hub, make_project

from engine.channels.node.ingest import Ingest
from engine.console.app import create_app
from engine.console.dicomweb import DicomWeb
from engine.imaging.index import SqlIndex
from engine.objects.folder import FolderObjects

CT, SERIES = "1.2.3.1", "1.2.3.1.1"
FILES = [sample("CT_small.dcm", StudyInstanceUID=CT, SeriesInstanceUID=SERIES, SOPInstanceUID=f"{SERIES}.{n}",
                InstanceNumber=n, PatientID="CT1") for n in range(1, 6)]  # fmt: skip
KIND = 'multipart/related; type="application/dicom"; boundary=a-boundary'


@dataclass
class Site:
    hub: Hub
    spool: Path
    url: str
    client: Any
    http: httpx.Client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A web side on a port of its own, with five images of a study. Tests store other studies."""
    folder = tmp_path_factory.mktemp("site")
    hub = Hub.open(make_project(folder / "project"))
    objects = FolderObjects(folder / "objects", hub.keyring)
    index = SqlIndex.open(f"sqlite:///{folder / 'imaging.db'}", hub.keyring)
    web = DicomWeb(index, objects, Ingest(objects, index, hub.journal.append), "imaging")
    gauge = web_side(hub).gauge
    listening = socket.create_server(("127.0.0.1", 0))
    root = f"http://127.0.0.1:{listening.getsockname()[1]}"
    # dicomweb-client leaves the port out of its Host header: links begin with what the configuration says
    console = hub.config.console.model_copy(update={"proxy": root})
    config = hub.config.model_copy(update={"console": console})
    app = create_app(config, hub.keyring, hub.store, gauge, TOKEN, dicomweb=web)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    url = f"{root}/dicomweb"
    session = create_session_from_user_pass("client", TOKEN)
    client = DICOMwebClient(url, session=session)
    with httpx.Client(auth=("client", TOKEN), timeout=60) as http:
        made = Site(hub, folder / "objects" / "incoming", url, client, http)
        client.store_instances([pydicom.dcmread(BytesIO(one)) for one in FILES])
        yield made
    server.should_exit = True
    thread.join(20)
    gauge.close()
    index.close()
    hub.close()


def test_what_a_client_stores_is_in_the_journal(site: Site) -> None:
    entries = [entry for entry in site.hub.journal.read(0, 1000) if entry.channel == "imaging"]
    assert {entry.sender for entry in entries} == {"token"}
    assert {entry.control_id for entry in entries} >= {f"{SERIES}.{n}" for n in range(1, 6)}


def test_an_object_of_a_class_that_is_not_taken_is_refused(site: Site) -> None:
    step = sample("CT_small.dcm", SOPClassUID="1.2.840.10008.3.1.2.3.3", SOPInstanceUID="1.2.3.66")
    said = pydicom.dcmread(BytesIO(step))
    said.file_meta.MediaStorageSOPClassUID = said.SOPClassUID
    out = BytesIO()
    said.save_as(out)
    headers = {"Content-Type": KIND, "Accept": "*/*"}
    answer = site.http.post(f"{site.url}/studies", content=body_of(out.getvalue()), headers=headers)
    assert answer.status_code == 409
    (item,) = answer.json()["00081198"]["Value"]
    assert (item["00081155"]["Value"], item["00081197"]["Value"]) == (["1.2.3.66"], [0x0122])


def test_a_client_searches(site: Site) -> None:
    (study,) = site.client.search_for_studies(
        search_filters={"PatientID": "CT1"}, fields=["StudyDescription"]
    )
    assert study["0020000D"]["Value"] == [CT]
    assert pydicom.Dataset.from_json(study).NumberOfStudyRelatedInstances == 5
    (series,) = site.client.search_for_series(CT)
    assert series["0020000E"]["Value"] == [SERIES]
    assert len(site.client.search_for_instances(CT)) == 5
    assert len(site.client.search_for_instances(CT, SERIES, limit=2, offset=1)) == 2
    assert site.client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_a_client_retrieves_what_was_stored(site: Site) -> None:
    was = {one.SOPInstanceUID: one for one in (pydicom.dcmread(BytesIO(file)) for file in FILES)}
    for found in (site.client.retrieve_study(CT), site.client.retrieve_series(CT, SERIES)):
        assert {one.SOPInstanceUID: one for one in found} == was
    number = f"{SERIES}.3"
    for wanted in (None, (("application/dicom", "*"),), (("application/dicom", "1.2.840.10008.1.2.1"),)):
        assert site.client.retrieve_instance(CT, SERIES, number, media_types=wanted) == was[number]
    assert [one.SOPInstanceUID for one in site.client.iter_series(CT, SERIES)] == [
        f"{SERIES}.{n}" for n in range(1, 6)
    ]


def test_a_client_reads_metadata_and_what_they_refer_to(site: Site) -> None:
    assert len(site.client.retrieve_study_metadata(CT)) == 5
    assert len(site.client.retrieve_series_metadata(CT, SERIES)) == 5
    metadata = site.client.retrieve_instance_metadata(CT, SERIES, f"{SERIES}.1")
    was = pydicom.dcmread(BytesIO(FILES[0]))
    (pixels,) = site.client.retrieve_bulkdata(metadata["7FE00010"]["BulkDataURI"])
    assert pixels == was.PixelData
    read = pydicom.Dataset.from_json(metadata, bulk_data_uri_handler=lambda _: b"")
    assert (read.PatientName, read.Rows) == (was.PatientName, was.Rows)


def test_a_client_retrieves_frames_and_pictures(site: Site) -> None:
    was = pydicom.dcmread(BytesIO(FILES[0]))
    for media in (None, ("application/octet-stream",), (("application/octet-stream", "*"),)):
        (frame,) = site.client.retrieve_instance_frames(CT, SERIES, f"{SERIES}.1", [1], media_types=media)
        assert frame == was.PixelData
    for media in (None, ("image/png",), ("image/jpeg",)):
        picture = site.client.retrieve_instance_rendered(CT, SERIES, f"{SERIES}.1", media_types=media)
        assert picture[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
    picture = site.client.retrieve_instance_frames_rendered(
        CT, SERIES, f"{SERIES}.1", [1], media_types=("image/png",)
    )
    assert picture[:4] == b"\x89PNG"


def test_compressed_frames_reach_a_client_as_they_are(site: Site) -> None:
    file = sample("JPEG2000.dcm")
    was = pydicom.dcmread(BytesIO(file))
    site.client.store_instances([was])
    uids = (was.StudyInstanceUID, was.SeriesInstanceUID, was.SOPInstanceUID)
    media = (("image/jp2", str(was.file_meta.TransferSyntaxUID)),)
    (frame,) = site.client.retrieve_instance_frames(*uids, [1], media_types=media)
    assert frame in was.PixelData
    again = site.client.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
    assert (again, again.file_meta.TransferSyntaxUID) == (was, was.file_meta.TransferSyntaxUID)


def test_the_same_again_changes_nothing_and_other_bytes_are_not_served(site: Site) -> None:
    first = sample("MR_small_implicit.dcm", StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1.1")
    other = sample(
        "MR_small_implicit.dcm", StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1.1", PatientComments="X"
    )
    for one in (first, first, other):
        answer = site.http.post(f"{site.url}/studies", content=body_of(one), headers={"Content-Type": KIND})
        assert answer.status_code in (200, 202), answer.text
    accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    kept = site.http.get(f"{site.url}/studies/1.2.9", headers=accept).content
    assert (first in kept, other in kept) == (True, False)


def test_a_body_that_breaks_off_leaves_only_what_was_whole(site: Site) -> None:
    size: dict[str, Any] = {"Rows": 512, "Columns": 512, "PixelData": bytes(1 << 19)}
    files = [
        sample("CT_small.dcm", StudyInstanceUID="1.2.8", SOPInstanceUID=f"1.2.8.{n}", **size) for n in (1, 2)
    ]
    body = body_of(*files)
    begun = threading.Event()

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body) - 20_000, 8192):
            yield body[at : at + 8192]
        begun.set()
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        site.http.post(f"{site.url}/studies", content=pieces(), headers={"Content-Type": KIND})
    assert begun.is_set()
    until = time.monotonic() + 30
    while not (rows := _recorded(site, "1.2.8 stored 1")) and time.monotonic() < until:
        threading.Event().wait(0.02)  # the server hears of it on its own thread
    assert rows
    assert list(site.spool.iterdir()) == []
    assert [one["00080018"]["Value"] for one in site.client.search_for_instances("1.2.8")] == [["1.2.8.1"]]
    site.http.post(f"{site.url}/studies", content=body, headers={"Content-Type": KIND}).raise_for_status()
    assert len(site.client.search_for_instances("1.2.8")) == 2


def _recorded(site: Site, text: str) -> list[Any]:
    newest, _ = site.hub.store.audit.head()
    return [row for row in site.hub.store.audit.rows(max(0, newest - 5), 5) if text in row.detail]
