"""Whether this hub does its work: one answer for load balancers and for people.

In: the journal, the core store, the disk, the metrics files that every process renews. Out: reasons, none
when all is well. No patient data.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import Any

from engine.channels.processes import STALE, processes
from engine.console.figures import Gauge
from engine.kernel.config import Config
from engine.kernel.errors import HubError

__all__ = ["Health", "health"]

_TROUBLE = re.compile(r'^hub_files_trouble\{channel="([^"]*)"\} 1$', re.M)


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong, and the facts it was judged by."""

    reasons: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Say whether all is well."""
        return not self.reasons


def health(config: Config, gauge: Gauge) -> Health:
    """Look at everything once."""
    reasons: list[str] = []
    facts: dict[str, Any] = {}
    try:
        figures = gauge.now()
        facts |= {
            "journal": figures.head,
            "feed": figures.position,
            "waiting": figures.waiting,
            "oldest_seconds": round(figures.oldest_seconds, 1),
            "parked": sum(figures.parked.values()),
            "work": figures.work_messages,
        }
    except HubError as e:
        reasons.append(f"{e.where or 'a database'}: {e.what}" if e.where else e.what)
    try:
        free = shutil.disk_usage(config.data_dir).free
        facts["disk_free_mb"] = free >> 20
        if free < config.disk_reserve_mb << 20:
            reasons.append(
                f"{free >> 20} MB of disk are free, fewer than disk_reserve_mb: {config.disk_reserve_mb}: "
                "no message is answered"
            )
    except OSError as e:
        reasons.append(f"the data folder cannot be read: {e.strerror}")
    for name, seconds in processes(config).items():
        facts.setdefault("processes", {})[name] = None if seconds is None else round(seconds, 1)
        if seconds is None:
            reasons.append(f"{name} has not reported yet")
        elif seconds > STALE:
            reasons.append(f"{name} has not reported for {seconds:.0f} s: is it running? the log says why")
    for channel in _in_trouble(config):
        reasons.append(f"channel {channel}: its folder or server cannot be used: the log says why")
    return Health(tuple(reasons), facts)


def _in_trouble(config: Config) -> list[str]:
    """Return the channels whose folder, server or journal the files process cannot use now."""
    try:
        text = (config.metrics_dir / "files.prom").read_text("utf-8")
    except OSError:
        return []
    return _TROUBLE.findall(text)
