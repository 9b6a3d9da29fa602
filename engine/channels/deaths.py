"""Which entry a worker process had in hands when it died: what kills its worker is parked, not tried again.

In: the entries a worker begins and ends. Out: whether an entry has killed it too often. What stands in the
slot is a few bytes of a memory-mapped file: written without a system call or fsync, it outlives the process
(a segmentation fault, no memory left, kill -9). After a power cut it may be lost, and then nothing was wrong
with the entry.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Protocol

from engine.kernel.message import Flag

__all__ = ["DEATHS", "FileSlot", "NoSlot", "Slot", "killed"]

DEATHS = 5
"""Times in a row that a process may die at one entry before the entry is parked. Not fewer: a machine that is
restarted, or short of memory, kills what happens to be in hands, and just after a start that is the same
entry."""

_SLOT = struct.Struct("<4q")  # entry in work, last entry of its batch, entry that killed, how often in a row


class Slot(Protocol):
    """Where a worker notes what it has in hands."""

    alone_until: int
    """Entries up to this one are worked alone: one of them was in hands when a process died."""

    def begin(self, entry: int, last: int) -> None:
        """Note the entry that is worked now (0 = the whole batch), and the last of its batch."""

    def end(self) -> None:
        """Note that nothing is in hands."""

    def deadly(self, entry: int) -> bool:
        """Say whether an entry has killed too often."""


class NoSlot:
    """For workers inside another process: nothing is noted."""

    alone_until = 0

    def begin(self, entry: int, last: int) -> None: ...

    def end(self) -> None: ...

    def deadly(self, entry: int) -> bool:
        return False


class FileSlot:
    """The slot of one worker process in a file."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _SLOT.size:
                os.ftruncate(descriptor, _SLOT.size)
            self._map = mmap.mmap(descriptor, _SLOT.size)
        finally:
            os.close(descriptor)
        entry, last, self._killer, self._deaths = _SLOT.unpack(self._map)
        if entry:
            self._deaths = self._deaths + 1 if entry == self._killer else 1
            self._killer = entry
        self.alone_until = last
        self.end()

    def begin(self, entry: int, last: int) -> None:
        _SLOT.pack_into(self._map, 0, entry, last, self._killer, self._deaths)

    def end(self) -> None:
        _SLOT.pack_into(self._map, 0, 0, 0, self._killer, self._deaths)

    def deadly(self, entry: int) -> bool:
        return bool(entry == self._killer and self._deaths >= DEATHS)


def killed() -> Flag:
    """Say why an entry that killed its worker is parked."""
    text = f"the worker process died {DEATHS} times at this message: it is left out, and the others go on"
    return Flag("killed-the-worker", "", text, True)
