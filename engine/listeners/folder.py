"""A watched folder: files that have come to rest are taken, oldest first, and moved out of the way.

In: a folder that senders write or rename files into. Out: journal entries (`files.py`), the files in `done`
or `error`. A file is taken by renaming it into `.in-progress`, journaled whole, then moved: a crash leaves it
where the next start finds it, and what of it is in the journal is not taken again. No symbolic link is
followed, nothing but plain files is opened. Names are never logged: a patient's may stand in them; the log
shows the first digits of the file's tag, which the journal's entries carry too.
"""

from __future__ import annotations

import fcntl
import fnmatch
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from engine.kernel.disk import sync_folder
from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.listeners.ack_rules import Strict
from engine.listeners.file_settings import FolderChannel, FolderSettings
from engine.listeners.files import Interrupted, Shelf, tag_of
from engine.listeners.markers import Markers
from engine.listeners.receiving import source_of

__all__ = ["Folder", "check_folder"]

log = logging.getLogger(__name__)

_UNFINISHED = 10  # a batch without its trailer waits so many times `stable_for`
_EDGE = 64 << 10

Shape = tuple[int, int, int, int]
"""Inode, size, times of change: what must stay as it is."""


def check_folder(settings: FolderSettings, where: str) -> None:
    """Make the folders a watched folder needs, and see whether files can be moved. Raises ConfigError."""
    path = settings.path
    if not path.is_dir():
        raise ConfigError(f"folder: {path} is no folder", where=where, remedy="make it, or correct path:")
    if path.is_symlink():
        raise ConfigError(f"folder: {path} is a symbolic link", where=where, remedy="name the folder itself")
    for folder in (settings.in_progress, settings.done, settings.error):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or folder.resolve() == path.resolve():
                raise ConfigError(f"folder: {folder} must be a folder of its own", where=where)
            probe = folder / f".probe-{os.getpid()}"
            start = path / f".probe-{os.getpid()}"
            start.touch(mode=0o600)
            try:
                os.rename(start, probe)
            finally:
                start.unlink(missing_ok=True)
                probe.unlink(missing_ok=True)
        except OSError as e:
            why = "it is on another disk" if e.errno == 18 else (e.strerror or "")
            raise ConfigError(
                f"folder: files cannot be moved from {path} to {folder}",
                where=where,
                why=why,
                remedy="let the hub's user write in both, on one disk",
            ) from None


class Folder:
    """One channel's folder."""

    def __init__(
        self,
        channel: FolderChannel,
        shelf: Shelf,
        markers: Path,
        strict: Strict | None = None,
        conceal: Callable[[str], str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = channel.folder
        self.name = channel.channel
        self.poll_seconds = channel.folder.poll
        self.address = self.settings.path.resolve().as_uri()
        self._shelf = shelf
        self._source = source_of(channel, strict, conceal)
        self._markers = Markers(markers)
        self._now = now
        self._seen: dict[str, tuple[Shape, float]] = {}
        self._lock = -1
        self._links: set[str] = set()
        self._unquiet: dict[str, tuple[Shape, float]] = {}  # written to while they were taken

    def open(self) -> None:
        """Make sure that nobody else takes files here. Raises ConfigError."""
        check_folder(self.settings, f"channel {self.name}")
        self._lock = os.open(
            self.settings.in_progress / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise ConfigError(
                f"folder: {self.settings.path} is watched already",
                where=f"channel {self.name}",
                remedy="give each channel a folder of its own, and stop the other hub",
            ) from None

    def close(self) -> None:
        """Let others take files here."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def poll(self) -> None:
        """Look once: first what an earlier run left, then what is new. OSError: the folder is not there."""
        left = sorted(n for n in os.listdir(self.settings.in_progress) if not n.startswith("."))
        for name in left:
            if self._rests(name):
                self._work(name)
        if not left:
            self._markers.clear_all()
        ready = self._ready()
        for name in ready:
            if self._claim(name):
                self._work(name)
        self._shelf.gauge("hub_files_waiting", self.name, len(self._seen))

    def _ready(self) -> list[str]:
        """Return the files that may be taken, oldest first; a file still written holds those after it."""
        found: list[tuple[int, str, Shape]] = []
        with os.scandir(self.settings.path) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or not fnmatch.fnmatchcase(name, self.settings.pattern):
                    continue
                if not entry.is_file(follow_symlinks=False):
                    if not entry.is_dir(follow_symlinks=False):
                        self._strange(name)
                    continue
                s = entry.stat(follow_symlinks=False)
                found.append((s.st_mtime_ns, name, _shape(s)))
        now = self._now()
        before, self._seen = self._seen, {}
        for _, name, shape in found:
            known = before.get(name)
            self._seen[name] = known if known is not None and known[0] == shape else (shape, now)
        ready = []
        for _, name, _ in sorted(found):
            rest = now - self._seen[name][1]
            patience = self.settings.stable_for
            if rest < patience or (rest < patience * _UNFINISHED and not self._closed(name)):
                break
            ready.append(name)
        return ready

    def _closed(self, name: str) -> bool:
        """Say whether a file that begins as a batch has a trailer: without one it may be half written."""
        try:
            with self._open(self.settings.path / name) as file:
                head = file.read(4).lstrip(b"\x0b\xef\xbb\xbf")
                if not head.startswith((b"FHS", b"BHS", b"FH", b"BH")):
                    return True
                size = file.seek(0, 2)
                file.seek(max(0, size - _EDGE))
                tail = b"\n" + file.read()
                mark = b"FTS" if head.startswith(b"FH") else b"BTS"
                return b"\r" + mark in tail or b"\n" + mark in tail
        except OSError:
            return True  # taking it will say what is wrong

    def _rests(self, name: str) -> bool:
        """Say whether a file that was written to while it was taken has come to rest since."""
        if name not in self._unquiet:
            return True
        shape, now = _shape(os.lstat(self.settings.in_progress / name)), self._now()
        if shape != self._unquiet[name][0]:
            self._unquiet[name] = shape, now
        if now - self._unquiet[name][1] < self.settings.stable_for:
            return False
        del self._unquiet[name]
        return True

    def _claim(self, name: str) -> bool:
        """Rename a file into `.in-progress`."""
        here, there = self.settings.path / name, self.settings.in_progress / name
        shape = self._seen.pop(name)[0]
        if os.path.lexists(there):
            return False  # an earlier file of this name is not done with
        try:
            os.rename(here, there)
        except FileNotFoundError:
            return False  # its sender took it back
        sync_folder(self.settings.in_progress)
        sync_folder(self.settings.path)
        now = os.lstat(there)
        if not stat.S_ISREG(now.st_mode) or now.st_ino != shape[0]:
            self._strange(name)
            self._move(name, self.settings.error)
            return False
        return True

    def _work(self, name: str) -> None:
        """Journal a file of `.in-progress`, and move it."""
        try:
            with self._open(self.settings.in_progress / name) as file:
                before = _shape(os.fstat(file.fileno()))
                tag = tag_of(name, file)
                marker = self._markers.get(tag)
                if _shape(os.fstat(file.fileno())) == before and (marker is None or not marker.finished):
                    self._take(name, tag, file)
                    marker = self._markers.get(tag)
                after = _shape(os.fstat(file.fileno()))
                if after != before:
                    self._unquiet[name] = after, self._now()
                    log.warning(
                        "channel %s: file %s was written to while it was taken; again once it rests",
                        self.name,
                        tag[:8],
                    )
                    return
        except (Interrupted, StoreUnavailable):
            raise
        except Exception as e:
            # One file must not hold up all others: a person looks at it.
            why = (e.strerror or "") if isinstance(e, OSError) else type(e).__name__
            log.error("channel %s: a file cannot be taken and goes to error: %s", self.name, why)
            self._move(name, self.settings.error)
            self._shelf.count("hub_files_total", self.name, ("to", "error"))
            return
        sound = marker is None or marker.sound
        self._move(name, self.settings.done if sound else self.settings.error)
        self._shelf.count("hub_files_total", self.name, ("to", "done" if sound else "error"))
        self._markers.clear(tag)

    def _take(self, name: str, tag: str, file: BinaryIO) -> None:
        taken = self._shelf.take(
            file, name, tag, "folder", self._source, self._markers, self.settings.max_message_bytes
        )
        say = log.info if taken.sound and not taken.garbage else log.warning
        say(
            "channel %s: file %s: %d messages, %d of them here before, %d parts not readable",
            self.name,
            tag[:8],
            taken.readable,
            taken.duplicates + taken.again,
            taken.garbage,
        )

    def _open(self, path: Path) -> BinaryIO:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(0, "it is no plain file")
        return open(handle, "rb")

    def _move(self, name: str, to: Path) -> None:
        """Move a file out of `.in-progress` without writing over another."""
        here = self.settings.in_progress / name
        there, n = to / name, 1
        while os.path.lexists(there):
            n += 1
            there = to / f"{name}.{n}"
        os.rename(here, there)
        sync_folder(to)
        sync_folder(self.settings.in_progress)

    def _strange(self, name: str) -> None:
        """Say once that something in the folder is never taken."""
        if name not in self._links:
            self._links = {*self._links, name} if len(self._links) < 1000 else {name}
            self._shelf.count("hub_files_skipped_total", self.name, ("reason", "no-plain-file"))
            log.warning("channel %s: a link or device in its folder is not taken", self.name)


def _shape(s: os.stat_result) -> Shape:
    return s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
