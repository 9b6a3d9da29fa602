"""The project's databases as the command line opens them: beside a running hub, and never making anything
new.

In: the project's root. Out: configuration, keys, journal and core store, closed at the end; and who is
asking, for the audit table.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.channels.opening import open_journal, open_keyring, open_store
from engine.journal.database import exists
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

__all__ = ["Opened", "opened", "who"]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with."""

    config: Config
    keyring: Keyring
    journal: SqlJournal
    store: SqlStore


@contextmanager
def opened(root: Path) -> Iterator[Opened]:
    """Open the databases of the project at `root`. Raises HubError where nothing was ever received."""
    config = load_config(root)
    if not exists(config.journal_url):
        raise HubError(
            "nothing has been received yet", where=str(config.data_dir), remedy="start the hub: hub serve"
        )
    keyring = open_keyring(config)
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            yield Opened(config, keyring, journal, store)
        finally:
            store.close()
    finally:
        journal.close()


def who() -> str:
    """Return the name of the person at the command line, as the audit table shows it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return f"cli:uid-{os.getuid()}"
