"""What waits for a person, by cause: counted by the newest run, released once, closed and opened again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project, shipped_maps
from test_sightings import oru
from test_worklist import GLUX, ZZ, code_of, hold

from engine.channels.keeping import keep
from engine.channels.replay import ask_replay
from engine.channels.todo.releasing import Releasing
from engine.channels.todo.runs import Runs
from engine.channels.todo.tasks import Task, Tasks, plain_place, task_id
from engine.channels.todo.trying import sample_of, try_again
from engine.channels.worklist import Worklist
from engine.kernel.clock import now_ms
from engine.kernel.config import KeepSettings
from engine.kernel.errors import HubError
from engine.staff.staff import Staff

NO_MAP = b"MSH|^~\\&|ACMELIS|ACME|HUB|HOSP|20260501120000||ZZZ^Z99|%d|P|2.5.1\rPID|1||7^^^N^MR||DOE^JO\r"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path / "project"), shipped_maps())
    yield made
    made.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Hub]:
    """A hub whose maps may change."""
    made = Hub.open(make_project(tmp_path / "project"))
    yield made
    made.close()


def desk(hub: Hub) -> Releasing:
    staff = Staff.open(f"sqlite:///{hub.config.data_dir}/staff.db", hub.keyring)
    return Releasing(hub.config, hub.journal, hub.store, staff, Tasks(hub.journal, hub.store))


def only(desk: Releasing) -> Task:
    (task,) = desk.tasks.all(fresh=True)
    return task


def test_messages_stand_by_cause_and_place_not_one_by_one(hub: Hub) -> None:
    for n in range(3):
        hub.receive("lab_oru", NO_MAP % n)
    hub.receive("lab_oru", b"no message", kind="garbage")
    for n in range(2):
        hub.receive("lab_oru", oru(n, GLUX, ZZ.replace("OBX|1", "OBX|2")))
    hub.work()
    tasks = {(t.cause, t.gap): t for t in Tasks(hub.journal, hub.store).all()}
    no_map = tasks["no-map", 0]
    assert (no_map.parked, no_map.place, no_map.oldest, no_map.newest) == (3, "MSH-9", 1, 3)
    assert no_map.senders == (("ACMELIS|ACME", 3),) and no_map.samples == (3, 2, 1)
    glux, zz = code_of(hub, "GLUX").id, code_of(hub, "ZZ").id
    assert [tasks["unmapped-code", gap].flagged for gap in (glux, zz)] == [2, 2]
    assert len(tasks) == 4 and all(t.channel == "lab_oru" for t in tasks.values())


@pytest.mark.parametrize(
    ("place", "plain"),
    [
        ("OBX[3]-5(2).1", "OBX-5.1"),
        ("OBX[3]-5 and 2 more", "OBX-5"),
        ("Observation/0f3a-77", "Observation"),
        ("Patient.name[0].family", "Patient.name.family"),
        ("", ""),
    ],
)
def test_places_without_indices(place: str, plain: str) -> None:
    assert plain_place(place) == plain


def test_a_message_counts_by_its_newest_run(hub: Hub) -> None:
    tasks = Tasks(hub.journal, hub.store)
    first = hub.receive("lab_oru", NO_MAP % 1)
    hub.work()
    (task,) = tasks.all(fresh=True)
    again = ask_replay(hub.journal, first, "ann", "try").id
    (running,) = tasks.all(fresh=True)
    assert (running.count, running.running) == (1, 1)
    assert tasks.entries(task.id) == ([], [])  # what runs is not offered again
    hub.work()
    (parked,) = tasks.all(fresh=True)
    assert (parked.id, parked.count, parked.running, parked.samples) == (task.id, 1, 0, (again,))
    ask_replay(hub.journal, again, "ann", "edited", oru(5, "OBX|1|NM|2345-7^Glucose^LN||5|mmol/L|||||F"))
    hub.work()
    assert tasks.all(fresh=True) == []
    assert Tasks(hub.journal, hub.store).all() == []  # and whoever reads all of it anew says the same


def test_what_is_carried_on_is_what_a_new_reading_finds(own: Hub) -> None:
    """The same list after every step, carried on and read anew."""
    hub = own
    hold(hub)
    tasks = Tasks(hub.journal, hub.store)
    steps = [
        lambda: hub.receive("lab_oru", oru(1, GLUX)),
        lambda: hub.receive("lab_oru", oru(2, GLUX, ZZ.replace("OBX|1", "OBX|2"))),
        lambda: hub.receive("lab_oru", NO_MAP % 3),
        lambda: ask_replay(hub.journal, 1, "ann", "again").id,
        lambda: ask_replay(hub.journal, 1, "ann", "again").id,
        lambda: ask_replay(hub.journal, 4, "ann", "again").id,
    ]
    for step in steps:
        step()
        tasks.all(fresh=True)
        hub.work()
        found = tasks.all(fresh=True)
        assert found == Tasks(hub.journal, hub.store).all() and found
    work = Worklist(hub.config, hub.journal, hub.store)
    for code in ("GLUX", "ZZ"):
        work.propose(code_of(hub, code).id, "ann", "2345-7", system="http://loinc.org")
    work.approve([code_of(hub, "GLUX").id, code_of(hub, "ZZ").id], "bob")
    hub.work()
    assert [t.cause for t in tasks.all(fresh=True)] == ["no-map"]
    assert tasks.all() == Tasks(hub.journal, hub.store).all()


def test_one_runs_beside_another(hub: Hub) -> None:
    runs = Runs()
    runs.told([(5, 1), (6, 5), (7, 2)])
    assert (runs.root(6), runs.all(1), runs.running()) == (1, [1, 5, 6], {1, 2})
    runs.became({5: "parked", 6: "done", 7: "parked"})
    runs.settle(None, {1, 2, 5, 7})
    assert runs.past == {1, 2, 5} and runs.running() == set()
    assert (runs.through(1, {1, 5}), runs.parked(2, {2, 7})) == (6, 7)


def test_a_release_runs_all_that_waits_once(own: Hub) -> None:
    hub = own
    sent = [hub.receive("lab_oru", NO_MAP % n) for n in range(5)]
    hub.work()
    at = desk(hub)
    task = only(at)
    assert [t.status for t in try_again(hub.journal, hub.store, hub.worker.pipeline, sent[:2])] == [
        "parked"
    ] * 2
    release = at.release(task, "form-1", "ann", "map written")
    assert at.release(task, "form-1", "ann", "map written") == release  # the button was pressed twice
    with pytest.raises(HubError, match="nothing of this waits"):
        at.release(task, "form-2", "bob", "map written")  # somebody else pressed it, too
    at.carry_out(release.number)
    at.carry_out(release.number)
    assert hub.journal.head() == 10
    replays = dict(at.staff.releases.lines(release.number))
    assert list(replays) == sent and list(replays.values()) == sorted(replays.values())
    with pytest.raises(HubError, match="nothing of this waits"):
        at.release(task, "form-3", "bob", "map written")  # they run already
    assert at.progress(release).running == 5
    hub.work()
    progress = at.progress(release)
    assert (progress.asked, progress.parked, progress.done, progress.running) == (5, 5, 0, 0)
    assert only(at).count == 5  # parked again: five messages, not ten
    again = at.release(only(at), "form-4", "ann", "and once more")
    assert at.staff.releases.left(again.number, 100) == sorted(replays.values())
    actions = [(r.who, r.action, r.what) for r in hub.store.audit.rows()]
    assert actions == [("ann", "work:release", f"task/{task.id}")] * 2
    entry = hub.journal.get(replays[sent[0]])
    assert entry is not None and entry.reason == f"ann: work {release.number}: map written"


def test_a_release_that_was_broken_off_goes_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        hub.receive("lab_oru", NO_MAP % n)
    hub.work()
    at = desk(hub)
    monkeypatch.setattr("engine.channels.todo.releasing.AT_ONCE", 2)
    release = at.release(only(at), "form", "ann", "mended")
    written = at.staff.releases.asked
    calls = []

    def breaks(self: object, number: int, replays: dict[int, int]) -> None:
        calls.append(replays)
        if len(calls) == 2:
            raise HubError("the power went")
        written(number, replays)

    with monkeypatch.context() as patch:
        patch.setattr("engine.staff.releases.Releases.asked", breaks)
        with pytest.raises(HubError, match="power"):
            at.carry_out(release.number)
    assert hub.journal.head() == 9  # the second pair is in the journal, and nobody wrote that down
    at.carry_out(release.number)
    assert hub.journal.head() == 10
    assert len({replay for _, replay in at.staff.releases.lines(release.number)}) == 5
    found = at.staff.releases.get(release.number)
    assert found is not None and found.ended is not None


def test_the_release_of_a_patient_keeps_the_order(own: Hub) -> None:
    hub = own
    hold(hub)
    sent = [
        hub.receive("lab_oru", oru(7, GLUX.replace("5.5", value)).replace(b"|M7|", f"|{value}|".encode()))
        for value in ("5.1", "5.2", "5.3")
    ]
    hub.work()
    at = desk(hub)
    release = at.release(only(at), "form", "ann", "the site keeps such codes now")
    path = hub.root / "mappings/sites/acme_lab.yaml"
    path.write_text(path.read_text().replace("unmapped: hold", "unmapped: keep"))
    again = Hub.open(hub.root)
    tried = try_again(hub.journal, hub.store, again.worker.pipeline, sent)
    assert [(t.status, t.flags) for t in tried] == [("done", ())] * 3 and tried[0].written
    assert hub.journal.head() == 3 and hub.store.written_by(sent[0]) == []
    at.carry_out(release.number)
    again.work()
    progress = at.progress(release)
    assert (progress.done, progress.parked, progress.running) == (3, 0, 0)
    last = max(replay or 0 for _, replay in at.staff.releases.lines(release.number))
    made = hub.store.read("Observation", hub.written(last, "Observation"))
    assert made is not None and str(made["valueQuantity"]["value"]) == "5.3"
    assert at.tasks.all(fresh=True) == [] and hub.store.gaps.waiting([code_of(hub, "GLUX").id]) == {}
    again.close()


def test_closing_takes_it_from_the_list_and_can_be_taken_back(own: Hub) -> None:
    hub = own
    first, second = (hub.receive("lab_oru", NO_MAP % n) for n in range(2))
    hub.work()
    at = desk(hub)
    again = ask_replay(hub.journal, first, "ann", "again").id
    hub.work()
    task = only(at)
    with pytest.raises(HubError, match="needs a reason"):
        at.close(task, "form", "ann", " ")
    closed = at.close(task, "form", "ann", "a test of the vendor's")
    assert at.close(task, "form", "ann", "a test of the vendor's").number == closed.number
    assert at.tasks.all(fresh=True) == []
    for entry in (first, again, second):
        outcome = hub.store.outcome(entry)
        assert outcome is not None and (outcome.status, outcome.cause) == ("closed", "no-map")
    assert hub.store.parked() == [] and hub.journal.get(first) is not None  # nothing is lost
    assert at.progress(closed).closed == 3
    assert at.reopen(closed, "bob", "it was none") == 3
    assert only(at) == task
    assert [r.action for r in hub.store.audit.rows()] == ["work:close", "work:reopen"]


def test_closing_a_flag_leaves_the_other_flags_of_a_message(hub: Hub) -> None:
    entry = hub.receive("lab_oru", oru(1, GLUX, ZZ.replace("OBX|1", "OBX|2")))
    hub.work()
    at = desk(hub)
    one, two = at.tasks.all(fresh=True)
    closed = at.close(one, "form", "ann", "a code that nobody uses")
    assert only(at) == two
    at.close(two, "other", "ann", "the same")
    assert at.tasks.all(fresh=True) == []
    outcome = hub.store.outcome(entry)
    assert outcome is not None and outcome.status == "done" and not any(f.work for f in outcome.flags)
    assert any(f.code == "unmapped-code" for f in outcome.flags)
    at.reopen(closed, "ann", "it is used")
    assert only(at).id == one.id
    number = one.gap
    work = Worklist(hub.config, hub.journal, hub.store)
    assert work.waiting([number]).entries == [entry]


def test_a_body_that_is_gone_cannot_be_released_and_says_so(hub: Hub) -> None:
    hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    config = hub.config.model_copy(update={"keep": KeepSettings(messages="30 days")})
    keep(config, hub.journal, hub.store, now=now_ms() + 60 * 86_400_000)
    at = desk(hub)
    (entry,) = at.ready(only(at))
    assert try_again(hub.journal, hub.store, hub.worker.pipeline, [entry])[0].status == "gone"
    release = at.release(only(at), "form", "ann", "why not")
    at.carry_out(release.number)
    assert at.progress(release).gone == 1 and hub.journal.head() == 1


def test_samples_are_spread() -> None:
    assert sample_of(range(5)) == [0, 1, 2, 3, 4]
    spread = sample_of(range(1000), 5)
    assert spread[0] == 0 and spread[-1] == 999 and len(spread) == 5


def test_a_task_has_one_name() -> None:
    assert task_id("parked", "lab", "no-map", "MSH-9") == task_id("parked", "lab", "no-map", "MSH-9")
    names = {
        task_id(*key)
        for key in (("parked", "a", "bc", ""), ("parked", "ab", "c", ""), ("flag", "a", "bc", ""))
    }
    assert len(names) == 3
