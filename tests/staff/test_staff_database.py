"""The database of what people do: made once, by one key, written by one process at a time."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.security.keys import Keyring
from engine.staff.staff import Staff
from engine.staff.tables import META, METADATA


def test_every_table_may_share_a_database_with_the_journal() -> None:
    assert METADATA.tables and all(name.startswith("staff_") for name in METADATA.tables)


def test_opened_by_several_at_once(staff_url: str, keyring: Keyring) -> None:
    problems: list[Exception] = []

    def opening() -> None:
        try:
            Staff.open(staff_url, keyring).close()
        except Exception as e:
            problems.append(e)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_what_fails_leaves_nothing(both: Staff) -> None:
    with pytest.raises(RuntimeError), both.database.write() as c:
        c.execute(sa.insert(META).values(item="x", value="1"))
        raise RuntimeError
    with both.database.read() as c:
        assert c.execute(sa.select(META).where(META.c.item == "x")).all() == []


def test_other_keys_are_refused(staff_url: str, keyring: Keyring, tmp_path: Path) -> None:
    Staff.open(staff_url, keyring).close()
    other = Keyring.open(tmp_path / "other.key", existing_data=False)
    with pytest.raises(ConfigError, match="another key"):
        Staff.open(staff_url, other)


def test_a_fault_of_the_database_is_said_without_values(both: Staff) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be read or written") as e, both.database.write() as c:
        c.execute(sa.insert(META).values(item="keyring", value="DOE^JANE"))
    assert "DOE" not in str(e.value)


def test_the_file_is_its_owners_only(staff: Staff, tmp_path: Path) -> None:
    assert (tmp_path / "staff.db").stat().st_mode & 0o077 == 0
