"""Code tables that people change while the hub runs: how a worker hears of it.

Whoever changes a table writes the new digest of the terminology folder into one small file of the data
folder, after the table is on disk. Every worker looks at that file (one stat) between taking entries from the
journal and mapping them; so entries put into the journal after the file was written are mapped with the new
tables, by every worker. A table that cannot be read leaves the old ones in force, and the log says so.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from engine.channels.pipeline import Pipeline
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.terminology.translate import Terminology

__all__ = ["Renewal", "announce", "write_whole"]

log = logging.getLogger(__name__)


def _file(config: Config) -> Path:
    return config.data_dir / "terminology.digest"


def announce(config: Config, digest: str) -> None:
    """Tell every worker that the tables have changed. Raises ConfigError."""
    write_whole(_file(config), digest.encode() + b"\n")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that whoever reads it sees all of the old or all of the new. Raises ConfigError."""
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as e:
        raise ConfigError("cannot be written", where=str(path), why=e.strerror or "") from None


class Renewal:
    """What one worker does about changed tables."""

    def __init__(self, config: Config, pipeline: Pipeline) -> None:
        self._path = str(_file(config))
        self._folder = config.root / "terminology"
        self._pipeline = pipeline
        self._mark: tuple[int, int] | None = None

    def look(self) -> None:
        """Take over new tables, if there are any."""
        try:
            found = os.stat(self._path)
        except OSError:
            return
        mark = found.st_ino, found.st_mtime_ns
        if mark == self._mark:
            return
        self._mark = mark
        try:
            if Path(self._path).read_text().strip() == self._pipeline.maps.terminology.digest:
                return
            self._pipeline.renew(Terminology.open(self._folder))
            log.info("code tables renewed: %s", self._pipeline.maps.terminology.digest[:12])
        except (HubError, OSError) as e:
            log.error("code tables were changed and cannot be used; the old ones stay in force: %s", e)
