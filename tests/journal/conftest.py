"""The journal's behaviour tests run on SQLite and on PostgreSQL: `url` is a fresh database of either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.journal.sql import SqlJournal
from engine.security.keys import Keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "hub.key", existing_data=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def opened(url: str, keyring: Keyring) -> Iterator[Callable[..., SqlJournal]]:
    """Open the journal of this test, as often as wanted; all are closed at the end."""
    journals: list[SqlJournal] = []

    def open_one(**options: object) -> SqlJournal:
        journals.append(SqlJournal.open(url, keyring, **options))  # type: ignore[arg-type]
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(opened: Callable[..., SqlJournal]) -> SqlJournal:
    return opened()
