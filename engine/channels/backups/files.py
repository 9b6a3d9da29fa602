"""The files of a hub in a backup: the project without secrets, what the data folder remembers, the objects.

In: the settings, the folder of a backup, an older backup on the same disk. Out: copies. Objects never change
and are named by what they hold: those that the older backup has are linked, not copied, so that a backup
every night costs what came that day. What is copied is read from its place once, whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.channels.backups.archive import OBJECTS, Held, described, objects_in
from engine.channels.backups.redacting import without_secrets
from engine.kernel.config import Config

__all__ = ["PROJECT", "STATE", "copy_objects", "copy_project", "copy_state", "listed", "put"]

PROJECT = ("channels", "mappings", "terminology", "sample_messages")
"""Folders of a project that are the user's."""

STATE = ("audit.heads", "files", "keep.last", "live-files.followed")
"""What of the data folder is no database and would be missed: copies of the audit's head, which files of
folders and servers were taken, when retention last ran, how far changes of other machines were followed."""

_PIECE = 1 << 20


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


def copy_objects(
    source: Path, to: Path, before: Path | None, progress: Callable[[str], None]
) -> tuple[int, int]:
    """Copy or link every sealed object, and list them; return how many, and their bytes."""
    known = {one.address: one for one in objects_in(before)} if before is not None else {}
    made = to / "objects"
    made.mkdir(mode=0o700)
    count = size = 0
    with (to / OBJECTS).open("x", encoding="ascii") as listed:
        os.fchmod(listed.fileno(), 0o600)
        for path in _objects(source):
            folder = made / path.parent.name
            folder.mkdir(mode=0o700, exist_ok=True)
            held = _taken(path, folder / path.name, known.get(path.name), before)
            if held is None:
                continue  # retention has just deleted it
            listed.write(f"{held.address} {held.bytes} {held.sha256}\n")
            count, size = count + 1, size + held.bytes
            if count % 10_000 == 0:
                progress(f"copying objects: {count:,}")
        listed.flush()
        os.fsync(listed.fileno())
    return count, size


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


def _objects(source: Path) -> Iterator[Path]:
    for folder in sorted(source.glob("[0-9a-f][0-9a-f]")):
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            if len(entry.name) == 32:
                yield Path(entry.path)


def _taken(path: Path, to: Path, known: Held | None, before: Path | None) -> Held | None:
    try:
        size = path.stat().st_size
        if known is not None and before is not None and known.bytes == size:
            older = before / "objects" / path.parent.name / path.name
            try:
                os.link(older, to)
                return known
            except OSError:
                pass  # another disk, or a file system without links: copied then
        digest = hashlib.sha256()
        handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out, path.open("rb") as f:
            while piece := f.read(_PIECE):
                digest.update(piece)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        return Held(path.name, to.stat().st_size, digest.hexdigest())
    except FileNotFoundError:
        return None


def listed(folder: Path) -> dict[str, dict[str, object]]:
    """Return how every file of a backup but the objects is known again, by its path in it."""
    found: dict[str, dict[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != "objects":
            found[name.as_posix()] = described(path)
    return found
