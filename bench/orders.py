"""Orders out and back: a CPOE, a hub, a laboratory (python-hl7's MLLP) that loses answers, refuses and keeps
silent; then the results.

In: how many orders, of how many patients, a seed. Out: one JSON object: how often each fault was played, how
long until all were delivered and complete, and that every order is there once. Ends with an error where one
is lost, doubled, overtaken by a later one of its patient, or not complete in the core store.

    python bench/orders.py --orders 200 --faults 0.2
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE / "tests/system")]

from hub_process import Hub  # noqa: E402
from order_round import OrderRound  # noqa: E402

FAULTS = ("lose", "silent", "refuse")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100)
    parser.add_argument("--patients", type=int, default=25)
    parser.add_argument("--faults", type=float, default=0.1, help="share of orders that something happens to")
    parser.add_argument("--seed", type=int, default=8)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    orders = {f"N{n}": f"W{rng.randrange(given.patients)}" for n in range(given.orders)}
    played = {placer: [rng.choice(FAULTS)] for placer in orders if rng.random() < given.faults}
    refused = {placer for placer, steps in played.items() if steps == ["refuse"]}
    counts = Counter(steps[0] for steps in played.values())
    with tempfile.TemporaryDirectory(prefix="hub-orders-") as folder:
        hub = Hub(Path(folder), parts="listeners,workers,deliveries")
        game = OrderRound(hub, orders, {placer: list(steps) for placer, steps in played.items()})
        try:
            hub.start()
            begun = time.monotonic()
            game.place()
            taken = time.monotonic() - begun
            game.until(lambda: _all_out(game, len(orders)), "orders wait")
            delivered = time.monotonic() - begun
            _check(game, orders, refused)
            for placer, mrn in orders.items():
                if placer not in refused:
                    assert game.laboratory.report(game.ports["lab_oru"], placer, mrn) == "AA"
            hub.drained()
            complete = time.monotonic() - begun
            stored = game.stored()
            wrong = [p for p in orders if p not in refused and stored[p] != ("completed", ["final"])]
            assert not wrong, f"not complete: {wrong}"
            hub.stop()
        finally:
            game.close()
            hub.kill()
    print(
        json.dumps(
            {
                "orders": len(orders),
                "faults": dict(counts),
                "messages at the laboratory": len(game.laboratory.got),
                "connections": game.laboratory.connections,
                "seconds to take all": round(taken, 1),
                "seconds to deliver all": round(delivered, 1),
                "seconds to complete all": round(complete, 1),
                "lost": 0,
                "doubled": 0,
            }
        )
    )


def _all_out(game: OrderRound, count: int) -> bool:
    found = game.statuses().values()
    return len(found) == count and all(status != "pending" for status, _ in found)


def _check(game: OrderRound, orders: dict[str, str], refused: set[str]) -> None:
    """Raise AssertionError where an order is not there once, in its patient's order, as the same bytes."""
    laboratory = game.laboratory
    assert sorted(laboratory.placed.values()) == sorted(set(orders) - refused)
    assert {p for p, (status, _) in game.statuses().items() if status == "refused"} == refused
    for placer in orders:
        assert len({message for _, p, message in laboratory.got if p == placer}) == 1
    for patient in set(orders.values()):
        came = [p for _, p, _ in laboratory.got if orders[p] == patient]
        assert list(dict.fromkeys(came)) == [p for p in orders if orders[p] == patient]


if __name__ == "__main__":
    main()
