"""SQLite's log: copied beside the appender, bounded, by one process only, and never begun without need."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_samples import oru

from engine.journal import checkpoint
from engine.journal.checkpoint import Checkpoints
from engine.journal.sql import SqlJournal
from engine.security.keys import Keyring


class Watched:
    """A connection that writes down which checkpoints are asked of it."""

    def __init__(self, connection: sqlite3.Connection, log: list[str]) -> None:
        self._connection = connection
        self._log = log

    def execute(self, sql: str) -> sqlite3.Cursor:
        if "wal_checkpoint" in sql:
            self._log.append(sql.partition("(")[2][:-1])
        return self._connection.execute(sql)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log: list[str] = []
    original = checkpoint.own_connection
    monkeypatch.setattr(checkpoint, "own_connection", lambda engine: Watched(original(engine), log))
    return log


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "waited for 30 s"
        time.sleep(0.01)


def fill(journal: SqlJournal, first: int, count: int) -> None:
    for n in range(first, first + count):
        journal.append([oru(n)])


def test_the_log_stays_bounded_while_entries_keep_coming(
    tmp_path: Path, keyring: Keyring, asked: list[str]
) -> None:
    limit = 400_000
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring, log_limit=limit)
    largest = 0
    for n in range(400):
        journal.append([oru(n)])
        largest = max(largest, (tmp_path / "journal.db-wal").stat().st_size)
        if n % 20 == 0:
            time.sleep(0.005)  # two cores, many tests: let the thread have its turn
    assert "RESTART" in asked
    assert largest < 6 * limit
    assert journal.trouble() is None
    journal.close()
    again = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    assert again.head() == 400
    again.close()


def test_a_checkpoint_begins_only_after_something_was_committed(
    tmp_path: Path, keyring: Keyring, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_IDLE", 0.01)
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    fill(journal, 0, 5)
    wait_for(lambda: asked.count("PASSIVE") >= 1 or not fill(journal, 100 + len(asked), 1))
    time.sleep(0.2)  # a commit may have been under way
    before = len(asked)
    time.sleep(0.3)  # thirty turns
    assert len(asked) == before
    fill(journal, 5, 1)
    wait_for(lambda: len(asked) == before + 1)
    journal.close()


def test_only_one_of_two_checkpoints_and_the_other_takes_over(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_IDLE", 0.01)
    by: dict[str, list[str]] = {"a": [], "b": []}
    original = checkpoint.own_connection
    turn = "a"
    monkeypatch.setattr(checkpoint, "own_connection", lambda engine: Watched(original(engine), by[turn]))
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    a = SqlJournal.open(url, keyring)
    fill(a, 0, 1)
    wait_for(lambda: a._checkpoints is not None and a._checkpoints._connection is not None)
    turn = "b"
    b = SqlJournal.open(url, keyring)
    fill(b, 1, 1)
    for n in range(2, 22):
        fill(a if n % 2 else b, n, 1)
        time.sleep(0.005)
    wait_for(lambda: "PASSIVE" in by["a"])
    assert "PASSIVE" not in by["b"]
    a.close()
    wait_for(lambda: b._checkpoints is not None and b._checkpoints._connection is not None)
    fill(b, 50, 1)
    wait_for(lambda: "PASSIVE" in by["b"])
    b.close()


def test_what_stops_the_copying_is_told_and_forgotten_when_it_works(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_IDLE", 0.01)
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    work = Checkpoints._checkpoint

    def broken(_: Checkpoints) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Checkpoints, "_checkpoint", broken)
    fill(journal, 0, 1)
    wait_for(lambda: journal.trouble() is not None)
    assert "disk I/O error" in str(journal.trouble())
    fill(journal, 1, 1)  # appending goes on
    monkeypatch.setattr(Checkpoints, "_checkpoint", work)
    wait_for(lambda: journal.trouble() is None)
    journal.close()


def test_a_long_reader_does_not_stop_the_appender(tmp_path: Path, keyring: Keyring) -> None:
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring, log_limit=100_000)
    fill(journal, 0, 5)
    reader = sqlite3.connect(tmp_path / "journal.db")
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM entry").fetchone() == (5,)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (fill(journal, 5, 150), done.set()))
    thread.start()
    assert done.wait(30)
    assert reader.execute("SELECT count(*) FROM entry").fetchone() == (5,)  # its own moment
    reader.close()
    assert journal.head() == 155
    journal.close()
