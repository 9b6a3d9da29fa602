"""Documents from a channel to an exchange: what came in goes out, once, with what is known of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_project import HERE, Hub, make_project, shipped_maps

from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import around, destinations_of
from engine.destinations.shared_documents import documents_of, submission_of
from engine.destinations.sharing_settings import SharingSettings
from engine.formats.xdm import read_package
from engine.formats.xdm_writing import write_package
from engine.kernel.delivery import Parcel

DELIVER = """
deliver:
  exchange:
    mhd:
      url: http://127.0.0.1:1/fhir
      patient: include
      sharing: {source: 2.999.1}
    body: %s
"""
SHARING = SharingSettings(source="2.999.1", organization="Mercy")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Any]:
    """A maker of hubs one of whose channels delivers documents."""
    made: list[Hub] = []

    def maker(channel: str, body: str) -> Hub:
        root = make_project(tmp_path / f"p{len(made)}")
        path = root / f"channels/{channel}.yaml"
        if not path.exists():
            shutil.copy(HERE / f"channels/{channel}.yaml", path)
        path.write_text(path.read_text() + DELIVER % body)
        made.append(Hub.open(root, shipped_maps()))
        return made[-1]

    yield maker
    for one in made:
        one.close()


def parcel(hub: Hub, entry: int) -> Parcel:
    """Return what the queue would hand to the destination."""
    (place,) = destinations_of(hub.config, hub.channels).values()
    place.make(around(hub.config)).close()
    (delivery,) = hub.store.deliveries.of_entry(entry)
    made = Parcels(hub.root, "urn:hub:own", hub.keyring, hub.journal, hub.store).make(delivery, place)
    assert made is not None
    return made


def test_a_document_that_came_in_goes_out_as_it_is(hub: Any) -> None:
    made = hub("documents", "original")
    body = (HERE / "sample_messages/cda/ccd.xml").read_bytes()
    entry = made.receive("documents", body)
    made.work()
    got = parcel(made, entry)
    (found,) = documents_of(got, SHARING.said, "urn:hub:own")
    assert found.data == body and found.patients and found.type is not None
    assert re.fullmatch(r"\d{4}-.*", submission_of(got, SHARING).submitted)
    (packed,) = read_package(write_package(submission_of(got, SHARING), [found])).documents
    assert packed.data == body and packed.problem == "" and packed.is_cda


def test_what_messages_wrote_goes_out_as_a_document_of_ours(hub: Any) -> None:
    made = hub("lab_oru", "ccd\n    set: {root: 2.999.1.1, organization: Mercy}")
    got = parcel(made, made.take("lab_oru", "lab/oru_potassium"))
    (found,) = documents_of(got, SHARING.said, "urn:hub:own")
    assert found.type is not None and found.type.code == "34133-9" and found.patients
    again = parcel(made, 1)
    assert (again.key, again.body) == (got.key, got.body)  # another try is the same document


def test_documents_in_messages_go_out_with_what_their_references_say(hub: Any) -> None:
    made = hub("lab_oru", "fhir")
    got = parcel(made, made.take("lab_oru", "lab/oru_ed_pdf"))
    (found,) = documents_of(got, SHARING.said, "urn:hub:own")
    assert found.data.startswith(b"%PDF") and found.media_type == "application/pdf"
    assert found.id.is_uuid and found.patient_name is not None
    assert documents_of(parcel(made, made.take("lab_oru", "lab/oru_potassium")), SHARING.said, "x") == []
