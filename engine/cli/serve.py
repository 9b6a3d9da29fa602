"""`hub serve`: checks everything once, starts the processes, and prints where they are and what to type next.

Processes: one for all listeners, one for the DICOM nodes, one a worker, one for the web side;
`supervisor.py` keeps them up. What
would stop one of them later (a busy port, a folder that cannot be written, a missing key, a journal older
than the core store) is found before any of them starts, and said in one line with the remedy.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.channels.deaths import FileSlot
from engine.channels.definition import Channel, agree, load_channels
from engine.channels.delivering.places import destinations_of
from engine.channels.opening import (
    open_journal,
    open_keyring,
    open_store,
    prepare_folder,
)
from engine.channels.pipeline import Pipeline
from engine.channels.processes import ended
from engine.channels.production import judge
from engine.channels.renewal import Renewal, project_digest
from engine.channels.restarts import asked_file, check_way
from engine.channels.sharing import check_queue, open_queue, ringing, shared
from engine.channels.spans import TracedPipeline, TracedStore, open_spans, traced_journal
from engine.channels.spreading import catch_up
from engine.channels.worker import Worker
from engine.cli import watching
from engine.cli.beforehand import address_of, finish_change, first_link, first_open, free, read_token, warm
from engine.cli.board import Board
from engine.cli.collecting import Collecting
from engine.cli.files import polled, run_files
from engine.cli.following import run_following
from engine.cli.health import run_health
from engine.cli.keeper import is_wanted, run_keeper
from engine.cli.nodehealth import NodeHealth, web_answer
from engine.cli.shipping import run_shipping, to_load
from engine.cli.started import Started
from engine.cli.supervisor import Child, Supervisor, only_one
from engine.cli.telling import tell
from engine.codes.store import CodeStore
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError
from engine.kernel.log import set_up
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
    set_up(config.log)
    finish_change(config)
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
    first_open(config, keyring)
    first = first_link(config, keyring) if "console" in parts else ""
    token = read_token(config)
    host, port = address_of(config.console.listen)
    if listen is not None:
        host = listen
    if "listeners" in parts or "dicom" in parts:
        for c in channels:
            if ("dicom" if c.dicom is not None else "listeners") not in parts:
                continue
            check_way(c)
            if c.network is not None:
                free(
                    c.network.host,
                    c.network.port,
                    f"channel {c.name} ({c.file})",
                    "set another port: there, or stop what uses it",
                )
    if "console" in parts:
        free(host, port, "console: listen: in config.yaml", "set another port there, or stop what uses it")
    if "workers" in parts:
        warm(maps, channels)
    started = Started(config, channels, maps, digest, listen)
    children = _children(parts, started, keyring, host, port, token)
    board = Board([*(c.name for c in children)])
    if any(set(roles) & set(parts) for roles in config.health.addresses().values()):
        asked = NodeHealth(config, board, partial(web_answer, config, host, port))
        children.append(Child("health", partial(run_health, config, asked, parts, token), last=True))
    return Supervisor(
        children,
        lambda: tell(parts, children, config, channels, (host, port), began, say, first),
        partial(ended, config.data_dir),
        asked_file(config),
        board,
        config.health.drain_seconds,
    ).run()


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
        lambda: traced_journal(
            config, "listeners", ringing(config, "listeners", open_journal(config, keyring))
        ),
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
    own = shared_out(journal.lanes, index, config.workers)
    queue = open_queue(config, name, own, journal.lanes, store.owners())
    spans = open_spans(config, name)  # where nothing is traced, nothing is wrapped, and nothing is paid
    worker = Worker(
        journal,
        TracedStore(store, spans) if spans is not None else store,
        TracedPipeline(pipeline, spans) if spans is not None else pipeline,
        queue,
        slot,
        renewal,
    )
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
        if spans is not None:
            spans.close()
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
