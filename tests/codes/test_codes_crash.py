"""A load that is killed, a disk that is full: what was there is there, and the load can be run again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from code_samples import LOINC_COLUMNS, csv_text, loinc, loinc_row

from engine.codes import database
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import LOINC
from engine.kernel.errors import StoreUnavailable

KILLED = """
import os, signal, sys
from pathlib import Path
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
folder, moment = Path(sys.argv[1]), float(sys.argv[2])

def tell(stage, done, total):
    if (stage == "indexing" if moment > 1 else done > total * moment):
        os.kill(os.getpid(), signal.SIGKILL)

load_release(folder / "codes.db", folder / "Loinc.csv", Asked(version="2.81"), tell=tell)
"""


def _file(folder: Path, rows: int, name: str) -> Path:
    path = folder / "Loinc.csv"
    path.write_text(csv_text([loinc_row(9100001 + n, f"{name} {n}") for n in range(rows)], LOINC_COLUMNS))
    return path


@pytest.fixture
def before(tmp_path: Path) -> Path:
    load_release(tmp_path / "codes.db", _file(tmp_path, 50, "before"), Asked(version="2.80"))
    _file(tmp_path, 20_000, "after")  # several batches, of which some are committed
    return tmp_path


@pytest.mark.parametrize("moment", [0.9, 2])
def test_a_killed_load_can_be_run_again(moment: float, before: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(before), str(moment)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    with sqlite3.connect(before / "codes.db") as file:
        (left,) = file.execute("SELECT id FROM load WHERE NOT ready").fetchone()
        assert file.execute(f"SELECT count(*) FROM concept_{left}").fetchone()[0] >= 8_000
    store = CodeStore(before / "codes.db")
    assert [(r.version, r.concepts) for r in store.releases()] == [("2.80", 50)]
    found = store.lookup(LOINC, loinc(9100001))
    assert found is not None and found.display.startswith("before")
    assert store.search(LOINC, "after") == []
    summary = load_release(before / "codes.db", before / "Loinc.csv", Asked(version="2.81"))
    assert summary.notes == ["what an interrupted load had left behind was removed"]
    store._due = 0.0
    assert [(r.version, r.concepts) for r in store.releases()] == [("2.81", 20_000), ("2.80", 50)]
    with sqlite3.connect(before / "codes.db") as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
    assert f"concept_{left}" not in tables


def test_a_full_disk_changes_nothing(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = database._writer

    def full(path: Path) -> sqlite3.Connection:
        connection = make(path)
        ((pages,),) = connection.execute("PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count={pages + 100}")
        return connection

    with monkeypatch.context() as at:
        at.setattr(database, "_writer", full)
        with pytest.raises(StoreUnavailable, match=r"disk is full.*has space"):
            load_release(before / "codes.db", before / "Loinc.csv", Asked(version="2.81"))
    store = CodeStore(before / "codes.db")
    assert [r.version for r in store.releases()] == ["2.80"]
    assert store.search(LOINC, "before", limit=100)
    load_release(before / "codes.db", before / "Loinc.csv", Asked(version="2.81"))
    store._due = 0.0
    assert [r.version for r in store.releases()] == ["2.81", "2.80"]
