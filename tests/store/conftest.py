"""A fresh core store on each database, and short ways to say what a message became."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.security.keys import Keyring
from engine.store.sql import SqlStore

SECRET = b"a secret of this test suite, and of nothing else"


@pytest.fixture
def keyring() -> Keyring:
    return Keyring.supplied(SECRET)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/core.db"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def open_store(store_url: str, keyring: Keyring) -> Iterator[Callable[[], SqlStore]]:
    """Open the same store as often as wanted, as several processes would."""
    opened: list[SqlStore] = []

    def opener() -> SqlStore:
        opened.append(SqlStore.open(store_url, keyring))
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def store(open_store: Callable[[], SqlStore]) -> SqlStore:
    return open_store()
