"""The objects of a hub in a backup, whatever keeps them: copied, or linked from an older backup.

In: sealed objects as a folder or a bucket gives them, the folder of a backup, an older backup on the same
disk. Out: a file each, and their list with size and SHA-256. Objects never change and are named by what they
hold: those that the older backup has are linked, so that a backup every night costs what came that day.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from engine.channels.backups.archive import OBJECTS, Held, objects_in

__all__ = ["Sealed", "copy_objects", "in_folder", "pieces_of"]

_PIECE = 1 << 20


class Sealed(NamedTuple):
    """One object where it is kept: `address`, length of its sealed file, what gives it (None: it is gone)."""

    address: str
    length: int
    pieces: Callable[[], Iterator[bytes] | None]


def in_folder(source: Path) -> Iterator[Sealed]:
    """Give every object of a folder of objects."""
    for folder in sorted(source.glob("[0-9a-f][0-9a-f]")):
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            if len(entry.name) == 32:
                path = Path(entry.path)
                try:
                    yield Sealed(entry.name, path.stat().st_size, partial(pieces_of, path))
                except FileNotFoundError:
                    continue  # retention has just deleted it


def pieces_of(path: Path) -> Iterator[bytes] | None:
    """Return the bytes of a file piece by piece; None where it is not there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None

    def pieces() -> Iterator[bytes]:
        with file:
            while piece := file.read(_PIECE):
                yield piece

    return pieces()


def copy_objects(
    found: Iterable[Sealed], to: Path, before: Path | None, progress: Callable[[str], None]
) -> tuple[int, int]:
    """Copy or link every object, and list them; return how many, and their bytes. Raises OSError."""
    known = {one.address: one for one in objects_in(before)} if before is not None else {}
    made = to / "objects"
    made.mkdir(mode=0o700)
    count = size = 0
    with (to / OBJECTS).open("x", encoding="ascii") as listed:
        os.fchmod(listed.fileno(), 0o600)
        for one in found:
            folder = made / one.address[:2]
            folder.mkdir(mode=0o700, exist_ok=True)
            held = _linked(known.get(one.address), one.length, before, folder) or _copied(one, folder)
            if held is None:
                continue  # retention has just deleted it
            listed.write(f"{held.address} {held.bytes} {held.sha256}\n")
            count, size = count + 1, size + held.bytes
            if count % 1_000 == 0:
                progress(f"copying objects: {count:,}")
        listed.flush()
        os.fsync(listed.fileno())
    return count, size


def _linked(known: Held | None, length: int, before: Path | None, folder: Path) -> Held | None:
    """Link what the older backup has; None where it has not, or cannot be linked."""
    if known is None or before is None or known.bytes != length:
        return None
    try:
        os.link(before / "objects" / known.address[:2] / known.address, folder / known.address)
    except OSError:
        return None  # another disk, or a file system without links: copied then
    return known


def _copied(one: Sealed, folder: Path) -> Held | None:
    pieces = one.pieces()
    if pieces is None:
        return None
    digest, size = hashlib.sha256(), 0
    handle = os.open(folder / one.address, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        for piece in pieces:
            digest.update(piece)
            size += out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return Held(one.address, size, digest.hexdigest())
