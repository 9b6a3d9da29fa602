"""A disk that forgets: replays what a process told the kernel to write, as strace recorded it, up to a power
cut.

A write is pending until an fsync or fdatasync of that file has returned; a cut keeps of what is pending
nothing, all, or any part, in any order, down to torn sectors. A file exists only once its folder was synced
after it was made. An fsync that failed leaves the bytes pending for ever: the kernel has marked them clean
(that is what Linux does), but for those that another thread's fsync has under way at that moment: whether
they are on disk is what that one says (Linux tells an error of writing to every open file, errseq_t).
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TRACED = "pwrite64,write,fdatasync,fsync,ftruncate,unlink,openat"
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
_RESULT = re.compile(r"= (-?\d+)(?: \w.*)?$")


def strace_works() -> str:
    """Return why strace cannot be used here, or nothing."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"strace: {tried.stderr.strip()}"


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _path(argument: str) -> str:
    """Return the path in `4<\\x2f...>`."""
    return _unhex(argument.partition("<")[2].partition(">")[0]).decode()


@dataclass(slots=True)
class Event:
    """One call that matters: what, on which file, with what."""

    call: str  # write | sync | cut | make | unlink | folder | say
    path: str
    offset: int = 0
    data: bytes = b""
    ok: bool = True
    beside: bool = False  # another thread has the same file's fsync under way


def events(trace: Path, folder: Path) -> Iterator[Event]:
    """Read a trace: the calls on files in `folder`, and what was written to standard output."""
    unfinished: dict[str, tuple[str, str]] = {}
    for line in trace.read_text().splitlines():
        if not (match := _LINE.match(line)):
            continue
        thread, resumed, call, rest = match.groups()
        if resumed:
            call, before = unfinished.pop(thread)
            if call in ("pwrite64", "write"):
                continue  # counted when it began: from then on any part of it may be on disk
            rest = before + rest
        elif rest.endswith("<unfinished ...>"):
            unfinished[thread] = call, rest.removesuffix("<unfinished ...>")
            if call not in ("pwrite64", "write"):
                continue
        for event in _event(call, rest, str(folder)):
            syncing = (r for c, r in unfinished.values() if c in ("fsync", "fdatasync"))
            event.beside = event.call == "sync" and any(_path(r) == event.path for r in syncing)
            yield event


def _event(call: str, rest: str, folder: str) -> Iterator[Event]:
    result = _RESULT.search(rest)
    ok = result is None or int(result[1]) >= 0
    if call == "openat":
        path = _unhex(rest.split('"')[1]).decode()
        if ok and "O_CREAT" in rest and path.startswith(folder + "/"):
            yield Event("make", path)
        return
    if call == "unlink":
        path = _unhex(rest.split('"')[1]).decode()
        if ok and path.startswith(folder + "/"):
            yield Event("unlink", path)
        return
    path = _path(rest)
    if call == "write" and rest.startswith("1<"):
        yield Event("say", "", data=_unhex(rest.split('"')[1]))
    elif path == folder and call in ("fsync", "fdatasync"):
        yield Event("folder", folder, ok=ok)
    elif path.startswith(folder + "/"):
        if call in ("pwrite64", "write"):
            _, quoted, after = rest.split('"')
            data = _unhex(quoted)
            offset = int(re.findall(r"\d+", after)[1]) if call == "pwrite64" else -1
            yield Event("write", path, offset, data)
        elif call == "ftruncate":
            yield Event("cut", path, int(re.findall(r", (\d+)", rest)[0]))
        elif call in ("fsync", "fdatasync"):
            yield Event("sync", path, ok=ok)


@dataclass(slots=True)
class Disk:
    """What is on the platter, and what is not yet."""

    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[Event]] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)  # files whose folder entry is not on disk yet
    lost: dict[str, list[Event]] = field(default_factory=dict)  # writes whose fsync failed

    def apply(self, event: Event) -> None:
        """Take one event."""
        path = event.path
        if event.call == "make":
            if path not in self.durable:
                self.durable[path] = bytearray()
                self.made.add(path)
        elif event.call in ("write", "cut"):
            self.pending.setdefault(path, []).append(event)
        elif event.call == "sync":
            if not event.ok and event.beside:
                return
            waiting = self.pending.pop(path, [])
            if event.ok:
                for write in waiting:
                    _put(self.durable[path], write)
            else:
                self.lost.setdefault(path, []).extend(waiting)
        elif event.call == "folder":
            self.made.clear()
        elif event.call == "unlink":
            self.durable.pop(path, None)
            self.pending.pop(path, None)
            self.made.discard(path)

    def unsynced(self, suffix: str) -> int:
        """Return how many writes to files with this ending are not on disk."""
        return sum(len(w) for path, w in self.pending.items() if path.endswith(suffix))

    def cut(self, to: Path, rng: random.Random, keep: float) -> None:
        """Lose power: write what a disk may hold into the folder `to`; `keep` is the part of pending kept."""
        to.mkdir()
        for path, content in self.durable.items():
            if path in self.made or path.endswith("-shm"):
                continue  # the folder does not know the file; shared memory is not a disk
            image = bytearray(content)
            for write in self.pending.get(path, []):
                if rng.random() < keep:
                    _put(image, _torn(write, rng) if rng.random() < 0.2 and keep < 1 else write)
            (to / Path(path).name).write_bytes(image)


def _torn(write: Event, rng: random.Random) -> Event:
    kept = rng.randrange(0, len(write.data) // 512 + 1) * 512
    return Event(write.call, write.path, write.offset, write.data[:kept])


def _put(image: bytearray, write: Event) -> None:
    if write.call == "cut":
        del image[write.offset :]
        image.extend(bytes(write.offset - len(image)))
        return
    if not write.data:
        return
    end = write.offset + len(write.data)
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    image[write.offset : end] = write.data
