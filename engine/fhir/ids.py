"""Resource ids that are the same whenever the same thing is meant.

In: the parts of an identity (type, system, value, ...) as text. Out: a lower-case UUID. Parts are
length-prefixed, so ("a", "bc") and ("ab", "c") never meet. The plain form is a name-based UUID (RFC 9562,
version 5); the keyed form is made from a message authentication code, so that nobody without the key can
guess who hides behind an id (version 8).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1

__all__ = ["keyed_uuid", "name_uuid"]

_NAMESPACE = bytes.fromhex("6f1d7f0a3c1e5b0c9a6b2e4d8c7f1a35")
_VARIANT = {c: "89ab"[i % 4] for i, c in enumerate("0123456789abcdef")}


def _name(parts: tuple[str, ...]) -> bytes:
    return "".join([f"{len(p)}:{p}" for p in parts]).encode("utf-8", "surrogatepass")


def name_uuid(*parts: str) -> str:
    """Return the UUID of an identity."""
    h = sha1(_NAMESPACE + _name(parts), usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def keyed_uuid(mac: Callable[[bytes], bytes], *parts: str) -> str:
    """Return the UUID of an identity under a key; `mac` gives 16 bytes or more, e.g. an HMAC-SHA-256."""
    h = mac(_name(parts)).hex()
    return f"{h[:8]}-{h[8:12]}-8{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"
