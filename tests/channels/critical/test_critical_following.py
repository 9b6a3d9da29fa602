"""Every critical result becomes one row, whatever happens between two steps; what follows it is told, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from critical_hub import RULES, Critical, result

from engine.kernel.errors import HubError
from engine.staff.criticals import CriticalRow


@pytest.fixture
def critical(tmp_path: Path) -> Iterator[Critical]:
    made = Critical.open(tmp_path / "project")
    yield made
    made.close()


def kinds(rows: list[CriticalRow]) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.kind, row.rules) for row in rows]


def test_one_result_is_one_row(critical: Critical) -> None:
    (row,) = critical.take(result("6.9", flag="HH"))
    assert kinds([row]) == [("new", ("Flagged", "Potassium"))]
    assert row.why == ("interpretation HH", "above the limit")
    assert (row.channel, row.open, row.escalate_ms, row.late) == ("lab_oru", True, 300_000, False)
    resource = critical.hub.store.read(*row.subject.split("/"))
    assert resource is not None and resource["subject"]["reference"] == row.patient
    assert critical.take(result("4.1", control="C2", order="LAB2")) == []
    assert critical.look() == []


SAID = result("6.9")
AFTER: dict[str, tuple[bytes, list[str]]] = {
    "the same again, final": (result("6.9", "F", control="C2"), []),
    "another value": (result("7.4", "C", control="C2"), ["corrected"]),
    "corrected, and the same": (result("6.9", "C", control="C2"), ["corrected"]),
    "not critical any more": (result("4.2", "C", control="C2"), ["withdrawn"]),
    "taken back": (result("6.9", "W", control="C2"), ["retracted"]),
    "it was on another patient's name": (
        result("6.9", control="C2", patient="100999", order="LAB2"),
        ["new"],
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_what_follows(critical: Critical, name: str) -> None:
    body, told = AFTER[name]
    (first,) = critical.take(SAID)
    later = critical.take(body)
    assert [row.kind for row in later] == told
    for row in later:
        assert row.open and not row.late
        if row.subject == first.subject:  # one result is open once: what was said last counts
            known = critical.staff.criticals.get(first.id)
            assert known is not None and known.followed_by == row.id and not known.open


def test_a_result_that_comes_back_is_new(critical: Critical) -> None:
    said = [("6.9", "F"), ("4.2", "C"), ("4.2", "C"), ("7.0", "C"), ("7.0", "W")]
    found = [critical.take(result(v, s, control=f"C{n}")) for n, (v, s) in enumerate(said)]
    assert [[row.kind for row in rows] for rows in found] == [
        ["new"],
        ["withdrawn"],
        [],
        ["new"],
        ["retracted"],
    ]


def test_one_that_is_preliminary_first_is_told_once(critical: Critical) -> None:
    assert [row.kind for row in critical.take(result("6.9", "P"))] == ["new"]
    assert critical.take(result("6.9", "F", control="C2")) == []


def test_a_deleted_resource_is_taken_back(critical: Critical) -> None:
    (row,) = critical.take(SAID)
    critical.hub.store.delete(*row.subject.split("/"))
    assert [r.kind for r in critical.look()] == ["retracted"]


def test_after_a_crash_nothing_is_missing_and_nothing_is_twice(
    critical: Critical, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = type(critical.staff.criticals).keep

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    for number in range(3):
        critical.hub.receive("lab_oru", result("6.9", control=f"C{number}", order=f"LAB{number}"))
    critical.hub.work()
    monkeypatch.setattr("engine.staff.criticals.Criticals.keep", killed)
    with pytest.raises(KeyboardInterrupt):
        critical.watch.step()
    monkeypatch.setattr("engine.staff.criticals.Criticals.keep", keep)
    critical.watch = critical.another()
    assert len(critical.look()) == 3
    critical.watch = critical.another()
    assert critical.look() == []


def test_two_that_look_at_the_same_moment(critical: Critical, monkeypatch: pytest.MonkeyPatch) -> None:
    critical.hub.receive("lab_oru", SAID)
    critical.hub.work()
    other, feed = critical.another(), critical.hub.store.feed
    done: list[bool] = []

    def first_the_other(*given: object, **named: object) -> object:
        if not done:
            done.append(True)
            other.step()
        return feed(*given, **named)

    monkeypatch.setattr(critical.hub.store, "feed", first_the_other)
    critical.watch.step()
    assert len(critical.rows()) == 1 and critical.watch.following.last.rows == ()


def test_a_hub_that_first_starts_looks_an_hour_back(tmp_path: Path) -> None:
    made = Critical.open(tmp_path / "project")
    made.take(SAID)
    with made.staff.database.write() as c:  # as if the watch had never run
        for table in ("staff_critical", "staff_followed"):
            c.exec_driver_sql(f"DELETE FROM {table}")
    assert len(made.look()) == 1
    made.close()


def test_an_older_backup_of_the_store_is_noticed(critical: Critical) -> None:
    critical.take(SAID)
    before = critical.staff.followed.cursor("critical")
    critical.staff.followed.move("critical", before, "999999-00000000")
    assert critical.look() == []  # looked at again, known, not told again
    assert [row.kind for row in critical.take(result("7.4", "C", control="C2"))] == ["corrected"]


def test_what_is_older_than_the_file_says_is_kept_and_not_told(critical: Critical) -> None:
    (row,) = critical.take(result("6.9", on="20200101120000"))
    assert row.late and not row.open and critical.staff.criticals.open() == []
    (again,) = critical.take(result("4.0", "C", control="C2", on="20200101120000"))
    assert again.kind == "withdrawn" and again.late  # nobody was told of the first


def test_what_cannot_be_compared_is_counted_and_comes_back(critical: Critical) -> None:
    assert critical.take(result("27", unit="mg/dL^^UCUM")) == []
    assert critical.take(result("28", unit="mg/dL^^UCUM", control="C2")) == []
    (one,) = critical.staff.criticals.unjudged()
    assert (one.rule, one.channel, one.count) == ("Potassium", "lab_oru", 2)
    assert one.why.startswith("mg/dL does not convert to mmol/L")
    critical.staff.criticals.settle(one.rule, one.channel, one.why, "anna")
    assert critical.staff.criticals.unjudged() == []
    critical.ms += 1000
    critical.take(result("29", unit="mg/dL^^UCUM", control="C3"))
    assert [u.count for u in critical.staff.criticals.unjudged()] == [3]


def test_rules_that_change_and_rules_that_cannot_be_read(critical: Critical) -> None:
    file = critical.hub.root / "mappings" / "critical.yaml"
    assert critical.take(result("5.9")) == []
    file.write_text(RULES.replace("6.2", "5.8"))
    assert critical.look() == []  # what was written before is not judged again
    assert len(critical.take(result("5.9", control="C2", order="LAB2"))) == 1
    file.write_text("rules: [")
    assert len(critical.take(result("5.9", control="C3", order="LAB3"))) == 1
    assert "critical.yaml" in critical.watch.rules.trouble


def test_what_was_told_and_what_is_written_hold_no_patient_data(critical: Critical) -> None:
    critical.take(result("6.9", flag="HH"))
    with critical.staff.database.read() as c:
        text = repr([tuple(row) for row in c.exec_driver_sql("SELECT * FROM staff_critical")])
    assert "Doe" not in text and "100234" not in text and "6.9" not in text


def test_who_takes_it_over(critical: Critical) -> None:
    (row,) = critical.take(SAID)
    done = critical.staff.criticals.acknowledge(row.id, "anna", "Read back by Sister Jones, 14:03")
    assert (done.acknowledged_by, done.noted, done.open) == ("anna", True, False)
    late = critical.staff.criticals.acknowledge(row.id, "bert", "me too")
    assert late.acknowledged_by == "anna"
    assert critical.staff.criticals.note_of(row.id) == "Read back by Sister Jones, 14:03"
    with critical.staff.database.read() as c:
        (sealed,) = c.exec_driver_sql("SELECT note FROM staff_critical").one()
    assert b"Jones" not in bytes(sealed)
    with pytest.raises(HubError, match="there is no critical result 99"):
        critical.staff.criticals.acknowledge(99, "anna")
