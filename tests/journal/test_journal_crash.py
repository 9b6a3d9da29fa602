"""No answered entry is lost: kill -9 or a power cut at any moment, a disk that fails or is full."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from journal_samples import oru
from strace_disk import TRACED, Disk, events, strace_works

from engine.journal.sql import SqlJournal
from engine.kernel.errors import StoreUnavailable
from engine.security.keys import Keyring

Open = Callable[..., SqlJournal]
HERE = Path(__file__).parent
APPENDER = [sys.executable, str(HERE / "journal_appender.py")]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), str(HERE)])}

_why_not = strace_works()
needs_strace = pytest.mark.skipif(
    bool(_why_not) and not os.environ.get("HUB_REQUIRE_STRACE"),
    reason=f"NO POWER CUT TEST: {_why_not}",
)


def acknowledged(output: bytes) -> dict[int, int]:
    """Return number -> id of the whole `ack ID NUMBER` lines."""
    lines = output[: output.rfind(b"\n") + 1].splitlines()
    return {
        int(n): int(i) for word, i, n in (line.split() for line in lines if line.startswith(b"ack")) if word
    }


def check(journal: SqlJournal, acks: dict[int, int]) -> None:
    """Every answered entry is there under its id with its bytes, once, and ids have no gap."""
    got, after = {}, 0
    while entries := journal.read(after, 500):
        assert [e.id for e in entries] == list(range(after + 1, after + len(entries) + 1))
        got |= {e.control_id: e for e in entries}
        after = entries[-1].id
    assert len(got) == after == journal.head()
    for number, entry in acks.items():
        assert got[f"C{number}"].id == entry
        assert got[f"C{number}"].body == oru(number).body


def test_killed_at_any_moment_no_answered_entry_is_missing(opened: Open, url: str, tmp_path: Path) -> None:
    rng = random.Random(2026)
    journal = opened()
    acks: dict[int, int] = {}
    for _ in range(5 if url.startswith("sqlite") else 3):
        first = max(acks, default=10) - 5  # what a sender repeats after a lost answer comes again
        batch = rng.choice([1, 3, 20])
        process = subprocess.Popen(
            [*APPENDER, url, str(tmp_path / "hub.key"), str(first), "0", str(batch), "300000"],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert process.stdout is not None
        early = process.stdout.readline()  # it runs
        time.sleep(rng.uniform(0.01, 0.35))
        process.send_signal(signal.SIGKILL)
        output = early + process.stdout.read()
        process.wait()
        new = acknowledged(output)
        assert new
        for number, entry in new.items():
            assert acks.setdefault(number, entry) == entry  # a repeated one was answered with its first id
        check(journal, acks)
    journal.append([oru(0)])
    check(opened(), acks)


def record(tmp_path: Path, *strace: str, first: int = 1, count: int, batch: int, **environment: str) -> Path:
    """Run the appender under strace on a journal in `tmp_path/disk`; return the trace."""
    disk = tmp_path / "disk"
    disk.mkdir(exist_ok=True)
    Keyring.open(tmp_path / "hub.key", existing_data=False)
    trace = tmp_path / f"trace{first}"
    url, key = f"sqlite:///{disk / 'journal.db'}", str(tmp_path / "hub.key")
    command = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "2000000",
        "-e",
        f"trace={TRACED}",
        *strace,
        "-o",
        str(trace),
    ]
    subprocess.run(
        [*command, *APPENDER, url, key, str(first), str(count), str(batch), "120000"],
        check=not environment,
        env=ENVIRONMENT | environment,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    return trace


def survives(folder: Path, acked: int) -> None:
    """Open what the disk held with SQLite alone: sound, and every answered id there."""
    connection = sqlite3.connect(folder / "journal.db")
    assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    ids = [row[0] for row in connection.execute("SELECT id FROM entry ORDER BY id")]
    bodies = [row[0] for row in connection.execute("SELECT entry FROM body ORDER BY entry")]
    connection.close()
    assert ids == bodies == list(range(1, len(ids) + 1))
    assert len(ids) >= acked


@needs_strace
def test_every_answer_comes_after_its_fsync_and_survives_a_power_cut(tmp_path: Path) -> None:
    trace = record(tmp_path, count=150, batch=2)
    rng = random.Random(11)
    disk, acked, cuts, resets, copied = Disk(), 0, 0, 0, 0
    for event in events(trace, tmp_path / "disk"):
        disk.apply(event)
        if event.call == "say":
            assert disk.unsynced("-wal") == 0, "an answer was given before its entry was on disk"
            acked = max(acknowledged(event.data).values(), default=acked)
        resets += event.call == "write" and event.path.endswith("-wal") and event.offset == 0
        copied += event.call == "write" and event.path.endswith("journal.db")
        if acked and (event.call == "say" or rng.random() < 0.15):
            for keep in (0.0, 1.0, rng.random()):
                folder = tmp_path / f"cut{cuts}"
                disk.cut(folder, rng, keep)
                survives(folder, acked)
                cuts += 1
    assert acked == 150
    assert cuts > 200 and resets >= 3 and copied > 50  # the log was written over, and copied meanwhile
    ring = Keyring.open(tmp_path / "hub.key", existing_data=True)
    journal = SqlJournal.open(f"sqlite:///{tmp_path / f'cut{cuts - 2}' / 'journal.db'}", ring)
    check(journal, {n: n for n in range(1, 151)})
    assert journal.append([oru(151)])[0].id == 151
    journal.close()


@needs_strace
def test_a_failed_fsync_confirms_nothing_and_harms_nothing_confirmed(tmp_path: Path) -> None:
    """Two fsyncs of the appender fail, and the kernel forgets what they should have written."""
    trace = record(tmp_path, "-e", "inject=fdatasync:error=EIO:when=50..90+20", count=120, batch=2)
    rng = random.Random(12)
    disk, refused, cuts = Disk(), 0, 0
    acks: dict[int, int] = {}
    failed = 0
    for event in events(trace, tmp_path / "disk"):
        disk.apply(event)
        failed += event.call == "sync" and not event.ok
        if event.call == "say":
            refused += event.data.startswith(b"refused")
            acks |= acknowledged(event.data)
        if acks and (event.call == "say" or rng.random() < 0.1):
            for keep in (0.0, rng.random()):
                folder = tmp_path / f"cut{cuts}"
                disk.cut(folder, rng, keep)
                survives(folder, max(acks.values()))
                cuts += 1
    assert failed >= 2 and refused >= 1
    assert set(acks) == set(range(1, 121))
    ring = Keyring.open(tmp_path / "hub.key", existing_data=True)
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'disk' / 'journal.db'}", ring)
    check(journal, acks)
    journal.close()


@needs_strace
def test_what_a_dead_process_could_not_sync_never_stands_before_an_answer(tmp_path: Path) -> None:
    """An fsync fails, the process is killed: the kernel shows the next one pages that the disk never got."""
    inject = "inject=fdatasync:error=EIO:when=45"
    traces = [record(tmp_path, "-e", inject, count=500, batch=2, DIE_WHEN_REFUSED="1")]
    traces.append(record(tmp_path, first=1000, count=40, batch=2))
    disk, acked, refused, cuts = Disk(), 0, 0, 0
    for trace in traces:
        for event in events(trace, tmp_path / "disk"):
            disk.apply(event)
            if event.call == "say":
                refused += event.data.startswith(b"refused")
                acked = max([acked, *acknowledged(event.data).values()])
                disk.cut(tmp_path / f"cut{cuts}", random.Random(cuts), 0.0)
                survives(tmp_path / f"cut{cuts}", acked)
                cuts += 1
    assert refused == 1 and acked > 60
    journal = SqlJournal.open(
        f"sqlite:///{tmp_path / f'cut{cuts - 1}' / 'journal.db'}",
        Keyring.open(tmp_path / "hub.key", existing_data=True),
    )
    assert journal.read(acked - 1, 1)[0].control_id == "C1039"
    journal.close()


def test_a_full_disk_refuses_and_the_journal_goes_on_when_there_is_room(
    tmp_path: Path, keyring: Keyring
) -> None:
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    journal.append([oru(n) for n in range(1, 4)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))  # no file may be written beyond this
    try:
        for n in range(2):
            with pytest.raises(StoreUnavailable) as e:
                journal.append([oru(4, body=os.urandom(100_000)), oru(5 + n)])
            assert e.value.remedy and "TESTERMANN" not in str(e.value)
        assert [x.id for x in journal.read(0, 10)] == [1, 2, 3]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [a.id for a in journal.append([oru(4), oru(5)])] == [4, 5]
    journal.close()
    again = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    check(again, {n: n for n in range(1, 6)})
    again.close()


def test_a_server_that_goes_away_refuses_and_is_found_again(postgres_database: str, keyring: Keyring) -> None:
    journal = SqlJournal.open(postgres_database, keyring)
    journal.append([oru(1)])
    with journal.engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(StoreUnavailable):
        journal.append([oru(2)])
    assert journal.append([oru(2)])[0].id == 2
    check(journal, {1: 1, 2: 2})
    journal.close()
