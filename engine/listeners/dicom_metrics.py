"""What the DICOM nodes of one process count, safe for their threads.

In: counts by channel and by the words of fixed tables. Out: Prometheus text, in the file that the console
process merges. A calling AE title is a sender's word and is never a label.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.listeners.metrics import Metrics

__all__ = ["NodeMetrics", "Seldom"]

_COUNTERS = {
    "hub_dicom_connections_total": "Connections taken, by what became of them.",
    "hub_dicom_associations_total": "Associations accepted.",
    "hub_dicom_rejected_total": "Associations rejected, by reason.",
    "hub_dicom_ended_total": "Associations that ended, by how.",
    "hub_dicom_requests_total": "DIMSE requests answered, by service and kind of status.",
    "hub_dicom_object_bytes_total": "Bytes of objects received.",
}
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class NodeMetrics:
    """Counters of all nodes of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics = Metrics()
        for name, text in _COUNTERS.items():
            self._metrics.counter(name, text)
        self._metrics.gauge("hub_dicom_associations", "Associations at this moment.")
        self._metrics.gauge("hub_dicom_held", "What is held: studies, series, instances, bytes; what waits.")
        self._metrics.gauge("hub_dicom_forward", "Objects on their way to a destination, by state.")
        self._store = self._metrics.histogram(
            "hub_dicom_store_seconds", "From the last byte of an object to its being durable.", _SECONDS
        )

    def count(self, name: str, channel: str, amount: float = 1, **labels: str) -> None:
        """Count; the name is without `hub_dicom_` and `_total`."""
        key = (("channel", channel), *labels.items())
        with self._lock:
            self._metrics.add(f"hub_dicom_{name}_total", key, amount)

    def associations(self, channel: str, number: int) -> None:
        """Say how many associations there are."""
        with self._lock:
            self._metrics.set("hub_dicom_associations", number, (("channel", channel),))

    def stored(self, channel: str, size: int, seconds: float) -> None:
        """Count one object received."""
        with self._lock:
            self._metrics.add("hub_dicom_object_bytes_total", (("channel", channel),), size)
            self._store.observe(seconds)

    def held(self, counts: Mapping[str, int], backlog: Mapping[str, tuple[int, int]]) -> None:
        """Say what is held, and what waits (waiting, parked) for each destination."""
        with self._lock:
            for what, number in counts.items():
                self._metrics.set("hub_dicom_held", number, (("what", what),))
            for to, (waiting, parked) in backlog.items():
                for state, number in (("waiting", waiting), ("parked", parked)):
                    self._metrics.set("hub_dicom_forward", number, (("to", to), ("state", state)))

    def value(self, name: str, channel: str, **labels: str) -> float:
        """Return a counter, by the same names."""
        with self._lock:
            return self._metrics.value(f"hub_dicom_{name}_total", (("channel", channel), *labels.items()))

    def text(self) -> str:
        """Write everything in the Prometheus text format."""
        with self._lock:
            return self._metrics.text()

    def write(self, path: Path) -> None:
        """Replace the file of this process."""
        with self._lock:
            self._metrics.write(path)


class Seldom:
    """Lets one line a second and kind through, and says how many like it were left out."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._last: dict[str, tuple[float, int]] = {}

    def __call__(self, kind: str, line: str) -> None:
        now = time.monotonic()
        with self._lock:
            last, unsaid = self._last.get(kind, (-1e9, 0))
            if now - last < 1:
                self._last[kind] = (last, unsaid + 1)
                return
            self._last[kind] = (now, 0)
        self._say(f"{line} (and {unsaid} like it)" if unsaid else line)
