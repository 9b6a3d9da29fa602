"""`hub doctor`: what is in force, where it came from, and what is wrong, one line each.

In: the project's root. Out: `Finding`s, each fine, worth a look, or wrong with its remedy. No patient data,
no secret.
"""

from __future__ import annotations

import platform
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as version_of
from pathlib import Path

from engine import __version__
from engine.channels.alike import FRESH, differences, facts
from engine.channels.certificates import certificates
from engine.channels.definition import Channel, load_channels
from engine.channels.delivering.places import destinations_of
from engine.channels.inforce import in_force
from engine.channels.node.opening import nodes_of, open_imaging
from engine.channels.opening import check_pair, open_staff
from engine.channels.processes import processes
from engine.channels.production import judge
from engine.channels.sharing import shared
from engine.cli.opened import Opened, opened
from engine.codes.store import CodeStore
from engine.codes.systems import SHORT
from engine.console.figures import Gauge
from engine.journal.database import exists
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError

__all__ = ["Finding", "examine"]

_FRESH = 8.0  # seconds; processes that run renew their metrics more often


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `state`: ok | look | wrong."""

    topic: str
    name: str
    value: str
    state: str = "ok"
    remedy: str = ""


def examine(root: Path) -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding, too."""
    found = [
        Finding("hub", "version", __version__),
        Finding("hub", "python", f"{platform.python_version()} at {sys.executable}"),
        Finding("hub", "root", str(root.resolve())),
    ]
    found += [
        Finding("hub", name, version_of(name))
        for name in ("sqlalchemy", "twisted", "fastapi", "cryptography")
    ]
    found.append(Finding("hub", "sqlite", sqlite3.sqlite_version))
    try:
        config = load_config(root)
    except HubError as e:
        return [*found, _wrong("config", "config.yaml", e)]
    found += _settings(config)
    found += _clock()
    try:
        channels = load_channels(root)
        found += _ports(config, channels)
    except HubError as e:
        channels = []
        found.append(_wrong("ports", "channels", e))
    try:
        judge(config, channels)
    except HubError as e:
        found.append(_wrong("config", "profile", e))
    found += _certificates(config, channels)
    found += _files(config)
    found += _codes(config)
    try:
        if not exists(config.journal_url):
            remedy = "start the hub: hub serve"
            return [*found, Finding("data", "journal", "nothing has been received yet", "look", remedy)]
        with opened(root) as hub:
            found += _data(hub, channels)
    except HubError as e:
        found.append(_wrong("data", "databases", e))
    return found


def _wrong(topic: str, name: str, e: HubError) -> Finding:
    text = HubError(e.what, where=e.where, why=e.why)
    return Finding(topic, name, str(text), "wrong", e.remedy)


def _settings(config: Config) -> Iterator[Finding]:
    for setting in in_force(config):
        origin = "default" if setting.origin == "default" else "config.yaml"
        yield Finding("config", setting.name, f"{setting.value} ({origin})".strip())


def _certificates(config: Config, channels: list[Channel]) -> Iterator[Finding]:
    for one in certificates(config, channels):
        days = one.days(now_ms())
        name = f"{one.used_by}: {one.subject or one.file}"
        if days is None:
            yield Finding("certificates", name, one.trouble, "wrong", f"put a certificate at {one.file}")
            continue
        state = "wrong" if days < 0 else "look" if days < config.alerts.certificate_days else "ok"
        said = f"expires in {days} days" if days >= 0 else "has expired"
        yield Finding("certificates", name, said, state, "" if state == "ok" else f"renew {one.file}")


def _codes(config: Config) -> Iterator[Finding]:
    try:
        current = {r.system: r for r in reversed(CodeStore(config.data_dir / "codes.db").releases())}
    except HubError as e:
        yield _wrong("codes", "codes.db", e)
        return
    if not current:
        yield Finding(
            "codes", "releases", "none is loaded", "look", "load what ships: hub terms load --shipped"
        )
    for name, system in SHORT.items():
        if system in current:
            yield Finding("codes", name, f"{current[system].version}, {current[system].concepts:,} concepts")


def _files(config: Config) -> Iterator[Finding]:
    folder = config.data_dir
    if not folder.exists():
        yield Finding("data", "folder", f"{folder} is made at the first start", "look")
        return
    for name, path in (("key file", config.key_file), ("token file", config.token_file)):
        if name == "key file" and config.key:
            continue
        if not path.exists():
            yield Finding("data", name, f"{path} is missing", "look", "it is made at the first start")
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        open_to_others = bool(mode & 0o077)
        yield Finding(
            "data",
            name,
            f"{path}, mode {mode:o}",
            "wrong" if open_to_others else "ok",
            f"chmod 600 {path}" if open_to_others else "",
        )
    usage = shutil.disk_usage(folder)
    low = usage.free < config.disk_reserve_mb << 20
    yield Finding(
        "data",
        "disk",
        f"{usage.free >> 20} MB free of {usage.total >> 20} MB, reserve {config.disk_reserve_mb} MB",
        "wrong" if low else "ok",
        "make room: below the reserve no message is answered" if low else "",
    )


def _ports(config: Config, channels: list[Channel]) -> Iterator[Finding]:
    running = any(seconds is not None and seconds <= _FRESH for seconds in processes(config).values())
    addresses = [
        (f"channel {c.name}", c.network.host, c.network.port) for c in channels if c.network is not None
    ]
    host, _, port = config.console.listen.rpartition(":")
    addresses.append(("web side", host.strip("[]"), int(port) if port.isdigit() else 0))
    if not channels:
        yield Finding("ports", "channels", "there is no channel", "wrong", "write one in channels/")
    for name, host, number in addresses:
        if not number:
            yield Finding("ports", name, f"{host}: any free port")
            continue
        answers = _answers({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), number)
        text = f"{host}:{number} {'answers' if answers else 'is free'}"
        if answers == running:
            yield Finding("ports", name, text)
        elif answers:
            yield Finding(
                "ports", name, f"{text}, but this hub is not running", "wrong", "another program has the port"
            )
        else:
            yield Finding(
                "ports",
                name,
                f"{text}, but the hub is running",
                "look",
                "it has just stopped, or its log says why",
            )


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False


def _clock() -> Iterator[Finding]:
    local = datetime.now().astimezone()
    early = local.year < 2025
    yield Finding(
        "clock",
        "now",
        f"{iso(now_ms())}, here {local:%Y-%m-%d %H:%M:%S %z}",
        "wrong" if early else "ok",
        "set the machine's clock" if early else "",
    )


def _imaging(hub: Opened) -> Iterator[Finding]:
    """Look at what is held of imaging: what waits for a person, and for other systems."""
    imaging = open_imaging(hub.config, hub.keyring)
    try:
        counts, backlog = imaging.index.counts(), imaging.index.backlog()
    finally:
        imaging.close()
    held = f"{counts['studies']} studies, {counts['instances']} instances"
    unsettled = counts["reconcile"]
    remedy = "hub dicom studies --reconcile" if unsettled else ""
    yield Finding("imaging", "held", held)
    yield Finding("imaging", "reconcile", str(unsettled), "look" if unsettled else "ok", remedy)
    for to, one in backlog.items():
        text = f"{one.waiting} waiting, {one.parked} refused"
        state, remedy = ("look", f"hub dicom queue --again {to}") if one.parked else ("ok", "")
        yield Finding("imaging", f"to {to}", text, state, remedy)


def _deliveries(hub: Opened, channels: list[Channel]) -> Iterator[Finding]:
    """Look at what waits to go out, and for whom nobody delivers any more."""
    known = destinations_of(hub.config, channels)
    for place in hub.store.deliveries.places():
        held = place.refused + place.parked
        text = f"{place.state}, {place.pending} waiting, {held} for a person"
        if place.name not in known and (place.pending or held):
            remedy = (
                f"nothing delivers to it any more: bring {place.name} back under destinations: or deliver:, "
                f"or hub deliveries skip --to {place.name} --why ..."
            )
            yield Finding("deliveries", f"to {place.name}", text, "wrong", remedy)
            continue
        state = "look" if place.state != "open" or held else "ok"
        remedy = f"hub deliveries list --to {place.name} --status parked" if held else place.why
        yield Finding("deliveries", f"to {place.name}", text, state, remedy if state == "look" else "")


def _machines(hub: Opened) -> Iterator[Finding]:
    """Look at what the other machines of this hub have otherwise."""
    staff = open_staff(hub.config, hub.keyring)
    try:
        others = staff.nodes.others(hub.config.node_name, now_ms() - FRESH)
        found = differences(hub.config, staff, facts(hub.config, hub.keyring))
    finally:
        staff.close()
    yield Finding("machines", "others", ", ".join(others) or "none has told of itself lately")
    for one in found:
        yield Finding("machines", f"{one.topic}: {one.node}", one.said, "look", one.remedy)


def _data(hub: Opened, channels: list[Channel]) -> Iterator[Finding]:
    check_pair(hub.journal, hub.store)
    gauge = Gauge(channels, hub.journal, hub.config.core_url)
    try:
        figures = gauge.now()
    finally:
        gauge.close()
    yield Finding("data", "journal", f"{figures.head} entries, {hub.journal.lanes} lanes")
    yield Finding("data", "core store", f"{figures.position} changes")
    old = figures.oldest_seconds > 60
    yield Finding(
        "data",
        "queue",
        f"{figures.waiting} waiting, the oldest for {figures.oldest_seconds:.0f} s",
        "look" if old else "ok",
        "is a worker running? hub serve starts them" if old else "",
    )
    parked = sum(figures.parked.values())
    yield Finding(
        "data",
        "parked",
        str(parked),
        "look" if parked else "ok",
        "hub msg find --status parked" if parked else "",
    )
    newest = max((c.last for c in figures.channels if c.last is not None), default=0)
    if newest > now_ms() + 1000:
        yield Finding(
            "clock",
            "journal",
            f"the newest message came at {iso(newest)}, in the future",
            "look",
            "set the clock",
        )
    if nodes_of(channels):
        yield from _imaging(hub)
    yield from _deliveries(hub, channels)
    if shared(hub.config):
        yield from _machines(hub)
    yield Finding("data", "audit", f"{hub.store.audit.head()[0]} rows")
