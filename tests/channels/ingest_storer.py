"""A process that stores objects until it is killed, for the crash tests.

`ingest_storer.py FOLDER run THREADS FIRST` stores numbers from FIRST on in every thread, each thread a
series, and prints `ack SERIES NUMBER` for each success. `ingest_storer.py FOLDER steps` forks a child for
every step on the way of an object to the disk; child N dies by SIGKILL at step N. `ingest_storer.py FOLDER
large MEGABYTES` stores one large object and prints by how many bytes its memory grew."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ingest_samples import Parts, bring, encoded, image, received

from engine.imaging.turn import Turn
from engine.journal.sql import SqlJournal

LARGEST_PIECE = 131_072


def say(line: str) -> None:
    os.write(1, (line + "\n").encode())


def run(folder: Path, threads: int, first: int) -> None:
    parts = Parts(folder)

    def store(series: int) -> None:
        number = first
        while True:
            if bring(parts.ingest, image(series=series, number=number, pixels=40_000), piece=16_384) == 0:
                say(f"ack {series} {number}")
            number += 1

    for series in range(2, threads + 1):
        threading.Thread(target=store, args=(series,), daemon=True).start()
    store(1)


class Steps:
    """Dies before or after one of the calls that change a disk."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self.step()
            result = real(*arguments, **named)
            self.step()
            return result

        setattr(owner, name, call)


def steps(folder: Path) -> None:
    for number in range(1, 1000):
        child = os.fork()
        if child == 0:
            one_object(folder, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            say(f"end {number}")
            return


def one_object(folder: Path, number: int) -> None:
    parts = Parts(folder)
    dying = Steps(number)
    for name in ("open", "write", "fsync", "rename", "utime"):
        dying.around(os, name)
    dying.around(SqlJournal, "append")
    dying.around(Turn, "add")
    if bring(parts.ingest, image(number=number, pixels=40_000), piece=100_000) == 0:
        dying.left = 0
        say(f"ack 1 {number}")


def large(folder: Path, megabytes: int) -> None:
    parts = Parts(folder)
    assert bring(parts.ingest, image(series=9)) == 0  # all is loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset = image(pixels=0, NumberOfFrames=megabytes)
    told = received(dataset)
    arriving = parts.ingest.begin(told)
    arriving.write(encoded(dataset))
    arriving.write(b"\xe0\x7f\x10\x00OW\x00\x00" + (megabytes << 20).to_bytes(4, "little"))
    for number in range((megabytes << 20) // LARGEST_PIECE):
        arriving.write(number.to_bytes(4, "big") * (LARGEST_PIECE // 4))
    assert parts.ingest.store(told, arriving) == 0
    held = parts.index.look(told.sop_instance)
    assert held is not None
    with parts.objects.open(held.address) as opened:
        last = opened.seek(-LARGEST_PIECE, os.SEEK_END) and opened.read()
    assert last == ((megabytes << 20) // LARGEST_PIECE - 1).to_bytes(4, "big") * (LARGEST_PIECE // 4)
    say(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10))


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if sys.argv[2] == "run":
        run(where, int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[2] == "steps":
        steps(where)
    else:
        large(where, int(sys.argv[3]))
