"""The files process: every watched folder and SFTP folder of the hub, a thread each, until told to stop.

In: the channels, a way to open the journal, where to keep markers and metrics. Out: what the journal holds.
What cannot be used now (a folder that is not mounted, a server that is down, a journal that is full) is said
once when it begins and once when it is over, shows in `hub_files_trouble`, and is tried again at every look.
SIGTERM stops it between two appends; what is left of a file is taken at the next start.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.kernel.errors import HubError
from engine.listeners.ack_rules import Strict
from engine.listeners.file_settings import FolderChannel, SftpChannel
from engine.listeners.files import Interrupted, Journal, Shelf
from engine.listeners.folder import Folder
from engine.listeners.metrics import Metrics
from engine.listeners.sftp import Sftp
from engine.listeners.validating import standard

__all__ = ["PROCESS", "Looked", "PollSettings", "run"]

log = logging.getLogger(__name__)

PROCESS = "files"
"""Name of the process, and of its metrics file."""

_METRICS_SECONDS = 5.0


class Looked(Protocol):
    """A place that is looked into now and then."""

    name: str
    address: str
    poll_seconds: float

    def open(self) -> None:
        """Make it ready. Raises ConfigError."""
        ...

    def poll(self) -> None:
        """Look once. HubError, OSError: it cannot be used now."""
        ...

    def close(self) -> None:
        """Let it go."""
        ...


@dataclass(frozen=True, slots=True)
class PollSettings:
    """What holds for every channel of this process."""

    markers: Path  # folder in which each channel has one of its own
    metrics: Path | None = None
    journal_disk: Path | None = None
    disk_reserve_bytes: int = 512 << 20

    def room_on_disk(self) -> bool:
        """Say whether the journal's disk has its reserve."""
        if self.journal_disk is None or not self.disk_reserve_bytes:
            return True
        return shutil.disk_usage(self.journal_disk).free >= self.disk_reserve_bytes


def run(
    settings: PollSettings,
    channels: Sequence[FolderChannel | SftpChannel],
    open_journal: Callable[[], Journal],
    *,
    ready: Callable[[list[str]], None] = lambda addresses: None,
    conceal: Callable[[str], str] | None = None,
    turn: Callable[[str], bool] = lambda name: True,
) -> None:
    """Look into these places until SIGTERM or SIGINT. Raises ConfigError before anything is taken.

    `turn` says whether it is this process that looks into the place of a channel now.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    strict = _one_at_a_time(standard()) if any(c.rules.strict for c in channels) else None
    journal = open_journal()
    places: list[Looked] = []
    try:
        shelf = Shelf(journal, Metrics(), settings.room_on_disk, stop.is_set)
        for c in channels:
            markers = settings.markers / c.channel
            kind: Callable[..., Looked] = Folder if isinstance(c, FolderChannel) else Sftp
            place = kind(c, shelf, markers, strict, conceal)
            place.open()
            places.append(place)
        threads = [
            threading.Thread(target=_look, args=(place, shelf, stop, turn), name=place.name, daemon=True)
            for place in places
        ]
        for thread in threads:
            thread.start()
        _write(settings, shelf)
        ready([place.address for place in places])
        while not stop.wait(_METRICS_SECONDS):
            _write(settings, shelf)
        until = time.monotonic() + 15
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        _write(settings, shelf)
    finally:
        for place in places:
            place.close()
        close = getattr(journal, "close", None)
        if close is not None:
            close()


def _look(place: Looked, shelf: Shelf, stop: threading.Event, turn: Callable[[str], bool]) -> None:
    """Look into one place again and again."""
    trouble = ""
    while not stop.is_set():
        now = ""
        if not turn(place.name):
            stop.wait(min(1.0, place.poll_seconds))
            continue
        try:
            place.poll()
        except Interrupted:
            return
        except HubError as e:
            now = str(e)
        except OSError as e:
            now = e.strerror or str(e) if e.errno else str(e)
        except Exception as e:
            log.error("channel %s: %s", place.name, type(e).__name__)
            now = type(e).__name__
        shelf.gauge("hub_files_trouble", place.name, 1 if now else 0)
        if now and now != trouble:
            log.error("channel %s: nothing can be taken now: %s", place.name, now)
        elif trouble and not now:
            log.warning("channel %s: files are taken again", place.name)
        if not now:
            shelf.gauge("hub_files_last_look_seconds", place.name, time.time())
        trouble = now
        stop.wait(place.poll_seconds)


def _one_at_a_time(strict: Strict) -> Strict:
    """Let one thread at a time validate: the validator was not made for several."""
    lock = threading.Lock()

    def locked(message: bytes) -> object:
        with lock:
            return strict(message)

    return locked  # type: ignore[return-value]


def _write(settings: PollSettings, shelf: Shelf) -> None:
    if settings.metrics is None:
        return
    try:
        with shelf.lock:
            shelf.metrics.write(settings.metrics / f"{PROCESS}.prom")
    except OSError as e:
        log.error("the metrics file cannot be written: %s", e.strerror)
