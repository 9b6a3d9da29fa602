"""A message that kills the worker process is parked after two deaths; its neighbours lose nothing."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_project import Hub, make_project

from engine.channels.deaths import DEATHS, FileSlot
from engine.channels.pipeline import Pipeline
from engine.channels.worker import Worker
from engine.kernel.message import Entry, Outcome, Work


def message(control: str) -> bytes:
    return (
        f"MSH|^~\\&|LIS|NORTH|HUB|CDR|20260501120000-0500||ORU^R01^ORU_R01|{control}|P|2.5.1\r"
        f"PID|1||{control}^^^NORTH^MR||DOE^JO||19800101|F\r"
        f"ORC|RE|P{control}^EHR|F{control}^LIS\r"
        f"OBR|1|P{control}^EHR|F{control}^LIS|24320-4^Panel^LN|||20260501083000-0500\r"
        "OBX|1|NM|2823-3^Potassium^LN||4.1|mmol/L|||||F\r"
    ).encode()


def killing(hub: Hub, where: str) -> None:
    """Be a worker process in which C code dies of one message, while mapping or while storing it."""
    work, apply = Pipeline.work, type(hub.store).apply

    def deadly_work(self: Pipeline, entry: Entry) -> Work:
        if where == "map" and b"|BAD|" in entry.body:
            os._exit(139)
        return work(self, entry)

    def deadly_apply(self: object, batch: list[Work], **more: object) -> list[Outcome]:
        if where == "store" and any(("control", "BAD") in w.search for w in batch if w.parked is None):
            os._exit(137)
        return apply(self, batch, **more)  # type: ignore[arg-type]

    Pipeline.work = deadly_work  # type: ignore[method-assign]
    type(hub.store).apply = deadly_apply  # type: ignore[method-assign, assignment]
    own = Hub.open(hub.root)
    slot = FileSlot(own.config.data_dir / "worker-0.at")
    worker = Worker(own.journal, own.store, own.worker.pipeline, slot=slot)
    while worker.step():
        pass
    os._exit(0)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], tuple[list[int], dict[str, Outcome]]]:
    root = make_project(tmp_path / "project")

    def until_it_lives(where: str) -> tuple[list[int], dict[str, Outcome]]:
        hub = Hub.open(root)
        names = ["A", "B", "BAD", "C", "D"]
        entries = {name: hub.receive("lab_oru", message(name)) for name in names}
        codes: list[int] = []
        while not codes or codes[-1]:
            assert len(codes) < 12, "the worker dies for ever"
            child = multiprocessing.get_context("fork").Process(target=killing, args=(hub, where))
            child.start()
            child.join(60)
            codes.append(1 if child.exitcode is None else child.exitcode)
        found = {name: hub.store.outcome(entry) for name, entry in entries.items()}
        hub.close()
        return codes, {name: o for name, o in found.items() if o is not None}

    return until_it_lives


@pytest.mark.parametrize(("where", "deaths"), [("map", DEATHS), ("store", DEATHS + 1)])
def test_what_kills_the_worker_is_parked_alone(
    run: Callable[[str], tuple[list[int], dict[str, Outcome]]], where: str, deaths: int
) -> None:
    codes, outcomes = run(where)
    assert len(codes) == deaths + 1
    assert [(n, o.status) for n, o in outcomes.items()] == [
        (n, "parked" if n == "BAD" else "done") for n in ("A", "B", "BAD", "C", "D")
    ]
    assert outcomes["BAD"].cause == "killed-the-worker"


def test_deaths_of_different_entries_are_not_added_up(tmp_path: Path) -> None:
    path = tmp_path / "worker-0.at"
    for entry in (7, 8, *[7] * (DEATHS - 1)):
        slot = FileSlot(path)
        assert not slot.deadly(7)
        slot.begin(entry, 9)
    slot = FileSlot(path)
    assert not slot.deadly(7)
    assert slot.alone_until == 9
    slot.begin(7, 7)
    assert FileSlot(path).deadly(7)


def test_an_orderly_end_is_no_death(tmp_path: Path) -> None:
    path = tmp_path / "worker-0.at"
    for _ in range(3):
        slot = FileSlot(path)
        assert not slot.deadly(7)
        slot.begin(7, 7)
        slot.end()
