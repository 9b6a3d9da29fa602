"""One hub with some messages worked off, and its web side in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from console_people import Console, console_of, received
from console_web import Web, web_side
from hub_project import Hub, make_project


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Web]]:
    """A maker of hubs without messages, for tests that change something."""
    made: list[Web] = []

    def maker() -> Web:
        made.append(web_side(Hub.open(make_project(tmp_path_factory.mktemp("hub") / "project"))))
        return made[-1]

    yield maker
    for web in made:
        web.gauge.close()
        web.hub.close()


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A hub that has received results, registrations and a refused message. Tests only read it."""
    hub = Hub.open(make_project(tmp_path_factory.mktemp("hub") / "project"))
    hub.take("adt", "adt/adt_a01_admit")
    for name in ("potassium", "preliminary", "final", "corrected", "cmp", "sn"):
        hub.take("lab_oru", f"lab/oru_{name}")
    hub.receive("lab_oru", hub.sample("lab/oru_rp"), "refused", "this channel does not accept it")
    hub.work()
    made = web_side(hub)
    yield made
    made.gauge.close()
    hub.close()


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console of a hub that has received something of most kinds. Tests only read it."""
    project = received(Hub.open(make_project(tmp_path_factory.mktemp("console") / "project")))
    made = console_of(project)
    yield made
    made.close()
    project.close()


@pytest.fixture
def fresh_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Console]]:
    """A maker of consoles of hubs without messages, for tests that change something."""
    made: list[Console] = []

    def maker() -> Console:
        made.append(console_of(Hub.open(make_project(tmp_path_factory.mktemp("console") / "project"))))
        return made[-1]

    yield maker
    for one in made:
        one.close()
        one.project.close()
