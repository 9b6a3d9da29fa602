"""The project's tables as they are on disk now: read again when a file of the folder has changed."""

from __future__ import annotations

import threading
from pathlib import Path

from engine.terminology.translate import Terminology

__all__ = ["TerminologyFolder"]

_Mark = tuple[tuple[str, int, int, int], ...]


class TerminologyFolder:
    """`terminology/` of one project. Safe across threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._read: tuple[_Mark, Terminology] | None = None

    def now(self) -> Terminology:
        """Return the tables and code systems. Raises ConfigError where a file cannot be right."""
        mark = tuple(
            (f"{path.parent.name}/{path.name}", (st := path.stat()).st_mtime_ns, st.st_ino, st.st_size)
            for kind in ("maps", "systems", "units")
            for path in sorted((self.path / kind).glob("*.csv"))
        )
        with self._lock:
            if self._read is None or self._read[0] != mark:
                self._read = mark, Terminology.open(self.path)
            return self._read[1]
