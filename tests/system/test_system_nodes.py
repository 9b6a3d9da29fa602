"""Hubs on several nodes with NATS servers and PostgreSQL: lanes move to who is there, a stop hands them over,
a worker that stood still is refused, and what was acknowledged is worked off once and in order through
rounds of trouble. The long form is `python bench/cluster.py --rounds 30`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_rounds import FAULTS, Site
from hub_process import send, wait_for
from system_messages import result

pytest.importorskip("nats", reason="NO NATS: nothing of many machines was tested")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hubs, three NATS servers, PostgreSQL with a standby; no cables: not every run is root's."""
    made = Site(tmp_path_factory.mktemp("site"), senders=4, pause=0.1, rest=0.5)
    yield made
    made.close()


def owners(site: Site) -> dict[str, int]:
    """Return how many lanes each worker took."""
    rows = site.pg.ask("SELECT owner, count(*) FROM lane_owner GROUP BY owner", "hub")
    return {str(owner): int(count) for owner, count in rows}


def test_each_worker_has_its_share_of_the_lanes(site: Site) -> None:
    wait_for(lambda: owners(site) == {"n0/worker-0": 32, "n1/worker-0": 32}, "lanes are not shared out")


def test_the_broker_is_told_no_patient_data(site: Site) -> None:
    door = site.running[0].ports["lab_oru"]
    assert send(door, *(result(f"B{n}", f"9{n:07d}", n) for n in range(10))) == ["AA"] * 10
    wait_for(lambda: site._worked(10), "entries wait")
    kept = b"".join(path.read_bytes() for path in (site.folder / "nats").rglob("*") if path.is_file())
    assert b"hub.ring.lane-" in kept
    for word in (b"90000003", b"Family", b"SYSTEST", b"2823-3"):
        assert word not in kept


def test_rounds_of_trouble(site: Site) -> None:
    rng = random.Random(int(os.environ.get("HUB_SEED", "2026")))
    site.sent.clear()
    site.begin()
    for fault in ("upgrade", "stall", "pause", "postgres"):
        site.round(fault, rng, quiet=0.5, last=fault == "postgres")
    assert site.finish() > 50


@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0, reason="NO ROOT: only root may pull cables")
def test_thirty_rounds(tmp_path: Path) -> None:
    site = Site(tmp_path / "site", real=True)
    rng = random.Random(8)
    try:
        site.begin()
        for number in range(30):
            site.round(FAULTS[number % len(FAULTS)], rng)
        site.finish()
    finally:
        site.close()
