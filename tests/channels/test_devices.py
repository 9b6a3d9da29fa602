"""What devices measure is stored by itself: one device, one Observation a time, nothing of a laboratory."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

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
    assert first["Observation"] == 6 and first["Device"] == 3 and first["DeviceMetric"] == 4
    assert set(first) == {"Patient", "Encounter", "Location", "Device", "DeviceMetric", "Observation"}
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


def read(hub: Hub, entry: int, kind: str) -> list[dict[str, Any]]:
    found = [hub.store.read(k, id_) for k, id_, *_ in hub.store.written_by(entry) if k == kind]
    return [one for one in found if one is not None]


def test_each_value_by_the_system_at_the_top_of_its_place(hub: Hub) -> None:
    entry = hub.take("devices", "devices/pcd01_two_systems")
    by_code = {
        one["code"]["text"]: one.get("device", {}).get("reference") for one in read(hub, entry, "Observation")
    }
    number = {name: _number(hub, name) for name in by_code.values() if name}
    assert number[by_code["MDC_PULS_OXIM_SAT_O2"]] == "ACDE480000001001"
    assert number[by_code["MDC_FLOW_FLUID_PUMP"]] == "ACDE480000002002"
    assert by_code["MDC_ECG_HEART_RATE"] is None  # of a third system, which the message does not name
    metrics = {one["type"]["text"]: one for one in read(hub, entry, "DeviceMetric")}
    pump = metrics["MDC_FLOW_FLUID_PUMP"]
    assert pump["category"] == "setting" and pump["source"]["reference"] == by_code["MDC_FLOW_FLUID_PUMP"]
    held = hub.store.read(*pump["parent"]["reference"].split("/"))
    assert held is not None and held["type"]["text"] == "MDC_DEV_PUMP_INFUS_VMD"
    assert held["parent"]["reference"] == by_code["MDC_FLOW_FLUID_PUMP"]
    channel = hub.store.read(*metrics["MDC_PULS_OXIM_SAT_O2"]["parent"]["reference"].split("/"))
    assert channel is not None and channel["type"]["text"] == "MDC_DEV_ANALY_SAT_O2_CHAN"
    virtual = hub.store.read(*channel["parent"]["reference"].split("/"))
    assert virtual is not None and virtual["type"]["text"] == "MDC_DEV_ANALY_SAT_O2_VMD"
    assert _number(hub, virtual["parent"]["reference"]) == "ACDE480000001001"


def _number(hub: Hub, reference: str) -> str:
    found = hub.store.read(*reference.split("/"))
    assert found is not None
    return str(found["identifier"][0]["value"])


@pytest.mark.parametrize("place", ["", "1"])
def test_without_a_place_in_a_tree_two_systems_are_never_guessed_between(hub: Hub, place: str) -> None:
    flat = hub.sample(MONITOR).replace(b"PCD0001", b"F%s" % place.encode())
    flat = flat.replace(b"20260501101500", b"202605011035%02d" % (len(place) + 7))
    lines = flat.split(b"\r")
    system = next(line for line in lines if b"|1.0.0.0|" in line)
    saturation = next(line for line in lines if b"|1.1.1.1|" in line).replace(b"1.1.1.1", place.encode())
    alone = [*lines[:4], system, saturation]
    other = system.replace(b"1.0.0.0", b"2.0.0.0").replace(b"1001", b"2002")
    late = saturation.replace(b"202605011035", b"202605011036")
    entries = [
        hub.receive("devices", b"\r".join(body) + b"\r")
        for body in (alone, [*(line.replace(b"|F", b"|G") for line in lines[:4]), system, other, late])
    ]
    hub.work()
    one, two = (read(hub, entry, "Observation")[0] for entry in entries)
    assert _number(hub, one["device"]["reference"]) == "ACDE480000001001"
    assert "device" not in two
