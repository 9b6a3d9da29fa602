"""`/metrics`: the files of all processes and the backlog, as one Prometheus text (exposition format 0.0.4).

In: `<metrics>/*.prom`, each written by one process; the figures of this moment; what the web side counted
itself. Out: one text in which every sample carries the process it came from and every family is described
once. Files of processes that are gone are left out and shown as `hub_process_up 0`.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.channels.processes import STALE, age
from engine.console.figures import Figures
from engine.listeners.metrics import Metrics

__all__ = ["MEDIA", "backlog", "merged"]

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)(?: -?\d+)?").fullmatch


def merged(texts: dict[str, str], node: str = "") -> str:
    """Merge the texts of processes; a line that is no sample is left out. `node`: one more label, if any."""
    where = f',node="{node}"' if node else ""
    families: dict[str, list[str]] = {}
    described: dict[str, dict[str, str]] = {}
    for process, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                word, _, rest = line[2:].partition(" ")
                if word in ("HELP", "TYPE") and rest:
                    family = rest.split(" ", 1)[0]
                    described.setdefault(family, {}).setdefault(word, line)
                    families.setdefault(family, [])
                continue
            found = _SAMPLE(line)
            if found is None:
                continue
            name, labels, value = found.groups()
            inside = (labels or "{}")[1:-1].rstrip(",")
            own = f'process="{process}"{where}' + (f",{inside}" if inside else "")
            at = family if family and name.startswith(family) else name
            families.setdefault(at, []).append(f"{name}{{{own}}} {value}")
    lines: list[str] = []
    for family, samples in families.items():
        if samples:
            lines += [
                *(described.get(family, {})[w] for w in ("HELP", "TYPE") if w in described.get(family, {}))
            ]
            lines += samples
    return "\n".join(lines) + "\n"


def read_files(folder: Path) -> tuple[dict[str, str], dict[str, bool]]:
    """Return the text of every process that is alive, and which of those that ever wrote are."""
    texts: dict[str, str] = {}
    alive: dict[str, bool] = {}
    for path in sorted(folder.glob("*.prom")):
        seconds = age(path)
        alive[path.stem] = seconds is not None and seconds <= STALE
        if alive[path.stem]:
            try:
                texts[path.stem] = path.read_text("utf-8")
            except OSError:
                alive[path.stem] = False
    return texts, alive


def backlog(figures: Figures | None, alive: dict[str, bool], disk_free: int | None) -> Metrics:
    """Return the gauges of this moment; without figures (a database is down) only `hub_up` 0 and the
    processes.
    """
    metrics = Metrics()
    metrics.gauge("hub_up", "1 when the journal and the core store answer.")
    metrics.set("hub_up", figures is not None)
    metrics.gauge("hub_process_up", "1 while a process renews its metrics.")
    for name, up in alive.items():
        metrics.set("hub_process_up", up, (("name", name),))
    if disk_free is not None:
        metrics.gauge("hub_disk_free_bytes", "Free bytes of the data folder's disk.")
        metrics.set("hub_disk_free_bytes", disk_free)
    if figures is None:
        return metrics
    for name, text, value in (
        ("hub_journal_head", "Newest journal entry.", figures.head),
        ("hub_feed_position", "Newest position of the change feed.", figures.position),
        ("hub_backlog_oldest_seconds", "Age of the oldest entry not yet worked on.", figures.oldest_seconds),
    ):
        metrics.gauge(name, text)
        metrics.set(name, value)
    metrics.gauge("hub_backlog_entries", "Entries not yet worked on.")
    metrics.gauge("hub_journal_entries", "Entries received since the journal was made.")
    for channel in figures.channels:
        metrics.set("hub_backlog_entries", channel.waiting, (("channel", channel.name),))
        metrics.set("hub_journal_entries", channel.received, (("channel", channel.name),))
    metrics.gauge("hub_alert", "1 for every alarm of a channel's file that is on.")
    for alarm in figures.alarms:
        metrics.set("hub_alert", 1, (("channel", alarm.channel), ("when", alarm.when)))
    metrics.gauge("hub_parked_entries", "Entries that wait for a person.")
    for (channel_name, cause), count in figures.parked.items():
        metrics.set("hub_parked_entries", count, (("channel", channel_name), ("cause", cause)))
    return metrics
