"""`hub backup`: consistent copies of the embedded databases beside a running hub, or a note of another one.

In: a folder, or where somebody else put a backup. Out: what was copied, verified, and noted, so that the
alarm of old backups knows.
"""

from __future__ import annotations

from pathlib import Path

from engine.channels.backup import back_up, verify
from engine.channels.opening import open_keyring, open_staff, open_store
from engine.cli.opened import who
from engine.kernel.config import load_config
from engine.store.audit import Access

__all__ = ["backup_and_tell"]


def backup_and_tell(root: Path, to: Path | None, told: str, check: Path | None) -> int:
    """Back up, note a backup, or verify one; returns the exit code. Raises HubError."""
    if check is not None:
        made = verify(check)
        print(f"OK: {len(made.files)} files, {made.bytes >> 20:,} MB, up to entry {made.entry}")
        return 0
    config = load_config(root)
    keyring = open_keyring(config)
    staff, store = open_staff(config, keyring), open_store(config, keyring)
    try:
        if told:
            staff.backups.told(who(), told)
            store.audit.record(Access(who(), "backup:told", "backup", told))
            print("noted")
            return 0
        store.audit.record(Access(who(), "backup:make", "backup"))
        made = back_up(config, to or config.backups_dir, who(), staff, lambda text: print(text))
    finally:
        staff.close()
        store.close()
    for name, size in made.files.items():
        print(f"  {name:<12} {size:>15,} bytes")
    print(f"{made.folder}: whole, up to entry {made.entry}")
    print("the key is not in it, nor are DICOM objects: see docs/operators/backup.md")
    return 0
