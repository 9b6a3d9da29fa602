"""Secrets under a passphrase, for a place that has no key: what a person keeps apart from the backups.

In: bytes and a passphrase. Out: one JSON text that says how it was made, so that a later version can change
the numbers: the key is Argon2id of the passphrase (RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes), the bytes
are sealed by AES-256-GCM (NIST SP 800-38D), and everything else in the text is authenticated with them.
"""

from __future__ import annotations

import base64
import os
import unicodedata
from typing import Any

import orjson
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.kernel.errors import HubError

__all__ = ["open_with", "seal_with"]

_WHAT = "sealed under a passphrase"
_PASSES, _MEMORY_KIB, _LANES = 3, 65_536, 4
_MOST_PASSES, _MOST_MEMORY_KIB, _MOST_LANES = 100, 2_097_152, 64  # a forged text does not fill the memory


def seal_with(passphrase: str, secret: bytes, about: dict[str, str]) -> bytes:
    """Seal `secret`; `about` stays readable and cannot be changed."""
    salt, nonce = os.urandom(16), os.urandom(12)
    head: dict[str, Any] = {
        "what": _WHAT,
        "about": about,
        "kdf": {
            "name": "argon2id",
            "passes": _PASSES,
            "memory_kib": _MEMORY_KIB,
            "lanes": _LANES,
            "salt": base64.b64encode(salt).decode(),
        },
        "nonce": base64.b64encode(nonce).decode(),
    }
    sealed = AESGCM(_key(passphrase, head["kdf"])).encrypt(nonce, secret, _bytes(head))
    head["sealed"] = base64.b64encode(sealed).decode()
    return orjson.dumps(head, option=orjson.OPT_INDENT_2) + b"\n"


def open_with(passphrase: str, text: bytes, where: str) -> tuple[bytes, dict[str, str]]:
    """Return what was sealed, and what was said about it. Raises HubError."""
    try:
        head = orjson.loads(text)
        sealed = base64.b64decode(head.pop("sealed"), validate=True)
        nonce = base64.b64decode(head["nonce"], validate=True)
        kdf, about = head["kdf"], head["about"]
        known = head["what"] == _WHAT and kdf["name"] == "argon2id" and isinstance(about, dict)
        salt = base64.b64decode(kdf["salt"], validate=True)
        numbers = [int(kdf[name]) for name in ("passes", "memory_kib", "lanes")]
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known or len(nonce) != 12 or len(salt) < 8:
        raise HubError(
            "is no file of sealed keys", where=where, remedy="give the file that hub backup keys wrote"
        )
    limits = (_MOST_PASSES, _MOST_MEMORY_KIB, _MOST_LANES)
    if any(not 0 < number <= limit for number, limit in zip(numbers, limits, strict=True)):
        raise HubError("is not opened", where=where, why="it asks for more work than any file of this hub")
    try:
        return AESGCM(_key(passphrase, kdf)).decrypt(nonce, sealed, _bytes(head)), about
    except InvalidTag:
        raise HubError(
            "cannot be opened",
            where=where,
            why="the passphrase is another one, or the file was changed",
            remedy="type it as it was typed when the keys were sealed",
        ) from None


def _key(passphrase: str, kdf: dict[str, Any]) -> bytes:
    return hash_secret_raw(
        unicodedata.normalize("NFKC", passphrase).encode(),
        base64.b64decode(kdf["salt"]),
        time_cost=int(kdf["passes"]),
        memory_cost=int(kdf["memory_kib"]),
        parallelism=int(kdf["lanes"]),
        hash_len=32,
        type=Type.ID,
    )


def _bytes(head: dict[str, Any]) -> bytes:
    return orjson.dumps(head, option=orjson.OPT_SORT_KEYS)
