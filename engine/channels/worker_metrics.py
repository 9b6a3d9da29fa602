"""A worker's figures for /metrics: counters and the backlog, written as Prometheus text every few seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.channels.worker import Worker

__all__ = ["WorkerMetrics"]

EVERY = 2.0  # seconds


class WorkerMetrics:
    """Writes one worker's metrics file."""

    def __init__(self, worker: Worker, path: Path) -> None:
        self.worker, self.path = worker, path
        self.next = 0.0

    def tick(self) -> None:
        """Write the file if it is time."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + EVERY
            self.write()

    def write(self) -> None:
        """Write the file now, whole or not at all."""
        t = self.worker.tally
        label = f'{{worker="{self.path.stem.removeprefix("worker-")}"}}'
        lines = []
        for name, kind, help_, value in (
            ("hub_entries_done_total", "counter", "Entries whose resources were written", t.done),
            ("hub_entries_parked_total", "counter", "Entries parked for a person", t.parked),
            ("hub_entries_skipped_total", "counter", "Entries with nothing to write", t.skipped),
            ("hub_resource_versions_total", "counter", "Resource versions written", t.written),
            ("hub_superseded_total", "counter", "Writes left out: a newer entry had written", t.superseded),
            ("hub_downsampled_total", "counter", "Measurements left out by rule", t.downsampled),
            ("hub_store_batches_total", "counter", "Transactions of the core store", t.batches),
            ("hub_store_down_total", "counter", "Tries that found the core store down", t.store_down),
            ("hub_store_down", "gauge", "1 while the worker waits for its database", int(self.worker.down)),
            ("hub_lanes_owned", "gauge", "Lanes that this worker works on", len(self.worker.mine)),
        ):
            lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", f"{name}{label} {value}"]
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("\n".join(lines) + "\n")
        os.replace(temporary, self.path)
