"""What people do is tested on SQLite and on PostgreSQL, at a time that the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.security.keys import Keyring
from engine.staff.staff import Staff


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_780_000_000_000

    def __call__(self) -> int:
        return self.ms

    def forward(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        self.ms += int((seconds + 60 * minutes + 3600 * hours) * 1000)


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
