"""A dry run says what the replay will do, and does nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hub_project import Hub

from engine.channels.deaths import killed
from engine.channels.message.many import Rehearsed, release, try_many
from engine.channels.message.rehearsing import DryRun, dry_run
from engine.channels.message.running import Runs, Tries
from engine.channels.replay import ask_replay
from engine.kernel.errors import HubError
from engine.kernel.message import Work


def tried(hub: Hub, entry: int, **more: Any) -> DryRun:
    return dry_run(entry, hub.journal, hub.store, hub.worker.pipeline, channels=hub.channels, **more)


def state(hub: Hub) -> tuple[int, int, int]:
    with hub.store._database.read() as session:
        ((outcomes,),) = session.all("SELECT count(*) FROM outcome")
    return hub.journal.head(), hub.store.head(), outcomes


def test_the_same_maps_change_nothing(seen: Hub) -> None:
    before = state(seen)
    found = tried(seen, seen.entries["lab/oru_final"])
    assert found.quiet and found.state == "done" and found.later > 0
    assert found.revision == seen.worker.pipeline.maps.program("acme_lab").revision or found.revision
    assert state(seen) == before


def test_a_mended_map_shows_what_would_change_and_the_replay_does_it(used: Hub) -> None:
    entry = used.take("lab_oru", "lab/oru_potassium")
    path = used.root / "mappings" / "hl7v2" / "segments" / "OBX_Observation.yaml"
    text = path.read_text()
    sure = next(line for line in text.splitlines() if line.strip().startswith("interpretation"))
    path.write_text(text.replace(sure + "\n", ""))
    mended = Hub.open(used.root)
    before = state(mended)
    found = tried(mended, entry)
    assert state(mended) == before
    (change,) = found.changes
    assert (change.type, change.kind, change.version) == ("Observation", "changed", 1)
    assert {d.path for d in change.differences} == {"Observation.interpretation"}
    ask_replay(mended.journal, entry, "tester", "the row is gone")
    mended.work()
    after = mended.store.read("Observation", change.id)
    assert after is not None and change.after is not None
    assert {k: v for k, v in after.items() if k != "meta"} == change.after
    assert tried(mended, entry).quiet
    mended.close()


def test_a_parked_one_shows_what_it_would_make_now(seen: Hub) -> None:
    found = tried(seen, seen.entries["refused"])
    assert found.state == "done"
    assert {"new"} <= {c.kind for c in found.changes} and any(c.type == "Observation" for c in found.changes)


def test_what_stays_parked_says_so(seen: Hub) -> None:
    found = tried(seen, seen.entries["garbage"])
    assert (found.state, found.cause, found.changes) == ("parked", "not-readable", ())


def test_an_edited_message_is_tried_as_the_new_one_that_it_is(seen: Hub) -> None:
    before = state(seen)
    entry = seen.entries["lab/oru_potassium"]
    body = seen.sample("lab/oru_potassium").replace(b"||4.1|", b"||4.7|")
    found = tried(seen, entry, body=body)
    (change,) = [c for c in found.changes if c.type == "Observation"]
    assert {d.path for d in change.differences} >= {"Observation.valueQuantity.value"}
    assert state(seen) == before
    broken = tried(seen, entry, body=b"no message")
    assert (broken.state, broken.cause) == ("parked", "not-readable")


def test_what_there_is_not(seen: Hub) -> None:
    with pytest.raises(HubError, match="there is no entry 99"):
        tried(seen, 99)


def test_a_day_is_tried_with_progress_and_released_in_order(used: Hub) -> None:
    taken = [used.take("lab_oru", f"lab/oru_{name}") for name in ("potassium", "final", "cmp")]
    refused = used.receive("lab_oru", used.sample("lab/oru_rp"), "refused", "no")
    garbage = used.receive("lab_oru", b"GET / HTTP/1.1", "garbage")
    used.work()
    tries = Tries(used.journal, used.store, used.keyring.mac16)
    runs = Runs(tries)
    pipeline = tries.live(used.worker.pipeline.maps, used.channels)
    assert tries.live(used.worker.pipeline.maps, used.channels) is pipeline
    run = runs.begin([*taken, refused, garbage], pipeline, "ann", "a day")
    assert runs.get(run.token, "bob") is None and runs.get(run.token, "ann") is run
    assert runs.wait(run, 60)
    result = run.result
    assert (result.done, result.quiet, result.changing) == (5, 3, [refused])
    assert result.parked == {"not-readable": [garbage]}
    new = {g.element: g.count for g in result.sorted_groups() if g.kind == "new"}
    assert new["Observation"] >= 1 and result.resources == sum(new.values())
    sample = next(g for g in result.groups.values() if g.element == "Observation").samples[0]
    assert sample[0] == refused and sample[1].startswith("Observation/")
    made = release(used.journal, used.store, [refused, taken[0]], "ann", "a day")
    assert list(made) == [taken[0], refused]
    assert release(used.journal, used.store, [refused, taken[1]], "ann", "again").keys() == {taken[1]}
    used.work()
    outcome = used.store.outcome(made[refused])
    assert outcome is not None and outcome.status == "done"


def test_a_rehearsal_can_be_stopped(seen: Hub) -> None:
    result = Rehearsed((1, 2, 3))
    try_many([1, 2, 3], lambda n: tried(seen, n), result, lambda: result.done >= 1)
    assert (result.done, result.ended, result.problem) == (1, True, "stopped")


def test_a_resource_counts_once(seen: Hub) -> None:
    one = tried(seen, seen.entries["refused"])
    result = Rehearsed((7, 7))
    result.add(one)
    first = {key: group.count for key, group in result.groups.items()}
    result.add(one)
    assert {key: group.count for key, group in result.groups.items()} == first
    assert result.resources == len(one.changes)


def test_what_killed_its_worker_is_tried_nowhere(used: Hub) -> None:
    entry = used.receive("lab_oru", used.sample("lab/oru_potassium"))
    found = used.journal.get(entry)
    assert found is not None
    work = Work(entry, entry, "lab_oru", "", found.lanes, parked=killed())
    used.store.apply([work])
    told = tried(used, entry)
    assert (told.state, told.cause, told.changes) == ("parked", "killed-the-worker", ())
