"""What a message costs workers, PostgreSQL and the broker when there is always work: a journal that is full
already, worked off by 1, 2 and 4 workers, with lanes of one box or shared out by NATS.

python bench/drain.py [--count 10000] [--workers 1 2 4] [--queue in-process nats] [--rounds 1]

Reports outcomes a second from the first to the last, and CPU microseconds a message of workers (together),
PostgreSQL and the NATS servers (three, on this machine). The start of the processes is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

from end_to_end import Pids, counter, cpu_of, database, queue
from hub_under_test import HERE, HubUnderTest, report
from senders import Template

sys.path.insert(0, str(HERE))

from engine.channels.opening import open_journal, open_keyring, prepare_folder
from engine.formats.hl7v2.order_keys import order_keys
from engine.kernel.clock import now_ms
from engine.kernel.config import load_config
from engine.kernel.message import NewEntry


class FullHub(HubUnderTest):
    """A hub whose journal is filled before its workers start."""

    count = 0

    def prepared(self, root: Path) -> None:
        """Fill the journal."""
        config = load_config(root)
        prepare_folder(config)
        journal = open_journal(config, open_keyring(config))
        template = Template()
        for start in range(0, self.count, 500):
            batch = []
            for n in range(start, min(start + 500, self.count)):
                body = template.message()[1]
                keys = order_keys(body)
                batch.append(
                    NewEntry("lab_oru", body, now_ms(), "A|B", "", f"D{n}", "ORU^R01", order_keys=keys)
                )
            journal.append(batch)
        journal.close()


def run(hub: HubUnderTest, count: int, pids: Pids) -> dict[str, object]:
    """Wait until all is worked off; figures from the first quarter on, when everybody is at work."""
    done = counter(hub)
    first = count // 4
    while (begun_at := done()) < first:
        time.sleep(0.02)
    begun = time.perf_counter()
    before, beside = hub.usage(), {name: cpu_of(found) for name, found in pids.items()}
    while (stored := done()) < count * 0.98:
        time.sleep(0.05)
    took, worked = time.perf_counter() - begun, stored - begun_at
    after = hub.usage()
    workers = sum(u.cpu - before[name].cpu for name, u in after.items() if name.startswith("worker"))
    cpu = {"workers": workers} | {name: cpu_of(found) - beside[name] for name, found in pids.items()}
    return {
        "stored_per_second": worked / took,
        "cpu_us": {name: round(seconds / worked * 1e6) for name, seconds in cpu.items()},
    }


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--count", type=int, default=10_000)
    ask.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    ask.add_argument("--queue", nargs="+", choices=["in-process", "nats"], default=["in-process", "nats"])
    ask.add_argument("--rounds", type=int, default=1)
    given = ask.parse_args()
    FullHub.count = given.count
    for _, workers, how in itertools.product(range(given.rounds), given.workers, given.queue):
        pids: Pids = {}
        with (
            database("postgresql", pids) as settings,
            queue(how, settings, pids) as more,
            FullHub(HERE, "workers", settings | more | {"workers": str(workers)}) as hub,
        ):
            report("drain", workers=workers, queue=how, **run(hub, given.count, pids))


if __name__ == "__main__":
    main()
