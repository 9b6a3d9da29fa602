"""A site of three nodes, and one trouble after the other: what was lost, doubled or out of order, and
how long anybody waited.

In: how many rounds, which faults, a seed. Out: a line a round, and the longest waits. Ends with an
error at the first message that is not where it must be. As root nodes are network namespaces, so that
cables can be pulled.

    python bench/cluster.py --rounds 30
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE / "tests/system")]

from cluster_rounds import FAULTS, Site  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--hubs", type=int, default=2)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds a sender rests after an answer")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    real = os.geteuid() == 0
    faults = [f for f in given.faults.split(",") if f != "cut" or real]
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hub-cluster-"))
    rng = random.Random(given.seed)
    site = Site(folder, hubs=given.hubs, senders=given.senders, pause=given.pause, real=real)
    print(f"{folder}: {given.hubs} hubs, 3 NATS servers, PostgreSQL with a standby, {given.senders} senders")
    begun = time.monotonic()
    try:
        site.begin()
        order: list[str] = []
        for number in range(given.rounds):
            if not order:
                order = rng.sample(faults, len(faults))
            r = site.round(order.pop(), rng)
            print(
                f"{number + 1:3} {r.fault:9} {r.victim}  longest wait for an answer {r.ack_gap:4.1f} s, "
                f"for an outcome {r.stall:4.1f} s; {r.acked} acknowledged",
                flush=True,
            )
        acked = site.finish()
        print(
            f"{given.rounds} rounds in {time.monotonic() - begun:.0f} s, {acked} messages acknowledged: "
            f"none lost, none twice, all in order; so went they out ({site.repeated} tried twice). Longest "
            "wait for an answer "
            f"{max(r.ack_gap for r in site.rounds):.1f} s, "
            f"for an outcome {max(r.stall for r in site.rounds):.1f} s"
        )
    finally:
        site.close()


if __name__ == "__main__":
    main()
