"""Copies of the head of the audit chain, kept outside the database: they show when its newest rows were cut
off.

In: the head of the moment. Out: lines in a file of the data folder, each with a keyed hash of its own, and
the copies read back. Every notice of an alarm carries the newest one, so that there are copies on other
machines; `hub audit verify --head ROW:HASH` compares with one of these.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

__all__ = ["copies", "file_of", "keep_head", "read_head"]

_EVERY = 3_600_000  # ms between copies
_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{32})").fullmatch


def file_of(config: Config) -> Path:
    """Return the file of the copies."""
    return config.data_dir / "audit.heads"


def keep_head(config: Config, keyring: Keyring, store: SqlStore, now: int | None = None) -> bool:
    """Write the head down, at most once an hour and only if it moved; say whether it was written."""
    path = file_of(config)
    at = now_ms() if now is None else now
    lines = _lines(path)
    row, hash_ = store.audit.head()
    if lines and (lines[-1][1] == row or at - lines[-1][0] < _EVERY):
        return False
    if not row:
        return False
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as f:
        f.write(f"{at} {row} {hash_.hex()} {_seal(keyring, at, row, hash_.hex())} {iso(at)}\n")
        f.flush()
        os.fsync(f.fileno())
    return True


def copies(config: Config, keyring: Keyring) -> list[tuple[int, bytes]]:
    """Return the copies of the file that were written by this hub. Raises ConfigError for any other line."""
    found = []
    for number, (at, row, hash_, seal) in enumerate(_lines(file_of(config)), 1):
        if seal != _seal(keyring, at, row, hash_):
            raise ConfigError(
                "is not a copy of the audit's head that this hub has written",
                where=f"{file_of(config)}:{number}",
                why="somebody changed the line, or it was written under another key",
                remedy="keep the file as it is, and compare it with a backup",
            )
        found.append((row, bytes.fromhex(hash_)))
    return found


def read_head(text: str) -> tuple[int, bytes]:
    """Read ROW:HASH as notices and `hub audit verify` show it. Raises ConfigError."""
    m = _HEAD(text.strip())
    if m is None:
        raise ConfigError(
            f"--head {text} is no head of the audit", remedy="write ROW:HASH, e.g. 5214:0f3c... (32 digits)"
        )
    return int(m[1]), bytes.fromhex(m[2])


def _lines(path: Path) -> list[tuple[int, int, str, str]]:
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError("cannot be read", where=str(path), why=type(e).__name__) from None
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) < 4 or not (words[0].isdigit() and _HEAD(f"{words[1]}:{words[2]}")):
            raise ConfigError("is not a copy of the audit's head", where=f"{path}:{number}")
        found.append((int(words[0]), int(words[1]), words[2], words[3]))
    return found


def _seal(keyring: Keyring, at: int, row: int, hash_: str) -> str:
    return keyring.mac16("audit copy", f"{at}|{row}|{hash_}").hex()
