"""Older never overwrites newer, whatever is run again and in whatever order things arrive: end states, and
Provenance that names who asked and why.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hub_process import Hub, send
from system_messages import admit, merge, result
from test_system_workers import entry, one_worker

from engine.channels.replay import ask_replay
from engine.journal.sql import SqlJournal
from engine.store.sql import SqlStore

SITE = """\
site: sys
over: standard
match: {MSH-3: SYSLAB}
change:
  OBX_Observation:
    effectiveDateTime: skip
"""


def one(store: SqlStore, kind: str, *parameters: tuple[str, str]) -> dict[str, Any]:
    """Return the only resource that a search finds."""
    (found,) = store.search(kind, parameters).resources
    return found


def people(store: SqlStore, number: str) -> dict[str, Any]:
    """Return the patient who has, or had, a number."""
    found = store.search("Patient", [("identifier", number)]).resources
    own = [p for p in found if p["identifier"][0]["value"] == number]
    return (own or found)[0]


def replay(hub: Hub, entry: int, why: str) -> int:
    """Ask for a replay, wait for it and return its entry."""
    with hub.inside() as (journal, _):
        made = ask_replay(journal, entry, "ada@example.org", why).id
    hub.drained()
    return made


def asked(store: SqlStore, entry: int) -> tuple[list[str], list[str]]:
    """Return who and why, as the Provenance of an entry says."""
    provenance = store.read("Provenance", f"entry-{entry}")
    assert provenance is not None
    who = [a["who"]["display"] for a in provenance["agent"] if a["type"]["coding"][0]["code"] == "enterer"]
    return who, [r["text"] for r in provenance.get("reason", ())]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One running hub: every test has patients of its own."""
    made = Hub(tmp_path_factory.mktemp("replay"), workers=2)
    made.start()
    yield made
    made.kill()


def newest(hub: Hub) -> int:
    """Return the newest entry."""
    with hub.inside() as (journal, _):
        return journal.head()


def test_a_preliminary_result_run_again_stays_behind_the_final_one(hub: Hub) -> None:
    port = hub.ports["lab_oru"]
    assert send(port, result("R1", "77", 4.1, order="O1", status="P")) == ["AA"]
    assert send(port, result("R2", "77", 4.4, order="O1", status="F")) == ["AA"]
    hub.drained()
    first = newest(hub) - 1
    again = replay(hub, first, "the first answer was doubted")
    with hub.inside() as (journal, store):
        observation = one(store, "Observation", ("patient", people(store, "77")["id"]))
        assert (observation["status"], observation["valueQuantity"]["value"]) == ("final", Decimal("4.4"))
        outcome = store.outcome(again)
        assert outcome is not None and outcome.status == "done"
        versions = store.history("Observation", observation["id"])
        assert [str(v.resource["valueQuantity"]["value"]) for v in versions if v.resource] == ["4.4", "4.1"]
        entry = journal.get(again)
        assert entry is not None and (entry.position, entry.parent, entry.kind) == (first, first, "replay")
        assert entry.reason == "ada@example.org: the first answer was doubted"
        assert outcome.written + outcome.unchanged + outcome.superseded > 0


def test_an_update_run_again_after_a_merge_does_not_undo_it(hub: Hub) -> None:
    adt, lab = hub.ports["adt"], hub.ports["lab_oru"]
    assert send(adt, admit("A1", "11", "Oldname", street="1 Old Street")) == ["AA"]
    assert send(lab, result("A2", "11", 5, family="Oldname")) == ["AA"]
    assert send(adt, merge("A3", "22", "11", "Oldname")) == ["AA"]
    hub.drained()
    with hub.inside() as (journal, store):
        assert {o.status for o in store.outcomes()} == {"done"}, store.outcomes()
        first = journal.head() - 2
        before = people(store, "11"), people(store, "22")
    again = replay(hub, first, "wrong map")
    with hub.inside() as (_, store):
        outcome = store.outcome(again)
        assert outcome is not None and outcome.status == "done", outcome
        retired, survivor = people(store, "11"), people(store, "22")
        assert (retired["id"], survivor["id"]) == (before[0]["id"], before[1]["id"])
        assert retired["active"] is False
        assert {"type": "replaced-by", "other": {"reference": f"Patient/{survivor['id']}"}} in retired["link"]
        observation = one(store, "Observation", ("patient", survivor["id"]))
        assert observation["subject"]["reference"] == f"Patient/{survivor['id']}"


def test_a_merge_before_the_result_of_the_retired_number(hub: Hub) -> None:
    adt, lab = hub.ports["adt"], hub.ports["lab_oru"]
    assert send(adt, merge("M1", "44", "33", "Family")) == ["AA"]
    hub.drained()
    assert send(lab, result("M2", "33", 6, family="Family")) == ["AA"]
    hub.drained()
    with hub.inside() as (_, store):
        outcomes = store.outcomes(limit=2, newest_first=True)[::-1]
        assert [o.status for o in outcomes] == ["done", "done"], outcomes
        survivor = people(store, "44")
        observation = one(store, "Observation", ("patient", survivor["id"]))
        assert observation["subject"]["reference"] == f"Patient/{survivor['id']}"
        assert "retired-patient" in {f.code for f in outcomes[1].flags}


def work_off(hub: Hub, journal: SqlJournal, store: SqlStore) -> None:
    """Run a worker under the maps as they are now."""
    worker = one_worker(hub, journal, store)
    while worker.step():
        pass


def test_a_replay_under_a_changed_map_says_who_and_why(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    with hub.inside() as (journal, store):
        journal.append([entry("R1", result("R1", "77", 4.1, order="O1"))])
        work_off(hub, journal, store)
        (hub.root / "mappings/sites").mkdir(exist_ok=True)
        (hub.root / "mappings/sites/sys.yaml").write_text(SITE)
        again = ask_replay(journal, 1, "ada@example.org", "the unit was wrong").id
        work_off(hub, journal, store)
        outcome = store.outcome(again)
        assert outcome is not None and outcome.status == "done" and outcome.written > 0, outcome
        assert asked(store, again) == (["ada@example.org"], ["the unit was wrong"])
        observation = one(store, "Observation", ("code", "2823-3"))
        assert observation["valueQuantity"]["value"] == Decimal("4.1")
        assert "effectiveDateTime" not in observation, "the row that the site leaves out is still there"
        assert [v.entry for v in store.history("Observation", observation["id"])] == [again, 1]


def test_a_replay_that_cannot_run_is_parked_and_its_lane_goes_on(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    with hub.inside() as (journal, store):
        journal.append([entry(f"S{n}", result(f"S{n}", "55", n, order="X")) for n in (1, 2)])
        work_off(hub, journal, store)
        with sqlite3.connect(hub.config.data_dir / "journal.db") as db:  # a later one cannot run: another key
            db.execute("UPDATE body SET sealed = zeroblob(99) WHERE entry = 2")
        db.close()
        ask_replay(journal, 1, "ada", "what if", result("S1", "55", 1).replace(b"ORU^R01^ORU_R01", b"Z^Z"))
        ask_replay(journal, 1, "ada", "what if")
        journal.append([entry("S5", result("S5", "55", 5, order="X"))])
        work_off(hub, journal, store)
        assert [o.status for o in store.outcomes()] == ["done", "done", "parked", "done", "done"]
        assert one(store, "Observation", ("code", "2823-3"))["valueQuantity"]["value"] == 5
