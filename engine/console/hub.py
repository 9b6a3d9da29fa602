"""What the console's pages work with: the databases, and the project's files as they are now.

In: what the web process opened. Out: channels and compiled maps, read again when a file of the project has
changed; words sealed for links, so that a URL never holds what somebody searched for. May be used by several
threads.
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from engine.channels.definition import Channel, load_channels
from engine.channels.node.opening import Imaging
from engine.channels.rates import Rates
from engine.channels.todo.releasing import Releasing
from engine.channels.todo.tasks import Tasks
from engine.channels.worklist import Worklist
from engine.codes.store import CodeStore
from engine.codes.together import codes_of
from engine.console.answers import Refused
from engine.console.figures import Gauge
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.mapping.project import Maps
from engine.security.crypto import SealError
from engine.security.keys import Keyring
from engine.staff.staff import Staff
from engine.store.sql import SqlStore

__all__ = ["Hub"]

_LOOK = 1.0  # seconds between looks at the project's files
_FOLDERS = ("channels", "mappings", "terminology")


@dataclass(slots=True)
class Hub:
    """Everything a page may need."""

    config: Config
    keyring: Keyring
    journal: SqlJournal
    store: SqlStore
    staff: Staff
    gauge: Gauge
    first: Sequence[Channel]  # the channels as the hub started with them
    images: Imaging | None = None
    rates: Rates = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _looked: float = -1e9
    _stamp: tuple[int, int] = (0, 0)
    _channels: list[Channel] | None = None
    _maps: Maps | None = None
    _codes: CodeStore | None = None
    _releasing: Releasing | None = None
    _worklist: Worklist | None = None

    def __post_init__(self) -> None:
        self.rates = Rates(self.journal, self.staff.hours)

    def channels(self) -> Sequence[Channel]:
        """Return the channels as their files say now. Raises ConfigError where one cannot be read."""
        with self._lock:
            self._look_again()
            if self._channels is None:
                self._channels = load_channels(self.config.root)
            return self._channels

    def channel_names(self) -> list[str]:
        """Return the names of the channels there are, and of those that once received something."""
        known = {c.name for c in self.first} | {on for on, _ in self.journal.names.sources().values()}
        return sorted(known)

    def maps(self) -> Maps:
        """Return the maps as their files say now, compiled once. Raises MapError, ConfigError."""
        with self._lock:
            self._look_again()
            if self._maps is None:
                self._maps = Maps.open(self.config.root, self.config.identity_base)
                self._maps.codes = self.codes()
            return self._maps

    def codes(self) -> CodeStore:
        """Return the loaded code systems."""
        with self._lock:
            if self._codes is None:
                self._codes = CodeStore(self.config.data_dir / "codes.db")
            return self._codes

    def releasing(self) -> Releasing:
        """Return the to-do list, with what releases and closes what is on it."""
        with self._lock:
            if self._releasing is None:
                tasks = Tasks(self.journal, self.store)
                self._releasing = Releasing(self.config, self.journal, self.store, self.staff, tasks)
            return self._releasing

    def worklist(self) -> Worklist:
        """Return the codes that no table knows, and what people say of them."""
        with self._lock:
            if self._worklist is None:
                codes = codes_of(self.config) if self.config.terminology.server else self.codes()
                self._worklist = Worklist(self.config, self.journal, self.store, codes)
            return self._worklist

    def imaging(self) -> Imaging | None:
        """Return what is held of imaging; None where the project has no node."""
        return self.images

    def seal(self, words: dict[str, Any]) -> str:
        """Return a token for a link in which nobody can read the words."""
        sealed = self.keyring.seal(orjson.dumps(words), b"console link")
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, token: str) -> dict[str, Any]:
        """Return the words of a token of ours. Raises Refused."""
        try:
            sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            words = orjson.loads(self.keyring.unseal(sealed, b"console link"))
        except (SealError, binascii.Error, ValueError):
            raise Refused(400, "This link was not made by this hub, or is broken.", "Search again.") from None
        return words if isinstance(words, dict) else {}

    def _look_again(self) -> None:
        """Forget what was read when a file of the project has changed since."""
        if time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        stamp = _stamp_of(self.config.root)
        if stamp != self._stamp:
            self._stamp, self._channels, self._maps = stamp, None, None


def _stamp_of(root: Path) -> tuple[int, int]:
    """Return the newest change below the project's folders, and how many files there are (1 ms for 700)."""
    newest = count = 0
    stack = [str(root / name) for name in _FOLDERS if (root / name).is_dir()]
    while stack:
        folder = stack.pop()
        newest = max(newest, os.stat(folder).st_mtime_ns)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    stack.append(entry.path)
                else:
                    count += 1
                    newest = max(newest, entry.stat().st_mtime_ns)
    return newest, count
