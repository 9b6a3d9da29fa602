"""The object store in a bucket of S3, or of what speaks its language (MinIO, Ceph, Garage).

In: objects in pieces, sealed into a file of the local spool, sent when they are whole. Out: `PREFIXab/ab...`
in the bucket, durable when the server has answered 200; long ones go up in parts. The bucket sees sealed
bytes and keyed names only. What nobody seems to count on is put aside under `PREFIXleftover/` first. Reading
asks for ranges. Follows the Amazon S3 REST API; path-style addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.kernel.errors import ConfigError, HubError
from engine.kernel.imaging import Arriving, Stored
from engine.objects.bucket import Bucket
from engine.objects.folder import MissingObject, Spool, Spooled, locked
from engine.objects.sealed import open_sealed
from engine.security.keys import Keyring

__all__ = ["S3Objects", "name_of"]

_FIRST = 2 << 20  # what the first request of a reader asks for: most objects are shorter


def name_of(bucket: Bucket, address: str) -> str:
    """Return the name of an object in the bucket."""
    return f"{bucket.prefix}{address[:2]}/{address}"


class S3Objects:
    """Objects in a bucket (`kernel.imaging.Objects`). Threads may share one."""

    def __init__(
        self,
        url: str,
        keyring: Keyring,
        *,
        region: str,
        access_key: str,
        secret_key: str,
        spool: Path,
        reserve_bytes: int = 0,
    ) -> None:
        """`url` is `https://HOST/BUCKET`, or `https://HOST/BUCKET/PREFIX`; the bucket must exist."""
        self._bucket = Bucket(url, region=region, access_key=access_key, secret_key=secret_key)
        self._keyring = keyring
        try:
            self._spool = Spool(spool / "incoming", reserve_bytes)
            self._locks = spool / "locks"
            for number in range(256):
                (self._locks / f"{number:02x}").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(
                "the folder for objects on their way cannot be opened", where=str(spool), why=e.strerror or ""
            ) from None

    def begin(self) -> Spooled:
        """Begin an object. Raises OSError (ENOSPC where the spool has no room)."""
        return Spooled(self._spool, self._keyring)

    def keep(self, arriving: Arriving) -> Stored:
        """Send an object; it is durable when this returns. Raises OSError."""
        assert isinstance(arriving, Spooled)
        try:
            stored = arriving.finish()
            with locked(self._locks / stored.address[:2]):
                self._bucket.send(self._name(stored.address), arriving.handle)
        finally:
            arriving.abandon()
        return stored

    def open(self, address: str) -> BinaryIO:
        """Open an object to read. Raises HubError: MissingObject, DamagedObject."""
        name = self._name(address)
        try:
            answer = self._bucket.ask(
                "GET", name, headers={"range": f"bytes=0-{_FIRST - 1}"}, expect=(200, 206, 404)
            )
        except OSError as e:
            raise HubError("cannot be read", where=f"object {address}", why=e.strerror or "") from None
        if answer.status_code == 404:
            raise MissingObject(address)
        first = answer.content
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        length = int(whole) if whole.isdigit() else len(first)

        def fetch(offset: int, size: int) -> bytes:
            if offset + size <= len(first):
                return first[offset : offset + size]
            wanted = f"bytes={offset}-{offset + size - 1}"
            return self._bucket.ask("GET", name, headers={"range": wanted}, expect=(206,)).content

        return open_sealed(self._keyring, address, length, fetch)

    def delete(self, address: str) -> bool:
        """Remove an object at once; says whether there was one."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            if self._bucket.ask("HEAD", name, expect=(200, 404)).status_code == 404:
                return False
            self._bucket.ask("DELETE", name, expect=(200, 204))
        return True

    def discard(self, address: str, before: int) -> bool:
        """Remove an object that nobody has brought since `before` (ms); says whether it is gone."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            since = self._bucket.since(name)
            if since is None:
                return True
            if since >= before:
                return False
            self._bucket.ask("DELETE", name, expect=(200, 204))
        return True

    def touch(self, address: str) -> bool:
        """Count on an object as if it were brought now; says whether it is there."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            return self._bucket.copy(name, name)

    def addresses(self, before: int) -> Iterator[str]:
        """Return the addresses of what nobody has brought since `before` (ms)."""
        return (a for a, name in self._old(self._bucket.prefix, before) if name == self._name(a))

    def put_aside(self, address: str, before: int) -> bool:
        """Put an object that nobody has brought since `before` (ms) aside; says whether it was."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            since = self._bucket.since(name)
            if since is None or since >= before or not self._bucket.copy(name, self._aside(address)):
                return False
            self._bucket.ask("DELETE", name, expect=(200, 204))
        return True

    def leftovers(self, before: int) -> Iterator[str]:
        """Return the addresses of what was put aside before then (ms)."""
        return (address for address, _ in self._old(f"{self._bucket.prefix}leftover/", before))

    def bring_back(self, address: str) -> bool:
        """Put an object back that was put aside; says whether there was one."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            if not self._bucket.copy(self._aside(address), name):
                return False
            self._bucket.ask("DELETE", self._aside(address), expect=(200, 204))
        return True

    def remove_leftover(self, address: str) -> bool:
        """Remove an object that was put aside for good; says whether there was one."""
        name = self._aside(address)
        with locked(self._locks / address[:2]):
            if self._bucket.since(name) is None:
                return False
            self._bucket.ask("DELETE", name, expect=(200, 204))
        return True

    def _aside(self, address: str) -> str:
        return f"{self._bucket.prefix}leftover/{self._name(address)[-32:]}"

    def _old(self, prefix: str, before: int) -> Iterator[tuple[str, str]]:
        for one in self._bucket.listed(prefix):
            address = one.name.rpartition("/")[2]
            if one.changed < before and len(address) == 32:
                yield address, one.name

    def disk_free(self) -> int | None:
        """Return None: the service watches its own disks."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._bucket.close()

    def _name(self, address: str) -> str:
        if len(address) != 32 or not set(address) <= set("0123456789abcdef"):
            raise MissingObject(address if address.isalnum() else "of another kind")
        return name_of(self._bucket, address)
