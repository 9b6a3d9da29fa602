"""Starts the watch beside the web side: rates, figures and alarms of one hub, looked at whether anybody looks
at a page or not.

In: what the web process opened. Out: the gauge that pages ask, with the alarms as the watch knows them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.channels.alarms.watch import Watch
from engine.channels.definition import Channel, load_channels
from engine.channels.rates import Rates
from engine.console.figures import Gauge
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring
from engine.staff.staff import Staff
from engine.store.sql import SqlStore

__all__ = ["Watching", "watching"]

log = logging.getLogger("hub.console")


@dataclass(slots=True)
class Watching:
    """What looks at a hub."""

    gauge: Gauge
    rates: Rates
    watch: Watch

    def close(self) -> None:
        """Stop looking, and write down what was counted."""
        self.watch.stop()
        try:
            self.rates.write()
        except HubError as e:
            log.warning("what came lately is counted again at the next start: %s", e.what)
        self.gauge.close()


class ChannelFiles:
    """The channels as their files say now, read again only when one of them has changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stamp: tuple[int, int] | None = None
        self._read: Sequence[Channel] = ()

    def read(self) -> Sequence[Channel]:
        """Return the channels. Raises ConfigError where one cannot be read."""
        times = [path.stat().st_mtime_ns for path in (self._root / "channels").glob("*.yaml")]
        stamp = (len(times), max(times, default=0))
        if stamp != self._stamp:
            self._read = load_channels(self._root)
            self._stamp = stamp
        return self._read


def watching(
    config: Config,
    keyring: Keyring,
    journal: SqlJournal,
    store: SqlStore,
    staff: Staff,
    channels: Sequence[Channel],
) -> Watching:
    """Make what looks at a hub; `watch.start()` lets it look. Raises ConfigError."""
    rates = Rates(journal, staff.hours, config.alerts.zone)
    gauge = Gauge(channels, journal, config.core_url)
    files = ChannelFiles(config.root)
    watch = Watch(config, keyring, store, staff, gauge, rates, files.read, journal=journal)
    gauge.alarms = watch.on
    return Watching(gauge, rates, watch)
