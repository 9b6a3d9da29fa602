"""The objects of a hub whose store is a bucket, in a backup: copied out of it, or named; and put back.

In: the bucket of `objects: {s3: ...}`, the folder of a backup. Out: what it
holds, sealed as it lies there, which a backup keeps in the same files as the objects of a folder
(`objects.py`), so that either can be put back as the other; or the list of what it held, by which a restore
finds what is gone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from engine.channels.backups.archive import NAMED, objects_in
from engine.channels.backups.objects import Sealed, pieces_of
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.objects.bucket import Bucket
from engine.objects.s3 import name_of

__all__ = ["held_in", "in_bucket", "name_bucket", "open_bucket", "put_back", "sealed_at"]


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


def in_bucket(bucket: Bucket) -> Iterator[Sealed]:
    """Give every object of a bucket. Raises OSError."""
    for address, length in held_in(bucket):
        yield Sealed(address, length, partial(bucket.pieces, name_of(bucket, address)))


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
    return pieces_of(config.objects_dir / address[:2] / address)
