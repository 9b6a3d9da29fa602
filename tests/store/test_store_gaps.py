"""The worklist in the store: counted with the outcome, sealed, and true about what waits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from store_messages import patient, result, work

from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Flag, Gap, Work
from engine.store.gaps import SAMPLES, Proposal, Sighting
from engine.store.migrations import VERSION_TABLE
from engine.store.sql import SqlStore

GLU = Gap("OBX[1]-3", "acme", "flag", "GLUX", "L", "urn:acme", "Glucose special", "mg/dL", "SER", "NM", "CMP")
HELD = GLU._replace(rule="hold", code="ZZ", where="OBX[2]-3", text="Strange")
KEPT = Gap("DG1[1]-3", "", "keep", "X9", "", "", "local diagnosis")


def told(entry: int, *gaps: Gap, **more: object) -> Work:
    made = work(entry, patient(str(entry)), result(str(entry), f"A{entry}"), **more)
    made.gaps = gaps
    if any(g.rule == "hold" for g in gaps):
        made.drafts = []
        made.parked = Flag("unmapped-code", "OBX[1]-3", "the code is not in table acme", True)
    return made


def one(store: SqlStore, code: str = "GLUX") -> Sighting:
    (found,) = [s for s in store.gaps.all() if s.code == code]
    return found


def test_a_code_is_counted_with_what_stood_beside_it(store: SqlStore) -> None:
    store.apply([told(1, GLU), told(2, GLU._replace(unit="mmol/L", where="OBX[4]-3"), KEPT), told(3)])
    store.apply([told(4, GLU)])
    glu = one(store)
    assert (glu.sender, glu.field, glu.table, glu.rule) == ("ACME", "OBX-3", "acme", "flag")
    assert (glu.system, glu.uri, glu.text, glu.count) == ("L", "urn:acme", "Glucose special", 3)
    assert glu.units == ("mg/dL", "mmol/L") and glu.specimens == ("SER",) and glu.panels == ("CMP",)
    assert glu.samples == ((1, "OBX[1]-3"), (2, "OBX[4]-3"), (4, "OBX[1]-3"))
    assert (glu.flagged, glu.parked, glu.state) == (3, 0, "open")
    assert glu.first <= glu.last
    kept = one(store, "X9")
    assert (kept.count, kept.flagged, kept.parked) == (1, 0, 0)  # its row is content with it: nothing waits
    assert [s.code for s in store.gaps.all()] == ["GLUX", "X9"]


def test_senders_and_fields_do_not_share_a_code(store: SqlStore) -> None:
    store.apply([told(1, GLU), told(2, GLU, sender="BETA"), told(3, GLU._replace(where="OBR[1]-4"))])
    assert sorted((s.sender, s.field, s.count) for s in store.gaps.all()) == [
        ("ACME", "OBR-4", 1),
        ("ACME", "OBX-3", 1),
        ("BETA", "OBX-3", 1),
    ]


def test_few_entries_are_named_however_many_there_are(store: SqlStore) -> None:
    store.apply([told(n, GLU) for n in range(1, 40)])
    assert len(one(store).samples) == SAMPLES and one(store).count == 39 and one(store).flagged == 39


def test_free_text_written_as_codes_does_not_fill_the_store(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.gaps.MOST", 5)
    store.apply([told(n, KEPT._replace(code=f"words {n}")) for n in range(1, 10)])
    store.apply([told(20, GLU), told(21, KEPT._replace(code="words 1"))])
    found = {s.code: s.count for s in store.gaps.all()}
    assert len(found) == 6 and found["GLUX"] == 1 and found["words 1"] == 2  # what waits is always listed


def test_another_process_counts_on(open_store: Callable[[], SqlStore]) -> None:
    first, second = open_store(), open_store()
    for n in range(1, 21):
        (first if n % 2 else second).apply([told(n, GLU)])
    assert one(first).count == one(second).count == 20
    assert len(one(first).samples) == SAMPLES


def test_an_entry_waits_until_it_ran_again(store: SqlStore) -> None:
    store.apply([told(1, HELD), told(2, GLU), told(3, HELD, HELD._replace(code="YY"))])
    held = one(store, "ZZ")
    assert (held.parked, held.flagged) == (2, 0)
    other = one(store, "YY").id
    assert store.gaps.waiting([held.id]) == {1: {held.id}, 3: {held.id, other}}
    store.rerun([told(11, position=1)], who="ann: approved")
    assert store.gaps.waiting([held.id]) == {3: {held.id, other}}
    store.rerun([told(12, HELD._replace(code="YY"), position=3)], who="ann: approved")  # parks again
    assert store.gaps.waiting([held.id, other]) == {3: {other}}
    assert one(store, "YY").parked == 1 and one(store, "ZZ").count == 2  # a replay is not counted again
    (parked,) = store.outcomes(after=11, status="parked")
    assert parked.entry == 12


def test_a_replay_that_stops_for_another_reason_leaves_the_wait(store: SqlStore) -> None:
    store.apply([told(1, HELD)])
    stopped = work(9, position=1, revision="")
    stopped.parked = Flag("replay-stopped", "", "entry 5 would be parked", True)
    store.apply([stopped])
    assert one(store, "ZZ").parked == 1


def test_an_edited_message_that_went_in_ends_the_wait_of_its_origin(store: SqlStore) -> None:
    store.apply([told(1, HELD)])
    edited = told(9)
    edited.instead = 1
    store.apply([edited])
    assert one(store, "ZZ").parked == 0


def test_nothing_is_noted_of_a_transaction_that_failed(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("engine.store.sql.settle_pending", fails)
        with pytest.raises(StoreUnavailable):
            store.apply([told(1, GLU)])
    assert store.gaps.all() == []
    store.apply([told(1, GLU)])
    assert one(store).count == 1


def test_nothing_of_a_code_can_be_read_in_the_file(tmp_path: Path, store: SqlStore, store_url: str) -> None:
    if not store_url.startswith("sqlite"):
        pytest.skip("looks into a file")
    store.apply([told(1, GLU)])
    number = one(store).id
    store.gaps.propose(number, Proposal("draft", "ann", target_code="2345-7", comment="as before"), None)
    store.close()
    data = b"".join(path.read_bytes() for path in tmp_path.glob("core.db*"))
    for word in (b"GLUX", b"Glucose", b"mg/dL", b"2345-7", b"as before"):
        assert word not in data


def test_proposals_follow_each_other_and_nobody_overwrites_unseen(store: SqlStore) -> None:
    store.apply([told(1, GLU)])
    number = one(store).id
    draft = Proposal("draft", "ann", 0, "acme", "http://loinc.org", "2345-7", "Glucose", "equivalent", "")
    assert store.gaps.propose(number, draft, None)
    seen = one(store)
    assert seen.state == "draft" and seen.proposal is not None and seen.proposal.who == "ann"
    assert not store.gaps.propose(number, draft, None)  # somebody was faster
    done = Proposal("approved", "bob", 0, "acme", "http://loinc.org", "2345-7", "Glucose", "equivalent", "")
    assert store.gaps.propose(number, done, seen.proposal)
    assert [p.state for p in one(store).proposals] == ["draft", "approved"]
    assert one(store).state == "approved" and done.same_meaning(draft)
    assert store.gaps.propose(number, Proposal("withdrawn", "bob"), one(store).proposal)
    assert one(store).proposal is None and one(store).state == "open"


def test_a_code_of_a_list_is_there_before_it_is_seen(store: SqlStore) -> None:
    number = store.gaps.add("ACME", GLU._replace(where=""), "OBX-3")
    assert (one(store).id, one(store).count, one(store).samples) == (number, 0, ())
    store.apply([told(1, GLU)])
    assert (one(store).id, one(store).count) == (number, 1)


def test_work_flags_are_counted_in_their_column(store: SqlStore) -> None:
    made = told(1)
    made.flags = [Flag("late-unclear", "x", "", True), Flag("no-zone", "y", ""), Flag("a", "z", "", True)]
    store.apply([made, told(2)])
    with store._database.read() as session:
        assert session.all("SELECT entry, work FROM outcome ORDER BY entry") == [(1, 2), (2, None)]


def test_a_revision_names_its_tables_once(store: SqlStore) -> None:
    store.apply([told(1, tables="acme@0123"), told(2, tables="acme@0123"), told(3, revision="rev2")])
    with store._database.read() as session:
        assert session.all("SELECT name, tables FROM revision") == [("rev1", "acme@0123")]


def test_a_store_of_before_is_brought_up(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    made, looked = told(1), told(2)
    made.flags = [Flag("late-unclear", "x", "", True), Flag("no-zone", "y", "")]
    store.apply([made, looked])
    with store._database.write() as session:
        since = ("searched", "audit_begin", "audit_named_upto", "audit_named")
        later = ("delivery_try", "delivery", "destination", "lane_owner")
        for name in ("revision", "proposal", "gap_wait", "gap", *since, *later):
            session.run(f"DROP TABLE {name}")
        session.run("ALTER TABLE core_clock DROP COLUMN handed")
        session.run("CREATE TABLE delivery (id bigint PRIMARY KEY, status text)")
        session.run("CREATE INDEX delivery_by_status ON delivery (status, id)")
        for name in ("outcome_work", "outcome_why", "outcome_flagged", "audit_by_who", "audit_by_action"):
            session.run(f"DROP INDEX {name}")
        session.run("ALTER TABLE outcome DROP COLUMN work")
        session.run(f"UPDATE {VERSION_TABLE} SET version_num = '0002'")
    again = open_store()
    with again._database.read() as session:
        assert session.all("SELECT entry, work FROM outcome ORDER BY entry") == [(1, 1), (2, None)]
    again.apply([told(3, GLU)])
    assert one(again).count == 1
