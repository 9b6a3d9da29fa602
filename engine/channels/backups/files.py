"""The files of a hub in a backup: the project without secrets, and what the data folder remembers.

In: the settings, the folder of a backup. Out: copies. What is copied is read from its place once, whole.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.channels.backups.archive import described
from engine.channels.backups.redacting import without_secrets
from engine.kernel.config import Config

__all__ = ["PROJECT", "STATE", "copy_project", "copy_state", "listed", "put"]

PROJECT = ("channels", "mappings", "terminology", "sample_messages")
"""Folders of a project that are the user's."""

STATE = ("audit.heads", "files", "keep.last", "live-files.followed")
"""What of the data folder is no database and would be missed: copies of the audit's head, which files of
folders and servers were taken, when retention last ran, how far changes of other machines were followed."""


def copy_project(config: Config, to: Path) -> None:
    """Copy config.yaml without secrets, channels, maps, tables and samples."""
    to.mkdir(mode=0o700)
    path = config.root / "config.yaml"
    if path.exists():
        put(without_secrets(path), to / "config.yaml")
    for name in PROJECT:
        if (config.root / name).is_dir():
            _copy_folder(config.root / name, to / name)
    for path in (to / "channels").glob("*.yaml"):
        clean = without_secrets(path)
        if clean != path.read_bytes():
            path.unlink()
            put(clean, path)


def copy_state(config: Config, to: Path) -> None:
    """Copy what of the data folder is no database and would be missed."""
    to.mkdir(mode=0o700)
    for name in STATE:
        path = config.data_dir / name
        if path.is_dir():
            _copy_folder(path, to / name)
        elif path.exists():
            put(path.read_bytes(), to / name)


def put(content: bytes, to: Path) -> None:
    """Write a new file, readable by its owner only, and have it on disk."""
    with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())


def _copy_folder(source: Path, to: Path) -> None:
    """Copy a folder without hidden files, links and other oddities."""
    to.mkdir(mode=0o700)
    for entry in sorted(os.scandir(source), key=lambda e: e.name):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        if entry.is_dir(follow_symlinks=False):
            _copy_folder(Path(entry.path), to / entry.name)
        elif entry.is_file(follow_symlinks=False):
            try:
                put(Path(entry.path).read_bytes(), to / entry.name)
            except FileNotFoundError:
                continue  # a draft that was given up meanwhile


def listed(folder: Path) -> dict[str, dict[str, object]]:
    """Return how every file of a backup but the objects is known again, by its path in it."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != "objects":
            found[name.as_posix()] = described(path)
    return found
