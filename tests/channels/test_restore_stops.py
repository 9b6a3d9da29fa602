"""After a restore nothing goes out by itself."""

from __future__ import annotations

from pathlib import Path

from hub_project import Hub, make_project, shipped_maps

from engine.channels.backups.restoring import _stop_destinations


def test_every_destination_is_stopped(tmp_path: Path) -> None:
    hub = Hub.open(make_project(tmp_path / "p"), shipped_maps())
    hub.store.deliveries.set_state("ehr", "down", "cannot connect", 5)
    _stop_destinations(hub.config)
    (place,) = hub.store.deliveries.places()
    assert (place.name, place.state) == ("ehr", "stopped") and "restored" in place.why
    hub.close()
