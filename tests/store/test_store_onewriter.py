"""SQLite alone: one process writes at a time, and a log that may not be on disk is emptied first."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from store_messages import patient, work

from engine.kernel import onewriter
from engine.kernel.errors import StoreUnavailable
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

ROOT = Path(__file__).resolve().parents[2]


def outcomes_in_the_file_alone(path: Path, to: Path) -> int:
    """Count what the database file holds without its log."""
    shutil.copy(path, to)
    db = sqlite3.connect(to)
    try:
        return int(db.execute("SELECT count(*) FROM outcome").fetchone()[0])
    finally:
        db.close()


def test_the_log_is_emptied_before_the_first_write_of_a_process(tmp_path: Path, keyring: Keyring) -> None:
    url = f"sqlite:///{tmp_path}/core.db"
    before = SqlStore.open(url, keyring)  # never closed while the other works: as if it had died
    before.apply([work(n, patient(str(n))) for n in range(1, 6)])
    assert outcomes_in_the_file_alone(tmp_path / "core.db", tmp_path / "a.db") == 0
    after = SqlStore.open(url, keyring)
    after.apply([work(6, patient("6"))])
    assert outcomes_in_the_file_alone(tmp_path / "core.db", tmp_path / "b.db") == 5
    after.apply([work(7, patient("7"))])  # once is enough
    assert outcomes_in_the_file_alone(tmp_path / "core.db", tmp_path / "c.db") == 5
    after.close()
    before.close()


def test_after_a_failed_commit_the_log_is_emptied_again(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore.open(f"sqlite:///{tmp_path}/core.db", keyring)
    store.apply([work(1, patient("1"))])
    broken = sqlite3.OperationalError("disk I/O error")
    broken.sqlite_errorcode = sqlite3.SQLITE_IOERR
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise broken

        patched.setattr("engine.store.writer.Writer.flush", fail)
        with pytest.raises(StoreUnavailable):
            store.apply([work(2, patient("2"))])
    assert outcomes_in_the_file_alone(tmp_path / "core.db", tmp_path / "a.db") == 0
    store.apply([work(2, patient("2"))])
    assert outcomes_in_the_file_alone(tmp_path / "core.db", tmp_path / "b.db") == 1
    store.close()


def test_a_writer_waits_for_another_process_and_gives_up(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onewriter, "_PATIENCE", 0.2)
    store = SqlStore.open(f"sqlite:///{tmp_path}/core.db", keyring)
    handle = os.open(tmp_path / "core.db-write.lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(StoreUnavailable, match="write lock"):
        store.apply([work(1, patient("1"))])
    threading.Timer(0.05, lambda: fcntl.flock(handle, fcntl.LOCK_UN)).start()
    assert store.apply([work(1, patient("1"))])[0].status == "done"
    os.close(handle)
    store.close()


WRITER = """
import sys
from store_messages import patient, result, work
from engine.security.keys import Keyring
from engine.store.sql import SqlStore
url, which = sys.argv[1], int(sys.argv[2])
store = SqlStore.open(url, Keyring.supplied(b"a secret of this test suite, and of nothing else"))
with store._database.write() as session:
    session.run("PRAGMA wal_autocheckpoint=20")
for n in range(150):
    entry = 1 + 2 * n + which
    store.apply([work(entry, patient(str(which)), result(str(which), order=f"{which}.{n}", value=n))])
store.close()
"""


def test_writers_checkpoints_and_readers_at_once(tmp_path: Path, keyring: Keyring) -> None:
    url = f"sqlite:///{tmp_path}/core.db"
    store = SqlStore.open(url, keyring)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/store")])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, str(n)], env=os.environ | {"PYTHONPATH": path})
        for n in range(2)
    ]
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers):
        seen += [change.seq for change in store.feed(seen[-1] if seen else 0, 100)]
    assert [writer.returncode for writer in writers] == [0, 0]
    while changes := store.feed(seen[-1], 500):
        seen += [change.seq for change in changes]
    assert seen == list(range(1, store.head() + 1))
    assert [o.entry for o in store.outcomes(limit=1000)] == list(range(1, 301))
    store.close()
    db = sqlite3.connect(tmp_path / "core.db")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
