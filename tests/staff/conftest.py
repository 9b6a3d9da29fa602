"""What people do is tested on SQLite and on PostgreSQL, at a time that the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from staff_clock import Clock

from engine.security.keys import Keyring
from engine.staff.staff import Staff


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "hub.key", existing_data=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def staff_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'staff.db'}"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def both(staff_url: str, keyring: Keyring, clock: Clock) -> Iterator[Staff]:
    """The staff database, on SQLite and on PostgreSQL."""
    opened = Staff.open(staff_url, keyring, clock)
    yield opened
    opened.close()


@pytest.fixture
def staff(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Staff]:
    """The staff database on SQLite: for what does not depend on the database."""
    opened = Staff.open(f"sqlite:///{tmp_path / 'staff.db'}", keyring, clock)
    yield opened
    opened.close()
