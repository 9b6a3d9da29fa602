"""The sealed form of an object: read at any place, written in one pass, memory bounded whatever its size.

In: the bytes of an object, in pieces of any length. Out: a file of this layout, and a seekable reader of it:

    magic      8 bytes, `hubobj` 00 01
    key        the object's own random AES-256 key, sealed by the keyring (`engine.security.crypto`), which
               says under which of its keys
    chunks     of 1 MiB, the last of 1 byte to 1 MiB (of none in an empty object), each with its GCM tag

Every chunk is AES-256-GCM (NIST SP 800-38D) under the object's key; its nonce is its number, and what is
authenticated with it says whether it is the last one (the STREAM construction of Hoang, Reyhanitabar, Rogaway
and Vizar, 2015), so that no chunk can be left out, exchanged or added. The last one is bound to the address
of the object too: a file under another's name does not open.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.kernel.errors import HubError
from engine.security.crypto import OVERHEAD
from engine.security.keys import Keyring

__all__ = ["CHUNK", "HEAD", "DamagedObject", "ObjectSealer", "open_sealed"]

CHUNK = 1 << 20
"""Bytes of an object that are sealed together."""

_MAGIC = b"hubobj\x00\x01"
_TAG = 16
_KEY = 32
_PLACE = b"object key"

HEAD = len(_MAGIC) + OVERHEAD + _KEY
"""Bytes before the first chunk."""


class DamagedObject(HubError):
    """An object whose file is cut off, changed, under another's name, or sealed with an unknown key."""


class ObjectSealer:
    """Seals one object while it comes; `out` is given each sealed piece in order."""

    def __init__(self, keyring: Keyring, out: Callable[[bytes | bytearray | memoryview], None]) -> None:
        key = os.urandom(_KEY)
        self._keyring = keyring
        self._cipher = AESGCM(key)
        self._out = out
        self._digest = hashlib.sha256()
        self._waiting = bytearray()
        self._number = 0
        self.size = 0
        out(_MAGIC + keyring.seal(key, _PLACE))

    def write(self, data: bytes) -> None:
        """Take more bytes of the object."""
        self._digest.update(data)
        self.size += len(data)
        waiting = self._waiting
        waiting += data
        if len(waiting) <= CHUNK:  # a full chunk waits: it may be the last one
            return
        view = memoryview(waiting)
        at = 0
        while len(waiting) - at > CHUNK:
            self._seal(view[at : at + CHUNK], b"")
            at += CHUNK
        view.release()
        del waiting[:at]

    def finish(self) -> str:
        """Seal what waits as the last chunk; return the address: the keyed hash of all bytes, in hex."""
        address = self._keyring.mac16("object", self._digest.digest())
        self._seal(self._waiting, address)
        self._waiting = bytearray()
        return address.hex()

    def _seal(self, chunk: bytearray | memoryview, last: bytes) -> None:
        self._out(self._cipher.encrypt(_nonce(self._number), chunk, last))
        self._number += 1


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


class _Reader(io.RawIOBase):
    """Opens chunks as they are asked for; the newest one is kept."""

    def __init__(
        self,
        keyring: Keyring,
        address: str,
        length: int,
        fetch: Callable[[int, int], bytes],
        done: Callable[[], None],
    ) -> None:
        super().__init__()
        self._address = address
        self._fetch = fetch
        self._done: Callable[[], None] = lambda: None  # whoever asked closes what did not open
        self._at = 0
        self._held = (-1, b"")
        full, rest = divmod(length - HEAD, CHUNK + _TAG)
        self._last = full if rest else full - 1
        if length < HEAD + _TAG or 0 < rest < _TAG or (rest == _TAG and full):
            raise _damaged(address, "its file is cut off")
        self._size = length - HEAD - _TAG * (self._last + 1)
        head = self._get(0, HEAD)
        if not head.startswith(_MAGIC):
            raise _damaged(address, "its file does not begin as one")
        try:
            self._cipher = AESGCM(keyring.unseal(head[len(_MAGIC) :], _PLACE))
        except HubError as e:  # SealError, or ConfigError where the keyring lacks its data key
            raise _damaged(address, e.why or e.what) from None
        self._chunk(self._last)
        self._done = done

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("a place before the beginning of an object")
        self._at = at
        return at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        number, offset = divmod(self._at, CHUNK)
        chunk = self._chunk(number)
        with memoryview(buffer).cast("B") as into:
            count = min(len(into), len(chunk) - offset)
            into[:count] = memoryview(chunk)[offset : offset + count]
        self._at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._held = (-1, b"")
            self._done()
        super().close()

    def _chunk(self, number: int) -> bytes:
        held, chunk = self._held
        if held == number:
            return chunk
        last = number == self._last
        size = self._size - number * CHUNK if last else CHUNK
        sealed = self._get(HEAD + number * (CHUNK + _TAG), size + _TAG)
        try:
            aad = bytes.fromhex(self._address) if last else b""
            chunk = self._cipher.decrypt(_nonce(number), sealed, aad)
        except InvalidTag:
            why = "its bytes were changed, belong to another object, or do not end here"
            raise _damaged(self._address, why) from None
        self._held = (number, chunk)
        return chunk

    def _get(self, offset: int, size: int) -> bytes:
        try:
            data = self._fetch(offset, size)
        except OSError as e:
            raise _damaged(self._address, f"it cannot be read ({e.strerror or type(e).__name__})") from None
        if len(data) != size:
            raise _damaged(self._address, "its file is cut off")
        return data


def open_sealed(
    keyring: Keyring,
    address: str,
    length: int,
    fetch: Callable[[int, int], bytes],
    done: Callable[[], None] = lambda: None,
) -> BinaryIO:
    """Return a reader of the object in `length` sealed bytes, which `fetch(offset, size)` brings.

    Its key, length and last chunk are checked at once, every other chunk when it is read: DamagedObject.
    """
    return cast(BinaryIO, io.BufferedReader(_Reader(keyring, address, length, fetch, done), 1 << 16))


def _damaged(address: str, why: str) -> DamagedObject:
    return DamagedObject(
        "this object cannot be opened",
        where=f"object {address}",
        why=why,
        remedy="restore its file from a backup, or have its sender send it again",
    )
