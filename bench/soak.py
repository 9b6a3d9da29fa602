"""A hub under the same load for hours: does it keep its memory, its open files, its pace?

python bench/soak.py [--minutes 480] [--rate 75] [--every 60] [--workers 1] [--parts listeners,workers,...]

The default is the night-long run: eight hours at half of what one worker works off on two cores. One JSON
object a line: every window's answers and their latency, messages waiting, and of each process memory and open
files; at the end what grew from the second quarter of the run to the last (the first is left out: caches
fill), and what is more than may be. Exit code 1 then, or where a message was not accepted or not worked off.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from end_to_end import counter
from hub_under_test import HubUnderTest, report
from senders import Template, drive

SHORT = 60  # minutes below which caches may still be filling


@dataclass(slots=True)
class Window:
    """What one window of the load came to."""

    p50: float
    p95: float
    waiting: int
    per_message: float  # bytes of the journal for each message of the window
    memory: dict[str, int]  # MB
    files: dict[str, int]


def open_files(hub: HubUnderTest) -> dict[str, int]:
    """Return how many files and sockets every process has open."""
    task = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text().split()
    found = {}
    for pid in task:
        name = Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("hub ")
        found[name if name not in found else f"{name} {pid}"] = len(os.listdir(f"/proc/{pid}/fd"))
    return found


def journal_bytes(hub: HubUnderTest) -> int:
    """Return the size of the journal: its pages, with those that stand in its log still."""
    with closing(sqlite3.connect(f"file:{hub.root / 'var/journal.db'}?mode=ro", uri=True)) as db:
        ((pages,),) = db.execute("PRAGMA page_count").fetchall()
        ((size,),) = db.execute("PRAGMA page_size").fetchall()
    return int(pages) * int(size)


def quarters(windows: Sequence[Window]) -> tuple[Sequence[Window], Sequence[Window]]:
    """Return the second and the last quarter."""
    n = max(1, len(windows) // 4)
    return windows[n : 2 * n] or windows, windows[-n:]


def grown(windows: Sequence[Window]) -> dict[str, Any]:
    """Return what grew from the second quarter to the last: MB and open files by process, and ratios."""
    early, late = quarters(windows)

    def mean(part: Sequence[Window], of: str, name: str) -> float:
        return statistics.fmean(getattr(w, of).get(name, 0) for w in part)

    names = sorted({name for w in (*early, *late) for name in w.memory})
    return {
        "memory_mb": {n: round(mean(late, "memory", n) - mean(early, "memory", n), 1) for n in names},
        "files": {n: round(mean(late, "files", n) - mean(early, "files", n), 1) for n in names},
        "journal": round(
            statistics.fmean(w.per_message for w in late)
            / max(1.0, statistics.fmean(w.per_message for w in early)),
            2,
        ),
        "p50": round(statistics.median(w.p50 for w in late) / statistics.median(w.p50 for w in early), 2),
        "p95": round(statistics.median(w.p95 for w in late) / statistics.median(w.p95 for w in early), 2),
    }


def verdict(found: dict[str, Any], minutes: float, judge_pace: bool) -> list[str]:
    """Say what grew more than it may."""
    most = 24 if minutes >= SHORT else 96  # the body cache alone may take 64 MB, and a short run fills it
    wrong = [
        f"{n} grew by {mb} MB, and {most} are allowed" for n, mb in found["memory_mb"].items() if mb > most
    ]
    wrong += [f"{n} has {count} more files open" for n, count in found["files"].items() if count > 8]
    if found["journal"] > 1.5:
        wrong.append(f"a message takes {found['journal']} times the room in the journal")
    if judge_pace and found["p95"] > 2:
        wrong.append(f"answers take {found['p95']} times as long (95 of 100)")
    return wrong


def soak(hub: HubUnderTest, minutes: float, rate: float, every: float, judge_pace: bool) -> list[str]:
    """Load a running hub; return what is wrong."""
    done, template, windows = counter(hub), Template(), []
    sent = bad = 0
    size = journal_bytes(hub)
    until = time.monotonic() + minutes * 60
    while (left := until - time.monotonic()) > 0.5:
        load = drive(hub.port, 4, seconds=min(every, left), rate=rate, template=template)
        sent, bad = sent + load.good, bad + load.bad
        before, size = size, journal_bytes(hub)
        windows.append(
            Window(
                load.quantile(0.5),
                load.quantile(0.95),
                sent - done(),
                (size - before) / max(1, load.good),
                {name: one.rss for name, one in hub.usage().items()},
                open_files(hub),
            )
        )
        w = windows[-1]
        report("window", sent=sent, p50_ms=w.p50, p95_ms=w.p95, waiting=w.waiting, mb=w.memory, files=w.files)
    wrong = [f"{bad} messages were not accepted"] if bad else []
    patience = time.monotonic() + 120
    while done() < sent and time.monotonic() < patience:
        time.sleep(0.2)
    if done() != sent:
        wrong.append(f"{sent} messages were accepted and {done()} worked off")
    found = grown(windows)
    wrong += verdict(found, minutes, judge_pace)
    report("soak", minutes=minutes, rate=rate, sent=sent, grown=found, wrong=wrong)
    return wrong


def main() -> int:
    """Run it as asked; 1 where something is wrong."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--minutes", type=float, default=480)
    asked.add_argument("--rate", type=float, default=75, help="messages a second")
    asked.add_argument("--every", type=float, default=60, help="seconds a window")
    asked.add_argument("--workers", type=int, default=1)
    asked.add_argument("--parts", default="listeners,workers,deliveries,console")
    asked.add_argument("--folder", type=Path, help="where the project is made")
    asked.add_argument(
        "--pace", action=argparse.BooleanOptionalAction, default=True, help="whether slower answers fail it"
    )
    given = asked.parse_args()
    hub = HubUnderTest(parts=given.parts, settings={"workers": str(given.workers)}, folder=given.folder)
    with hub:
        wrong = soak(hub, given.minutes, given.rate, given.every, given.pace)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
