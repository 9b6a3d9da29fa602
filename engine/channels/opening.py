"""Open what a process needs of a project: the key, the journal, the core store, what people do; refuse a pair
that does not fit."""

from __future__ import annotations

import os
import threading

from engine.journal.database import exists
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.security.keys import Keyring
from engine.staff.staff import Staff
from engine.store.sql import SqlStore

__all__ = ["check_pair", "open_journal", "open_keyring", "open_staff", "open_store", "prepare_folder"]


def prepare_folder(config: Config) -> None:
    """Make the data folder, readable by its owner only. Raises ConfigError when it cannot be written."""
    folder = config.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.metrics_dir.mkdir(exist_ok=True)
        probe = folder / f".writable-{os.getpid()}-{threading.get_ident()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as e:
        raise ConfigError(
            "the data folder cannot be written",
            where=str(folder),
            why=e.strerror or "",
            remedy="make it writable, or set data: in config.yaml",
        ) from None


def open_keyring(config: Config) -> Keyring:
    """Return the data keys: supplied ones, or the development key file, made at first start only."""
    if config.key:
        return Keyring.supplied(config.key.encode(), where="key: in config.yaml")
    return Keyring.open(config.key_file, existing_data=exists(config.journal_url) or _core_exists(config))


def _core_exists(config: Config) -> bool:
    return exists(config.core_url, table="pack")


def open_journal(config: Config, keyring: Keyring) -> SqlJournal:
    """Open the journal."""
    return SqlJournal.open(config.journal_url, keyring)


def open_store(config: Config, keyring: Keyring) -> SqlStore:
    """Open the core store."""
    return SqlStore.open(config.core_url, keyring)


def open_staff(config: Config, keyring: Keyring) -> Staff:
    """Open what people do: accounts, sessions, keys, notes, drafts."""
    return Staff.open(config.staff_url, keyring, settings=config.console.sign_in)


def check_pair(journal: SqlJournal, store: SqlStore) -> None:
    """Refuse a journal older than what the core store has already worked off."""
    marks = store.watermarks()
    if marks:
        journal.verify_watermark(max(marks.values()))
