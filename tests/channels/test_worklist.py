"""From a code that no table knows to its translation in the store: drafts, people, tables, replays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from test_sightings import oru

from engine.channels.keeping import keep
from engine.channels.worklist import Worklist
from engine.kernel.clock import now_ms
from engine.kernel.config import KeepSettings
from engine.kernel.errors import ConfigError, HubError
from engine.store.gaps import Sighting
from engine.terminology.concepts import Concept, Release
from engine.terminology.tables import read_table

LOINC = "http://loinc.org"
ANN, BOB = "cli:ann", "cli:bob"


class Codes:
    """Two codes of a system, one of them retired."""

    def releases(self) -> list[Release]:
        return [Release(LOINC, "2.99")]

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        if code not in ("2345-7", "1558-6", "35184-1"):
            return None
        return Concept(system, code, f"name of {code}", active=code != "35184-1")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path / "project"))
    yield made
    made.close()


@pytest.fixture
def work(hub: Hub) -> Worklist:
    return Worklist(hub.config, hub.journal, hub.store, Codes())  # type: ignore[arg-type]


def hold(hub: Hub) -> None:
    """Let the example laboratory's unknown codes park their messages."""
    path = hub.root / "mappings/sites/acme_lab.yaml"
    path.write_text(path.read_text().replace("unmapped: flag", "unmapped: hold"))
    again = Hub.open(hub.root)
    hub.worker, again.worker = again.worker, hub.worker


def code_of(hub: Hub, code: str) -> Sighting:
    return next(s for s in hub.store.gaps.all() if s.code == code)


def table(hub: Hub) -> bytes:
    return (hub.root / "terminology/maps/acme_lab_to_loinc.csv").read_bytes()


def codings(hub: Hub, entry: int) -> list[str]:
    made = hub.store.read("Observation", hub.written(entry, "Observation"))
    assert made is not None
    return [c["code"] for c in made["code"]["coding"]]


GLUX = "OBX|1|NM|GLUX^Glucose special^L||5.5|mmol/L|||||F"
ZZ = "OBX|1|NM|ZZ^Strange^L||5.5|mmol/L|||||F"


def test_what_was_flagged_is_translated_by_running_again(hub: Hub, work: Worklist) -> None:
    first, second = (hub.receive("lab_oru", oru(n, GLUX)) for n in (1, 2))
    other = hub.receive("lab_oru", oru(3, ZZ))
    hub.work()
    assert codings(hub, first) == ["GLUX"]
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7", comment="as in the old system")
    assert str(work.waiting([number])) == "2 messages will run again (0 parked, 2 written with a flag)"
    before = table(hub)
    done = work.approve([number], ANN)
    assert sorted(done.replays) == [first, second] and not done.unreadable
    (row,) = [r for r in read_table(table(hub), "t") if r.source_code == "GLUX"]
    assert table(hub).startswith(before)  # what others wrote stays
    assert (row.source_system, row.source_display, row.by) == ("L", "Glucose special", "ann")
    assert (row.target_code, row.target_display, row.note) == (
        "2345-7",
        "name of 2345-7",
        "as in the old system",
    )
    hub.work()
    for n in (first, second):
        assert codings(hub, done.replays[n]) == ["2345-7", "GLUX"]
        outcome = hub.store.outcome(done.replays[n])
        assert outcome is not None and outcome.status == "done"
    assert hub.journal.head() == 5 and other not in done.replays
    assert code_of(hub, "GLUX").flagged == 0 and code_of(hub, "GLUX").state == "approved"
    late = hub.receive("lab_oru", oru(4, GLUX))
    hub.work()
    assert codings(hub, late) == ["2345-7", "GLUX"]
    actions = [(r.action, r.what) for r in hub.store.audit.rows()]
    assert ("terms:approve", f"gap/{number}") in actions and ("terms:release", "messages") in actions


def test_provenance_names_the_table_and_its_version(hub: Hub, work: Worklist) -> None:
    first = hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7")
    done = work.approve([number], ANN)
    hub.work()
    version = done.tables["acme_lab_to_loinc"]
    made = hub.store.read("Provenance", f"entry-{done.replays[first]}")
    assert made is not None
    entities = [e["what"]["identifier"] for e in made["entity"] if "identifier" in e["what"]]
    assert {"system": "urn:hub:table", "value": f"acme_lab_to_loinc@{version}"} in entities
    assert f"GLUX -> 2345-7 in acme_lab_to_loinc@{version}" in made["reason"][0]["text"]
    old = hub.store.read("Provenance", f"entry-{first}")
    assert old is not None and version not in str(old) and "acme_lab_to_loinc@" in str(old)


def test_a_parked_message_runs_once_all_its_codes_are_known(hub: Hub, work: Worklist) -> None:
    hold(hub)
    one = hub.receive("lab_oru", oru(1, GLUX))
    both = hub.receive("lab_oru", oru(2, GLUX, ZZ.replace("OBX|1", "OBX|2")))
    hub.work()
    assert [o.entry for o in hub.store.parked()] == [one, both]
    glux, zz = code_of(hub, "GLUX").id, code_of(hub, "ZZ").id
    work.propose(glux, ANN, "2345-7")
    assert str(work.waiting([glux])) == (
        "1 message will run again (1 parked, 0 written with a flag); 1 go on waiting for other codes"
    )
    done = work.approve([glux], ANN)
    assert (sorted(done.replays), done.held_back) == ([one], (both,))
    hub.work()
    assert codings(hub, done.replays[one]) == ["2345-7", "GLUX"]
    work.propose(zz, ANN, "1558-6")
    done = work.approve([zz], ANN)
    assert sorted(done.replays) == [both]
    hub.work()
    outcome = hub.store.outcome(done.replays[both])
    assert outcome is not None and outcome.status == "done"
    assert hub.store.gaps.waiting([glux, zz]) == {}


def test_messages_of_one_patient_run_in_their_order(hub: Hub, work: Worklist) -> None:
    hold(hub)
    sent = [
        hub.receive("lab_oru", oru(7, GLUX.replace("5.5", value)).replace(b"|M7|", f"|{value}|".encode()))
        for value in ("5.1", "5.2", "5.3")
    ]
    hub.work()
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7")
    done = work.approve([number], ANN)
    assert [done.replays[n] for n in sent] == sorted(done.replays.values())
    hub.work()
    made = hub.store.read("Observation", hub.written(done.replays[sent[-1]], "Observation"))
    assert made is not None and str(made["valueQuantity"]["value"]) == "5.3"


def test_two_people(hub: Hub) -> None:
    path = hub.root / "config.yaml"
    text = path.read_text().replace("load_shipped: false", "load_shipped: false, two_people: true")
    assert "two_people" in text
    path.write_text(text)
    again = Hub.open(hub.root)
    work = Worklist(again.config, again.journal, again.store)
    hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7")
    before = table(hub)
    for step in (lambda: work.review(number, ANN), lambda: work.approve([number], ANN)):
        with pytest.raises(HubError, match="second person"):
            step()
    assert table(hub) == before
    assert work.review(number, BOB).state == "reviewed"
    with pytest.raises(HubError, match="second person"):
        work.approve([number], ANN)
    work.approve([number], BOB)
    (row,) = [r for r in read_table(table(hub), "t") if r.source_code == "GLUX"]
    assert (row.by, row.note) == ("bob", "proposed by ann")
    assert [p.state for p in code_of(hub, "GLUX").proposals] == ["draft", "reviewed", "approved"]
    again.close()


def test_what_cannot_be_right_changes_nothing(hub: Hub, work: Worklist) -> None:
    for n, obx in enumerate((GLUX, ZZ), 1):
        hub.receive("lab_oru", oru(n, obx))
    hub.receive("lab_oru", oru(3, "OBX|1|NM|NA1^Sodium^99X||140|mmol/L|||||F", app="NEWLIS"))
    hub.work()
    glux, zz, na = (code_of(hub, code).id for code in ("GLUX", "ZZ", "NA1"))
    before = table(hub)
    for code, more, words in (
        ("99999-9", {}, "not in http://loinc.org"),
        ("35184-1", {}, "no longer active"),
        ("", {}, "no target code"),
        ("2345-7", {"equivalence": "same"}, "equivalence 'same'"),
        ("2345-7", {"table": "nowhere"}, "there is no table"),
    ):
        with pytest.raises(ConfigError, match=words):
            work.propose(glux, ANN, code, **more)
    with pytest.raises(ConfigError, match="no table is asked about OBX-3 of NEWLIS"):
        work.propose(na, ANN, "2345-7")
    work.propose(glux, ANN, "2345-7", equivalence="narrower")
    with pytest.raises(ConfigError, match="narrower does not translate"):
        work.approve([glux], ANN)
    work.propose(glux, ANN, "2345-7")
    with pytest.raises(HubError, match="has no draft"):
        work.approve([glux, zz], ANN)  # both or none
    with pytest.raises(HubError, match="no code 99"):
        work.propose(99, ANN, "2345-7")
    assert table(hub) == before and hub.journal.head() == 3


def test_a_meaning_is_not_changed_in_passing(hub: Hub, work: Worklist) -> None:
    hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7")
    work.approve([number], ANN)
    work.propose(number, ANN, "1558-6")
    with pytest.raises(ConfigError, match="means 2345-7 there already"):
        work.approve([number], ANN)
    work.approve([number], BOB, change=True)
    rows = [r for r in read_table(table(hub), "t") if r.source_code == "GLUX"]
    assert [(r.target_code, r.by) for r in rows] == [("1558-6", "bob")]


def test_a_message_whose_body_is_gone_cannot_run_and_waits_no_more(hub: Hub, work: Worklist) -> None:
    old = hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    config = hub.config.model_copy(update={"keep": KeepSettings(messages="30 days")})
    assert keep(config, hub.journal, hub.store, now=now_ms() + 60 * 86_400_000).entries == 1
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7")
    done = work.approve([number], ANN)
    assert (done.replays, done.unreadable) == ({}, (old,))
    assert code_of(hub, "GLUX").flagged == 0


def test_a_translation_that_says_less_says_so(hub: Hub, work: Worklist) -> None:
    first, second = (hub.receive("lab_oru", oru(n, obx)) for n, obx in ((1, GLUX), (2, ZZ)))
    hub.work()
    for code, how in (("GLUX", "wider"), ("ZZ", "equal")):
        work.propose(code_of(hub, code).id, ANN, "2345-7", equivalence=how)
    done = work.approve([code_of(hub, "GLUX").id, code_of(hub, "ZZ").id], ANN)
    hub.work()
    made = [
        hub.store.read("Observation", hub.written(done.replays[n], "Observation")) for n in (first, second)
    ]
    wider, equal = (m["code"]["coding"][0] for m in made if m is not None)
    assert wider["extension"] == [{"url": "urn:hub:own/id/equivalence", "valueCode": "wider"}]
    assert "extension" not in equal


def test_a_row_written_by_hand_lets_its_messages_go(hub: Hub, work: Worklist) -> None:
    first = hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    number = code_of(hub, "GLUX").id
    with pytest.raises(HubError, match="in no table yet"):
        work.release([number], ANN)
    path = hub.root / "terminology/maps/acme_lab_to_loinc.csv"
    with path.open("a") as out:
        out.write("L,GLUX,Glucose special,equal,http://loinc.org,2345-7,,approved,ann,2026-11-21,\n")
    assert [s.id for s in work.settled()] == [number]
    done = work.release([number], ANN)
    hub.work()
    assert codings(hub, done.replays[first]) == ["2345-7", "GLUX"]
    assert work.settled() == []


def test_what_a_worker_had_in_hand_meanwhile_is_not_lost(hub: Hub, work: Worklist) -> None:
    first = hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    number = code_of(hub, "GLUX").id
    renewal, hub.worker.renewal = hub.worker.renewal, None  # a worker that has not heard of it yet
    late = hub.receive("lab_oru", oru(2, GLUX))
    work.propose(number, ANN, "2345-7")
    approved = work.approve([number], ANN)
    assert sorted(approved.replays) == [first]
    assert work.waiting([number]).entries == []  # it is due already: nobody asks for it twice
    entry = hub.journal.get(late)
    assert entry is not None
    hub.store.apply([hub.worker.pipeline.work(entry)])
    assert [(s.code, s.state, s.flagged) for s in work.sightings()] == [("GLUX", "approved", 2)]
    assert [s.id for s in work.settled()] == [number]
    assert sorted(work.release([number], ANN).replays) == [late]
    hub.worker.renewal = renewal
    hub.work()
    assert work.sightings() == [] and work.settled() == []


def test_the_same_code_of_another_sender_with_the_same_table(hub: Hub, work: Worklist) -> None:
    first = hub.receive("lab_oru", oru(1, GLUX))
    second = hub.receive("lab_oru", oru(2, GLUX, facility="ACME WEST"))
    hub.work()
    mine, theirs = (s.id for s in sorted(hub.store.gaps.all(), key=lambda s: s.sender))
    work.propose(mine, ANN, "2345-7")
    done = work.approve([mine], ANN)
    assert sorted(done.replays) == [first, second]
    assert hub.store.gaps.get(theirs).state == "approved"  # type: ignore[union-attr]


def test_drafts_can_be_taken_back_and_a_damaged_table_stays(hub: Hub, work: Worklist) -> None:
    hub.receive("lab_oru", oru(1, GLUX))
    hub.work()
    number = code_of(hub, "GLUX").id
    work.propose(number, ANN, "2345-7")
    work.withdraw(number, ANN)
    assert code_of(hub, "GLUX").state == "open"
    work.propose(number, ANN, "2345-7")
    path = hub.root / "terminology/maps/acme_lab_to_loinc.csv"
    path.write_text(path.read_text() + "L,A,Mar-93\n")
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        work.approve([number], ANN)
    assert path.read_bytes() == before and code_of(hub, "GLUX").state == "draft"
    assert hub.journal.head() == 1
