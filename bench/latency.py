"""(c) How long an answer takes while the server works, at a steady rate.

python bench/latency.py --rate 400 [--seconds 30] [--connections 4] [--workers 1] [--database sqlite]

Take half of what `end_to_end.py` stores a second as the rate. A latency counts from the moment a message was
planned, so that a stall is not hidden by senders that wait for it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from end_to_end import database
from hub_under_test import HERE, HubUnderTest, fsync_times, report
from senders import drive


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--rate", type=float, required=True)
    ask.add_argument("--seconds", type=float, default=30)
    ask.add_argument("--connections", type=int, default=4)
    ask.add_argument("--workers", type=int, default=1)
    ask.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    ask.add_argument("--checkout", type=Path, action="append")
    ask.add_argument("--parts", default="listeners,workers")
    ask.add_argument("--rounds", type=int, default=1)
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        p50, p99 = fsync_times(Path(folder))
        report("fsync", p50_ms=p50, p99_ms=p99)
    for _ in range(given.rounds):
        for checkout in given.checkout or [HERE]:
            settings = {"workers": str(given.workers)}
            with (
                database(given.database) as where,
                HubUnderTest(checkout.resolve(), given.parts, settings | where) as hub,
            ):
                load = drive(hub.port, given.connections, seconds=given.seconds, rate=given.rate)
                report(
                    "latency",
                    checkout=str(checkout),
                    rate=given.rate,
                    per_second=load.good / load.seconds,
                    bad=load.bad,
                    p50_ms=load.quantile(0.5),
                    p99_ms=load.quantile(0.99),
                    max_ms=load.quantile(1),
                )


if __name__ == "__main__":
    main()
