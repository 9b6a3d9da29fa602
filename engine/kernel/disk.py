"""What every room asks of files: names in a folder are on disk, a secret is its owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

from engine.kernel.errors import ConfigError

__all__ = ["private_text", "sync_folder"]


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_text(path: Path, what: str) -> str:
    """Return the text of a file that only its owner may read. Raises ConfigError."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        why = (e.strerror or "") if isinstance(e, OSError) else "it is not text"
        raise ConfigError(f"{what} cannot be read", where=str(path), why=why) from None
    if mode & 0o077:
        raise ConfigError(f"{what} can be read by others", where=str(path), remedy=f"type chmod 600 {path}")
    return text
