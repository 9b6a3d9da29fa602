"""A watched folder under test: a real journal, a clock that the test moves, appends that can be cut off."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.journal.sql import SqlJournal
from engine.kernel.message import Accepted, Entry, NewEntry
from engine.listeners.ack_rules import AckSettings
from engine.listeners.file_settings import FolderChannel, FolderSettings
from engine.listeners.files import Shelf
from engine.listeners.folder import Folder
from engine.listeners.metrics import Metrics
from engine.security.keys import Keyring


class PowerCut(BaseException):
    """The process ends here: nothing after it runs."""


class CutJournal:
    """A real journal that lets a number of appends through, then cuts the power before or after one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        database = folder / "journal.db"
        keyring = Keyring.open(folder / "keys", existing_data=database.exists())
        self.real = SqlJournal.open(f"sqlite:///{database}", keyring)
        self.before: int | None = None  # appends until the power goes before one
        self.after: int | None = None  # appends until it goes right after one
        self.fail: Exception | None = None
        self.sizes: list[int] = []

    def append(self, entries: Sequence[NewEntry], /) -> list[Accepted]:
        if self.fail is not None:
            raise self.fail
        if self.before == len(self.sizes):
            raise PowerCut
        accepted = self.real.append(entries)
        self.sizes.append(len(entries))
        if self.after == len(self.sizes):
            raise PowerCut
        return accepted

    def head(self) -> int:
        return self.real.head()

    def read(self, after: int, limit: int, /) -> list[Entry]:
        return self.real.read(after, limit)


class Hub:
    """One hub's files process, started again as often as a test likes."""

    def __init__(
        self, root: Path, rules: AckSettings | None = None, duplicates: Any = "skip", **words: Any
    ) -> None:
        self.root = root
        self.inbox = root / "in"
        self.inbox.mkdir()
        self.now = 1000.0
        self._given = (rules or AckSettings(), duplicates, words)
        self.folder: Folder | None = None
        self.start()

    def start(self) -> None:
        """Begin as a new process does."""
        if self.folder is not None:
            self.folder.close()
            self.journal.real.close()
        rules, duplicates, words = self._given
        self.journal = CutJournal(self.root / "var")
        self.metrics = Metrics()
        self.stop = False
        self.shelf = Shelf(self.journal, self.metrics, stopping=lambda: self.stop)
        settings = FolderSettings(path=Path("in"), **{"stable_for": 5, **words}).below(self.root)
        channel = FolderChannel(channel="lab", folder=settings, rules=rules, duplicates=duplicates)
        self.folder = Folder(channel, self.shelf, self.root / "var/files/lab", now=lambda: self.now)
        self.folder.open()

    def put(self, name: str, data: bytes, age: int = 0) -> Path:
        """Write a file, `age` seconds old."""
        path = self.inbox / name
        path.write_bytes(data)
        when = 1_700_000_000 - age
        os.utime(path, (when, when))
        return path

    def look(self, times: int = 1, after: float = 6) -> None:
        """Let time pass, then look."""
        for _ in range(times):
            assert self.folder is not None
            self.folder.poll()
            self.now += after

    def entries(self) -> list[Entry]:
        return self.journal.real.read(0, 10_000)

    def ids(self) -> list[str]:
        """Return the control ids of the messages."""
        return [e.control_id for e in self.entries() if e.kind == "message"]

    def there(self, where: str = "") -> list[str]:
        """Return the names in a folder of the inbox; hidden ones left out."""
        folder = self.inbox / where
        return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and not p.is_dir())

    def close(self) -> None:
        assert self.folder is not None
        self.folder.close()
        self.journal.real.close()
