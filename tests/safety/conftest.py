"""One hub a test, on a fresh folder, with the maps of the project read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from safety_hub import ROOT, Hub

from engine.mapping.project import Maps


@pytest.fixture(scope="session")
def maps() -> Maps:
    return Maps.open(ROOT)


@pytest.fixture
def hub(tmp_path: Path, maps: Maps) -> Iterator[Hub]:
    made = Hub(tmp_path, maps)
    yield made
    made.close()
