"""What is searched by, as keyed hashes; and the two forms of a public id.

In: resource types, business identifiers, codings, words a person looks for. Out: 16 bytes for an identity
(unique), a signed 64-bit number for everything that is only a filter and verified on the opened body
afterwards. Parts are length-prefixed, so that two different identifiers never make one key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

__all__ = ["Keyring", "Keys", "id_bytes", "id_text", "identity", "public_id"]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_REMEMBERED = 20_000  # hashes kept in memory: patients and wards come again and again

V = TypeVar("V")


class Keyring(Protocol):
    """The data key, as far as the store needs it (`engine.security.keys`)."""

    @property
    def seal(self) -> Callable[[bytes, bytes], bytes]: ...
    @property
    def unseal(self) -> Callable[[bytes, bytes], bytes]: ...
    @property
    def mac16(self) -> Callable[[str, str], bytes]: ...
    @property
    def mac8(self) -> Callable[[str, str], int]: ...


def id_bytes(kind: str, id_: str) -> bytes:
    """Return the stored form of a public id: the 16 bytes of a uuid, or `~Type/id` (never 16 bytes) for any
    other.
    """
    if _UUID(id_):
        return bytes.fromhex(id_.replace("-", ""))
    text = f"~{kind}/{id_}".encode()
    return b"~" + text if len(text) == 16 else text


def id_text(stored: bytes) -> str:
    """Return the public id that `id_bytes` stored."""
    if len(stored) == 16:
        text = stored.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return stored.decode().partition("/")[2]


@lru_cache(maxsize=_REMEMBERED)  # the pipeline names a resource by it, and the store looks it up, at once
def identity(mac16: Callable[[str, str], bytes], kind: str, system: str, value: str) -> bytes:
    """Hash the business key of a resource into the 16 bytes of a uuid (RFC 9562, version 8)."""
    name = f"{len(kind)}:{kind}{len(system)}:{system}{len(value)}:{value}"
    mac = bytearray(mac16("identity", name))
    mac[6] = mac[6] & 0x0F | 0x80
    mac[8] = mac[8] & 0x3F | 0x80
    return bytes(mac)


def public_id(mac16: Callable[[str, str], bytes], kind: str, system: str, value: str) -> str:
    """Return the id that a resource gets from its key: keyed, so that nobody can guess who hides behind it.

    It is the key's own hash, so one row of the store serves both.
    """
    return id_text(identity(mac16, kind, system, value))


class Keys:
    """The keyed hashes of one store."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self._concepts: dict[tuple[tuple[str, str], ...], int] = {}
        self._words: dict[tuple[str, str], int] = {}

    def identity(self, kind: str, system: str, value: str) -> bytes:
        """Return `identity` of a business key."""
        return identity(self.keyring.mac16, kind, system, value)

    def tokens(self, kind: str, system: str, value: str) -> tuple[int, ...]:
        """Hash an identifier as it may be searched: with its system, and by its value alone."""
        alone = self.keyring.mac8("identifier", f"{kind}|-|{value}")
        if not system:
            return (alone,)
        return (self.keyring.mac8("identifier", f"{kind}|{len(system)}|{system}|{value}"), alone)

    def token(self, kind: str, system: str | None, value: str) -> int:
        """Hash an identifier to search for; `system` None = any system."""
        if not system:
            return self.keyring.mac8("identifier", f"{kind}|-|{value}")
        return self.keyring.mac8("identifier", f"{kind}|{len(system)}|{system}|{value}")

    def coding(self, system: str | None, code: str) -> int:
        """Hash one coding to search for; `system` None = any system."""
        if not system:
            return self.keyring.mac8("coding", f"-|{code}")
        return self.keyring.mac8("coding", f"{len(system)}|{system}|{code}")

    def concept(self, codings: Sequence[tuple[str, str]]) -> int:
        """Hash a whole set of codings."""
        wanted = tuple(codings)
        known = self._concepts.get(wanted)
        if known is None:
            text = "".join(f"{len(s)}|{s}|{len(c)}|{c}|" for s, c in sorted(set(wanted)))
            known = _remember(self._concepts, wanted, self.keyring.mac8("concept", text))
        return known

    def coding_hashes(self, codings: Iterable[tuple[str, str]]) -> set[int]:
        """Return every hash by which one of these codings may be searched."""
        return {mac for s, c in codings for mac in (self.coding(None, c), self.coding(s, c))}

    def search(self, kind: str, value: str) -> int:
        """Hash a word by which a person looks for a message (`kind`: identifier, order, control, name,
        birthdate).
        """
        known = self._words.get((kind, value))
        if known is None:
            known = _remember(self._words, (kind, value), self.keyring.mac8("find:" + kind, value))
        return known


def _remember(known: dict[Any, V], key: object, made: V) -> V:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = made
    return made
