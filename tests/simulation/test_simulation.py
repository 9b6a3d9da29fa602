"""10,000 runs of the pipeline, each with other faults in another order; and of hubs that are broken.

A run that fails: `python -m tests.simulation SEED` shows it step by step.
"""

from __future__ import annotations

import pytest

from .mutations import MUTATIONS
from .schedule import Broken
from .world import World

SEEDS = 10_000
PART = 500
WITHIN = 300  # seeds in which every mutation must show


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_nothing_is_lost_doubled_or_out_of_order(first: int) -> None:
    for seed in range(first, first + PART):
        try:
            World(seed).run()
        except Broken as e:
            pytest.fail(f"{e}; again, step by step: python -m tests.simulation {seed}")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_hub_is_noticed(name: str) -> None:
    with MUTATIONS[name]():
        for seed in range(WITHIN):
            try:
                World(seed).run()
            except Broken:
                return
    pytest.fail(f"{WITHIN} runs of a hub with the mutation {name!r} show nothing")


def test_a_seed_is_one_order_of_events() -> None:
    def lines(seed: int) -> list[str]:
        world = World(seed, trace=True)
        world.run()
        return world.schedule.lines

    twice = [(lines(seed), lines(seed)) for seed in range(20)]
    assert all(once == again for once, again in twice)
    assert any("is killed" in line for once, _ in twice for line in once)
