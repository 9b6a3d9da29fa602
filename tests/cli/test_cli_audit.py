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

from engine.channels.auditheads import copies, keep_head
from engine.cli.audit import show, verify
from engine.cli.main import app
from engine.cli.opened import opened
from engine.fhir.validate import validate
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
    assert said == {"ok": True, "rows": 5, "head": head.hex(), "begin": 0, "broken": None, "kind": ""}


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
        assert verify(hub).whole


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


def test_compared_with_a_head_that_was_kept_elsewhere(root: Path, run: CliRunner) -> None:
    with opened(root) as hub:
        row, head = hub.store.audit.head()
    kept = f"{row}:{head.hex()}"
    assert run.invoke(app, ["audit", "verify", "--head", kept]).exit_code == 0
    wrong = run.invoke(app, ["audit", "verify", "--head", f"{row}:{'0' * 32}"])
    assert wrong.exit_code == 1 and wrong.stdout.startswith(f"BROKEN at row {row}: ")
    spoil(root, "DELETE FROM audit WHERE id = 5")
    spoil(root, "UPDATE audit_head SET id = 4, hash = (SELECT hash FROM audit WHERE id = 4)")
    assert run.invoke(app, ["audit", "verify"]).exit_code == 0  # the chain alone cannot know
    cut = run.invoke(app, ["audit", "verify", "--head", kept])
    assert cut.exit_code == 1 and cut.stdout.startswith("BROKEN at row 5: ")
    with opened(root) as hub, pytest.raises(ConfigError, match="ROW:HASH"):
        verify(hub, "five")


def test_copies_in_the_data_folder_show_an_end_that_was_cut_off(root: Path, run: CliRunner) -> None:
    with opened(root) as hub:
        assert keep_head(hub.config, hub.keyring, hub.store, 10**12)
        assert not keep_head(hub.config, hub.keyring, hub.store, 10**12 + 9 * 3_600_000)  # it did not move
        hub.store.audit.record(Access("ann", "fhir:read", "Patient/1"))
        assert not keep_head(hub.config, hub.keyring, hub.store, 10**12 + 60_000)  # not every minute
        assert keep_head(hub.config, hub.keyring, hub.store, 10**12 + 2 * 3_600_000)
        assert [row for row, _ in copies(hub.config, hub.keyring)] == [5, 6]
    spoil(root, "DELETE FROM audit WHERE id = 6")
    spoil(root, "UPDATE audit_head SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5)")
    assert run.invoke(app, ["audit", "verify"]).stdout.startswith("BROKEN at row 6: ")
    path = root / "var/audit.heads"
    path.write_text(path.read_text().replace(" 6 ", " 5 "))
    with opened(root) as hub, pytest.raises(ConfigError, match=r"audit\.heads:2"):
        verify(hub)


def test_export_as_audit_events(root: Path, run: CliRunner, tmp_path: Path) -> None:
    out = tmp_path / "audit.ndjson"
    done = run.invoke(app, ["audit", "export", "--out", str(out), "--since", "2001-01-01"])
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [e["id"] for e in events] == [f"audit-{n}" for n in range(1, 7)]  # the export is a row, too
    assert events[-1]["subtype"][0]["code"] == "audit:export"
    assert all(validate(e) == [] for e in events) and out.stat().st_mode & 0o077 == 0
    run.invoke(app, ["audit", "export", "--out", str(out), "--bundle"])
    assert len(json.loads(out.read_text())["entry"]) == 7
    later = iso(now_ms() + 60_000)
    assert (
        "0 audit events" in run.invoke(app, ["audit", "export", "--out", str(out), "--since", later]).stdout
    )
