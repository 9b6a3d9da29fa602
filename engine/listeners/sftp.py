"""A folder of an SFTP server (protocol version 3): files are fetched, journaled, then moved or deleted there.

In: files of a server whose public key is pinned. Out: journal entries (`files.py`). A file is fetched into a
nameless local file that no crash leaves behind; the server's copy is touched only after the journal has every
message of it, and a file that is still there after a crash is recognised by name, times and bytes. Needs the
extra `sftp` (asyncssh). File names are never logged: a patient's may stand in them.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import stat
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from engine.kernel.errors import StoreUnavailable
from engine.kernel.sftp import check_sftp, connection, what_went_wrong
from engine.listeners.ack_rules import Strict
from engine.listeners.file_settings import SftpChannel
from engine.listeners.files import Interrupted, Shelf, tag_of
from engine.listeners.markers import Markers
from engine.listeners.receiving import source_of

if TYPE_CHECKING:
    import asyncssh

__all__ = ["Sftp", "Unreachable"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Shape = tuple[int, int]  # size, time of change
_PIECE = 256 << 10


class Unreachable(OSError):
    """The server cannot be used now; the text says why, without the name of any file."""


class Sftp:
    """One channel's folder on a server."""

    def __init__(
        self,
        channel: SftpChannel,
        shelf: Shelf,
        markers: Path,
        strict: Strict | None = None,
        conceal: Callable[[str], str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        s = self.settings = channel.sftp
        self.name = channel.channel
        self.poll_seconds = s.poll
        self.address = f"sftp://{s.host}:{s.port}"
        self._shelf = shelf
        self._spool = markers
        self._source = source_of(channel, strict, conceal)
        self._markers = Markers(markers)
        self._now = now
        self._seen: dict[str, tuple[Shape, float]] = {}
        self._done: dict[tuple[str, Shape], tuple[str, bool]] = {}  # taken, and not yet out of the way
        self._said: set[str] = set()

    def open(self) -> None:
        """See whether it can be begun. Raises ConfigError."""
        check_sftp(self.settings, f"channel {self.name}")

    def close(self) -> None:
        """Nothing is held between two looks."""

    def poll(self) -> None:
        """Look once, take what has come to rest. Unreachable: the server cannot be used now."""
        import asyncssh

        try:
            asyncio.run(self._look())
        except Unreachable:
            raise
        except (asyncssh.Error, OSError) as e:  # TimeoutError is an OSError
            raise Unreachable(what_went_wrong(e, self.settings)) from None

    async def _look(self) -> None:
        async with connection(self.settings) as connected, connected.start_sftp_client() as client:
            ready = await self._ready(client)
            for name, shape in ready:
                await self._work(client, name, shape)

    async def _in_time(self, answer: Awaitable[T]) -> T:
        return await asyncio.wait_for(answer, self.settings.timeout)

    async def _ready(self, client: asyncssh.SFTPClient) -> list[tuple[str, Shape]]:
        """Return the files that may be taken, oldest first; a file still written holds those after it."""
        here, done, error = self.settings.folders
        for folder in (done, error) if self.settings.after == "move" else (error,):
            if not await self._in_time(client.isdir(folder)):
                await self._in_time(client.makedirs(folder, exist_ok=True))
        found: list[tuple[int, str, Shape]] = []
        for entry in await self._in_time(client.readdir(here)):
            name = (
                entry.filename
                if isinstance(entry.filename, str)
                else entry.filename.decode("utf-8", "replace")
            )
            if name.startswith(".") or "/" in name or not fnmatch.fnmatchcase(name, self.settings.pattern):
                continue
            attrs = entry.attrs
            mode = attrs.permissions
            if mode is None or not stat.S_ISREG(mode):
                if mode is None or not stat.S_ISDIR(mode):
                    self._skip(name, "no-plain-file")
                continue
            shape = (int(attrs.size or 0), int(attrs.mtime or 0))
            if shape[0] > self.settings.max_file_bytes:
                self._skip(name, "too-long")
                continue
            found.append((shape[1], name, shape))
        now = self._now()
        before, self._seen = self._seen, {}
        for _, name, shape in found:
            known = before.get(name)
            self._seen[name] = known if known is not None and known[0] == shape else (shape, now)
        self._done = {k: v for k, v in self._done.items() if k[0] in self._seen}
        self._shelf.gauge("hub_files_waiting", self.name, len(found))
        ready = []
        for _, name, shape in sorted(found):
            if now - self._seen[name][1] < self.settings.stable_for:
                break
            ready.append((name, shape))
        return ready

    async def _work(self, client: asyncssh.SFTPClient, name: str, shape: Shape) -> None:
        here, _, _ = self.settings.folders
        path = f"{here}/{name}"
        tag, sound = self._done.get((name, shape), ("", True))
        if not tag:
            if not self._shelf.room_on_disk():
                raise StoreUnavailable("the disk is below its reserve", remedy="free space on its disk")
            with tempfile.TemporaryFile(dir=self._spool) as file:
                if not await self._fetch(client, path, file, shape):
                    self._seen.pop(name, None)  # it changed: it must come to rest again
                    return
                try:
                    tag, sound = await asyncio.to_thread(self._take, name, file, shape)
                except (Interrupted, StoreUnavailable):
                    raise
                except Exception as e:
                    # One file must not hold up all others: a person looks at it.
                    log.error("channel %s: a file cannot be taken: %s", self.name, type(e).__name__)
                    tag, sound = "failed", False
            self._done[name, shape] = (tag, sound)
        await self._away(client, name, shape, sound)
        self._seen.pop(name, None)
        self._done.pop((name, shape), None)
        self._markers.clear(tag)
        self._shelf.count("hub_files_total", self.name, ("to", "done" if sound else "error"))

    async def _fetch(self, client: asyncssh.SFTPClient, path: str, file: BinaryIO, shape: Shape) -> bool:
        """Fetch a file; False where it is not the one that was listed any more."""
        size = 0
        async with client.open(path, "rb", encoding=None) as remote:
            while True:
                piece = await self._in_time(remote.read(_PIECE, size))
                if not piece:
                    break
                data = bytes(piece)  # type: ignore[arg-type] # opened without an encoding
                file.write(data)
                size += len(data)
                if size > self.settings.max_file_bytes:
                    return False
        return size == shape[0] and await self._shape(client, path) == shape

    def _take(self, name: str, file: BinaryIO, shape: Shape) -> tuple[str, bool]:
        tag = tag_of(name, file, *shape)
        marker = self._markers.get(tag)
        if marker is not None and marker.finished:
            return tag, marker.sound
        s = self.settings
        taken = self._shelf.take(file, name, tag, s.host, self._source, self._markers, s.max_message_bytes)
        say = log.info if taken.sound and not taken.garbage else log.warning
        say(
            "channel %s: file %s: %d messages, %d of them here before, %d parts not readable",
            self.name,
            tag[:8],
            taken.readable,
            taken.duplicates + taken.again,
            taken.garbage,
        )
        return tag, taken.sound

    async def _away(self, client: asyncssh.SFTPClient, name: str, shape: Shape, sound: bool) -> None:
        """Delete or move a file on the server, if it is still the one that was taken."""
        here, done, error = self.settings.folders
        path = f"{here}/{name}"
        if await self._shape(client, path) != shape:
            return  # its sender put another one there, or took it back
        if sound and self.settings.after == "delete":
            await self._in_time(client.remove(path))
            return
        to = done if sound else error
        there, n = f"{to}/{name}", 1
        while await self._in_time(client.lexists(there)):
            n += 1
            there = f"{to}/{name}.{n}"
        await self._in_time(client.rename(path, there))

    async def _shape(self, client: asyncssh.SFTPClient, path: str) -> Shape | None:
        import asyncssh

        try:
            attrs = await self._in_time(client.lstat(path))
        except asyncssh.SFTPNoSuchFile:
            return None
        return int(attrs.size or 0), int(attrs.mtime or 0)

    def _skip(self, name: str, reason: str) -> None:
        """Say once that something in the folder is not taken."""
        if name not in self._said:
            self._said = {*self._said, name} if len(self._said) < 1000 else {name}
            self._shelf.count("hub_files_skipped_total", self.name, ("reason", reason))
            log.warning("channel %s: something in its folder is not taken: %s", self.name, reason)
