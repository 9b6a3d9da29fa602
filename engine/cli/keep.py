"""`hub keep` and `hub key rotate`: retention by policy, and a new data key."""

from __future__ import annotations

from pathlib import Path

from engine.channels.keeping import days_of, keep, keep_audit, keep_deliveries, rotate
from engine.channels.node.opening import open_imaging
from engine.channels.opening import open_journal, open_keyring, open_store
from engine.cli.opened import who
from engine.imaging.retention import expire
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.config import Config, load_config
from engine.security.keys import Keyring
from engine.store.audit import Access
from engine.store.sql import SqlStore

__all__ = ["keep_and_tell", "keep_imaging", "keep_now", "rotate_now"]

_DAY = 86_400_000
_MOST = 10_000  # studies that a dry run counts
_RUNS = 200  # runs of entry numbers that one audit row holds


def keep_now(root: Path, dry_run: bool) -> int:
    """Apply `keep:` of config.yaml to the journal and say what that cost; returns the exit code."""
    config = load_config(root)
    keyring = open_keyring(config)
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            for line in keep_and_tell(config, journal, store, who(), dry_run=dry_run):
                print(line)
            for line in keep_imaging(config, keyring, store, who(), dry_run=dry_run):
                print(line)
        finally:
            store.close()
    finally:
        journal.close()
    return 0


def keep_and_tell(
    config: Config, journal: SqlJournal, store: SqlStore, who: str, *, dry_run: bool = False
) -> list[str]:
    """Apply the policy and return what to say of it; the audit table knows before anything is deleted."""
    policy = f"messages: {config.keep.messages}"
    if not dry_run:
        store.audit.record(Access(who, "keep:begin", "journal", policy))
    account = keep(config, journal, store, dry_run=dry_run)
    lines = account.lines()
    word = "would be deleted" if dry_run else "deleted"
    lines.append(
        f"{account.entries} messages {word}, {account.kept} kept because they wait for a person, "
        f"{account.keys} day keys destroyed"
    )
    if not dry_run:
        runs = " ".join(f"{first}-{last}" for first, last in account.ids[:_RUNS])
        more = f" and {len(account.ids) - _RUNS} runs more" if len(account.ids) > _RUNS else ""
        entries = f"; entries {runs}{more}" if runs else ""
        store.audit.record(Access(who, "keep:done", "journal", lines[-1] + entries))
    if not dry_run:
        keep_deliveries(config, store, now_ms())
    if not dry_run and (gone := keep_audit(config, store, who, now_ms())):
        lines.append(f"{gone} audit rows taken out; the chain goes on from the last of them")
    if not account.log_emptied:
        lines.append(
            "a reader held the database's log: deleted bytes are overwritten when it is next emptied"
        )
    return lines


def keep_imaging(
    config: Config, keyring: Keyring, store: SqlStore, who: str, *, dry_run: bool = False
) -> list[str]:
    """Forget studies that `keep: imaging:` no longer covers, with their objects; return what to say of it."""
    days = days_of(config.keep.imaging, "config.yaml: keep: imaging")
    if days is None:
        return []
    now = now_ms()
    before = now - days * _DAY
    imaging = open_imaging(config, keyring)
    try:
        if dry_run:
            aged = len(imaging.index.retention.aged(before, _MOST))
            return [f"{aged} studies would be deleted" + (" at the least" if aged == _MOST else "")]
        policy = f"imaging: {config.keep.imaging}"
        store.audit.record(Access(who, "keep:begin", "imaging", policy))
        gone = expire(imaging.index.retention, imaging.objects, before, now)
    finally:
        imaging.close()
    line = f"{gone} studies deleted; what the core store was told of them stays"
    store.audit.record(Access(who, "keep:done", "imaging", line))
    return [line]


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
