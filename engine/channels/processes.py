"""The processes of a hub, as the files tell that each of them renews, and how often they had to start again.

In: the folder of metrics, and the file in which the supervisor writes every end of a process. Out: ages and
counts.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from engine.channels.sharing import shared
from engine.kernel.clock import now_ms
from engine.kernel.config import Config

__all__ = ["STALE", "age", "ended", "processes", "restarts"]

STALE = 30.0  # seconds; a worker renews its file every 2, listeners every 5
_KEPT = 500  # lines of the file of ends


def processes(config: Config) -> dict[str, float | None]:
    """Return the processes of a whole hub and the age of their metrics files in seconds; None = no file."""
    if shared(config):  # a node has the parts it was given: those that ever wrote
        found = sorted(path.stem for path in config.metrics_dir.glob("*.prom"))
        return {name: age(config.metrics_dir / f"{name}.prom") for name in found}
    names = ["listeners", *(f"worker-{i}" for i in range(config.workers)), "deliveries"]
    if (config.metrics_dir / "files.prom").exists():  # as soon as there is a channel that takes files
        names.append("files")
    if (config.metrics_dir / "watch.prom").exists():  # as soon as there are rules of critical results
        names.append("watch")
    return {name: age(config.metrics_dir / f"{name}.prom") for name in names}


def age(path: Path) -> float | None:
    """Return the seconds since a file was written, None where there is none."""
    try:
        return max(0.0, time.time() - os.stat(path).st_mtime)
    except OSError:
        return None


def ended(folder: Path, name: str, how: str, now: int | None = None) -> None:
    """Write down that a process ended without being told to; only its end counts, so nothing stops for it."""
    path = folder / "restarts"
    line = f"{now_ms() if now is None else now} {name} {how}\n"
    lines = _lines(path)[-_KEPT:]
    fresh = path.with_suffix(".new")
    fresh.write_text("".join([*lines, line]), "utf-8")
    os.replace(fresh, path)


def restarts(folder: Path, since: int) -> Counter[str]:
    """Return how often each process ended without being told to, since a time (ms)."""
    found: Counter[str] = Counter()
    for line in _lines(folder / "restarts"):
        at, _, rest = line.partition(" ")
        if at.isdigit() and int(at) >= since:
            found[rest.partition(" ")[0]] += 1
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
