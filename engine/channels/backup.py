"""Backups of the embedded databases while the hub runs: consistent copies, in the order that fits, verified.

In: the settings, a folder. Out: a folder of copies with a list of them, and a note in the staff database. The
core store is copied before the journal: a journal that is newer is fine, an older one would be refused. A
copy is proven whole by SQLite, and the pair by its watermark. PostgreSQL is backed up by its own tools; then
whoever does that tells of it here.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.engine import make_url

from engine.kernel.clock import iso, now_ms
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.staff.staff import Staff

__all__ = ["LIST", "Copies", "back_up", "elsewhere", "verify"]

LIST = "backup.json"
_ORDER = ("core", "imaging", "staff", "codes", "journal")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Copies:
    """A backup that was made and verified."""

    folder: Path
    files: dict[str, int]  # name -> bytes
    entry: int  # newest journal entry in it

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(self.files.values())


def elsewhere(config: Config) -> list[str]:
    """Return the databases on servers, which their own tools back up: name and command."""
    found = []
    for name in ("core", "imaging", "staff", "journal"):
        url = make_url(getattr(config, f"{name}_url"))
        if url.get_backend_name() != "sqlite":
            address = f"-h {url.host or 'localhost'} -d {url.database}"
            found.append(f"pg_dump -Fc {address} -f {name}.dump")
    return found


def back_up(
    config: Config,
    to: Path,
    who: str,
    staff: Staff,
    progress: Callable[[str], None] = lambda text: None,
    now: int | None = None,
) -> Copies:
    """Copy every embedded database into a new folder below `to`, verify, and note it. Raises HubError."""
    sources = _sources(config)
    if "journal" not in sources and "core" not in sources:
        raise HubError(
            "the databases are on a server",
            why="a copy of files would not hold them",
            remedy="back them up with " + "; ".join(elsewhere(config)) + "; then hub backup --told PLACE",
        )
    at = now_ms() if now is None else now
    folder = to / datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H%M%SZ")
    try:
        to.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        for name, path in sources.items():
            progress(f"copying {name}.db, {path.stat().st_size >> 20:,} MB")
            _copy(path, folder / f"{name}.db")
        listed: dict[str, Any] = {}
        for name in sources:
            progress(f"reading {name}.db back")
            listed[f"{name}.db"] = _described(folder / f"{name}.db")
        entry = _newest(folder)
        text = {"made": iso(at), "by": who, "hub": config.hub, "entry": entry, "files": listed}
        _write(folder / LIST, orjson.dumps(text, option=orjson.OPT_INDENT_2))
        progress("verifying")
        made = verify(folder)
    except (OSError, sqlite3.Error) as e:
        raise HubError(
            "the backup could not be made",
            where=str(folder),
            why=getattr(e, "strerror", None) or str(e),
            remedy="see that the folder is writable and has room",
        ) from None
    staff.backups.told(who, str(folder), made.bytes, made.entry, True)
    return made


def verify(folder: Path) -> Copies:
    """Prove that a backup is whole: its files, each database, and the pair. Raises HubError."""
    try:
        listed = orjson.loads((folder / LIST).read_bytes())
        files: dict[str, Any] = listed["files"]
    except (OSError, ValueError, KeyError):
        raise HubError("is not a backup of this hub", where=str(folder / LIST)) from None
    for name, said in files.items():
        path = folder / name
        try:
            found = _described(path)
        except OSError as e:
            raise HubError("cannot be read", where=str(path), why=e.strerror or "") from None
        if found != said:
            raise HubError("is not the file that was made", where=str(path), remedy="take another backup")
        try:
            with closing(_opened(path)) as db:
                result = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.Error as e:
            result = str(e)
        if result != "ok":
            raise HubError("is damaged", where=str(path), why=result, remedy="take another backup")
    worked, newest = _worked(folder), _newest(folder)
    if "journal.db" in files and worked > newest:
        raise HubError(
            "the journal is older than the core store",
            where=str(folder),
            why=f"it ends at entry {newest}, and entry {worked} was worked on",
            remedy="take another backup",
        )
    return Copies(folder, {name: int(said["bytes"]) for name, said in files.items()}, newest)


def _sources(config: Config) -> dict[str, Path]:
    """Return the files of the embedded databases, in the order in which they are copied."""
    found = {}
    for name in _ORDER:
        url = make_url(getattr(config, f"{name}_url", "") or f"sqlite:///{config.data_dir / name}.db")
        if url.get_backend_name() == "sqlite" and url.database and Path(url.database).exists():
            found[name] = Path(url.database)
    return found


def _copy(source: Path, to: Path) -> None:
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    live = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    with closing(live), closing(sqlite3.connect(to)) as copy:
        live.backup(copy)  # in one read transaction: nobody's writing disturbs it
        copy.execute("PRAGMA journal_mode=DELETE")
    handle = os.open(to, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())


def _described(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as f:
        while piece := f.read(_PIECE):
            digest.update(piece)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)


def _newest(folder: Path) -> int:
    return _asked(folder / "journal.db", "SELECT max(id) FROM entry")


def _worked(folder: Path) -> int:
    return _asked(folder / "core.db", "SELECT max(watermark) FROM lane")


def _asked(path: Path, sql: str) -> int:
    if not path.exists():
        return 0
    with closing(_opened(path)) as db:
        return int(db.execute(sql).fetchone()[0] or 0)
