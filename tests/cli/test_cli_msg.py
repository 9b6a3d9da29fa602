"""`hub msg`, `hub feed`: messages are found by what a person knows, and shown without patient data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project

from engine.channels.definition import load_channels
from engine.channels.message.text import readable
from engine.cli.feed import changes
from engine.cli.follow import channel_at, follow, follow_entry
from engine.cli.msg import find, replay, show
from engine.cli.opened import Opened, opened
from engine.kernel.errors import ConfigError, HubError
from engine.store.cursor import FeedRestored, cursor_at

ME = "cli:tester"
PATIENT_DATA = ("Doe", "Jane", "100234", "19800101", "Springfield")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("messages") / "project")


@pytest.fixture(scope="module")
def hub(project: Path) -> Iterator[Hub]:
    made = Hub.open(project)
    for name in ("potassium", "final", "cmp"):
        made.take("lab_oru", f"lab/oru_{name}")
    made.take("adt", "adt/adt_a01_admit")
    made.receive("lab_oru", made.sample("lab/oru_rp"), "refused", "not accepted")
    made.work()
    made.receive("lab_oru", made.sample("lab/oru_sn"))  # waits
    yield made
    made.close()


@pytest.fixture(scope="module")
def here(hub: Hub, project: Path) -> Iterator[Opened]:
    with opened(project) as made:
        yield made


def entries(here: Opened, *words: str, **more: str) -> list[int]:
    return [f.entry for f in find(here, words, ME, **more)]


def test_everything_newest_first_with_its_state(here: Opened) -> None:
    assert entries(here) == [6, 5, 4, 3, 2, 1]
    assert [f.status for f in find(here, [], ME)] == ["waiting", "parked", "done", "done", "done", "done"]
    assert entries(here, status="parked") == [5]
    assert entries(here, status="waiting") == [6]
    assert entries(here, status="done", channel="adt") == [4]
    assert entries(here, channel="adt") == [4]
    assert len(find(here, [], ME, limit=2)) == 2


def test_by_what_a_person_knows(here: Opened) -> None:
    potassium = here.journal.search.by_control("LAB0001")
    for words in (
        ["100234", "LAB0001"],
        ["Doe", "LAB0001"],
        ["doe JANE", "LAB0001"],
        ["19800101", "LAB0001"],
        ["1980-01-01", "LAB0001"],
        ["1/1/1980", "LAB0001"],
        ["ORD1", "LAB0001"],
        ["V7001", "LAB0001"],
        ["LAB0001"],
    ):
        assert entries(here, *words) == potassium, words
    assert entries(here, "Thistledown") == [4]
    assert entries(here, "Doe", "Thistledown") == []
    assert entries(here, "nobody") == []
    assert entries(here, "LAB0001", status="parked") == []


def test_a_waiting_message_is_found_by_its_control_id(here: Opened, hub: Hub) -> None:
    waiting = here.journal.search.page(before=7, limit=1)[0]
    assert entries(here, waiting.control_id) == [6]


def test_looking_for_somebody_is_recorded_and_sealed(here: Opened, hub: Hub) -> None:
    find(here, ["Doe"], ME)
    row = here.store.audit.rows()[-1]
    assert (row.who, row.action, row.what, row.detail) == (ME, "msg:find", "messages", "Doe")
    find(here, [], ME)
    assert here.store.audit.rows()[-1].id == row.id


def test_shown_without_patient_data_and_with_it_on_record(here: Opened) -> None:
    made = show(here, 1, ME)
    assert made["status"] == "done" and "body" not in made
    assert {r["type"] for r in made["resources"]} >= {"Patient", "Observation", "DiagnosticReport"}
    for word in PATIENT_DATA:
        assert word not in str(made)
    before = here.store.audit.head()[0]
    body = show(here, 1, ME, phi=True)["body"]
    assert "Doe^Jane" in body and body.startswith("MSH|") and "\n" in body
    (row,) = here.store.audit.rows(before)
    assert (row.who, row.action, row.what) == (ME, "msg:open", "entry/1")


def test_a_parked_message_says_why(here: Opened) -> None:
    made = show(here, 5, ME)
    assert (made["status"], made["cause"]) == ("parked", "refused")


def test_a_terminal_obeys_nothing_in_a_message() -> None:
    assert readable(b"MSH|^~\\&|A\rNTE|1||\x1b[31mred\x07\r") == "MSH|^~\\&|A\nNTE|1||\\x1b[31mred\\x07"


def test_what_is_not_there(here: Opened) -> None:
    with pytest.raises(HubError, match="there is no entry 99"):
        show(here, 99, ME)
    with pytest.raises(HubError, match="there is no entry 99"):
        replay(here, 99, ME, "why")
    with pytest.raises(HubError, match="needs a reason"):
        replay(here, 1, ME, " ")
    with pytest.raises(ConfigError, match="waiting, done"):
        find(here, [], ME, status="lost")


@pytest.fixture
def used(tmp_path: Path) -> Iterator[tuple[Opened, Hub]]:
    """A hub that has worked off one message, to do something with."""
    made = Hub.open(make_project(tmp_path / "project"))
    made.take("lab_oru", "lab/oru_potassium")
    with opened(made.root) as here:
        yield here, made
    made.close()


def test_a_replay_is_an_entry_with_its_reason(used: tuple[Opened, Hub]) -> None:
    here, hub = used
    accepted = replay(here, 1, ME, "the map was wrong")
    assert follow_entry(here, accepted.id, 0) is None  # nobody has worked on it yet
    hub.work()
    became = follow_entry(here, accepted.id, 0)
    assert became is not None and became.outcome.status == "done"
    made = show(here, accepted.id, ME)
    assert (made["kind"], made["replay_of"]) == ("replay", 1)
    assert made["reason"] == f"{ME}: the map was wrong"
    assert ("msg:replay", "entry/1") in [(r.action, r.what) for r in here.store.audit.rows()]


def test_an_edited_replay_writes_what_the_edited_message_says(used: tuple[Opened, Hub]) -> None:
    here, hub = used
    edited = hub.sample("lab/oru_potassium").replace(b"||4.1|", b"||4.7|")
    accepted = replay(here, 1, ME, "typing error", edited)
    hub.work()
    assert show(here, accepted.id, ME)["kind"] == "resend"
    (id_,) = [i for k, i, _, _ in here.store.written_by(accepted.id) if k == "Observation"]
    made = here.store.read("Observation", id_)
    assert made is not None and str(made["valueQuantity"]["value"]) == "4.7"


def test_a_sent_message_is_followed_to_what_it_became(here: Opened, project: Path) -> None:
    lab = next(c.mllp for c in load_channels(project) if c.name == "lab_oru")
    assert lab is not None
    assert channel_at(here, f"mllp://127.0.0.1:{lab.mllp.port}") == "lab_oru"
    assert channel_at(here, f"mllp://192.0.2.1:{lab.mllp.port}") == ""
    assert channel_at(here, "mllp://127.0.0.1:1") == ""
    became = follow(here, "lab_oru", "LAB0001", 0)
    assert became is not None and became.entry == 1
    assert "Observation" in [kind for kind, *_ in became.resources]
    assert follow(here, "adt", "LAB0001", 0) is None


def test_the_feed_in_pieces_is_the_feed(here: Opened) -> None:
    whole, end = changes(here, "0", 10_000)
    assert end == cursor_at(here.store, here.store.head())
    assert here.store.head() == whole[-1]["position"]
    found, at = [], "0"
    while True:
        rows, following = changes(here, at, 7)
        found += rows
        if following == at:
            break
        at = following
    assert found == whole
    assert not any(word in str(whole) for word in PATIENT_DATA)


def test_a_cursor_that_this_store_never_gave_is_refused(here: Opened) -> None:
    head = here.store.head()
    for wrong in (f"{head + 1}", f"{head}-00000000", f"{head + 1}-00000000"):
        with pytest.raises(FeedRestored, match="a backup was restored"):
            changes(here, wrong, 7)
    for wrong in ("-1", "x", "1-", "1-2-3", " 1"):
        with pytest.raises(ConfigError, match="--since"):
            changes(here, wrong, 7)


def test_nothing_is_made_where_nothing_was(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    with pytest.raises(HubError, match="nothing has been received yet"), opened(project):
        pass
    assert not (project / "var").exists()
