"""A real project in a folder of its own for tests: this one's channels, maps and tables, ports chosen freely.

`Hub` is its journal, store and worker in this process; `take` is a message received and worked off.
"""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from engine.channels.definition import Channel, load_channels
from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
from engine.channels.pipeline import Pipeline
from engine.channels.renewal import Renewal
from engine.channels.worker import Worker
from engine.formats.hl7v2.header import peek
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.config import Config, load_config
from engine.kernel.message import NewEntry
from engine.mapping.derived import derived
from engine.mapping.project import Maps
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

HERE = Path(__file__).resolve().parents[1]
TOKEN = "a-token-of-the-test-suite-0123456789"


def free_ports(count: int) -> list[int]:
    """Return TCP ports that were free a moment ago."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


def make_project(root: Path) -> Path:
    """Copy this project to `root`, with free ports."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("channels", "mappings", "terminology", "sample_messages"):
        shutil.copytree(HERE / name, root / name)
    for path in (root / "channels").iterdir():
        if path.name.partition(".")[0] not in ("adt", "lab_oru"):
            path.unlink()  # two channels are enough, and a third port need not be free
    web, lab, adt = free_ports(3)
    text = (HERE / "config.yaml").read_text()
    (root / "config.yaml").write_text(
        f"{text}\nconsole: {{listen: '127.0.0.1:{web}'}}\ndisk_reserve_mb: 1\nworkers: 1\n"
        "terminology: {load_shipped: false}\n"
    )
    for name, old, new in (("lab_oru", 2575, lab), ("adt", 2576, adt)):
        path = root / "channels" / f"{name}.yaml"
        before = path.read_text()
        after = before.replace(f"mllp: {{port: {old}}}", f"mllp: {{port: {new}}}")
        assert after != before
        path.write_text(after)
    return root


@cache
def shipped_maps() -> Maps:
    """The maps of this project, compiled once for all tests that change none."""
    return Maps.open(HERE)


@cache
def _template() -> Maps:
    return Maps.open(HERE)


def _files(root: Path) -> frozenset[tuple[str, int, int]]:
    """Return the files of maps and tables below a folder, as a copy of them keeps them."""
    found = set()
    for name in ("mappings", "terminology"):
        for folder, _, files in os.walk(root / name):
            for file in files:
                path = os.path.join(folder, file)
                about = os.stat(path)
                found.add((os.path.relpath(path, root), about.st_size, about.st_mtime_ns))
    return frozenset(found)


@cache
def _own_files() -> frozenset[tuple[str, int, int]]:
    return _files(HERE)


def maps_of(root: Path, identity_base: str = "urn:hub:own") -> Maps:
    """Open a project's maps; a copy of this one's takes over what is compiled of them already."""
    if identity_base == _template().identity_base and _files(root) == _own_files():
        return derived(_template(), {}, root)
    return Maps.open(root, identity_base)


@dataclass
class Hub:
    """One hub in this process."""

    root: Path
    config: Config
    keyring: Keyring
    channels: list[Channel]
    journal: SqlJournal
    store: SqlStore
    worker: Worker
    entries: dict[str, int] = field(default_factory=dict)

    @classmethod
    def open(cls, root: Path, maps: Maps | None = None) -> Hub:
        config = load_config(root)
        prepare_folder(config)
        config.token_file.write_text(TOKEN + "\n")
        config.token_file.chmod(0o600)
        keyring = open_keyring(config)
        channels = load_channels(root)
        journal, store = open_journal(config, keyring), open_store(config, keyring)
        maps = maps or maps_of(root, config.identity_base)
        pipeline = Pipeline(maps, channels, keyring.mac16)
        worker = Worker(journal, store, pipeline, renewal=Renewal(config, pipeline))
        return cls(root, config, keyring, channels, journal, store, worker)

    def receive(
        self, channel: str, body: bytes, kind: str = "message", reason: str = "", sender: str = ""
    ) -> int:
        """Put a message into the journal as a listener does; returns its entry."""
        header = peek(body)
        patient = next((line.split(b"|")[3] for line in body.split(b"\r") if line.startswith(b"PID|")), b"")
        new = NewEntry(
            channel,
            body,
            now_ms(),
            sender=sender or f"{header.sending_application}|{header.sending_facility}",
            peer="127.0.0.1",
            control_id=header.control_id,
            message_type=f"{header.code}^{header.event}",
            kind=kind,
            order_keys=(patient.decode("latin-1"),) if patient else (),
            reason=reason,
        )
        return self.journal.append([new])[0].id

    def sample(self, name: str) -> bytes:
        """Return a sample message, e.g. `lab/oru_final`."""
        return (self.root / "sample_messages" / f"{name}.hl7").read_bytes()

    def work(self) -> None:
        """Work off all that waits."""
        while self.worker.step():
            pass

    def take(self, channel: str, name: str, changes: dict[str, str] | None = None) -> int:
        """Receive a sample and work it off; returns its entry. `changes`: texts to put in place of others."""
        body = self.sample(name)
        for old, new in (changes or {}).items():
            assert old.encode() in body
            body = body.replace(old.encode(), new.encode())
        entry = self.entries[name] = self.receive(channel, body)
        self.work()
        return entry

    def written(self, entry: int, kind: str) -> str:
        """Return the id of the resource of a type that an entry wrote."""
        return next(id_ for type_, id_, *_ in self.store.written_by(entry) if type_ == kind)

    def resources(self, kind: str) -> list[dict[str, Any]]:
        """Return all current resources of a type."""
        names = {c.id for c in self.store.feed(limit=5000) if c.type == kind}
        found = [self.store.read(kind, name) for name in sorted(names)]
        return [body for body in found if body is not None]

    def close(self) -> None:
        self.store.close()
        self.journal.close()
