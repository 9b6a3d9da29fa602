"""The files of a release as its publisher ships them: a file, a folder, a .zip, a .tgz, a .gz, read in place.

In: a path. Out: members by name, each a stream of bytes that counts, hashes and watches what it reads.
Nothing is ever unpacked to disk, so a name with `..` inside an archive has nowhere to escape to; a member
that grows far beyond what its archive says is refused while it is read. A truncated or damaged archive is a
FormatError, never a shorter release.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from engine.kernel.errors import FormatError

__all__ = ["Files", "Member", "Tell"]

Tell = Callable[[str, int, int], None]  # (what is read, bytes read, bytes in all)
_MANY = 200_000  # members in one archive
_LARGE = 64 << 30  # bytes in one archive; the largest known release unpacks to about 12 GB
_DENSE = 250  # times larger than packed; text of releases packs 5 to 30 times
_SMALL = 64 << 20  # below this no ratio is a danger
_LINE = 32 << 20  # bytes in one line of a text file
_CHUNK = 1 << 20
_BROKEN = (  # what the standard library says of a damaged archive
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, struct.error),
    *(EOFError, OSError, ValueError, OverflowError, NotImplementedError, RuntimeError, KeyError),
)
_AGAIN = "fetch the file from its publisher again, and compare its checksum"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a release; `name` has `/` between folders, `packed` is its size in the archive."""

    name: str
    size: int
    packed: int

    @property
    def base(self) -> str:
        """The name without folders."""
        return self.name.rpartition("/")[2]


class _Counted(io.RawIOBase):
    """A stream that counts, hashes and refuses to grow without end."""

    def __init__(self, inner: IO[bytes], files: Files, member: Member) -> None:
        self._inner = inner
        self._files = files
        self._member = member
        self._read = self._line = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read(len(buffer))
        except _BROKEN as error:
            raise _damaged(self._files.where(self._member), str(error)) from None
        self._read += len(data)
        most = max(self._member.packed, 1) * _DENSE
        if self._read > _SMALL and self._read > most:
            raise FormatError(
                "unpacks to far more than a release does",
                where=self._files.where(self._member),
                why=f"{self._member.packed} bytes have become more than {most}",
                remedy=_AGAIN,
            )
        end = data.rfind(b"\n")
        self._line = len(data) - end - 1 if end >= 0 else self._line + len(data)
        if self._line > _LINE and not self._member.base.endswith((".json", ".xlsx")):
            raise FormatError(
                "has a line without end", where=self._files.where(self._member), why="damaged", remedy=_AGAIN
            )
        buffer[: len(data)] = data
        self._files.advance(self._member, data)
        return len(data)


class Files:
    """The members of one path, and how far reading them has come."""

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        self.path = path
        self._tell = tell
        self._hash = hashlib.sha256()
        self._done = self._total = 0
        self._hashed = ""
        self._zip: zipfile.ZipFile | None = None
        self._tar: tarfile.TarFile | None = None
        self.members: list[Member] = []
        self._holds = True  # a folder or an archive, not one file
        try:
            self._list()
        except PermissionError as error:
            raise FormatError("cannot be read", where=str(path), why=error.strerror or "") from None
        except _BROKEN as error:
            raise _damaged(path.name, str(error)) from None
        if len(self.members) > _MANY or sum(m.size for m in self.members) > _LARGE:
            raise FormatError(
                "holds more than a release does",
                where=path.name,
                why=f"{len(self.members)} files, {sum(m.size for m in self.members)} bytes",
                remedy="name the release itself",
            )

    def _list(self) -> None:
        path, name = self.path, self.path.name.lower()
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file())
            self.members = [Member(p.relative_to(path).as_posix(), *_twice(p.stat().st_size)) for p in found]
        elif name.endswith((".tgz", ".tar.gz", ".tar")):
            self._tar = tarfile.open(path)  # noqa: SIM115 closed in close()
            # sizes inside a packed archive are those unpacked: the bomb is in the whole
            whole = max(path.stat().st_size, 1)
            tars = [m for m in self._tar.getmembers() if m.isfile()]
            if sum(m.size for m in tars) > max(_SMALL * 16, whole * _DENSE):
                raise FormatError("unpacks to far more than a release does", where=path.name, remedy=_AGAIN)
            self.members = [Member(m.name, m.size, m.size) for m in tars]
        elif name.endswith(".zip") or (not name.endswith(".xlsx") and zipfile.is_zipfile(path)):
            self._zip = zipfile.ZipFile(path)
            self.members = [
                Member(i.filename, i.file_size, i.compress_size)
                for i in self._zip.infolist()
                if not i.is_dir()
            ]
            if any(i.flag_bits & 1 for i in self._zip.infolist()):
                raise FormatError("is encrypted", where=path.name, remedy="unpack it, and name the folder")
        else:
            size = path.stat().st_size
            self._holds = False
            self.members = [Member(path.name.removesuffix(".gz").removesuffix(".xz"), size, size)]

    def where(self, member: Member, line: int = 0) -> str:
        """Name a place as errors show it: `Loinc.zip/LoincTable/Loinc.csv:12`."""
        inner = f"{self.path.name}/{member.name}" if self._holds else self.path.name
        return f"{inner}:{line}" if line else inner

    def find(self, *ends: str) -> Member | None:
        """Return the member whose name, without regard to case, ends so; of several the least deep."""
        for end in ends:
            found = [
                m
                for m in self.members
                if f"/{m.name}".lower().endswith(end.lower()) and "__MACOSX" not in m.name
            ]
            if found:
                return min(found, key=lambda m: m.name.count("/"))
        return None

    def matching(self, test: Callable[[Member], object]) -> list[Member]:
        """Return the members that pass a test."""
        return [m for m in self.members if "__MACOSX" not in m.name and test(m)]

    def expect(self, members: list[Member]) -> None:
        """Say which members will be read, so that progress has an end."""
        self._total = sum(m.size for m in members)

    @contextmanager
    def open(self, member: Member) -> Iterator[io.BufferedReader]:
        """Open a member for reading."""
        self._hash.update(member.base.encode())
        with self._inner(member) as inner:
            stream: Any = io.BufferedReader(_Counted(inner, self, member), _CHUNK)
            try:
                yield stream
            finally:
                stream.detach()

    @contextmanager
    def _inner(self, member: Member) -> Iterator[IO[bytes]]:
        if self._zip is not None:
            try:
                opened: IO[bytes] = self._zip.open(member.name)
            except _BROKEN as error:
                raise _damaged(self.where(member), str(error)) from None
        elif self._tar is not None:
            try:
                opened = cast("IO[bytes]", self._tar.extractfile(member.name))
            except _BROKEN as error:
                raise _damaged(self.where(member), str(error)) from None
        else:
            path = self.path / member.name if self.path.is_dir() else self.path
            if path.suffix == ".gz":
                opened = cast("IO[bytes]", gzip.open(path))  # noqa: SIM115 closed below
            elif path.suffix == ".xz":
                opened = cast("IO[bytes]", lzma.open(path))  # noqa: SIM115 closed below
            else:
                opened = path.open("rb")
        with opened:
            yield opened

    def advance(self, member: Member, data: bytes) -> None:
        """Count what was read."""
        self._hash.update(data)
        self._done += len(data)
        if self._tell is not None:
            self._tell(member.base, self._done, max(self._total, self._done))

    def peek(self, member: Member, size: int = 4096) -> bytes:
        """Return the first bytes of a member, without counting them as read."""
        with self._inner(member) as inner:
            return inner.read(size)

    def stage(self, name: str) -> None:
        """Tell what is done now that everything is read."""
        if self._tell is not None:
            self._tell(name, self._done, self._done)

    @property
    def digest(self) -> str:
        """SHA-256 over what was read, in the order it was read."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the archive."""
        if self._zip is not None:
            self._zip.close()
        if self._tar is not None:
            self._tar.close()


def _twice(size: int) -> tuple[int, int]:
    return size, size


def _damaged(where: str, why: str) -> FormatError:
    return FormatError("is damaged or cut short", where=where, why=why, remedy=_AGAIN)
