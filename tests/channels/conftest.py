"""What tests of messages that go out share: the outbound maps, and two hubs, one of which reads the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_project import HERE, Hub, make_project

from engine.mapping.outbound.library import OutMaps


@pytest.fixture(scope="module")
def maps() -> OutMaps:
    return OutMaps.open(HERE)


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Hub]]:
    """A hub that sends, and another one that takes what it sent."""
    here, there = (Hub.open(make_project(tmp_path_factory.mktemp(name) / "p")) for name in "ab")
    yield here, there
    here.close()
    there.close()
