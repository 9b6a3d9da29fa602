"""`hub backup` and `hub restore`: a whole hub copied beside itself, its keys sealed apart, and put back.

In: folders, a passphrase. Out: what was copied, verified and noted, so that the alarm of old backups knows;
what was put back, proven line by line, and what is still missing.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from engine.channels.backups.archive import Copies, verify
from engine.channels.backups.keys import open_keys, seal_keys
from engine.channels.backups.making import PARTS, back_up
from engine.channels.backups.proving import prove
from engine.channels.backups.restoring import Wanted, restore
from engine.channels.opening import open_keyring, open_staff, open_store
from engine.cli.opened import who
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError
from engine.staff.passwords import judge
from engine.store.audit import Access

__all__ = ["back_up_now", "note", "open_sealed", "restore_now", "seal_now", "verify_now"]

_VARIABLE = "HUB_BACKUP_PASSPHRASE"


def back_up_now(
    root: Path, to: Path | None, without: list[str], keys_too: bool, objects: str = "name"
) -> int:
    """Back up everything; returns the exit code. Raises HubError."""
    config = load_config(root)
    if objects not in ("name", "copy"):
        raise ConfigError(f"--objects {objects}", remedy="use name or copy")
    for word in without:
        if word not in PARTS:
            raise ConfigError(f"--without {word}", remedy=f"use {', '.join(PARTS)}")
    passphrase = _new_passphrase(None, config) if keys_too else ""
    keyring = open_keyring(config)
    staff, store = open_staff(config, keyring), open_store(config, keyring)
    try:
        store.audit.record(Access(who(), "backup:make", "backup"))
        place = to or config.backups_dir
        made = back_up(config, place, who(), staff, keyring, print, None, tuple(without), objects == "copy")
        if keys_too:
            store.audit.record(Access(who(), "backup:keys", "backup"))
            seal_keys(config, keyring, made.folder, passphrase, beside=True)
    finally:
        staff.close()
        store.close()
    _tell(made)
    print(f"{made.folder}: whole, up to entry {made.entry}")
    print("the keys are in it, under the passphrase" if keys_too else "the key is not in it: hub backup keys")
    return 0


def note(root: Path, place: str) -> int:
    """Note a backup that somebody else made."""
    config = load_config(root)
    keyring = open_keyring(config)
    staff, store = open_staff(config, keyring), open_store(config, keyring)
    try:
        staff.backups.told(who(), place)
        store.audit.record(Access(who(), "backup:told", "backup", place))
    finally:
        staff.close()
        store.close()
    print("noted")
    return 0


def verify_now(root: Path, folder: Path) -> int:
    """Prove that a backup is whole, with this project's key where it is here."""
    config = load_config(root)
    here = bool(config.key) or config.key_file.exists()
    made = verify(folder, open_keyring(config) if here else None)
    print(f"OK: {len(made.files)} files, {made.bytes >> 20:,} MB, up to entry {made.entry}")
    return 0


def seal_now(root: Path, to: Path, file: Path | None, beside: bool) -> int:
    """Seal the keys for another place."""
    config = load_config(root)
    keyring = open_keyring(config)
    passphrase = _new_passphrase(file, config)
    store = open_store(config, keyring)
    try:
        store.audit.record(Access(who(), "backup:keys", "backup"))
    finally:
        store.close()
    path = seal_keys(config, keyring, to, passphrase, beside)
    print(f"{path}: the keys, sealed; without the passphrase nobody opens them")
    return 0


def open_sealed(path: Path, to: Path, file: Path | None) -> int:
    """Write the text of a key file from sealed keys, for the site's own secret store."""
    keys = open_keys(path, _passphrase(file))
    handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as f:
        f.write(keys.text)
    print(f"{to}: the text of the data key, as `key:` takes it")
    return 0


def restore_now(
    archive: Path,
    to: Path,
    data: Path | None,
    objects: Path | None,
    database: str,
    keys: Path | None,
    passphrase_file: Path | None,
    proven: bool,
) -> int:
    """Put a backup back and prove it; returns 0 where nothing is wrong or missing. Raises HubError."""
    opened = open_keys(keys, _passphrase(passphrase_file)) if keys is not None else None
    done = restore(archive, Wanted(to, data, objects, database, opened), print)
    print(f"{to}: put back as of {done.said['made']}, up to entry {done.said['entry']:,}")
    wrong = 0
    for proof in prove(done.config, done.said, done.keyring, archive) if proven else ():
        wrong += not proof.good
        print(f"  {'ok   ' if proof.good else 'WRONG'}  {proof.what}: {proof.said}")
    for line in done.missing:
        print(f"  missing: {line}")
    if proven and not wrong:
        print("proven: it is the hub that was backed up, and its data can be opened")
    return 1 if wrong or done.missing else 0


def _tell(made: Copies) -> None:
    for name, one in made.said["databases"].items():
        rows = sum(one["rows"].values())
        print(f"  {name:<14} {made.files[name]:>15,} bytes  {rows:>12,} rows")
    objects = made.said["objects"]
    if "count" in objects:
        print(f"  {'objects':<14} {objects['bytes']:>15,} bytes  {objects['count']:>12,} objects")
    elif "kept in" in objects:
        listed = f"{objects['named']:,} are listed" if "named" in objects else "they are not listed"
        why = f" ({objects['not listed']})" if "not listed" in objects else ""
        print(
            f"  objects are kept in {objects['kept in']}: {listed}{why}, not copied; --objects copy does that"
        )
    for word in made.said["left out"]:
        print(f"  {word} were left out")


def _passphrase(file: Path | None) -> str:
    """Return the passphrase from a file, the environment, or the person at the terminal."""
    if file is not None:
        try:
            return file.read_text("utf-8").strip("\r\n")
        except OSError as e:
            raise ConfigError("cannot be read", where=str(file), why=e.strerror or "") from None
    if os.environ.get(_VARIABLE):
        return os.environ[_VARIABLE]
    if not sys.stdin.isatty():
        raise ConfigError(
            "there is nobody to ask for the passphrase", remedy=f"set {_VARIABLE}, or give --passphrase-file"
        )
    return getpass.getpass("passphrase: ")


def _new_passphrase(file: Path | None, config: Config) -> str:
    """Return a passphrase that is not easily guessed; typed twice where a person types it."""
    passphrase = _passphrase(file)
    judge(passphrase, [config.hub])
    asked = file is None and not os.environ.get(_VARIABLE)
    if asked and getpass.getpass("once more: ") != passphrase:
        raise ConfigError("these are two passphrases", remedy="type the same one twice")
    return passphrase
