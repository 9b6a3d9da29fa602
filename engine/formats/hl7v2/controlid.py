"""Control ids (MSH-10) of messages that the hub writes, or sends on as its own.

In: a key that is the same on every try. Out: the same text on every try, that fits the field: 20 characters
to HL7 v2.6 (ch. 2.15.9.10).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode

__all__ = ["control_id"]

_LONGEST = 20
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


def control_id(key: str) -> str:
    """Give MSH-10 for a key: the key itself where it fits, else 20 characters of its hash."""
    if len(key) <= _LONGEST and _PLAIN.fullmatch(key):
        return key
    return b32encode(hashlib.sha256(key.encode()).digest()).decode()[:_LONGEST]
