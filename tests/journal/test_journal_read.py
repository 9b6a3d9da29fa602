"""What workers and people rely on: counting, reading on past damage, refusing the wrong journal or key."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from journal_samples import NOW, oru

from engine.journal import sql, tables
from engine.journal.database import exists
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.security.keys import Keyring

Open = Callable[..., SqlJournal]


def test_reading_goes_on_after_an_id(journal: SqlJournal) -> None:
    journal.append([oru(n) for n in range(1, 8)])
    assert [e.id for e in journal.read(0, 3)] == [1, 2, 3]
    assert [e.id for e in journal.read(3, 3)] == [4, 5, 6]
    assert [e.id for e in journal.read(6, 3)] == [7]
    assert journal.read(7, 3) == []
    assert [n for n, _ in journal.heads(5, 9)] == [6, 7]


def test_counts_and_ages(journal: SqlJournal) -> None:
    assert (journal.head(), journal.count_after(0), journal.oldest_after(0)) == (0, 0, None)
    journal.append([oru(n) for n in range(1, 8)])
    journal.append([oru(3)])
    assert (journal.head(), journal.count_after(0), journal.count_after(5), journal.count_after(9)) == (
        7,
        7,
        2,
        0,
    )
    assert (journal.oldest_after(0), journal.oldest_after(4), journal.oldest_after(7)) == (
        NOW + 1,
        NOW + 5,
        None,
    )


def test_large_bodies_come_in_smaller_portions(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_READ_BYTES", 2500)
    sizes = [1000, 1000, 1000, 5000, 10, 10]
    journal.append([oru(n, body=b"x" * size) for n, size in enumerate(sizes)])
    portions, after = [], 0
    while entries := journal.read(after, 10):
        portions.append([e.id for e in entries])
        after = entries[-1].id
    assert portions == [[1, 2], [3], [4], [5, 6]]


def damage(journal: SqlJournal, entry: int, column: str) -> None:
    """Flip one byte of a sealed column."""
    table, key = (tables.entry, tables.entry.c.id) if column == "head" else (tables.body, tables.body.c.entry)
    with journal.engine.begin() as connection:
        old = bytearray(connection.execute(sa.select(table.c[column]).where(key == entry)).scalar_one())
        old[-1] ^= 1
        connection.execute(table.update().where(key == entry).values({column: bytes(old)}))


@pytest.mark.parametrize("column", ["sealed", "head"])
def test_a_damaged_entry_is_named_and_the_others_stay_readable(journal: SqlJournal, column: str) -> None:
    journal.append([oru(n) for n in range(1, 6)])
    damage(journal, 3, column)
    assert [e.id for e in journal.read(0, 10)] == [1, 2]
    with pytest.raises(UnreadableEntry, match="journal entry 3: cannot be opened") as e:
        journal.read(2, 10)
    assert e.value.entry == 3
    assert pickle.loads(pickle.dumps(e.value)).entry == 3
    with pytest.raises(UnreadableEntry):
        journal.get(3)
    assert [e.id for e in journal.read(3, 10)] == [4, 5]
    assert len(journal.heads(0, 10)) == 5


def test_bodies_cannot_be_exchanged(journal: SqlJournal) -> None:
    journal.append([oru(1), oru(2)])
    with journal.engine.begin() as connection:
        one, two = connection.execute(sa.select(tables.body.c.sealed).order_by(tables.body.c.entry)).scalars()
        for number, sealed in ((1, two), (2, one)):
            connection.execute(
                tables.body.update().where(tables.body.c.entry == number).values(sealed=sealed)
            )
    with pytest.raises(UnreadableEntry):
        journal.read(0, 1)


def test_rows_of_entries_are_never_deleted(journal: SqlJournal) -> None:
    journal.append([oru(1)])
    with pytest.raises(sa.exc.DBAPIError, match="never deleted"), journal.engine.begin() as connection:
        connection.execute(tables.entry.delete())
    assert journal.head() == 1


def test_a_restored_older_journal_is_refused_with_the_remedy(journal: SqlJournal) -> None:
    journal.append([oru(1), oru(2)])
    journal.verify_watermark(0)
    journal.verify_watermark(2)
    with pytest.raises(ConfigError, match="ends at entry 2, but entry 3") as e:
        journal.verify_watermark(3)
    assert "restore" in e.value.remedy.lower()


def test_another_key_is_refused_at_the_door(opened: Open, url: str, tmp_path: Path) -> None:
    opened().append([oru(1)])
    stranger = Keyring.open(tmp_path / "other.key", existing_data=False)
    with pytest.raises(ConfigError, match="made with another key"):
        SqlJournal.open(url, stranger)


def test_after_rotation_old_and_new_entries_open(opened: Open, keyring: Keyring) -> None:
    journal = opened()
    journal.append([oru(1)])
    keyring.rotate()
    assert journal.keys.seal_anew() == 1
    journal.append([oru(2)])
    assert [e.control_id for e in opened().read(0, 9)] == ["C1", "C2"]
    assert opened().append([oru(1)])[0].duplicate_of == 1


def test_whether_a_journal_exists_is_known_without_making_one(url: str, opened: Open) -> None:
    assert not exists(url)
    assert not exists(url)
    opened()
    assert exists(url)


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_an_address_that_cannot_hold_a_journal_is_refused(url: str, keyring: Keyring) -> None:
    with pytest.raises(ConfigError, match="Write sqlite"):
        SqlJournal.open(url, keyring)


def test_a_server_that_is_down_is_said_to_be_unavailable(keyring: Keyring, tmp_path: Path) -> None:
    url = f"postgresql://nobody:geheim@/none?host={tmp_path}"
    for call in (lambda: SqlJournal.open(url, keyring), lambda: exists(url)):
        with pytest.raises(StoreUnavailable) as e:
            call()
        assert "geheim" not in repr(vars(e.value))


def test_lanes_outside_a_byte_are_refused(url: str, keyring: Keyring) -> None:
    for lanes in (0, 257):
        with pytest.raises(ConfigError, match="lanes"):
            SqlJournal.open(url, keyring, lanes=lanes)


def test_free_space_is_known_where_it_is_ours_to_know(journal: SqlJournal) -> None:
    free = journal.disk_free()
    assert free is None if journal.engine.dialect.name == "postgresql" else free is not None and free > 0
