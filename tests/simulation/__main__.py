"""`python -m tests.simulation SEED`: one run again, with every step; `FIRST-LAST`: many, and which fail.

`--store sql` runs on the real core store and journal (databases.py). `--mutation NAME` breaks the hub in one
way first (mutations.py, sqlmutations.py).
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext

from .databases import Files
from .mutations import MUTATIONS
from .schedule import Broken
from .sqlmutations import SQL_MUTATIONS
from .world import World


def main() -> int:
    """Run what is asked for; 1 where something broke."""
    mutations = MUTATIONS | SQL_MUTATIONS
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("seeds", help="one seed, or first-last")
    asked.add_argument("--mutation", choices=sorted(mutations))
    asked.add_argument("--store", choices=("model", "sql"), default="model", help="what is under the hub")
    given = asked.parse_args()
    first, _, last = given.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    files = Files() if given.store == "sql" else None
    began, failed = time.process_time(), 0
    with mutations[given.mutation]() if given.mutation else nullcontext():
        for seed in seeds:
            world = World(seed, not last, files)
            try:
                world.run()
            except Broken as e:
                failed += 1
                print(f"seed {seed}: {e}", flush=True)
            if not last:
                print("\n".join(world.schedule.lines))
    print(f"{len(seeds)} seeds, {failed} broken, {time.process_time() - began:.1f} s of CPU")
    return int(failed > 0)


sys.exit(main())
