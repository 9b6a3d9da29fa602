"""Counters and histograms of one process, as Prometheus text in a file that the console process merges.

In: counts by fixed names and labels. Out: `<var>/metrics/<process>.prom`, replaced as a whole every few
seconds, in the text exposition format 0.0.4. Labels are channel names and the words of fixed tables, never
anything a sender sent.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Histogram", "Metrics"]

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """A histogram with fixed upper bounds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def count(self) -> int:
        """Return how many values were counted."""
        return sum(self._counts)

    def lines(self, name: str) -> Iterator[str]:
        """Write the histogram, buckets cumulative as the format wants them."""
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """What one process counts. Not for several threads."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}
        self._values: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, Histogram] = {}

    def counter(self, name: str, text: str) -> None:
        """Declare a counter."""
        self._help[name] = ("counter", text)
        self._values.setdefault(name, {})

    def gauge(self, name: str, text: str) -> None:
        """Declare a gauge."""
        self._help[name] = ("gauge", text)
        self._values.setdefault(name, {})

    def histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        """Declare a histogram and return it."""
        self._help[name] = ("histogram", text)
        return self._histograms.setdefault(name, Histogram(bounds))

    def add(self, name: str, labels: Labels = (), amount: float = 1) -> None:
        """Count."""
        values = self._values[name]
        values[labels] = values.get(labels, 0) + amount

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        """Set a gauge."""
        self._values[name][labels] = value

    def value(self, name: str, labels: Labels = ()) -> float:
        """Return a counter or gauge, 0 where it was never touched."""
        return self._values[name].get(labels, 0)

    def text(self) -> str:
        """Write everything in the Prometheus text format."""
        lines: list[str] = []
        for name, (kind, text) in sorted(self._help.items()):
            lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
            if kind == "histogram":
                lines += self._histograms[name].lines(name)
            lines += (
                f"{name}{_labels(labels)} {value:.12g}"
                for labels, value in self._values.get(name, {}).items()
            )
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Replace a file with the text of now; a reader sees the old one or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(self.text(), "utf-8")
        os.replace(fresh, path)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
