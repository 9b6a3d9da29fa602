"""`hub serve`: the supervisor. It checks everything once, starts the processes, prints where they are, and keeps them up.

Processes: one for all listeners, one a worker, one for the web side. They are forked before any database is open or any
reactor exists, so that what is read once (maps, tables) is shared memory. A process that dies is started again, with a
growing pause; SIGTERM and SIGINT stop all, listeners first, so that what was accepted is answered.
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.channels.definition import Channel, load_channels
from engine.channels.opening import check_pair, open_journal, open_keyring, open_store, prepare_folder
from engine.channels.pipeline import Pipeline
from engine.channels.worker import Worker
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError, HubError
from engine.mapping.project import Maps
from engine.security.keys import Keyring

__all__ = ["serve"]

log = logging.getLogger("hub")
PARTS = ("listeners", "workers", "console")


@dataclass(slots=True)
class _Child:
    """One process: what it runs and how it is doing."""

    name: str
    run: Callable[[Callable[[str], None]], None]
    pid: int = 0
    pipe: int = -1
    started: float = 0.0
    pause: float = 0.2
    again_at: float = 0.0
    said: list[str] = field(default_factory=list)
    ready: bool = False


def serve(root: Path, only: str = "", listen: str | None = None, say: Callable[[str], None] = print) -> int:
    """Run the hub of the project at `root` until it is told to stop; returns the exit code. Raises HubError before anything starts."""
    began = time.monotonic()
    parts = tuple(p.strip() for p in only.split(",")) if only else PARTS
    for p in parts:
        if p not in PARTS:
            raise ConfigError(f"--only {p}", remedy=f"use {', '.join(PARTS)}")
    config = load_config(root)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("alembic", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    channels = load_channels(root, listen)
    if not channels:
        raise ConfigError("there is no channel", where=str(root / "channels"), remedy="write one, see docs/analysts/channels.md")
    prepare_folder(config)
    keyring = open_keyring(config)
    maps = Maps.open(root, config.identity_base)
    _first_open(config, keyring)
    token = _token(config)
    host, port = _address(config.console.listen)
    if listen is not None:
        host = listen
    if "listeners" in parts:
        for c in channels:
            if c.mllp is not None:
                _free(c.mllp.mllp.host, c.mllp.mllp.port, f"channel {c.name} ({c.file})", "set another port: there, or stop what uses it")
    if "console" in parts:
        _free(host, port, "console: listen: in config.yaml", "set another port there, or stop what uses it")
    if "workers" in parts:
        _warm(maps, channels)
    children = _children(parts, config, channels, keyring, maps, host, port, token)
    return _Supervisor(children, config, say, began, parts, (host, port), channels).run()


def _first_open(config: Config, keyring: Keyring) -> None:
    """Make or migrate both databases once, and refuse a pair that does not fit."""
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            check_pair(journal, store)
        finally:
            store.close()
    finally:
        journal.close()


def _warm(maps: Maps, channels: list[Channel]) -> None:
    """Compile the standard maps before forking: workers share the result."""
    program = maps.program("standard")
    for name in maps.messages:
        program.plan(name)


def _token(config: Config) -> str:
    path = config.token_file
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"{text!r} is not an address", where="config.yaml: console: listen:", remedy="write e.g. 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _free(host: str, port: int, where: str, remedy: str) -> None:
    if not port:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
        except OSError as e:
            raise ConfigError(f"port {port} on {host} cannot be opened", where=where, why=(e.strerror or "").lower(), remedy=remedy) from None


def _children(
    parts: tuple[str, ...], config: Config, channels: list[Channel], keyring: Keyring, maps: Maps, host: str, port: int, token: str
) -> list[_Child]:
    out: list[_Child] = []
    if "listeners" in parts:
        out.append(_Child("listeners", lambda ready: _listeners(config, channels, keyring, ready)))
    if "workers" in parts:
        for i in range(config.workers):
            out.append(_Child(f"worker-{i}", lambda ready, i=i: _worker(config, channels, keyring, maps, i, ready)))  # type: ignore[misc]
    if "console" in parts:
        out.append(_Child("console", lambda ready: _console(config, keyring, channels, host, port, token, ready)))
    return out


def _listeners(config: Config, channels: list[Channel], keyring: Keyring, ready: Callable[[str], None]) -> None:
    from engine.listeners.listen import ListenSettings, run

    windows = [c.duplicate_window_ms for c in channels if c.duplicate_window_ms is not None]
    settings = ListenSettings(
        metrics=config.metrics_dir,
        journal_disk=config.data_dir if config.journal_url.startswith("sqlite") else None,
        disk_reserve_bytes=config.disk_reserve_mb << 20,
    )
    ports = [c.mllp for c in channels if c.mllp is not None]
    run(
        settings,
        ports,
        lambda: open_journal(config, keyring, max(windows) if windows else None),
        ready=lambda addresses: ready(" ".join(f"{p.channel}={a}" for p, a in zip(ports, addresses, strict=True))),
    )


def _worker(config: Config, channels: list[Channel], keyring: Keyring, maps: Maps, index: int, ready: Callable[[str], None]) -> None:
    from engine.channels.worker_metrics import WorkerMetrics

    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    journal = open_journal(config, keyring)
    store = open_store(config, keyring)
    worker = Worker(journal, store, Pipeline(maps, channels, keyring.mac16), index, config.workers)
    metrics = WorkerMetrics(worker, config.metrics_dir / f"worker-{index}.prom")
    ready("")
    try:
        worker.run(lambda: stopping, metrics.tick)
    finally:
        metrics.write()
        store.close()
        journal.close()


def _console(config: Config, keyring: Keyring, channels: list[Channel], host: str, port: int, token: str, ready: Callable[[str], None]) -> None:
    from engine.console.app import run_console

    run_console(config, keyring, channels, host, port, token, ready)


class _Supervisor:
    def __init__(
        self, children: list[_Child], config: Config, say: Callable[[str], None], began: float, parts: tuple[str, ...], web: tuple[str, int], channels: list[Channel]
    ) -> None:
        self.children, self.config, self.say, self.began, self.parts, self.web, self.channels = children, config, say, began, parts, web, channels
        self.stopping = 0.0
        self.told = False

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        for child in self.children:
            self._start(child)
        while True:
            self._listen()
            if self._reap():
                return 0 if self.told or self.stopping else 1
            if not self.told and all(c.ready for c in self.children):
                self.told = True
                self._tell()
            now = time.monotonic()
            for child in self.children:
                if child.pid == 0 and not self.stopping and now >= child.again_at:
                    self._start(child)
            if self.stopping and now - self.stopping > 20:
                for child in self.children:
                    if child.pid:
                        os.kill(child.pid, signal.SIGKILL)

    def _start(self, child: _Child) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(reading)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_IGN if child.name != "listeners" else signal.SIG_DFL)
                child.run(lambda text: (os.write(writing, (text + "\n").encode()), None)[1])
                code = 0
            except HubError as e:
                log.error("%s: %s", child.name, e)
                code = 3
            except BaseException:
                log.exception("%s stopped", child.name)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        child.pid, child.pipe, child.started, child.ready = pid, reading, time.monotonic(), False

    def _listen(self) -> None:
        pipes = {c.pipe: c for c in self.children if c.pipe >= 0}
        try:
            found, _, _ = select.select(list(pipes), [], [], 0.1)
        except InterruptedError:
            return
        for fd in found:
            child = pipes[fd]
            data = os.read(fd, 65536)
            if data:
                child.said += data.decode().split()
                child.ready = True
            else:
                os.close(fd)
                child.pipe = -1

    def _reap(self) -> bool:
        """Collect the dead; returns whether all is over."""
        for child in self.children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            child.pid = 0
            code = os.waitstatus_to_exitcode(status)
            if self.stopping:
                continue
            if not self.told and code == 3:
                self._stop()  # a fault of the settings: said already
                continue
            lived = time.monotonic() - child.started
            child.pause = 0.2 if lived > 30 else min(child.pause * 2, 10.0)
            child.again_at = time.monotonic() + child.pause
            log.error("%s ended (%s); it starts again in %.1f s", child.name, f"signal {-code}" if code < 0 else f"code {code}", child.pause)
        return bool(self.stopping) and not any(c.pid for c in self.children)

    def _stop(self, *_: object) -> None:
        if self.stopping:
            return
        self.stopping = time.monotonic()
        for child in self.children:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)

    def _tell(self) -> None:
        """Print where everything is and what to type next."""
        say, c = self.say, self.config
        say(f"{c.hub}: ready in {time.monotonic() - self.began:.1f} s ({c.profile}, project {c.root.resolve()})")
        addresses = dict(w.split("=", 1) for child in self.children if child.name == "listeners" for w in child.said if "=" in w)
        for channel in self.channels:
            if channel.name in addresses:
                say(f"  {addresses[channel.name]:<28} channel {channel.name}: {channel.purpose}")
        if "console" in self.parts:
            host, port = self.web
            say(f"  http://{host}:{port}/{'':<14} status page; FHIR at /fhir, changes at /feed")
            say(f"  token: {c.token_file} (Authorization: Bearer ...)")
        if any("://127." not in a and "://[::1]" not in a and "://localhost" not in a for a in addresses.values()):
            say("  note: a listener is open to the network; give it tls: in its channel before patient data comes in")
        sample = c.root / "sample_messages/lab/oru_potassium.hl7"
        first = next(iter(addresses.values()), "mllp://127.0.0.1:2575")
        lab = addresses.get("lab_oru", first)
        if sample.exists() and "listeners" in self.parts:
            say(f"  try, in a second terminal:  hub send sample_messages/lab/oru_potassium.hl7 --to {lab}")
        sys.stdout.flush()
