"""Orders out, their answers, and the results back: a whole hub between a CPOE and a laboratory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hub_process import Hub
from order_round import OrderRound, log_of


def test_orders_go_out_and_come_back_complete(make_hub: Callable[..., Hub]) -> None:
    orders = {"P1": "A1", "P2": "A2", "P3": "A3", "P4": "A4", "P5": "A4", "P6": "A3", "P7": "A7"}
    scripts = {"P2": ["lose"], "P3": ["refuse"], "P4": ["silent", "silent", "ack"], "P7": ["unable"]}
    hub = make_hub(parts="listeners,workers,deliveries")
    game = OrderRound(hub, orders, scripts)
    try:
        hub.start()
        game.place()
        game.until(
            lambda: _settled(game, 7),
            "orders wait",
        )
        laboratory = game.laboratory
        came = {p: [m for _, placer, m in laboratory.got if placer == p] for p in orders}

        # each order once, whatever happened to its answers; every try is the same message, byte for byte
        assert sorted(laboratory.placed.values()) == ["P1", "P2", "P4", "P5", "P6", "P7"]
        assert {p: len(tries) for p, tries in came.items()} == {
            "P1": 1, "P2": 2, "P3": 1, "P4": 3, "P5": 1, "P6": 1, "P7": 1,
        }  # fmt: skip
        assert all(len(set(tries)) == 1 for tries in came.values())
        connections = [n for n, placer, _ in laboratory.got if placer == "P4"]
        assert len(set(connections)) == 3  # after silence, a new connection

        # what one patient's orders wait for: an answer, or a refusal, and nothing of another patient's
        arrived = [placer for _, placer, _ in laboratory.got]
        assert arrived.index("P5") > max(i for i, p in enumerate(arrived) if p == "P4")
        assert arrived.index("P7") < max(i for i, p in enumerate(arrived) if p == "P4")
        status, why = game.statuses()["P3"]
        assert (status, why) == ("refused", "answered AE: OBR-4 103 table value not found")

        # what the laboratory said of each is known
        hub.drained()
        told = game.told()
        assert sorted(one["state"] for one in told) == sorted(
            ["accepted", "accepted", "accepted", "accepted", "acknowledged", "refused", "unable"]
        )
        assert "Family" not in game.command("orders")

        # refused, mended there, sent again by a person
        (refused,) = [one for one in told if one["state"] == "refused"]
        game.command("deliveries", "again", str(refused["delivery"]), "--why", "they know the test now")
        game.until(lambda: game.statuses()["P3"][0] == "sent", "P3 waits")
        assert "P3" in laboratory.placed.values()

        # the results
        for placer in ("P1", "P2", "P3", "P4"):
            assert laboratory.report(game.ports["lab_oru"], placer, orders[placer]) == "AA"
        assert laboratory.report(game.ports["lab_oru"], "P5", "A4", order="IP", result="P") == "AA"
        assert laboratory.report(game.ports["lab_oru"], "P6", "A3", order="", result="F") == "AA"
        hub.drained()
        assert game.stored() == {
            **{placer: ("completed", ["final"]) for placer in ("P1", "P2", "P3", "P4")},
            "P5": ("active", ["preliminary"]),
            "P6": ("active", ["final"]),  # nobody said that the order is completed
            "P7": ("active", []),
        }
        counts = [one["state"] for one in game.told("--overdue", "1 minutes")]
        assert sorted(counts) == ["complete"] * 4 + ["preliminary", "resulted", "unable"]
        assert hub.stop() == 0
        log = log_of(hub)
        assert "Family" not in log and "Traceback" not in log
    finally:
        game.close()


@pytest.mark.soak
def test_orders_over_a_kill_are_there_once(make_hub: Callable[..., Hub]) -> None:
    orders = {f"Q{n}": f"B{n % 3}" for n in range(9)}
    hub = make_hub(parts="listeners,workers,deliveries")
    game = OrderRound(hub, orders, {"Q1": ["lose"], "Q4": ["lose"]})
    try:
        hub.start()
        game.place(only="Q0")
        game.until(lambda: game.statuses().get("Q0", ("",))[0] == "sent", "Q0 waits")
        hub.kill()  # with whatever was under way
        hub.start()
        for placer in list(orders)[1:]:
            game.place(only=placer)
        game.until(
            lambda: len(game.statuses()) == 9 and all(s == "sent" for s, _ in game.statuses().values()),
            "orders wait",
        )
        assert sorted(game.laboratory.placed.values()) == sorted(orders)
        for person in ("B0", "B1", "B2"):
            mine = [p for p, mrn in orders.items() if mrn == person]
            came = [p for _, p, _ in game.laboratory.got if p in mine]
            assert list(dict.fromkeys(came)) == mine
        assert hub.stop() == 0
    finally:
        game.close()


def _settled(game: OrderRound, count: int) -> bool:
    """Say whether every order went out, or was refused."""
    found = game.statuses().values()
    return len(found) == count and all(status != "pending" for status, _ in found)
