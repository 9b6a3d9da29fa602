"""The index's behaviour tests run on SQLite and on PostgreSQL: `url` is a fresh database of either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.imaging.index import SqlIndex
from engine.security.keys import Keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "hub.key", existing_data=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'imaging.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def index(url: str, keyring: Keyring) -> Iterator[SqlIndex]:
    opened = SqlIndex.open(url, keyring)
    yield opened
    opened.close()
