"""Search, feed, deletes: what readers of the store see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from store_messages import LOINC, MRN, ORDER, draft, id_of, patient, result, work

from engine.kernel import clock
from engine.store import apply as apply_module
from engine.store.columns import span
from engine.store.search import SearchError
from engine.store.sql import SqlStore


def ids(store: SqlStore, kind: str, *parameters: tuple[str, str], count: int = 50) -> set[str]:
    """Follow all pages of a search."""
    found: list[str] = []
    cursor = None
    while True:
        page = store.search(kind, parameters, count, cursor)
        assert len(page.resources) <= count
        found += [one["id"] for one in page.resources]
        cursor = page.cursor
        if cursor is None:
            assert len(set(found)) == len(found)
            return set(found)


def obs(order: str, code: str = "2823-3") -> str:
    return id_of("Observation", "urn:result", f"{order}|{code}")


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    def at(when: str) -> dict[str, Any]:
        return {"effectiveDateTime": when}

    period = {"effectivePeriod": {"start": "2026-05-01T08:00:00Z", "end": "2026-05-03T08:00:00Z"}}
    ranged = result("2", order="D", body=period)
    del ranged.body["effectiveDateTime"]
    store.apply(
        [
            work(1, patient("1"), result("1", order="A", body=at("2026-05-01T10:00:00+02:00"))),
            work(2, patient("1"), result("1", order="B", code="718-7", body=at("2026-05-02"))),
            work(3, patient("2"), result("2", order="C", body=at("2026-05"))),
            work(4, patient("2"), ranged),
            work(5, draft("ServiceRequest", ORDER, "77", {"identifier": [{"system": ORDER, "value": "77"}]})),
            work(
                6,
                draft("ServiceRequest", "urn:x", "77", {"identifier": [{"system": "urn:x", "value": "77"}]}),
            ),
            work(7, draft("ServiceRequest", "urn:y", "1", {"identifier": [{"value": "78"}]})),
        ]
    )
    return store


A, B, C, D = obs("A"), obs("B", "718-7"), obs("C"), obs("D")


@pytest.mark.parametrize("count", [1, 2, 50])
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([], {A, B, C, D}),
        ([("_id", A)], {A}),
        ([("_id", f"{A},{B},nobody")], {A, B}),
        ([("patient", id_of("Patient", MRN, "1"))], {A, B}),
        ([("subject", "Patient/" + id_of("Patient", MRN, "2"))], {C, D}),
        ([("patient", "nobody")], set()),
        ([("code", "2823-3")], {A, C, D}),
        ([("code", f"{LOINC}|2823-3,{LOINC}|718-7")], {A, B, C, D}),
        ([("code", "L718-7")], {B}),
        ([("code", "urn:lab|L718-7")], {B}),
        ([("code", f"{LOINC}|L718-7")], set()),
        ([("code", "|2823-3")], set()),
        ([("date", "2026-05-01")], {A}),
        ([("date", "2026-05")], {A, B, C, D}),
        ([("date", "eq2026-05-02")], {B}),
        ([("date", "ge2026-05-03")], {C, D}),
        ([("date", "gt2026-05-03")], {C}),
        ([("date", "lt2026-05-01T08:00:00Z")], {C}),
        ([("date", "le2026-05-01T08:00:00Z")], {A, C, D}),
        ([("date", "ge2026-05-01"), ("date", "le2026-05-01")], {A, C, D}),
        ([("date", "ge2026-05-01"), ("code", "718-7"), ("patient", id_of("Patient", MRN, "1"))], {B}),
        ([("code", "718-7"), ("patient", id_of("Patient", MRN, "2"))], set()),
        ([("_lastUpdated", "ge2020-01-01")], {A, B, C, D}),
        ([("_lastUpdated", "lt2020-01-01")], set()),
    ],
)
def test_search(filled: SqlStore, parameters: list[tuple[str, str]], expected: set[str], count: int) -> None:
    assert ids(filled, "Observation", *parameters, count=count) == expected


@pytest.mark.parametrize(
    ("value", "systems"),
    [
        ("77", {ORDER, "urn:x"}),
        (f"{ORDER}|77", {ORDER}),
        (f"{ORDER}|77,urn:x|77", {ORDER, "urn:x"}),
        ("|77", set()),
        ("|78", {"urn:y"}),
        ("7", set()),
    ],
)
def test_search_by_identifier(filled: SqlStore, value: str, systems: set[str]) -> None:
    expected = {id_of("ServiceRequest", s, "1" if s == "urn:y" else "77") for s in systems}
    assert ids(filled, "ServiceRequest", ("identifier", value)) == expected


def test_a_result_is_found_by_the_key_that_holds_bars(store: SqlStore) -> None:
    key = "urn:hub:own/id/obx", "EAST|1|A|718-7|LN"
    body = {
        "identifier": [
            {"system": key[0], "value": key[1]},
            {"system": "urn:hub:sender:LIS|EAST", "value": "9"},
        ]
    }
    store.apply([work(1, patient("1"), draft("Observation", *key, body))])
    found = {id_of("Observation", *key)}
    assert ids(store, "Observation", ("identifier", "|".join(key))) == found
    assert ids(store, "Observation", ("identifier", "urn:hub:sender:LIS|EAST|9")) == found
    assert ids(store, "Observation", ("identifier", "9")) == found
    assert ids(store, "Observation", ("identifier", "EAST|9")) == set()


def test_a_stale_hash_is_no_match(store: SqlStore) -> None:
    store.apply([work(1, patient("1"), result("1", code="2823-3", body={"identifier": [{"value": "old"}]}))])
    changed = result("1", code="2823-3", body={"identifier": [{"value": "new"}]})
    changed.body["code"] = {"coding": [{"system": LOINC, "code": "1-8"}]}
    store.apply([work(2, patient("1"), changed)])
    assert ids(store, "Observation", ("identifier", "old")) == set()
    assert ids(store, "Observation", ("identifier", "new")) == {A}
    assert ids(store, "Observation", ("code", "2823-3")) == set()
    assert ids(store, "Observation", ("code", "1-8")) == {A}


@pytest.mark.parametrize(
    "parameter",
    [
        ("name", "Doe"),
        ("identifier", "urn:x|"),
        ("code", "x|"),
        ("date", "soon"),
        ("code:in", "x"),
        ("_id", ""),
    ],
)
def test_what_is_not_supported_is_said(filled: SqlStore, parameter: tuple[str, str]) -> None:
    with pytest.raises(SearchError):
        filled.search("Observation", [parameter])
    with pytest.raises(SearchError):
        filled.search("Observation", [], cursor="not a cursor!")


def test_an_unknown_type_has_nothing(store: SqlStore) -> None:
    assert store.search("Observation", [("code", "x")]).resources == []


def test_last_updated_follows_the_clock(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 86_400_000
    start = span("2026-05-01")[0]  # type: ignore[index]
    for n, at in enumerate(
        (start, start + day, start + day - 5_000, start + 2 * day)
    ):  # once the clock runs backwards
        monkeypatch.setattr(apply_module, "now_ms", lambda at=at: at)
        store.apply([work(n + 1, patient(str(n)))])
    of = [id_of("Patient", MRN, str(n)) for n in range(4)]
    assert ids(store, "Patient", ("_lastUpdated", "2026-05-01")) == {of[0]}
    assert ids(store, "Patient", ("_lastUpdated", "2026-05-02")) == {of[1], of[2]}
    assert ids(store, "Patient", ("_lastUpdated", "ge2026-05-02"), ("_lastUpdated", "lt2026-05-03")) == {
        of[1],
        of[2],
    }
    assert ids(store, "Patient", ("_lastUpdated", "gt2026-05-02")) == {of[3]}
    assert ids(store, "Patient", ("_lastUpdated", "le2026-05-01"), count=1) == {of[0]}
    third = store.read("Patient", of[2])
    assert third is not None and third["meta"]["lastUpdated"] == clock.iso(start + day)


def test_the_feed_is_complete_and_resumes(filled: SqlStore) -> None:
    everything = filled.feed(limit=100, bodies=True)
    assert [c.seq for c in everything] == list(range(1, filled.head() + 1))
    assert all(c.body is not None and c.body["id"] == c.id for c in everything)
    assert filled.feed(since=3, limit=2) == [
        type(c)(c.seq, c.type, c.id, c.version, c.op, c.entry, c.position, c.at) for c in everything[3:5]
    ]
    assert filled.feed(since=filled.head()) == []


def test_a_delete_is_a_tombstone(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1))])
    assert store.delete("Observation", A) is True
    assert store.delete("Observation", A) is False
    assert store.delete("Observation", "nobody") is False
    assert store.read("Observation", A) is None
    assert store.gone("Observation", A) and not store.gone("Observation", "nobody")
    last = store.feed()[-1]
    assert (last.op, last.id, last.version, last.body) == ("delete", A, 2, None)
    assert ids(store, "Observation") == set()
    tomb, first = store.history("Observation", A)
    assert tomb.resource is None and first.resource is not None
    (again,) = store.apply([work(2, patient(), result(value=1))])
    assert again.written == 1
    assert store.read("Observation", A)["meta"]["versionId"] == "3"  # type: ignore[index]


def test_what_was_deleted_does_not_come_back_by_a_replay(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1))])
    store.delete("Observation", A)
    (outcome,) = store.rerun([work(1, patient(), result(value=1))])
    assert outcome.superseded == 1
    assert store.read("Observation", A) is None


def test_written_by(filled: SqlStore) -> None:
    assert filled.written_by(1) == [
        ("Patient", id_of("Patient", MRN, "1"), 1, "create"),
        ("Observation", A, 1, "create"),
    ]
    assert filled.written_by(99) == []


def test_readers_see_a_store_filled_by_another(filled: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    other = open_store()
    assert ids(other, "Observation", ("code", "2823-3")) == {A, C, D}
    assert other.read("Observation", A) == filled.read("Observation", A)


def test_spans() -> None:
    assert span("1970") == (0, 365 * 86_400_000 - 1)
    assert span("1970-12") == (334 * 86_400_000, 365 * 86_400_000 - 1)
    assert span("1970-01-02T00:00:00Z") == (86_400_000, 86_400_999)
    assert span("1970-01-01T01:00:00.250+01:00") == (250, 250)
    assert span("1970-13-01") is None
