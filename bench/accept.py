"""(a) How many messages a second are acknowledged, durably, by the listeners alone.

python bench/accept.py [--seconds 10] [--connections 4 64] [--checkout DIR --checkout DIR] [--rounds 1]

Uses the load generator `mllp_load.c` of this folder where a C compiler is found (a Python one costs the
second core more than the listener costs the first), else `senders.py`. With several checkouts the rounds
alternate between them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from hub_under_test import HERE, HubUnderTest, fsync_times, report
from senders import TEMPLATE, drive

SOURCE = Path(__file__).with_name("mllp_load.c")


def compiled(folder: Path) -> Path | None:
    """Compile the load generator; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    subprocess.run([compiler, "-O2", "-o", folder / "mllp_load", SOURCE], check=True)
    return folder / "mllp_load"


def measure(generator: Path | None, hub: HubUnderTest, connections: int, seconds: float) -> dict[str, float]:
    """Load the hub once."""
    if generator is None:
        load = drive(hub.port, connections, seconds=seconds)
        return {
            "per_second": load.good / load.seconds,
            "bad": load.bad,
            "p50_ms": load.quantile(0.5),
            "p99_ms": load.quantile(0.99),
        }
    command = [generator, str(hub.port), str(connections), str(seconds), str(TEMPLATE)]
    made: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return made


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=float, default=10)
    ask.add_argument("--connections", type=int, nargs="+", default=[4, 64])
    ask.add_argument("--checkout", type=Path, action="append", help="another checkout to alternate with")
    ask.add_argument("--rounds", type=int, default=1)
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        generator = compiled(Path(folder))
        p50, p99 = fsync_times(Path(folder))
        report("fsync", p50_ms=p50, p99_ms=p99)
        for _ in range(given.rounds):
            for connections in given.connections:
                for checkout in given.checkout or [HERE]:
                    with HubUnderTest(checkout.resolve(), "listeners") as hub:
                        before = hub.usage()
                        made = measure(generator, hub, connections, given.seconds)
                        after = hub.usage()
                    cpu = {n: (u.cpu - before[n].cpu) for n, u in after.items() if n in before}
                    total = max(1.0, made["per_second"] * given.seconds)
                    report(
                        "accept",
                        checkout=str(checkout),
                        connections=connections,
                        **made,
                        cpu_us={n: round(c / total * 1e6) for n, c in cpu.items()},
                        rss_mb={n: u.rss for n, u in after.items()},
                    )


if __name__ == "__main__":
    main()
