"""Sealing and search keys: bodies become compressed AES-256-GCM ciphertext, values become keyed hashes.

In come bytes and the place they belong to (the associated data, such as `journal:123`, so that a sealed body
moved to another row no longer opens); out goes one self-describing blob: format byte, key id, 96-bit random
nonce, ciphertext and tag (NIST SP 800-38D). Format and key id are authenticated too. Search keys are
HMAC-SHA256 (RFC 2104, FIPS 198-1) truncated to 16 or 8 bytes; kind and value are length-prefixed, so that no
two pairs share an input.

A random nonce is safe for 2^32 seals under one key. Whoever supplies keys here therefore changes them daily
(a derived key in `keys.py`, a random one in the journal): 49,000 seals a second, all day, stay within the
bound.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Callable

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.kernel.errors import HubError

__all__ = ["MAX_BODY", "OVERHEAD", "SealError", "Sealer", "SearchKeys"]

MAX_BODY = 1 << 30
"""Largest body that is opened, bytes: a damaged or forged length never fills the memory."""

OVERHEAD = 1 + 4 + 12 + 16
"""Bytes a seal adds to the packed body: format, key id, nonce, tag."""

_STORED, _ZSTD = b"\x00", b"\x01"  # 0x02 is left for zstd with a shipped dictionary
_SMALL = 64  # shorter bodies are stored: zstd cannot gain there
_KEY_ID = struct.Struct(">I")
_CIPHERS = 1024  # prepared keys kept in memory; one a day, so about three years of reading

_contexts = threading.local()


class SealError(HubError):
    """A sealed body that cannot be opened: wrong key, wrong place or damaged bytes."""


class Sealer:
    """Seals under the key `current()` names; opens under any that `find(key_id)` still has (32 bytes)."""

    def __init__(self, current: Callable[[], int], find: Callable[[int], bytes]) -> None:
        self._current = current
        self._find = find
        self._ciphers: dict[int, AESGCM] = {}

    def seal(self, body: bytes, aad: bytes) -> bytes:
        """Compress and seal `body` for the place `aad`."""
        return self.close(pack(body), aad)

    def close(self, packed: tuple[bytes, bytes], aad: bytes, key_id: int | None = None) -> bytes:
        """Seal what `pack` made: the cheap half (1.5 us), for those who know the place only under a lock."""
        form, data = packed
        if key_id is None:
            key_id = self._current()
        head = form + _KEY_ID.pack(key_id)
        nonce = os.urandom(12)
        return head + nonce + self._cipher(key_id).encrypt(nonce, data, head + aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """Return the body sealed for the place `aad`; raises SealError."""
        if len(sealed) < OVERHEAD:
            raise SealError("cannot be opened", where=_place(aad), why=f"{len(sealed)} bytes are too few")
        head = sealed[:5]
        try:
            data = self._cipher(key_id_of(sealed)).decrypt(sealed[5:17], sealed[17:], head + aad)
        except InvalidTag:
            raise SealError(
                "cannot be opened",
                where=_place(aad),
                why="the bytes are damaged, belong to another place, or were sealed under another key",
                remedy="compare with a backup; check that this database was made with this key file",
            ) from None
        return _unpack(head[:1], data, aad)

    def know(self, key_id: int) -> None:
        """Prepare the key `key_id` now, so that sealing under a lock need not look for it."""
        self._cipher(key_id)

    def forget(self, key_id: int) -> None:
        """Drop the prepared key `key_id`: it was destroyed."""
        self._ciphers.pop(key_id, None)

    def _cipher(self, key_id: int) -> AESGCM:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            if len(self._ciphers) >= _CIPHERS:
                self._ciphers.clear()
            cipher = self._ciphers[key_id] = AESGCM(self._find(key_id))
        return cipher


def key_id_of(sealed: bytes) -> int:
    """Return the id of the key a sealed blob was made with."""
    return int(_KEY_ID.unpack_from(sealed, 1)[0])


def pack(body: bytes) -> tuple[bytes, bytes]:
    """Compress `body` where that makes it smaller; return its format byte and bytes."""
    if len(body) < _SMALL:
        return _STORED, body
    data: bytes = _context()[0].compress(body)
    return (_ZSTD, data) if len(data) < len(body) else (_STORED, body)


def _unpack(form: bytes, data: bytes, aad: bytes) -> bytes:
    if form == _STORED:
        return data
    if form != _ZSTD:
        raise SealError(
            f"has the format {form.hex()}",
            where=_place(aad),
            why="this version knows 00 and 01",
            remedy="open it with the version of the hub that wrote it, or a newer one",
        )
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= MAX_BODY:
            raise SealError(
                "is not opened",
                where=_place(aad),
                why=f"it says it holds {size} bytes, the limit is {MAX_BODY}",
            )
        return bytes(_context()[1].decompress(data))
    except zstandard.ZstdError:
        raise SealError("cannot be decompressed", where=_place(aad), why="the bytes are damaged") from None


def _context() -> tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor]:
    """Return this thread's compressor and decompressor: making one costs more than using it."""
    try:
        pair: tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor] = _contexts.pair
    except AttributeError:
        pair = _contexts.pair = (zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor())
    return pair


def _place(aad: bytes) -> str:
    return aad.decode("utf-8", "replace")


class SearchKeys:
    """Keyed hashes of values that must be found again and never read: identifiers, order numbers, names.

    The two SHA-256 states of HMAC are prepared once (and once more per kind): 1 us a value instead of 2.5 us.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("a search key has 32 bytes")
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(b ^ 0x36 for b in block))
        self._outer = hashlib.sha256(bytes(b ^ 0x5C for b in block))
        self._kinds: dict[str, hashlib._Hash] = {}

    def mac16(self, kind: str, value: str | bytes) -> bytes:
        """Return 16 bytes for the value of this kind."""
        return self._digest(kind, value)[:16]

    def mac8(self, kind: str, value: str | bytes) -> int:
        """Return a signed 64-bit integer for the value of this kind."""
        return int.from_bytes(self._digest(kind, value)[:8], "big", signed=True)

    def _digest(self, kind: str, value: str | bytes) -> bytes:
        data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
        state = (self._kinds.get(kind) or self._prepare(kind)).copy()
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
        last = self._outer.copy()
        last.update(state.digest())
        return last.digest()

    def _prepare(self, kind: str) -> hashlib._Hash:
        name = kind.encode()
        state = self._inner.copy()
        state.update(len(name).to_bytes(8, "big") + name)
        if (
            len(self._kinds) < 256
        ):  # kinds are words of ours; a caller that invents them costs time, not memory
            self._kinds[kind] = state
        return state
