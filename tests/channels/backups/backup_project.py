"""A small project with data in it, for the tests of backups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.channels.auditheads import keep_head
from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
from engine.kernel.config import Config, load_config
from engine.kernel.message import NewEntry
from engine.store.audit import Access

NOW = 1_790_000_000_000
PROJECT = """\
hub: Mercy
objects: {access_key: s3kr1t}
terminology: {server: "https://tx.mercy.example/fhir", token: "${secret:TX}"}
alerts:
  mail:
    host: mail.mercy.example
    sender: hub@mercy.example
    to: [ops@mercy.example]
    password: hunter2   # Password of the mail server
"""
CHANNEL = """\
channel: lab
purpose: Results of the laboratory
receive: {mllp: {port: 0}}
"""


@contextmanager
def make(root: Path, entries: int = 7, **settings: str) -> Iterator[Config]:
    """Make a project with entries in its journal and rows in its audit; open while it is used."""
    root.mkdir(exist_ok=True)
    (root / "channels").mkdir()
    (root / "channels/lab.yaml").write_text(CHANNEL)
    (root / "mappings").mkdir()
    (root / "config.yaml").write_text(PROJECT + "".join(f"{k}: {v}\n" for k, v in settings.items()))
    config = load_config(root)
    prepare_folder(config)
    keyring = open_keyring(config)
    journal, store = open_journal(config, keyring), open_store(config, keyring)
    try:
        new = NewEntry(channel="lab", body=b"MSH|1", received=NOW, sender="a")
        journal.append([new for _ in range(entries)])
        store.audit.record(Access("ann", "fhir:read", "Patient/1"))
        keep_head(config, keyring, store)
        yield config
    finally:
        journal.close()
        store.close()
