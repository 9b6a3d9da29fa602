"""A folder of this machine, or one that is mounted: each parcel becomes a file of its own.

In: parcels. Out: receipts. A file is written under a name that begins with a dot, brought to disk, and given
its own name; then the folder is brought to disk. So whoever looks into the folder sees whole files only, and
what was said to be there is there after a power cut. The name makes it once: where the file of that name has
these bytes already, nothing is done. A file with other bytes is written over only where the settings say so.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath

from pydantic import Field

from engine.destinations.filenames import Filed, Names
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt
from engine.kernel.disk import sync_folder
from engine.kernel.errors import HubError

__all__ = ["FILE", "File", "FileDestination"]

_KEPT = 64 << 10
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_OF_THE_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


class FileDestination(Filed):
    """A folder that files are put into."""

    mode: str = Field(
        default="640",
        pattern=r"^[0-7]{3}$",
        description="Who may read and write the files, as of `chmod`.",
        examples=["660"],
    )


class File:
    """One folder."""

    def __init__(self, settings: FileDestination, around: Around) -> None:
        self._settings = settings
        self._names = Names(settings.path)
        self._folder = around.root.resolve() / self._names.folder
        self._mode = int(settings.mode, 8)

    def deliver(self, parcel: Parcel) -> Receipt:
        """Write one file; say what became of it."""
        try:
            name = self._names.of(parcel)
        except HubError as e:
            return Receipt("park", str(e))
        wrote = f"write {self._folder / name}\r\n\r\n".encode() + parcel.body[:_KEPT]
        try:
            self._there()
            written = self._write(name, parcel)
        except HubError as e:
            return Receipt("park", str(e), wrote)
        except OSError as e:
            why = e.strerror or type(e).__name__
            if e.errno in _OF_THE_NAME:
                return Receipt("park", f"the file cannot be named so: {why}", wrote)
            return Receipt("retry", f"{self._folder} cannot be written: {why}", wrote, down=True)
        if written is None:
            again = self._settings.exists == "wait"
            why = "a file of that name is there with other content"
            remedy = "waits until it is taken away" if again else "name {key} in `path`, or see `exists`"
            return Receipt("retry" if again else "park", f"{why}; {remedy}", wrote)
        shown = str(self._folder / written) if self._names.plain else ""
        return Receipt("sent", "", wrote, reference=shown)

    def check(self) -> str:
        """See whether the folder is there and can be written. Raises HubError."""
        try:
            self._there()
            free = shutil.disk_usage(self._folder).free
        except OSError as e:
            raise HubError(
                "the folder cannot be used", where=str(self._folder), why=e.strerror or ""
            ) from None
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise HubError(
                "the folder cannot be written", where=str(self._folder), remedy="see who may write there"
            )
        return f"{self._folder} can be written, {free // 1_000_000} MB free"

    def close(self) -> None:
        """Nothing is held between two files."""

    def _there(self) -> None:
        """See that the folder is there: one that is not mounted must not be made on another disk."""
        if not self._folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "it is not there, or not mounted")

    def _write(self, name: PurePosixPath, parcel: Parcel) -> PurePosixPath | None:
        """Write a parcel's file and return its name; None where another has it. Raises OSError, HubError."""
        folder = self._folder / name.parent
        if not folder.resolve().is_relative_to(self._folder.resolve()):
            raise HubError("a link leads out of the folder", where=str(self._folder))
        self._make_folder(folder)
        fresh = self._folder / Names.unfinished(name, parcel.key)
        names = [name, Names.both(name, parcel.key)] if self._settings.exists == "both" else [name]
        if (there := next((n for n in names if self._holds(n, parcel.body)), None)) is not None:
            with suppress(FileNotFoundError):  # of a try that was cut off before it was taken away
                fresh.unlink()
            sync_folder(folder)
            return there
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(parcel.body)
            file.flush()
            os.fchmod(file.fileno(), self._mode)
            os.fsync(file.fileno())
        for one in names:
            if self._named(fresh, self._folder / one):
                sync_folder(folder)
                return one
        fresh.unlink()
        return None

    def _named(self, fresh: Path, there: Path) -> bool:
        """Give a finished file its name; False where a file has it."""
        if self._settings.exists == "replace":
            os.replace(fresh, there)
            return True
        try:
            os.link(fresh, there)  # unlike a rename it never writes over what is there
        except FileExistsError:
            return False
        except OSError as e:
            if e.errno not in _NO_LINKS:
                raise
            if os.path.lexists(there):  # no links on this disk: look first
                return False
            os.rename(fresh, there)
            return True
        fresh.unlink()
        return True

    def _holds(self, name: PurePosixPath, body: bytes) -> bool:
        there = self._folder / name
        try:
            return there.stat().st_size == len(body) and there.read_bytes() == body
        except (FileNotFoundError, IsADirectoryError):
            return False

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(self._mode | (self._mode & 0o444) >> 2)  # who may read its files may enter it
        sync_folder(folder.parent)


def _make(settings: FileDestination, name: str, around: Around) -> File:
    return File(settings, around)


FILE = DestinationKind("file", FileDestination, _make, ("original", "fhir", "event", "any"))
