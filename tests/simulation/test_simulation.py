"""Thousands of runs of the pipeline, each with other faults in another order; and of hubs that are broken.

A run that fails: `python -m tests.simulation SEED` shows it step by step, with `--store sql` on the real core
store and journal.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from .databases import Files
from .mutations import MUTATIONS
from .schedule import Broken
from .sqlmutations import CLAUSES, FOUND, SQL_MUTATIONS
from .world import World

SEEDS = 10_000
PART = 500
WITHIN = 300  # seeds in which every mutation must show
SQL_SEEDS = 60
SQL_PART = 20
SQL_WITHIN = 60


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    made = Files()
    yield made
    made.close()


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_nothing_is_lost_doubled_or_out_of_order(first: int) -> None:
    for seed in range(first, first + PART):
        try:
            World(seed).run()
        except Broken as e:
            pytest.fail(f"{e}; again, step by step: python -m tests.simulation {seed}")


@pytest.mark.parametrize("first", range(0, SQL_SEEDS, SQL_PART))
def test_nothing_is_lost_on_the_real_store_and_journal(first: int, files: Files) -> None:
    for seed in range(first, first + SQL_PART):
        try:
            World(seed, files=files).run()
        except Broken as e:
            pytest.fail(f"{e}; again, step by step: python -m tests.simulation {seed} --store sql")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_hub_is_noticed(name: str) -> None:
    with MUTATIONS[name]():
        for seed in range(WITHIN):
            try:
                World(seed).run()
            except Broken:
                return
    pytest.fail(f"{WITHIN} runs of a hub with the mutation {name!r} show nothing")


@pytest.mark.parametrize("name", SQL_MUTATIONS)
def test_a_broken_store_is_noticed(name: str, files: Files) -> None:
    with SQL_MUTATIONS[name]():
        for seed in (FOUND.get(name, 0), *range(SQL_WITHIN)):
            try:
                World(seed, files=files).run()
            except Broken:
                return
    pytest.fail(f"{SQL_WITHIN} runs of a hub with the mutation {name!r} show nothing")


@pytest.mark.parametrize(("where", "method", "clause"), CLAUSES)
def test_a_clause_that_is_taken_out_is_there(where: type, method: str, clause: str) -> None:
    source = inspect.getsource(inspect.getmodule(where) or where)
    assert clause in inspect.getsource(getattr(where, method)) or clause in source


@pytest.mark.parametrize("real", [False, True])
def test_a_seed_is_one_order_of_events(real: bool, files: Files) -> None:
    def lines(seed: int) -> list[str]:
        world = World(seed, trace=True, files=files if real else None)
        world.run()
        return world.schedule.lines

    twice = [(lines(seed), lines(seed)) for seed in range(6 if real else 20)]
    assert all(once == again for once, again in twice)
    assert any("is killed" in line or "fails" in line for once, _ in twice for line in once)
