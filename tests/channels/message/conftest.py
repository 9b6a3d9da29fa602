"""One hub with messages of several kinds worked off; tests of this folder only read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_project import Hub, make_project, shipped_maps


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub.open(make_project(tmp_path_factory.mktemp("seen") / "project"), shipped_maps())
    hub.take("adt", "adt/adt_a01_admit")
    for name in ("potassium", "preliminary", "final", "corrected", "cmp"):
        hub.take("lab_oru", f"lab/oru_{name}")
    hub.entries["refused"] = hub.receive("lab_oru", hub.sample("lab/oru_rp"), "refused", "not accepted")
    hub.entries["garbage"] = hub.receive("lab_oru", b"GET / HTTP/1.1\r\n", "garbage")
    hub.work()
    yield hub
    hub.close()


@pytest.fixture
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub of one's own, to do something with."""
    hub = Hub.open(make_project(tmp_path_factory.mktemp("used") / "project"), shipped_maps())
    yield hub
    hub.close()
