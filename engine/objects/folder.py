"""The object store in a folder: one sealed file an object, named by what it holds.

In: objects in pieces. Out: `FOLDER/ab/ab...` once the file and its folder are on disk. What is on its way is
in `FOLDER/incoming`, locked by whoever writes it, so that the next start of any process can tell a leftover
of a crash from a neighbour's. The same bytes have the same name: what is brought again takes the place of the
file that is there, whose time then says that somebody counts on it (see `discard`). What nobody seems to
count on is put aside in `FOLDER/leftover` first. Several processes may use one folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from engine.kernel.disk import sync_folder
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.imaging import Arriving, Stored
from engine.objects.sealed import ObjectSealer, open_sealed
from engine.security.keys import Keyring

__all__ = ["FolderObjects", "MissingObject", "Spool", "Spooled", "locked"]

_ADDRESS = 32  # hex digits


class MissingObject(HubError):
    """An object that is not there."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "there is no such object",
            where=f"object {address}",
            remedy="restore the objects from a backup, or have its sender send it again",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (MissingObject, (self.where.removeprefix("object "),))


class Spooled:
    """One object on its way in: sealed into a file that nobody sees. An error forgets it."""

    def __init__(self, spool: Spool, keyring: Keyring) -> None:
        self._spool = spool
        self.path, self.handle = spool.make()
        try:
            self._sealer = ObjectSealer(keyring, self._put)
        except BaseException:
            self.abandon()
            raise

    def write(self, data: bytes) -> None:
        """Take more bytes. Raises OSError (ENOSPC where the disk is full), and forgets the object."""
        if self.handle < 0:
            raise OSError(errno.EBADF, "this object was forgotten")
        try:
            self._sealer.write(data)
        except BaseException:
            self.abandon()
            raise

    def finish(self) -> Stored:
        """Write the end and have all of it on disk, under its temporary name still. Raises OSError."""
        try:
            address = self._sealer.finish()
            os.fsync(self.handle)
        except BaseException:
            self.abandon()
            raise
        return Stored(address, self._sealer.size)

    def done(self) -> None:
        """Let go of the file, wherever it is by now."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    def abandon(self) -> None:
        """Forget it; may be called at any time, more than once."""
        if self.handle >= 0:
            self.path.unlink(missing_ok=True)
            self.done()

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        self._spool.room()
        left = memoryview(data)
        while left:
            left = left[os.write(self.handle, left) :]


class Spool:
    """The folder of what is on its way in, with the reserve of its disk."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self.folder = folder
        self._reserve = reserve_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clean()

    def room(self) -> None:
        """Raise OSError (ENOSPC) where the disk is below its reserve."""
        if self._reserve and shutil.disk_usage(self.folder).free < self._reserve:
            raise OSError(errno.ENOSPC, "the disk of the objects is below its reserve")

    def make(self) -> tuple[Path, int]:
        """Make a file of a new name, locked; return it open."""
        self.room()
        while True:
            path = self.folder / f"{secrets.token_hex(16)}.part"
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return path, handle
            os.close(handle)  # a process that starts took it for a leftover before it was locked

    def _clean(self) -> None:
        for path in self.folder.glob("*.part"):
            try:
                handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # finished meanwhile
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            except BlockingIOError:
                pass  # somebody writes it
            finally:
                os.close(handle)


class FolderObjects:
    """Objects in a folder (`kernel.imaging.Objects`). Threads may share one."""

    def __init__(self, root: Path, keyring: Keyring, *, reserve_bytes: int = 0) -> None:
        self.root = root
        self._keyring = keyring
        try:
            new = not root.exists()
            self._spool = Spool(root / "incoming", reserve_bytes)
            self._aside = root / "leftover"
            self._aside.mkdir(mode=0o700, exist_ok=True)
            for number in range(256):
                (root / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
            sync_folder(root)
            if new:
                sync_folder(root.parent)
        except OSError as e:
            raise ConfigError(
                "the folder of the objects cannot be opened",
                where=str(root),
                why=e.strerror or type(e).__name__,
                remedy="check that it exists and that the hub's user may write there",
            ) from None

    def begin(self) -> Spooled:
        """Begin an object. Raises OSError (ENOSPC where there is no room)."""
        return Spooled(self._spool, self._keyring)

    def keep(self, arriving: Arriving) -> Stored:
        """Put an object in its place; file and folder are on disk when this returns. Raises OSError."""
        assert isinstance(arriving, Spooled)
        stored = arriving.finish()
        path = self._path(stored.address)
        try:
            os.utime(arriving.handle)
            with locked(path.parent) as folder:
                os.rename(arriving.path, path)
                os.fsync(folder)
        except BaseException:
            arriving.abandon()
            raise
        arriving.done()
        return stored

    def open(self, address: str) -> BinaryIO:
        """Open an object to read. Raises HubError: MissingObject, DamagedObject."""
        try:
            handle = os.open(self._path(address), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise MissingObject(address) from None
        except OSError as e:
            raise HubError("cannot be read", where=f"object {address}", why=e.strerror or "") from None
        try:
            return open_sealed(
                self._keyring,
                address,
                os.fstat(handle).st_size,
                lambda offset, size: os.pread(handle, size, offset),
                lambda: os.close(handle),
            )
        except BaseException:
            os.close(handle)
            raise

    def delete(self, address: str) -> bool:
        """Remove an object at once; says whether there was one."""
        path = self._path(address)
        with locked(path.parent) as folder:
            if not path.exists():
                return False
            path.unlink()
            os.fsync(folder)
        return True

    def discard(self, address: str, before: int) -> bool:
        """Remove an object that nobody has brought since `before` (ms); says whether it is gone.

        What is kept again while its removal is decided is counted on by its new entry: it stays.
        """
        path = self._path(address)
        with locked(path.parent) as folder:
            try:
                if path.stat().st_mtime_ns // 1_000_000 >= before:
                    return False
                path.unlink()
            except FileNotFoundError:
                return True
            os.fsync(folder)
        return True

    def touch(self, address: str) -> bool:
        """Count on an object as if it were brought now; says whether it is there."""
        path = self._path(address)
        with locked(path.parent):
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def addresses(self, before: int) -> Iterator[str]:
        """Return the addresses of what nobody has brought since `before` (ms)."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            yield from _old(folder, before)

    def put_aside(self, address: str, before: int) -> bool:
        """Put an object that nobody has brought since `before` (ms) aside; says whether it was."""
        path = self._path(address)
        with locked(path.parent) as folder, locked(self._aside) as aside:
            try:
                if path.stat().st_mtime_ns // 1_000_000 >= before:
                    return False
                os.utime(path)  # when it was put aside
                os.rename(path, self._aside / address)
            except FileNotFoundError:
                return False
            os.fsync(aside)
            os.fsync(folder)
        return True

    def leftovers(self, before: int) -> Iterator[str]:
        """Return the addresses of what was put aside before then (ms)."""
        return _old(self._aside, before)

    def bring_back(self, address: str) -> bool:
        """Put an object back that was put aside; says whether there was one."""
        path = self._path(address)
        with locked(path.parent) as folder, locked(self._aside) as aside:
            try:
                os.utime(self._aside / address)
                os.rename(self._aside / address, path)
            except FileNotFoundError:
                return False
            os.fsync(folder)
            os.fsync(aside)
        return True

    def remove_leftover(self, address: str) -> bool:
        """Remove an object that was put aside for good; says whether there was one."""
        self._path(address)
        with locked(self._aside) as aside:
            try:
                (self._aside / address).unlink()
            except FileNotFoundError:
                return False
            os.fsync(aside)
        return True

    def disk_free(self) -> int | None:
        """Return the free bytes of the disk."""
        return shutil.disk_usage(self.root).free

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, address: str) -> Path:
        if len(address) != _ADDRESS or not set(address) <= set("0123456789abcdef"):
            raise MissingObject(address if address.isalnum() else "of another kind")
        return self.root / address[:2] / address


def _old(folder: Path, before: int) -> Iterator[str]:
    for found in os.scandir(folder):
        try:
            old = found.stat().st_mtime_ns // 1_000_000 < before
        except FileNotFoundError:
            continue
        if old and len(found.name) == _ADDRESS:
            yield found.name


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold the lock of one folder: no file in it is replaced and removed at one time."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
