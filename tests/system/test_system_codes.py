"""A code is approved while the hub runs: every worker takes the table over before what waited runs again."""

from __future__ import annotations

from collections.abc import Callable

from hub_process import Hub, send

from engine.channels.worklist import Worklist
from engine.store.sql import SqlStore


def oru(n: int, code: str) -> bytes:
    """Make a result of the example laboratory about a patient of its own."""
    return (
        f"MSH|^~\\&|ACMELIS|ACME|HUB|HOSP|20260501120000||ORU^R01^ORU_R01|M{n}|P|2.5.1\r"
        f"PID|1||7{n}^^^MRN^MR||ROWAN^IDA||19800101|F\r"
        f"OBR|1|P{n}|F{n}|24323-8^CMP^LN|||20260501110000|||||||||||||||20260501||LAB|F\r"
        f"OBX|1|NM|{code}^Some test^L||5.{n}|mmol/L|||||F\r"
    ).encode()


def codes(store: SqlStore, entry: int) -> list[str]:
    """Return the codings of the result that an entry wrote."""
    (id_,) = [id_ for kind, id_, *_ in store.written_by(entry) if kind == "Observation"]
    made = store.read("Observation", id_)
    assert made is not None
    return [c["code"] for c in made["code"]["coding"]]


def test_approved_while_two_workers_run(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(workers=2)
    hub.start()
    count = 16  # patients enough that both workers have some
    assert set(send(hub.ports["lab_oru"], *(oru(n, "NEWCODE") for n in range(count)))) == {"AA"}
    hub.drained()
    with hub.inside() as (journal, store):
        work = Worklist(hub.config, journal, store)
        (found,) = [s for s in work.sightings() if s.code == "NEWCODE"]
        assert (found.count, found.flagged) == (count, count)
        lanes = {n % 2 for entry in range(1, count + 1) for n in journal.read(entry - 1, 1)[0].lanes[:1]}
        assert lanes == {0, 1}
        work.propose(found.id, "cli:ann", "2345-7", system="http://loinc.org")
        done = work.approve([found.id], "cli:ann")
        assert len(done.replays) == count
    hub.drained()
    with hub.inside() as (journal, store):
        for entry in done.replays.values():
            assert codes(store, entry) == ["2345-7", "NEWCODE"]
        assert [s.flagged for s in store.gaps.all() if s.code == "NEWCODE"] == [0]
    assert send(hub.ports["lab_oru"], oru(count, "NEWCODE")) == ["AA"]
    hub.drained()
    with hub.inside() as (journal, store):
        assert codes(store, journal.head()) == ["2345-7", "NEWCODE"]
    assert "cannot be used" not in hub.log.read_text()
    assert hub.stop() == 0


def test_approved_while_no_hub_runs(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.start()
    send(hub.ports["lab_oru"], oru(1, "NEWCODE"))
    hub.drained()
    assert hub.stop() == 0
    with hub.inside() as (journal, store):
        work = Worklist(hub.config, journal, store)
        (found,) = [s for s in work.sightings() if s.code == "NEWCODE"]
        work.propose(found.id, "cli:ann", "2345-7", system="http://loinc.org")
        (replay,) = work.approve([found.id], "cli:ann").replays.values()
        assert store.outcome(replay) is None
    hub.start()
    hub.drained()
    with hub.inside() as (_, store):
        assert codes(store, replay) == ["2345-7", "NEWCODE"]
    assert hub.stop() == 0
