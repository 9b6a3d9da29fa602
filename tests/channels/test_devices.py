"""What devices measure is stored by itself: one device, one Observation a time, nothing of a laboratory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hub_project import HERE, Hub, make_project, shipped_maps

from engine.mapping.derived import derived

MONITOR, LAB = "devices/pcd01_monitor", "lab/oru_potassium"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = make_project(tmp_path_factory.mktemp("devices") / "project")
    shutil.copy(HERE / "channels" / "devices.yaml", root / "channels")
    made = Hub.open(root, derived(shipped_maps(), {}, root))
    yield made
    made.close()


def written(hub: Hub, entry: int) -> dict[str, int]:
    outcome = hub.store.outcome(entry)
    assert outcome is not None and outcome.status == "done", outcome
    found: dict[str, int] = {}
    for kind, *_ in hub.store.written_by(entry):
        found[kind] = found.get(kind, 0) + 1
    return found


def test_a_monitor(hub: Hub) -> None:
    first = written(hub, hub.take("devices", MONITOR))
    assert first["Observation"] == 6 and first["Device"] == 1
    assert set(first) == {"Patient", "Encounter", "Location", "Device", "Observation"}
    again = hub.take("devices", MONITOR, {"PCD0001": "PCD0001B"})  # the same, sent again under another number
    assert written(hub, again) == {}
    next_minute = hub.take("devices", MONITOR, {"PCD0001": "PCD0001C", "20260501101500": "20260501101600"})
    assert written(hub, next_minute) == {"Observation": 6}
    corrected = hub.take("devices", MONITOR, {"PCD0001": "PCD0001D", "|124|": "|126|"})
    assert written(hub, corrected) == {"Observation": 1}


def test_a_laboratory_beside_it(hub: Hub) -> None:
    hub.take("devices", MONITOR)
    entry = hub.take("lab_oru", LAB)
    lab = hub.store.read("Observation", hub.written(entry, "Observation"))
    assert lab is not None
    of_lab = {one["system"] for one in lab["identifier"]}
    pages = hub.store.search("Observation", [("code", "http://loinc.org|59408-5")])
    of_devices = {one["system"] for r in pages.resources for one in r["identifier"]}
    assert of_devices == {"urn:hub:own/id/device-observation"} and not of_lab & of_devices
    assert all("laboratory" not in str(r["category"]) for r in pages.resources)


def test_a_value_without_a_time_is_known_by_that_of_its_message(hub: Hub) -> None:
    body = hub.sample(MONITOR).replace(b"20260501101500-0500", b"")
    body = body.replace(b"MERCY||", b"MERCY|20260501103500-0500||", 1)
    first = hub.receive("devices", body.replace(b"PCD0001", b"PCD0009"))
    again = hub.receive("devices", body.replace(b"PCD0001", b"PCD0010"))
    hub.work()
    assert written(hub, first)["Observation"] == 6 and written(hub, again) == {}
    found = hub.store.read("Observation", hub.written(first, "Observation"))
    assert found is not None and "effectiveDateTime" not in found


def test_a_second_system_in_one_message_is_never_guessed(hub: Hub) -> None:
    body = hub.sample(MONITOR).replace(b"PCD0001", b"PCD0008").replace(b"20260501101500", b"20260501102500")
    system = next(line for line in body.split(b"\r") if b"1.0.0.0" in line)
    other = system.replace(b"1.0.0.0", b"2.0.0.0").replace(b"1001", b"2002") + b"\r"
    entry = hub.receive("devices", body + other)
    hub.work()
    kinds = written(hub, entry)
    assert kinds["Observation"] == 6
    for kind, id_, *_ in hub.store.written_by(entry):
        if kind == "Observation":
            found = hub.store.read(kind, id_)
            assert found is not None and "device" not in found
