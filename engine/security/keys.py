"""The keyring: the secrets everything else is sealed with, where they come from and how they change.

In comes a key file (development: made at first start, mode 600, never made over existing data) or a secret
supplied by the site's own store (production); out go `seal`/`unseal`, `mac16`/`mac8`. Text, one secret a
line:

    master <base64>     search keys are derived from it (HKDF, RFC 5869) and never change
    data 1 <base64>     data keys; the highest number seals, all of them open
    data 2 <base64>

A supplied secret may also be one line of 32 or more bytes, such as `openssl rand -base64 32` prints: it is
the master, and `data 1` is derived from it. What seals is derived from the data key for each UTC day, so that
no key is used often enough for random nonces to meet; the key id in each sealed body is the data key's number
and that day.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine.kernel.clock import now_ms
from engine.kernel.disk import sync_folder
from engine.kernel.errors import ConfigError
from engine.security.crypto import Sealer, SearchKeys

__all__ = ["Keyring"]

_DAY = 86_400_000
_NOTE = """\
# The keys of this hub. Whoever has this file can read every message it keeps; without it nobody can.
# Keep a copy apart from the backups of the databases. Never edit it by hand.
"""


class Keyring:
    """The hub's secrets in memory. Use `Keyring.open` or `Keyring.supplied`."""

    def __init__(
        self, master: bytes, data: dict[int, bytes], *, path: Path | None = None, where: str = ""
    ) -> None:
        self._path = path
        self._where = where or str(path or "the supplied key")
        self._master = master
        self._data = data
        self._newest = max(data) << 16
        self._search = SearchKeys(_derive(master, b"hub search keys"))
        self._sealer = Sealer(self._current, self._find)
        self.seal = self._sealer.seal  # (body, aad) -> sealed
        self.unseal = self._sealer.open  # (sealed, aad) -> body; raises SealError
        self.mac16 = self._search.mac16
        self.mac8 = self._search.mac8

    @classmethod
    def open(cls, path: Path, *, existing_data: bool) -> Keyring:
        """Read the key file, or make it when nothing was ever sealed. Raises ConfigError."""
        if not path.exists():
            if existing_data:
                raise ConfigError(
                    "the key file is missing",
                    where=str(path),
                    why="the databases beside it were sealed with it, and a new key would open none of them",
                    remedy=f"restore {path.name} from the copy kept apart from the backups; "
                    "only if that data may be lost for good, move the databases away and start again",
                )
            master, first = os.urandom(32), os.urandom(32)
            _create(path, _text(master, {1: first}))
        return cls._read(path)

    @classmethod
    def supplied(cls, secret: bytes, *, where: str = "the supplied key") -> Keyring:
        """Take what the site's own secret store gave: the text of a key file, or one line of 32+ bytes."""
        master, data = _parse(secret, where)
        return cls(master, data, where=where)

    @classmethod
    def _read(cls, path: Path) -> Keyring:
        try:
            mode = path.stat().st_mode
            content = path.read_bytes()
        except OSError as e:
            raise ConfigError("cannot be read", where=str(path), why=e.strerror or type(e).__name__) from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                "the key file is open to other users",
                where=str(path),
                why=f"its mode is {stat.S_IMODE(mode):o}",
                remedy=f"type: chmod 600 {path}",
            )
        master, data = _parse(content, str(path))
        return cls(master, data, path=path)

    @property
    def key_numbers(self) -> tuple[int, ...]:
        """The numbers of the data keys, oldest first; the last one seals."""
        return tuple(sorted(self._data))

    def rotate(self) -> int:
        """Add a new data key, which seals from now on, write the key file, and return its number."""
        if self._path is None:
            raise ConfigError(
                "a supplied key cannot be rotated here",
                where=self._where,
                why="this hub does not own it",
                remedy=f"supply it with one more line: `data {max(self._data) + 1} <base64 of 32 bytes>`",
            )
        fresh = type(self)._read(self._path)  # another process may have rotated since
        number = max(fresh._data) + 1
        data = {**fresh._data, number: os.urandom(32)}
        _replace(self._path, _text(fresh._master, data))
        self._data, self._newest = data, number << 16
        return number

    def text(self) -> bytes:
        """Return the keyring as a key file, for the site's own secret store."""
        return _text(self._master, self._data)

    def _current(self) -> int:
        return self._newest | (now_ms() // _DAY & 0xFFFF)

    def _find(self, key_id: int) -> bytes:
        number = key_id >> 16
        if number not in self._data and self._path is not None and self._path.exists():
            self._data = type(self)._read(self._path)._data  # rotated by another process
            self._newest = max(self._data) << 16
        if number not in self._data:
            raise ConfigError(
                f"has no data key {number}",
                where=self._where,
                why="something was sealed with it",
                remedy="restore the newest copy of the key file",
            )
        return _derive(self._data[number], b"hub data key" + key_id.to_bytes(4, "big"))


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _text(master: bytes, data: dict[int, bytes]) -> bytes:
    lines = [f"master {base64.b64encode(master).decode()}"]
    lines += [f"data {n} {base64.b64encode(key).decode()}" for n, key in sorted(data.items())]
    return (_NOTE + "\n".join(lines) + "\n").encode()


def _parse(content: bytes, where: str) -> tuple[bytes, dict[int, bytes]]:
    lines = [line.split() for line in content.splitlines() if line.strip() and not line.startswith(b"#")]
    if not lines:
        raise ConfigError(
            "holds no key", where=where, remedy="restore the key file, or supply 32 random bytes or more"
        )
    if lines[0][0] != b"master":
        secret = b" ".join(lines[0])
        if len(lines) > 1 or len(secret) < 32:
            raise ConfigError(
                "is not a key",
                where=where,
                why="it is neither a key file nor one line of 32 bytes or more",
                remedy="use what `openssl rand -base64 32` prints, or the text of a key file",
            )
        master = _derive(secret, b"hub master")
        return master, {1: _derive(secret, b"hub data 1")}
    data: dict[int, bytes] = {}
    for words in lines[1:]:
        if (
            len(words) != 3
            or words[0] != b"data"
            or not words[1].isdigit()
            or not 0 < int(words[1]) < 1 << 16
        ):
            raise ConfigError(
                "has a line that is not `data NUMBER KEY`", where=where, remedy="restore the key file"
            )
        data[int(words[1])] = _key(words[2], where)
    if len(lines[0]) != 2 or not data:
        raise ConfigError("lacks a master key or a data key", where=where, remedy="restore the key file")
    return _key(lines[0][1], where), data


def _key(text: bytes, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ConfigError(
            "holds a key that is not 32 bytes in base64", where=where, remedy="restore the key file"
        )
    return key


def _create(path: Path, content: bytes) -> None:
    """Make the file complete or not at all, and never over another one (a second process may be first)."""
    made = _temporary(path, content)
    try:
        os.link(made, path)
    except FileExistsError:
        pass  # made by another process meanwhile; the caller reads that one
    except OSError as e:
        raise ConfigError(
            "the key file cannot be made", where=str(path), why=e.strerror or type(e).__name__
        ) from None
    finally:
        os.unlink(made)
    sync_folder(path.parent)


def _replace(path: Path, content: bytes) -> None:
    os.replace(_temporary(path, content), path)
    sync_folder(path.parent)


def _temporary(path: Path, content: bytes) -> str:
    try:
        handle, name = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)  # mode 600 by definition
    except OSError as e:
        raise ConfigError(
            "the key file cannot be written", where=str(path), why=e.strerror or type(e).__name__
        ) from None
    with os.fdopen(handle, "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(handle)
    return name
