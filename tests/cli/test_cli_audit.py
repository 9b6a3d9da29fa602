"""`hub audit`: a row changed, moved or cut out is named; looking is recorded; filters find."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from typer.testing import CliRunner

from engine.cli.audit import show, verify
from engine.cli.main import app
from engine.cli.opened import opened
from engine.kernel.clock import iso, now_ms
from engine.kernel.errors import ConfigError
from engine.store.audit import Access


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which three people looked at things."""
    root = make_project(tmp_path_factory.mktemp("audit") / "project")
    hub = Hub.open(root)
    entry = hub.take("lab_oru", "lab/oru_potassium")
    observation = hub.written(entry, "Observation")
    record = hub.store.audit.record
    record(Access("ann", "fhir:read", f"Observation/{observation}", "200"))
    record(Access("ann", "fhir:search", "Observation", f"200 code=x found 1: {observation}"))
    record(Access("bob", "fhir:search", "Patient", "200 identifier=999999 found 0:"))
    record(Access("bob", "msg:open", f"entry/{entry}"))
    record(Access("carl", "feed:read", "feed", "200 since 0 next 3 changes 3 bodies false"))
    hub.close()
    return root


@pytest.fixture
def root(filled: Path, tmp_path: Path) -> Path:
    """A copy of it to do anything with."""
    return Path(shutil.copytree(filled, tmp_path / "project"))


def spoil(root: Path, sql: str) -> None:
    with sqlite3.connect(root / "var/core.db") as db:
        assert db.execute(sql).rowcount > 0
    db.close()


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.chdir(root)
    yield CliRunner()


def test_a_whole_chain_is_ok_with_count_and_head(root: Path, run: CliRunner) -> None:
    with opened(root) as hub:
        rows, head = hub.store.audit.head()
    done = run.invoke(app, ["audit", "verify"])
    assert (done.exit_code, done.stdout) == (0, f"OK: {rows} rows, head {head.hex()}\n")
    said = json.loads(run.invoke(app, ["audit", "verify", "--json"]).stdout)
    assert said == {"ok": True, "rows": 5, "head": head.hex(), "broken": None}


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE id = 2", 2),
        ("UPDATE audit SET what = 'x' WHERE id = 5", 5),
        ("UPDATE audit SET detail = NULL WHERE id = 3", 3),
        ("DELETE FROM audit WHERE id = 4", 4),
        ("DELETE FROM audit WHERE id = 5", 5),  # the newest: the head remembers it
        ("UPDATE audit SET id = id + 1 WHERE id = 5", 5),
        ("UPDATE audit SET at = at + 1 WHERE id = 1", 1),
        ("UPDATE audit_head SET hash = x'00000000000000000000000000000000'", 6),
    ],
)
def test_the_first_broken_row_is_named(root: Path, run: CliRunner, sql: str, row: int) -> None:
    spoil(root, sql)
    done = run.invoke(app, ["audit", "verify"])
    assert done.exit_code == 1 and done.stdout.startswith(f"BROKEN at row {row}: "), done.stdout


def rows(root: Path, **filters: str) -> list[int]:
    with opened(root) as hub:
        return [row["row"] for row in show(hub, "auditor", **filters)]


def test_looking_is_recorded_before_anything_is_shown(root: Path, run: CliRunner) -> None:
    done = run.invoke(app, ["audit", "show", "--user", "ann", "--json"])
    assert [(r["row"], r["who"]) for r in json.loads(done.stdout)] == [(1, "ann"), (2, "ann")]
    with opened(root) as hub:
        last = hub.store.audit.rows(5)[-1]
        assert (last.action, last.what, last.detail) == ("audit:show", "audit", "user=ann")
        assert verify(hub).broken is None


def test_filters(root: Path) -> None:
    assert rows(root, user="bob") == [3, 4]
    assert rows(root, action="fhir") == [1, 2, 3]
    assert rows(root, action="fhir:read") == [1]
    assert rows(root, action="fhi") == []
    assert rows(root, since="2001-01-01", user="carl") == [5]
    assert rows(root, since=iso(now_ms() + 60_000)) == []
    with pytest.raises(ConfigError, match="2026-05-04"):
        rows(root, since="yesterday")


def test_a_patient_is_found_by_number_by_name_and_by_id_in_what_was_shown(root: Path) -> None:
    with opened(root) as hub:
        (patient,) = hub.store.search("Patient", []).resources
    number = patient["identifier"][0]["value"]
    family = patient["name"][0]["family"]
    assert rows(root, patient=number) == [1, 2, 4]
    assert rows(root, patient=f"Patient/{patient['id']}")[:2] == [1, 2]
    assert 4 in rows(root, patient=family)
    assert rows(root, patient="999999") == [3]
    assert rows(root, patient="77777") == []


def test_the_newest_rows_are_shown_oldest_first(root: Path) -> None:
    with opened(root) as hub:
        hub.store.audit.record(*(Access("dora", "fhir:read", f"Patient/{n}") for n in range(2500)))
        shown = show(hub, "auditor", user="dora", limit=3)
    assert [r["what"] for r in shown] == ["Patient/2497", "Patient/2498", "Patient/2499"]


def test_as_text_and_without_rows(root: Path, run: CliRunner) -> None:
    assert "no row fits" in run.invoke(app, ["audit", "show", "--user", "zoe"]).stdout
    text = run.invoke(app, ["audit", "show"]).stdout
    assert "fhir:search" in text and "identifier=999999" in text and "carl" in text
