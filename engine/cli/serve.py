"""`hub serve`: checks everything once, starts the processes, and prints where they are and what to type next.

Processes: one for all listeners, one for the DICOM nodes, one a worker, one for the web side;
`supervisor.py` keeps them up. What
would stop one of them later (a busy port, a folder that cannot be written, a missing key, a journal older
than the core store) is found before any of them starts, and said in one line with the remedy.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.channels.deaths import FileSlot
from engine.channels.definition import Channel, agree, load_channels
from engine.channels.delivering.places import destinations_of
from engine.channels.golive import recover
from engine.channels.opening import (
    check_pair,
    open_journal,
    open_keyring,
    open_staff,
    open_store,
    prepare_folder,
)
from engine.channels.pipeline import Pipeline
from engine.channels.processes import ended
from engine.channels.production import is_loopback, judge
from engine.channels.renewal import Renewal, alone, project_digest
from engine.channels.restarts import asked_file, bind, check_way
from engine.channels.sharing import check_queue, open_queue, ringing, shared
from engine.channels.spreading import catch_up
from engine.channels.swapping import pending
from engine.channels.worker import Worker
from engine.cli import watching
from engine.cli.collecting import Collecting
from engine.cli.files import polled, run_files
from engine.cli.following import run_following
from engine.cli.keeper import is_wanted, run_keeper
from engine.cli.shipping import run_shipping, to_load
from engine.cli.started import Started
from engine.cli.supervisor import Child, Supervisor, only_one
from engine.codes.store import CodeStore
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError
from engine.mapping.project import Maps
from engine.queue.lanes import shared_out
from engine.security.keys import Keyring

__all__ = ["serve"]

log = logging.getLogger("hub")
PARTS = ("listeners", "dicom", "workers", "deliveries", "console")


def serve(root: Path, only: str = "", listen: str | None = None, say: Callable[[str], None] = print) -> int:
    """Run the hub of the project at `root` until it is told to stop; returns the exit code.

    Raises HubError before anything starts.
    """
    began = time.monotonic()
    parts = tuple(p.strip() for p in only.split(",")) if only else PARTS
    for p in parts:
        if p not in PARTS:
            raise ConfigError(f"--only {p}", remedy=f"use {', '.join(PARTS)}")
    config = load_config(root)
    check_queue(config)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    for noisy in ("alembic", "httpx", "sqlalchemy", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _recover(config)
    catch_up(config)
    digest = project_digest(root)
    channels = load_channels(root, listen)
    if not channels:
        raise ConfigError(
            "there is no channel",
            where=str(root / "channels"),
            remedy="write one, see docs/analysts/channels.md",
        )
    judge(config, channels, listen)
    prepare_folder(config)
    for part in parts:
        only_one(config.data_dir, part)  # held until this process and its children are gone
    keyring = open_keyring(config)
    maps = Maps.open(root, config.identity_base)
    maps.codes = CodeStore(config.data_dir / "codes.db")  # opens its file when first asked: in each worker
    agree(channels, maps)
    destinations_of(config, channels)  # what is wrong with one stops nothing later
    _first_open(config, keyring)
    first = _first_link(config, keyring) if "console" in parts else ""
    token = _token(config)
    host, port = _address(config.console.listen)
    if listen is not None:
        host = listen
    if "listeners" in parts or "dicom" in parts:
        for c in channels:
            if ("dicom" if c.dicom is not None else "listeners") not in parts:
                continue
            check_way(c)
            if c.network is not None:
                _free(
                    c.network.host,
                    c.network.port,
                    f"channel {c.name} ({c.file})",
                    "set another port: there, or stop what uses it",
                )
    if "console" in parts:
        _free(host, port, "console: listen: in config.yaml", "set another port there, or stop what uses it")
    if "workers" in parts:
        _warm(maps, channels)
    started = Started(config, channels, maps, digest, listen)
    children = _children(parts, started, keyring, host, port, token)
    return Supervisor(
        children,
        lambda: _tell(parts, children, config, channels, (host, port), began, say, first),
        partial(ended, config.data_dir),
        asked_file(config),
    ).run()


def _recover(config: Config) -> None:
    """Finish, or take back, a change whose writing was interrupted, before anything reads the files."""
    if pending(config) is None:
        return
    prepare_folder(config)
    staff = open_staff(config, open_keyring(config))
    try:
        with alone(config):
            for line in recover(config, staff):
                log.warning("%s", line)
    finally:
        staff.close()


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


def _first_link(config: Config, keyring: Keyring) -> str:
    """Return the code of a link for the first account; empty where there is one, or people sign in elsewhere.

    Raises ConfigError in production, where a link is nothing to print.
    """
    staff = open_staff(config, keyring)
    try:
        if config.console.oidc is not None or staff.accounts.any():
            return ""
        if config.profile == "production":
            raise ConfigError(
                "nobody could sign in: there is no account and no console: oidc:",
                where=config.at("profile"),
                remedy="type hub user add NAME --role admin, and open the link it prints once the hub runs",
            )
        return staff.links.for_first()
    finally:
        staff.close()


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
        raise ConfigError(
            f"{text!r} is not an address",
            where="config.yaml: console: listen:",
            remedy="write e.g. 127.0.0.1:8080",
        )
    return host.strip("[]"), int(port)


def _free(host: str, port: int, where: str, remedy: str) -> None:
    if not port:
        return
    try:
        bind(host, port).close()
    except OSError as e:
        raise ConfigError(
            f"port {port} on {host} cannot be opened",
            where=where,
            why=(e.strerror or "").lower(),
            remedy=remedy,
        ) from None


def _children(
    parts: tuple[str, ...],
    started: Started,
    keyring: Keyring,
    host: str,
    port: int,
    token: str,
) -> list[Child]:
    out: list[Child] = []
    config, channels = started.config, started.channels
    if "listeners" in parts:
        out.append(Child("listeners", partial(_listeners, started, keyring)))
        if polled(channels):
            out.append(Child("files", partial(_files, started, keyring)))
        else:
            (config.metrics_dir / "files.prom").unlink(missing_ok=True)  # nobody waits for it any more
    if "dicom" in parts and any(c.dicom is not None for c in channels):
        out.append(Child("dicom", partial(_nodes, started, keyring)))
    else:
        (config.metrics_dir / "dicom.prom").unlink(missing_ok=True)
    if "workers" in parts:
        for i in range(config.workers):
            out.append(Child(f"worker-{i}", partial(_worker, started, keyring, i)))
        if is_wanted(config):
            out.append(Child("keeper", partial(run_keeper, config, keyring)))
        if rows := to_load(config):
            out.append(Child("codes", partial(run_shipping, config, rows), once=True))
    if shared(config):
        out.append(Child("following", partial(run_following, config, keyring)))
    if "deliveries" in parts:
        out.append(Child("deliveries", partial(_deliveries, started, keyring)))
        out += watching.children(config, keyring)
    if "console" in parts:
        out.append(Child("console", partial(_console, config, keyring, channels, host, port, token)))
    return out


def _listeners(started: Started, keyring: Keyring, ready: Callable[[str], None]) -> None:
    from engine.listeners.listen import ListenSettings, run
    from engine.listeners.senders import concealed_by

    config = started.config
    channels, _ = started.now("listeners")
    settings = ListenSettings(
        metrics=config.metrics_dir,
        journal_disk=config.data_dir if config.journal_url.startswith("sqlite") else None,
        disk_reserve_bytes=config.disk_reserve_mb << 20,
    )
    ports = [port for c in channels if (port := c.mllp or c.http) is not None]
    run(
        settings,
        ports,
        lambda: ringing(config, "listeners", open_journal(config, keyring)),
        ready=lambda addresses: ready(
            " ".join(f"{p.channel}={a}" for p, a in zip(ports, addresses, strict=True))
        ),
        conceal=concealed_by(keyring.mac16),
    )


def _files(started: Started, keyring: Keyring, ready: Callable[[str], None]) -> None:
    channels, _ = started.now("files")
    run_files(started.config, channels, keyring, ready)


def _deliveries(started: Started, keyring: Keyring, ready: Callable[[str], None]) -> None:
    from engine.cli.delivering import run_deliveries

    channels, _ = started.now("deliveries")
    run_deliveries(started.config, channels, keyring, ready)


def _nodes(started: Started, keyring: Keyring, ready: Callable[[str], None]) -> None:
    from engine.cli.dicomnode import run_nodes

    channels, maps = started.now("dicom")
    run_nodes(started.config, channels, keyring, maps, ready)


def _worker(started: Started, keyring: Keyring, index: int, ready: Callable[[str], None]) -> None:
    from engine.channels.worker_metrics import WorkerMetrics

    config, name = started.config, f"worker-{index}"
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    journal = open_journal(config, keyring)
    store = open_store(config, keyring)
    slot = FileSlot(config.data_dir / f"{name}.at")
    pipeline = Pipeline(started.maps, started.channels, keyring.mac16)

    def searched(channels: list[Channel]) -> None:
        places = [(c.name, place) for c in channels for place in c.search]
        store.finding.note_searched(places, journal.head())

    renewal = Renewal(config, pipeline, started.digest, name, started.listen, searched)
    queue = open_queue(config, name, shared_out(journal.lanes, index, config.workers), journal.lanes)
    worker = Worker(journal, store, pipeline, queue, slot, renewal)
    searched(started.channels)
    metrics = WorkerMetrics(worker, config.metrics_dir / f"{name}.prom")
    collecting = Collecting()

    def tick() -> None:
        metrics.tick()
        collecting.tick()

    ready("")
    try:
        worker.run(lambda: stopping, tick)
    finally:
        queue.close()  # first, so that others go on with these lanes at once
        metrics.write()
        store.close()
        journal.close()


def _console(
    config: Config,
    keyring: Keyring,
    channels: list[Channel],
    host: str,
    port: int,
    token: str,
    ready: Callable[[str], None],
) -> None:
    from engine.console.app import run_console

    run_console(config, keyring, channels, host, port, token, ready)


def _called() -> str:
    """Return how this command is typed in another terminal: `hub` only where that would be found."""
    typed = Path(sys.argv[0])
    return str(typed) if typed.name == "hub" and shutil.which("hub") is None else "hub"


def _tell(
    parts: tuple[str, ...],
    children: list[Child],
    config: Config,
    channels: list[Channel],
    web: tuple[str, int],
    began: float,
    say: Callable[[str], None],
    first: str = "",
) -> None:
    """Print where everything is and what to type next."""
    c = config
    say(f"{c.hub}: ready in {time.monotonic() - began:.1f} s ({c.profile}, project {c.root.resolve()})")
    addresses = dict(
        w.split("=", 1)
        for child in children
        if child.name in ("listeners", "files", "dicom")
        for w in child.said
        if "=" in w
    )
    for channel in channels:
        if channel.name in addresses:
            say(f"  {addresses[channel.name]:<28} channel {channel.name}: {channel.purpose}")
    if "console" in parts:
        host, port = web
        scheme = "https" if c.console.tls else "http"
        web_address = f"{scheme}://{host}:{port}/"
        say(f"  {web_address:<28} console; /status without signing in; /fhir, /feed for programs")
        say(f"  token: {c.token_file} (Authorization: Bearer ...)")
        if first:
            address = c.console.proxy or f"{scheme}://{host}:{port}"
            say(f"  nobody has an account yet; this link makes the first, once:  {address}/welcome#{first}")
    if any(
        c.network is not None and not is_loopback(c.network.host) for c in channels if c.name in addresses
    ):
        say("  note: a listener is open to the network; give it tls: before patient data comes in")
    if "workers" in parts and is_wanted(c):
        limits = (("messages", c.keep.messages), ("images", c.keep.imaging))
        what = " and ".join(f"{kind} older than {limit}" for kind, limit in limits if limit != "forever")
        say(f"  keep: {what} are deleted every day at {c.keep.at}")
    sample = c.root / "sample_messages/lab/oru_potassium.hl7"
    lab = addresses.get("lab_oru") or next((a for a in addresses.values() if a.startswith("mllp")), "")
    if sample.exists() and lab:
        here = lab.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
        shown = sample.relative_to(Path.cwd()) if sample.is_relative_to(Path.cwd()) else sample
        say(f"  try, in a second terminal:  {_called()} send {shown} --to {here}")
    sys.stdout.flush()
