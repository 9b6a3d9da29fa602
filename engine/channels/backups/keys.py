"""The keys of a hub for a place apart from its backups: sealed under a passphrase that a person keeps.

In: the keyring, the token file, signing keys, a passphrase. Out: one file of text, small enough to be
printed; and the keys again. Whoever has a backup and this file and the passphrase reads everything; with two
of them nobody does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from engine.channels.backups.archive import fingerprint
from engine.channels.backups.files import put
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.security.keys import Keyring
from engine.security.passphrase import open_with, seal_with
from engine.security.signing import FILE

__all__ = ["KEYS", "Keys", "open_keys", "seal_keys"]

KEYS = "hub.keys"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the file holds: the text of a key file, the token file, the keys that we sign with."""

    text: bytes
    token: bytes
    signing: bytes = b""

    @property
    def keyring(self) -> Keyring:
        """The keys, ready to open with."""
        return Keyring.supplied(self.text, where="the sealed keys")


def seal_keys(config: Config, keyring: Keyring, to: Path, passphrase: str, beside: bool = False) -> Path:
    """Write the keys below the folder `to`; refuse to put them where backups are, unless asked to.

    Raises HubError.
    """
    folder, backups = to.resolve(), config.backups_dir.resolve()
    near = folder == backups or backups in folder.parents or (folder / "backup.json").exists()
    if near and not beside:
        raise ConfigError(
            "the keys would lie beside the backups that they open",
            where=str(to),
            remedy="name a folder on another disk or machine; if it must be here, add --beside-backups",
        )
    about = {"hub": config.hub, "key": fingerprint(keyring), "made": iso(now_ms())}
    inside = orjson.dumps(
        {
            "keys": keyring.text().decode(),
            "token": _text(config.token_file),
            "signing": _text(config.data_dir / FILE),
        }
    )
    path = to / f"{about['made'][:19].replace(':', '')}Z.{KEYS}"
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        put(seal_with(passphrase, inside, about), path)
        handle = os.open(to, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as e:
        raise HubError("the keys cannot be written", where=str(path), why=e.strerror or "") from None
    again = open_keys(path, passphrase)
    if again.text != keyring.text():
        raise HubError("the keys were not written as they are", where=str(path), remedy="try another disk")
    return path


def open_keys(path: Path, passphrase: str) -> Keys:
    """Read the keys back. Raises HubError."""
    try:
        text = path.read_bytes()
    except OSError as e:
        raise HubError("cannot be read", where=str(path), why=e.strerror or "") from None
    inside = orjson.loads(open_with(passphrase, text, str(path))[0])
    return Keys(*(inside.get(word, "").encode() for word in ("keys", "token", "signing")))


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
