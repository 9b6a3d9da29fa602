"""The first start loads what ships, once, when it is ready; nothing of a site's own goes for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hub_process import Hub, wait_for

from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore

LIST = "code,display\nA,Alpha\nB,Beta\n"
LISTED = "- {file: own.csv, system: 'urn:x:own', version: '1'}\n"


def _with(hub: Hub, listing: str) -> Path:
    folder = hub.root / "terminology/releases"
    (folder / "releases.yaml").write_text(listing)
    (folder / "own.csv").write_text(LIST)
    return hub.root / "var/codes.db"


def _ended(hub: Hub) -> bool:
    return "codes" not in hub.children()


def test_the_first_start_loads_what_ships_once(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(terminology="{load_shipped: true}")
    store = _with(hub, LISTED)
    hub.start()
    wait_for(lambda: "codes that ship with the hub" in hub.log.read_text(), "the releases are loaded")
    wait_for(lambda: _ended(hub), "the process that loads has ended")
    said = hub.log.read_text()
    assert "urn:x:own 1 (2)" in said and said.index("ready in") < said.index("codes that ship")
    assert "it starts again" not in said and {"listeners", "worker-0"} <= set(hub.children())
    assert [r.version for r in CodeStore(store).releases()] == ["1"]
    assert hub.stop() == 0
    hub.start()  # nothing is left to load
    assert "codes" not in hub.children()
    assert hub.log.read_text().count("codes that ship with the hub") == 1
    assert hub.stop() == 0
    _with(hub, LISTED.replace("'1'", "'2'"))  # the next version of the hub
    hub.start()
    wait_for(lambda: "urn:x:own 2 (2)" in hub.log.read_text(), "the newer release is loaded")
    current = CodeStore(store).in_force("urn:x:own")
    assert current is not None and current.version == "2"


def test_a_damaged_one_stops_nothing(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(terminology="{load_shipped: true}")
    _with(hub, LISTED)
    (hub.root / "terminology/releases/own.csv").write_text("code,display\nMar-93,x\n")
    hub.start()
    wait_for(lambda: "what ships was not loaded: own.csv:2" in hub.log.read_text(), "it is said")
    wait_for(lambda: _ended(hub), "the process that loads has ended")
    assert {"listeners", "worker-0"} <= set(hub.children())
    assert hub.stop() == 0


def test_a_sites_own_release_stays_current(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(terminology="{load_shipped: true}")
    store = _with(hub, LISTED.replace("'1'", "'9'") + LISTED)
    mine = hub.root / "mine.csv"
    mine.write_text("code,display\nA,Our own alpha\n")
    load_release(store, mine, Asked("urn:x:own", "1"))
    hub.start()
    wait_for(lambda: "codes that ship with the hub" in hub.log.read_text(), "the releases are loaded")
    codes = CodeStore(store)
    assert [r.version for r in codes.releases()] == ["1", "9"]
    found = codes.lookup("urn:x:own", "A")
    assert found is not None and found.display == "Our own alpha"


def test_where_nobody_wants_it_nothing_is_loaded(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(terminology="{load_shipped: false}")
    store = _with(hub, LISTED)
    hub.start()
    assert "codes" not in hub.children()
    assert hub.stop() == 0
    assert not store.exists()
