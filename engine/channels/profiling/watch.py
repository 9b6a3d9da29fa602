"""The thread that learns of senders while the hub runs: it reads what is new, and traces a sample for
coverage.

In: the journal, `staff.db`, maps and channels. Out: counts and coverage, kept. It works for a share of the
time only (`senders: share:` in config.yaml), message by message, so that pages never wait for it; a
database that does not answer is asked again later. `senders: watch: false` keeps it from running at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from engine.channels.definition import Channel
from engine.channels.profiling.covering import cover, sample_of
from engine.channels.profiling.reading import Reading
from engine.channels.profiling.seen import TypeSeen
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.config import SendersSettings
from engine.kernel.errors import HubError
from engine.mapping.project import Maps
from engine.staff.senders import SenderLine, Senders

__all__ = ["Watch", "cover_sender"]

log = logging.getLogger(__name__)

_LOOK = 5.0  # seconds between looks for something new
_PATIENCE = 30.0  # seconds that a few new messages wait to be counted together
_FEW = 500
_AGAIN = 600_000  # ms between two coverages of one sender with the same maps
_SLICE = 0.02  # seconds of work before others get their turn


class Watch:
    """The watch of one process. `maps` and `channels` are asked for whenever they are used."""

    def __init__(
        self,
        journal: SqlJournal,
        senders: Senders,
        maps: Callable[[], Maps],
        channels: Callable[[], Sequence[Channel]],
        settings: SendersSettings,
    ) -> None:
        self._journal, self._senders = journal, senders
        self._maps, self._channels, self._settings = maps, channels, settings
        self._stopping = threading.Event()
        self._turn: Callable[[], bool] = lambda: True
        self._began = time.monotonic()
        self._reading = Reading(journal, senders, self._pause)
        self._thread: threading.Thread | None = None

    def start(self, turn: Callable[[], bool] = lambda: True) -> None:
        """Begin, where the settings allow it; `turn` says whether it is this process that counts."""
        self._turn = turn
        if self._settings.watch and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="senders", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End soon: what was not kept is counted again next time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        waited = _PATIENCE
        while not self._stopping.wait(_LOOK):
            waited += _LOOK
            if not self._turn():
                continue
            try:
                new = self._journal.count_after(self._senders.reached())
                if new and (new >= _FEW or waited >= _PATIENCE):
                    waited = 0.0
                    self._began = time.monotonic()
                    while self._reading.step() and not self._stopping.is_set():
                        self._pause()
                    self._cover()
            except _Stopped:
                return
            except HubError as e:
                log.warning("senders cannot be counted now: %s", e.what)

    def _pause(self) -> None:
        """Rest for as long as the share of the time asks for."""
        worked = time.monotonic() - self._began
        if worked >= _SLICE:
            rest = worked * (100 - self._settings.share) / self._settings.share
            if self._stopping.wait(min(rest, 60.0)):
                raise _Stopped
            self._began = time.monotonic()

    def _cover(self) -> None:
        """Trace a sample of every sender whose coverage is old, or older than the maps."""
        maps, channels = self._maps(), {c.name: c for c in self._channels()}
        known = self._senders.coverages()
        now = now_ms()
        for line in self._senders.lines(limit=500):
            made, revision, _ = known.get(line.id, (0, "", 0))
            channel = channels.get(line.channel)
            if channel is None or not line.looked:
                continue
            if (line.last > made and now - made > _AGAIN) or (
                revision and revision != _today(maps, revision)
            ):
                cover_sender(self._journal, self._senders, maps, channel, line, self._pause)


def cover_sender(
    journal: SqlJournal,
    senders: Senders,
    maps: Maps,
    channel: Channel,
    line: SenderLine,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Trace a sample of one sender now, and keep what came of it."""
    types = {name: TypeSeen.of_json(t) for name, t in senders.types(line.id).items()}
    entries = sample_of(types)
    if entries:
        made, revision = cover(journal, maps, channel, entries, pause)
        senders.cover(line.id, f"{made.site}@{revision}" if revision else "", entries[-1], made.as_json())


def _today(maps: Maps, revision: str) -> str:
    """Return what `site@revision` is with the maps of today; "" where the site is gone."""
    site = revision.partition("@")[0]
    return f"{site}@{maps.program(site, trace=True).revision}" if site in (*maps.sites, "standard") else ""


class _Stopped(Exception):
    """The watch was told to stop."""
