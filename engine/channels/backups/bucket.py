"""The objects of a hub whose store is a bucket, in a backup: copied out of it, or named; and put back.

In: the bucket of `objects: {s3: ...}`, the folder of a backup, an older backup on the same disk. Out: what it
holds, sealed as it lies there, in the same files as the objects of a folder, so that either can be put back
as the other; or the list of what it held, by which a restore finds what is gone. Objects never change: those
that the older backup has are linked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.channels.backups.archive import NAMED, OBJECTS, Held, objects_in
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.objects.bucket import Bucket
from engine.objects.s3 import name_of

__all__ = ["copy_bucket", "held_in", "name_bucket", "open_bucket", "put_back", "sealed_at"]


def open_bucket(config: Config) -> Bucket:
    """Open the bucket of the settings. Raises ConfigError."""
    o = config.objects
    return Bucket(o.s3, region=o.region, access_key=o.access_key, secret_key=o.secret_key)


def held_in(bucket: Bucket) -> Iterator[tuple[str, int]]:
    """Give address and sealed bytes of every object in a bucket. Raises OSError."""
    for one in bucket.listed(bucket.prefix):
        address = one.name.rpartition("/")[2]
        if len(address) == 32 and one.name == name_of(bucket, address):
            yield address, one.bytes


def name_bucket(bucket: Bucket, to: Path) -> tuple[int, int]:
    """List what the bucket holds without copying it; return how many objects, and their bytes."""
    count = size = 0
    with (to / NAMED).open("x", encoding="ascii") as named:
        os.fchmod(named.fileno(), 0o600)
        for address, length in held_in(bucket):
            named.write(f"{address} {length}\n")
            count, size = count + 1, size + length
        named.flush()
        os.fsync(named.fileno())
    return count, size


def copy_bucket(
    bucket: Bucket, to: Path, before: Path | None, progress: Callable[[str], None]
) -> tuple[int, int]:
    """Copy or link every object of the bucket, and list them; return how many, and their bytes."""
    known = {one.address: one for one in objects_in(before)} if before is not None else {}
    made = to / "objects"
    made.mkdir(mode=0o700)
    count = size = 0
    with (to / OBJECTS).open("x", encoding="ascii") as listed:
        os.fchmod(listed.fileno(), 0o600)
        for address, length in held_in(bucket):
            folder = made / address[:2]
            folder.mkdir(mode=0o700, exist_ok=True)
            held = _linked(known.get(address), length, before, folder) or _fetched(bucket, address, folder)
            if held is None:
                continue  # retention has just deleted it
            listed.write(f"{held.address} {held.bytes} {held.sha256}\n")
            count, size = count + 1, size + held.bytes
            if count % 1_000 == 0:
                progress(f"copying objects: {count:,}")
        listed.flush()
        os.fsync(listed.fileno())
    return count, size


def put_back(bucket: Bucket, folder: Path, progress: Callable[[str], None]) -> None:
    """Send the objects of a backup into a bucket that holds none of ours. Raises HubError, OSError."""
    for count, held in enumerate(objects_in(folder), 1):
        path = folder / "objects" / held.address[:2] / held.address
        with path.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
            if digest != held.sha256:
                raise HubError("is not the file that was made", where=str(path), remedy="use another backup")
            bucket.send(name_of(bucket, held.address), f.fileno())
        if count % 1_000 == 0:
            progress(f"putting back objects: {count:,}")


def sealed_at(config: Config, bucket: Bucket | None, address: str) -> Iterator[bytes] | None:
    """Return the sealed bytes of an object where it is kept now; None where it is not. Raises OSError."""
    if bucket is not None:
        return bucket.pieces(name_of(bucket, address))
    path = config.objects_dir / address[:2] / address
    return _pieces(path) if path.is_file() else None


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as f:
        while piece := f.read(1 << 20):
            yield piece


def _linked(known: Held | None, length: int, before: Path | None, folder: Path) -> Held | None:
    """Link what the older backup has; None where it has not, or cannot be linked."""
    if known is None or before is None or known.bytes != length:
        return None
    try:
        os.link(before / "objects" / known.address[:2] / known.address, folder / known.address)
    except OSError:
        return None  # another disk, or a file system without links: copied then
    return known


def _fetched(bucket: Bucket, address: str, folder: Path) -> Held | None:
    pieces = bucket.pieces(name_of(bucket, address))
    if pieces is None:
        return None
    digest, size = hashlib.sha256(), 0
    handle = os.open(folder / address, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        for piece in pieces:
            digest.update(piece)
            size += out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return Held(address, size, digest.hexdigest())
