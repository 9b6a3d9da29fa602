"""The audit chain: what was done to which row is said; old rows go and the chain still proves itself."""

from __future__ import annotations

import pytest

from engine.security.keys import Keyring
from engine.store.audit import Access, AuditRow, Wanted
from engine.store.auditnames import named
from engine.store.sql import SqlStore

SWAPPED = (
    "UPDATE audit SET id = 100 WHERE id = 3",
    "UPDATE audit SET id = 3 WHERE id = 4",
    "UPDATE audit SET id = 4 WHERE id = 100",
)


def filled(store: SqlStore, rows: int = 9) -> None:
    store.audit.record(*[Access("ann", "fhir:read", f"Patient/{n}", f"200 x{n}") for n in range(1, rows + 1)])


def spoil(store: SqlStore, *sql: str) -> None:
    with store._database.write() as session:
        for one in sql:
            session.run(one)


@pytest.mark.parametrize(
    ("done", "row", "kind"),
    [
        (("UPDATE audit SET who = 'bob' WHERE id = 3",), 3, "altered"),
        (("UPDATE audit SET hash = (SELECT hash FROM audit WHERE id = 5) WHERE id = 3",), 3, "altered"),
        (("UPDATE audit SET detail = NULL WHERE id = 9",), 9, "altered"),
        (("DELETE FROM audit WHERE id = 4",), 4, "removed"),
        (("DELETE FROM audit WHERE id = 1",), 1, "removed"),
        (("DELETE FROM audit WHERE id >= 8",), 8, "cut off"),
        (("DELETE FROM audit",), 1, "cut off"),
        (SWAPPED, 3, "reordered"),
        (("UPDATE audit SET id = 40 WHERE id = 9",), 9, "reordered"),
        (("DELETE FROM audit WHERE id = 4", "UPDATE audit SET id = id - 1 WHERE id > 4"), 4, "foreign"),
        (
            (
                "INSERT INTO audit (id, at, who, action, what, hash) "
                "SELECT 10, at, 'eve', action, what, hash FROM audit WHERE id = 9",
            ),
            10,
            "appended",
        ),
        (("UPDATE audit_head SET hash = (SELECT hash FROM audit WHERE id = 1)",), 10, "head"),
        (("UPDATE audit_head SET id = 7, hash = (SELECT hash FROM audit WHERE id = 7)",), 8, "head"),
    ],
)
def test_what_was_done_is_said(store: SqlStore, done: tuple[str, ...], row: int, kind: str) -> None:
    filled(store)
    spoil(store, *done)
    found = store.audit.prove()
    assert (found.row, found.kind, found.whole) == (row, kind, False)
    assert str(found).startswith(f"BROKEN at row {row}: ")


def test_an_end_cut_off_together_with_its_head_shows_by_a_copy(store: SqlStore) -> None:
    filled(store)
    copy = store.audit.head()
    cut = "UPDATE audit_head SET id = 7, hash = (SELECT hash FROM audit WHERE id = 7)"
    spoil(store, cut, "DELETE FROM audit WHERE id > 7")
    assert store.audit.prove().whole  # the chain alone cannot know
    assert (store.audit.prove([copy]).row, store.audit.prove([copy]).kind) == (8, "cut off")
    store.audit.record(Access("eve", "fhir:read", "Patient/9"), Access("eve", "fhir:read", "Patient/9"))
    assert (store.audit.prove([copy]).row, store.audit.prove([copy]).kind) == (9, "foreign")


def test_progress_is_told(store: SqlStore) -> None:
    filled(store, 2500)
    seen: list[int] = []
    assert store.audit.prove(progress=seen.append).rows == 2500
    assert seen == [1000, 2000, 2500]


class TestOldRows:
    @pytest.fixture
    def aged(self, store: SqlStore) -> SqlStore:
        """Ten rows, the first four of which are written in 1970."""
        with store._database.write() as session:
            for n in range(1, 11):
                access = Access("ann", "fhir:read", f"Patient/{n}", f"200 word{n}")
                store.audit._append(session, [access], 1000 * n if n < 5 else 1_790_000_000_000 + n)
        store.audit.names.catch_up()
        return store

    def test_are_taken_out_and_the_chain_is_still_whole(self, aged: SqlStore) -> None:
        assert aged.audit.remove_before(1_780_000_000_000, "hub") == 4
        found = aged.audit.prove()
        assert found.whole and (found.begin, found.rows, found.head) == (4, 7, 11)
        last = aged.audit.rows(10)[0]
        assert (last.who, last.action) == ("hub", "audit:remove") and last.detail.startswith("rows 1 to 4; ")
        assert [row.id for row in aged.audit.rows(limit=2)] == [5, 6]
        assert aged.audit.names.rows_naming(["Patient/2"], 9) == []
        assert aged.audit.names.rows_naming(["word word7"], 9) == [7]
        assert aged.audit.remove_before(1_780_000_000_000, "hub") == 0

    def test_again_and_up_to_the_newest_which_stays(self, aged: SqlStore) -> None:
        aged.audit.remove_before(1_780_000_000_000, "hub")
        assert aged.audit.remove_before(1 << 60, "hub") == 6
        assert aged.audit.prove().whole and aged.audit.begin().row == 10

    @pytest.mark.parametrize(
        ("sql", "row", "kind"),
        [
            ("DELETE FROM audit WHERE id = 5", 5, "removed"),
            ("DELETE FROM audit_begin", 1, "removed"),
            ("UPDATE audit_begin SET row = 5", 5, "begin"),
            (
                "UPDATE audit_begin SET row = 6, hash = (SELECT hash FROM audit WHERE id = 6)",
                6,
                "begin",
            ),
            (
                "INSERT INTO audit (id, at, who, action, what, hash) "
                "SELECT 3, at, who, action, what, hash FROM audit WHERE id = 9",
                3,
                "foreign",
            ),
        ],
    )
    def test_who_takes_out_more_is_seen(self, aged: SqlStore, sql: str, row: int, kind: str) -> None:
        aged.audit.remove_before(1_780_000_000_000, "hub")
        spoil(aged, sql)
        found = aged.audit.prove()
        assert (found.row, found.kind) == (row, kind)


class TestFinding:
    @pytest.fixture
    def mixed(self, store: SqlStore) -> SqlStore:
        record = store.audit.record
        record(Access("ann", "fhir:read", "Patient/a", "200"))
        record(Access("ann", "fhir:search", "Observation", "200 code=x|y found 2: o-1 o-2"))
        record(Access("bob", "console:find", "messages", "patient=4711 Zwerchfell"))
        record(Access("bob", "msg:open", "entry/12"))
        record(Access("bob", "terms:release", "messages", "2: 12 13"))
        return store

    @pytest.mark.parametrize(
        ("wanted", "rows"),
        [
            (Wanted(), [5, 4, 3, 2, 1]),
            (Wanted(who="ann"), [2, 1]),
            (Wanted(action="fhir"), [2, 1]),
            (Wanted(action="fhir:read"), [1]),
            (Wanted(action="fhi"), []),
            (Wanted(who="bob", action="msg"), [4]),
            (Wanted(since=1 << 50), []),
            (Wanted(until=1 << 50), [5, 4, 3, 2, 1]),
            (Wanted(since=0, until=1), []),
        ],
    )
    def test_by_person_action_and_time(self, mixed: SqlStore, wanted: Wanted, rows: list[int]) -> None:
        assert [row.id for row in mixed.audit.page(wanted)] == rows
        assert [row.id for row in mixed.audit.since(wanted)] == rows[::-1]

    def test_page_by_page(self, mixed: SqlStore) -> None:
        first = mixed.audit.page(limit=2)
        assert [row.id for row in mixed.audit.page(before=first[-1].id, limit=2)] == [3, 2]

    @pytest.mark.parametrize(
        ("things", "rows"),
        [
            (["Patient/a"], [1]),
            (["Observation/o-2"], [2]),
            (["entry/12"], [5, 4]),
            (["word 4711"], [3]),
            (["word zwerchfell", "Patient/a"], [3, 1]),
            (["word zwerch"], []),
            ([], []),
        ],
    )
    def test_by_what_a_row_names(self, mixed: SqlStore, things: list[str], rows: list[int]) -> None:
        assert mixed.audit.names.behind() == 5
        assert mixed.audit.names.catch_up(3) == 2
        assert mixed.audit.names.catch_up() == 0
        assert mixed.audit.names.rows_naming(things, 10) == rows
        assert mixed.audit.names.rows_naming(things, 1) == rows[:1]


def test_an_altered_detail_hides_no_other_row(store: SqlStore) -> None:
    filled(store, 3)
    with store._database.write() as session:
        session.run("UPDATE audit SET detail = ? WHERE id = 2", (b"no longer what was sealed",))
    one, two, three = store.audit.rows()
    assert (one.detail, three.detail) == ("200 x1", "200 x3") and "cannot be opened" in two.detail
    assert store.audit.names.catch_up() == 0
    assert store.audit.names.rows_naming(["Patient/2"], 9) == [2]


@pytest.mark.parametrize(
    ("what", "detail", "holds"),
    [
        ("Patient/a/_history/3", "", {"Patient/a"}),
        ("Patient", "200 identifier=NORTH|4711 found 1: p-1", {"Patient/p-1", "word 4711", "word north"}),
        ("codes", "Observation/x y", {"Observation/x"}),
        ("", "", set()),
    ],
)
def test_what_a_row_names(what: str, detail: str, holds: set[str]) -> None:
    found = named(what, detail)
    assert holds <= found and (holds or not found)


def test_what_is_kept_of_names_says_nothing_without_the_key(store: SqlStore, keyring: Keyring) -> None:
    filled(store, 1)
    store.audit.names.catch_up()
    with store._database.read() as session:
        macs = {mac for (mac,) in session.all("SELECT mac FROM audit_named")}
    assert keyring.mac8("audit named", "Patient/1") in macs
    assert Keyring.supplied(b"x" * 40).mac8("audit named", "Patient/1") not in macs
    assert isinstance(store.audit.rows()[0], AuditRow)
