"""What open pages of the console cost: CPU a message with and without pages that follow what happens.

python bench/open_pages.py [--pages 5] [--count 6000] [--rounds 3] [--workers 2] [--rate 300]
                           [--database sqlite]

The same hub, in turn without and with so many windows of Now open (live, by server-sent events, each with the
counts that the navigation asks for every 30 s). Reports CPU a message of every process and of all together,
and what a page adds in per cent. At a rate, since a page costs by the second and not by the message.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from end_to_end import counter, database
from hub_under_test import HERE, HubUnderTest, fsync_times, report
from senders import drive

sys.path.insert(0, str(HERE))

from engine.channels.opening import open_keyring
from engine.console.door import COOKIE
from engine.kernel.config import load_config
from engine.security.access import Grant
from engine.staff.staff import Staff


def cookie_of(root: Path) -> tuple[str, str]:
    """Sign somebody in; returns the cookie and where the console listens."""
    config = load_config(root)
    staff = Staff.open(config.staff_url, open_keyring(config), settings=config.console.sign_in)
    try:
        account = staff.accounts.add(
            "bench", [Grant("operator")], "bench", password="a long pass phrase here"
        )
        return staff.sessions.start(account, "password"), config.console.listen
    finally:
        staff.close()


@contextmanager
def pages(address: str, cookie: str, count: int) -> Iterator[list[int]]:
    """Keep so many windows open; gives how many parts each was sent."""
    over = threading.Event()
    got = [0] * count

    def follow(number: int) -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("GET", "/now/events", headers={"Cookie": f"{COOKIE}={cookie}"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"the page answered {answer.status}")
        while not over.is_set() and (line := answer.readline()):
            got[number] += line.startswith(b"event: part")
        connection.close()

    def ask() -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        while True:
            for path in ("/work/count", "/alerts/count"):
                connection.request(
                    "GET", path, headers={"Cookie": f"{COOKIE}={cookie}", "HX-Request": "true"}
                )
                connection.getresponse().read()
            if over.wait(30):
                return

    threads = [threading.Thread(target=follow, args=(n,), daemon=True) for n in range(count)]
    threads += [threading.Thread(target=ask, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield got
    finally:
        over.set()


def run(hub: HubUnderTest, count: int, rate: float) -> dict[str, float]:
    """Send at a rate and wait until all is worked off; returns CPU microseconds a message, by process."""
    done = counter(hub)
    start, before = done(), hub.usage()
    load = drive(hub.port, 4, seconds=count / rate, rate=rate)
    while done() - start < load.good:
        time.sleep(0.1)
    after = hub.usage()
    return {name: (u.cpu - before[name].cpu) / load.good * 1e6 for name, u in after.items()}


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--pages", type=int, default=5)
    ask.add_argument("--count", type=int, default=6_000)
    ask.add_argument("--rate", type=float, default=300)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        p50, p99 = fsync_times(Path(folder))
        report("fsync", p50_ms=p50, p99_ms=p99)
    with (
        database(given.database) as where,
        HubUnderTest(HERE, "listeners,workers,console", {"workers": str(given.workers)} | where) as hub,
    ):
        cookie, address = cookie_of(hub.root)
        run(hub, 1000, given.rate)  # maps are compiled, caches filled
        totals: dict[int, list[float]] = {0: [], given.pages: []}
        for _ in range(given.rounds):
            for count in totals:
                with pages(address, cookie, count) as got:
                    cpu = run(hub, given.count, given.rate)
                totals[count].append(sum(cpu.values()))
                by_process = {name: round(value) for name, value in cpu.items()}
                report(
                    "open_pages",
                    pages=count,
                    cpu_us=round(sum(cpu.values())),
                    by_process=by_process,
                    parts=got,
                )
        without, with_them = (statistics.median(totals[n]) for n in (0, given.pages))
        report(
            "open_pages", without_us=without, with_us=with_them, more_percent=(with_them / without - 1) * 100
        )


if __name__ == "__main__":
    main()
