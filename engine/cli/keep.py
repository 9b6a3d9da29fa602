"""`hub keep` and `hub key rotate`: retention by policy, and a new data key."""

from __future__ import annotations

from pathlib import Path

from engine.channels.keeping import keep, rotate
from engine.channels.opening import open_journal, open_keyring, open_store
from engine.kernel.config import load_config

__all__ = ["keep_now", "rotate_now"]


def keep_now(root: Path, dry_run: bool) -> int:
    """Apply `keep:` of config.yaml to the journal and say what that cost; returns the exit code."""
    config = load_config(root)
    keyring = open_keyring(config)
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            account = keep(config, journal, store, dry_run=dry_run)
        finally:
            store.close()
    finally:
        journal.close()
    for line in account.lines():
        print(line)
    word = "would be deleted" if dry_run else "deleted"
    print(
        f"{account.entries} messages {word}, {account.kept} kept because they wait for a person, "
        f"{account.keys} day keys destroyed"
    )
    if not account.log_emptied:
        print("a reader held the database's log: deleted bytes are overwritten when it is next emptied")
    return 0


def rotate_now(root: Path) -> int:
    """Make a new data key current; returns the exit code."""
    config = load_config(root)
    keyring = open_keyring(config)
    journal = open_journal(config, keyring)
    try:
        number, sealed = rotate(keyring, journal)
    finally:
        journal.close()
    print(f"data key {number} is current; {sealed} day keys sealed anew")
    print("restart the hub, and copy the key file again")
    return 0
