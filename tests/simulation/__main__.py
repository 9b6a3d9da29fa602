"""`python -m tests.simulation SEED`: one run again, with every step; `FIRST-LAST`: many, and which fail.

`--mutation NAME` breaks the hub in one way first (mutations.py).
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext

from .mutations import MUTATIONS
from .schedule import Broken
from .world import World


def main() -> int:
    """Run what is asked for; 1 where something broke."""
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("seeds", help="one seed, or first-last")
    asked.add_argument("--mutation", choices=sorted(MUTATIONS))
    given = asked.parse_args()
    first, _, last = given.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began, failed = time.process_time(), 0
    with MUTATIONS[given.mutation]() if given.mutation else nullcontext():
        for seed in seeds:
            world = World(seed, trace=not last)
            try:
                world.run()
            except Broken as e:
                failed += 1
                print(f"seed {seed}: {e}")
            if not last:
                print("\n".join(world.schedule.lines))
    print(f"{len(seeds)} seeds, {failed} broken, {time.process_time() - began:.1f} s of CPU")
    return int(failed > 0)


sys.exit(main())
