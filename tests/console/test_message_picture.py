"""A small picture of the images that a message tells of: made by the hub, for who may see studies."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from console_people import Console, console_of
from hub_project import HERE, Hub, make_project, shipped_maps
from PIL import Image

from engine.channels.node.opening import Imaging
from engine.formats.dicom.header import read_header
from engine.imaging.index import SqlIndex
from engine.kernel.imaging import NewInstance, Peer
from engine.objects.folder import FolderObjects

OBJECT = HERE / "sample_messages/dicom/ct_1.dcm"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder: Path = tmp_path_factory.mktemp("pictures")
    project = Hub.open(make_project(folder / "project"), shipped_maps())
    objects = FolderObjects(folder / "objects", project.keyring)
    index = SqlIndex.open(f"sqlite:///{folder / 'imaging.db'}", project.keyring)
    coming = objects.begin()
    coming.write(OBJECT.read_bytes())
    stored = objects.keep(coming)
    index.add([NewInstance(1, Peer("node", "CT", ""), stored, 1, read_header(BytesIO(OBJECT.read_bytes())))])
    project.receive("lab_oru", OBJECT.read_bytes())
    project.receive("lab_oru", (HERE / "sample_messages/dicom/us_1.dcm").read_bytes())  # not held
    project.receive("lab_oru", project.sample("lab/oru_potassium"))
    made = console_of(project)
    made.hub.images = Imaging(objects, index)
    yield made
    made.close()
    index.close()
    project.close()


def test_a_picture_of_what_is_held(console: Console) -> None:
    someone = console.as_("operator")
    assert "/message/1/thumbnail" in someone.get("/message/1").text
    answer = someone.get("/message/1/thumbnail")
    assert (
        answer.headers["content-type"] == "image/jpeg"
        and "sandbox" in answer.headers["content-security-policy"]
    )
    assert max(Image.open(BytesIO(answer.content)).size) <= 128
    assert console.audit()[-1][1:3] == ("console:message:thumbnail", "entry/1")


def test_what_is_not_held_or_no_image_has_none(console: Console) -> None:
    someone = console.as_("operator")
    someone.get("/message/2/thumbnail", 404)
    someone.get("/message/3/thumbnail", 404)
    assert "thumbnail" not in someone.get("/message/3").text


def test_who_may_not_see_studies_gets_none(console: Console) -> None:
    console.as_("viewer").get("/message/1/thumbnail", 403)
    someone = console.as_("viewer", glass=("lab_*",))  # a broken glass opens messages, not images
    someone.get("/message/1/thumbnail", 403)
    assert "thumbnail" not in someone.get("/message/1").text
