"""Files that people change while the hub runs: how every process hears of it.

Whoever changes a code table, or brings a change of maps and channels live, writes the new digest into one
small file of the data folder, after the files themselves are on disk. Every worker looks at those files (two
stats) between taking entries from the journal and mapping them; so entries put into the journal after the
announcement are mapped with what is new, by every worker. What cannot be read or compiled leaves the old in
force: the log says so, and so does a note that the worker leaves for the page of the change.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from engine.channels.definition import Channel, agree, load_channels
from engine.channels.delivering.places import destinations_of
from engine.channels.pipeline import Pipeline
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.disk import sync_folder
from engine.kernel.errors import ConfigError, HubError, MapError, place_of
from engine.mapping.project import Maps
from engine.terminology.translate import Terminology

__all__ = [
    "FOLDERS",
    "Renewal",
    "alone",
    "announce",
    "announce_project",
    "announced_project",
    "in_force",
    "project_digest",
    "tell",
    "write_whole",
]

log = logging.getLogger(__name__)

FOLDERS = ("channels", "mappings", "terminology")
"""What of a project can change while the hub runs."""


def _file(config: Config) -> Path:
    return config.data_dir / "terminology.digest"


def _project_file(config: Config) -> Path:
    return config.data_dir / "project.digest"


def announce(config: Config, digest: str) -> None:
    """Tell every worker that the tables have changed. Raises ConfigError."""
    write_whole(_file(config), digest.encode() + b"\n")


def announce_project(config: Config) -> str:
    """Tell every process that maps, channels or tables have changed; returns their digest. Raises
    ConfigError."""
    digest = project_digest(config.root)
    write_whole(_project_file(config), digest.encode() + b"\n")
    return digest


def announced_project(config: Config) -> str:
    """Return the digest that was announced last; empty where nothing ever was."""
    try:
        return _project_file(config).read_text().strip()
    except OSError:
        return ""


def project_digest(root: Path) -> str:
    """Return the digest of all files of a project that can change while the hub runs."""
    h = hashlib.sha256()
    for top in FOLDERS:
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                data = path.read_bytes()
                h.update(f"{path.relative_to(root).as_posix()}|{len(data)}\n".encode())
                h.update(data)
    return h.hexdigest()


@contextmanager
def alone(config: Config, shared: bool = False) -> Iterator[None]:
    """Keep others out who write the project's files, or (`shared`) only those who write while we read."""
    path = config.data_dir / "terminology.lock"
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


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
        sync_folder(path.parent)
    except OSError as e:
        raise ConfigError("cannot be written", where=str(path), why=e.strerror or "") from None


def tell(config: Config, process: str, digest: str, trouble: str = "") -> None:
    """Leave a note of what a process has in force, for the page of a change."""
    folder = config.data_dir / "inforce"
    with suppress(OSError, ConfigError):
        folder.mkdir(mode=0o700, exist_ok=True)
        said = {"process": process, "digest": digest, "at": now_ms(), "trouble": trouble, "pid": os.getpid()}
        write_whole(folder / f"{process}.json", orjson.dumps(said))


def in_force(config: Config) -> list[dict[str, object]]:
    """Return the notes of all processes that run."""
    notes = []
    for path in sorted((config.data_dir / "inforce").glob("*.json")):
        with suppress(OSError, orjson.JSONDecodeError):
            said = orjson.loads(path.read_bytes())
            if Path(f"/proc/{said['pid']}").exists() or not Path("/proc").is_dir():
                notes.append(said)
    return notes


class Renewal:
    """What one worker does about changed files. `digest` is that of the project it began with; `took` is told
    the channels that are in force from then on."""

    def __init__(
        self,
        config: Config,
        pipeline: Pipeline,
        digest: str = "",
        process: str = "",
        listen: str | None = None,
        took: Callable[[list[Channel]], None] = lambda channels: None,
    ) -> None:
        self._config = config
        self._path, self._project = str(_file(config)), str(_project_file(config))
        self._folder = config.root / "terminology"
        self._pipeline = pipeline
        self._digest, self._process, self._listen, self._took = digest, process, listen, took
        self._mark: tuple[int, int] | None = None
        self._project_mark = _mark_of(self._project) if digest in ("", announced_project(config)) else None
        if process:
            tell(config, process, digest)

    def look(self) -> None:
        """Take over what is new, if anything is."""
        mark = _mark_of(self._project)
        if mark is not None and mark != self._project_mark:
            self._project_mark = mark
            self._renew_project()
        mark = _mark_of(self._path)
        if mark is None or mark == self._mark:
            return
        self._mark = mark
        try:
            if Path(self._path).read_text().strip() == self._pipeline.maps.terminology.digest:
                return
            try:
                self._pipeline.renew(Terminology.open(self._folder))
            except MapError:  # other tables than before: the maps are compiled again
                self._renew_project()
                return
            log.info("code tables renewed: %s", self._pipeline.maps.terminology.digest[:12])
        except (HubError, OSError) as e:
            log.error("code tables were changed and cannot be used; the old ones stay in force: %s", e)

    def _renew_project(self) -> None:
        try:
            with alone(self._config, shared=True):
                digest = project_digest(self._config.root)
                if digest == self._digest:
                    return
                maps, channels = opened(self._config, self._listen)
                warm(maps, self._pipeline.maps)
            self._pipeline.take(maps, channels)
            self._took(channels)
        except (HubError, OSError) as e:
            self._refused(str(e))
            return
        except Exception as e:  # a fault of ours: messages go on through what is in force
            self._refused(place_of(e))
            return
        self._digest = digest
        log.info("maps and channels renewed: %s", digest[:12])
        if gc.get_freeze_count():  # what is old was set aside from the collector, and can go now
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        if self._process:
            tell(self._config, self._process, digest)

    def _refused(self, why: str) -> None:
        log.error("maps or channels were changed and cannot be used; the old ones stay in force: %s", why)
        if self._process:
            tell(self._config, self._process, self._digest, why)


def opened(config: Config, listen: str | None = None) -> tuple[Maps, list[Channel]]:
    """Open maps and channels as they are on disk now. Raises HubError where they cannot be used together."""
    maps = Maps.open(config.root, config.identity_base)
    channels = load_channels(config.root, listen)
    agree(channels, maps)
    destinations_of(config, channels)
    return maps, channels


def warm(new: Maps, old: Maps) -> None:
    """Compile what was in use, so that what cannot be compiled is found before it is in force. Raises
    MapError."""
    for maps in old.opened:
        for program in maps.opened_programs():
            if program.trace:
                continue
            fresh = new.of(maps.language.format)
            if program.name != "standard" and program.name not in fresh.sites:
                continue
            view = fresh.program(program.name)
            for name in program.planned:
                if name in fresh.messages:
                    view.plan(name)


def _mark_of(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
