"""`hub terms gaps` and its neighbours: what they print, what they write, what they record."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from openpyxl import Workbook, load_workbook
from typer.testing import CliRunner

from engine.cli.main import app
from engine.terminology.tables import read_table

Run = Callable[..., str]
HEAD = "MSH|^~\\&|{app}|ACME|HUB|HOSP|20260501120000||ORU^R01^ORU_R01|{n}|P|2.5.1"


def oru(n: int, *codes: str, app: str = "ACMELIS") -> bytes:
    lines = [
        HEAD.format(app=app, n=f"M{n}"),
        f"PID|1||7{n}^^^NORTH^MR||ROWAN^IDA||19800101|F",
        f"OBR|1|P{n}|F{n}|24323-8^CMP^LN|||20260501110000|||||||||||||||20260501||LAB|F",
        *(f"OBX|{i}|NM|{code}^{code.title()} test^L||5.{i}|mmol/L|||||F" for i, code in enumerate(codes, 1)),
    ]
    return ("\r".join(lines) + "\r").encode()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path / "project"))
    for n, codes in enumerate((("GLUX", "ZZ"), ("GLUX",), ("0012",)), 1):
        made.receive("lab_oru", oru(n, *codes))
    made.receive("lab_oru", oru(4, "ONLY", app="NEWLIS"))
    made.work()
    monkeypatch.chdir(made.root)
    yield made
    made.close()


@pytest.fixture
def run(hub: Hub) -> Run:
    def runner(*words: str, code: int = 0, typed: str = "") -> str:
        done = CliRunner().invoke(app, ["terms", *words], input=typed)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    return runner


def number(run: Run, code: str) -> str:
    return str(next(s["id"] for s in json.loads(run("gaps", "--json")) if s["code"] == code))


def audited(hub: Hub) -> list[str]:
    return [r.action for r in hub.store.audit.rows()]


def test_the_list(hub: Hub, run: Run) -> None:
    text = run("gaps")
    for words in (
        "GLUX",
        "Glux test",
        "ACMELIS|ACME",
        "2 messages",
        "2 flagged",
        "mmol/L",
        "no table is asked",
    ):
        assert words in text, words
    assert "5.1" not in text and "ROWAN" not in text
    assert text.index("GLUX") < text.index("ZZ")  # what most waits for comes first
    made = json.loads(run("gaps", "--json", "--sender", "acmelis"))
    assert [(s["code"], s["count"], s["waiting"]) for s in made] == [
        ("GLUX", 2, 2),
        ("ZZ", 1, 1),
        ("0012", 1, 1),
    ]
    assert run("gaps", "--state", "approved") == "no code waits\n"
    assert json.loads(run("gaps", "--json", "--field", "OBR-4")) == []
    assert audited(hub)[-1] == "terms:gaps"
    text = run("gaps", "--show-phi")
    assert "values: 5.1" in text and audited(hub)[-1] == "terms:values"


def test_nothing_is_suggested_where_nothing_is_loaded(run: Run) -> None:
    done = CliRunner().invoke(app, ["terms", "suggest"])
    assert done.exit_code and "no code system is loaded" in str(done.exception)


def test_from_a_draft_to_the_table(hub: Hub, run: Run) -> None:
    glux = number(run, "GLUX")
    assert "draft: 2345-7" in run("propose", glux, "2345-7", "--system", "loinc", "--comment", "as before")
    assert "[yellow]" not in run("gaps") and "draft: 2345-7" in run("gaps")
    said = run("approve", glux, typed="n\n", code=1)
    assert "1 code: 2 messages will run again (0 parked, 2 written with a flag)" in said
    path = hub.root / "terminology/maps/acme_lab_to_loinc.csv"
    before = path.read_bytes()
    assert b"GLUX" not in before and hub.journal.head() == 4
    done = json.loads(run("approve", glux, "--yes", "--json"))
    assert [r["entry"] for r in done["replays"]] == [1, 2]
    (row,) = [r for r in read_table(path.read_bytes(), "t") if r.source_code == "GLUX"]
    assert (row.target_code, row.note) == ("2345-7", "as before")
    hub.work()
    assert [s["code"] for s in json.loads(run("gaps", "--json"))] == ["ZZ", "0012", "ONLY"]
    assert {"terms:approve", "terms:release"} <= set(audited(hub))


def test_many_at_once(hub: Hub, run: Run) -> None:
    for code in ("GLUX", "ZZ"):
        run("propose", number(run, code), "2345-7", "--system", "loinc")
    run("review", number(run, "ZZ"))
    assert "1 message runs again" in run("approve", "--reviewed", "--yes")
    assert [s["state"] for s in json.loads(run("gaps", "--json")) if s["code"] == "GLUX"] == ["draft"]
    run("approve", "--drafts", "--yes")
    assert run("approve", "--drafts", code=2)  # nothing is left
    run("propose", number(run, "0012"), "2345-7", "--system", "loinc")
    run("withdraw", number(run, "0012"))
    assert [s["state"] for s in json.loads(run("gaps", "--json")) if s["code"] == "0012"] == ["open"]


def test_check_and_release_of_a_row_written_by_hand(hub: Hub, run: Run) -> None:
    assert run("check") == "all targets are active in the loaded releases\n"
    path = hub.root / "terminology/maps/acme_lab_to_loinc.csv"
    with path.open("a") as out:
        out.write("L,GLUX,Glucose,equal,http://loinc.org,2345-7,,approved,ann,2026-11-21,\n")
    assert "hub terms release" in run("check", code=1)
    assert "2 messages run again" in run("release", "--settled", "--yes")
    hub.work()
    assert run("check") == "all targets are active in the loaded releases\n"


@pytest.mark.parametrize("name", ["codes.csv", "codes.xlsx", "codes.json", "codes.usagi.csv"])
def test_a_list_goes_out_and_comes_back(hub: Hub, run: Run, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    run("propose", number(run, "GLUX"), "2345-7", "--system", "loinc")
    run("export", str(file))
    assert audited(hub)[-1] == "terms:export"
    made = json.loads(run("import", str(file), "--json"))
    assert made["refused"] == [] and made["draft"] == 0 and made["same"] == 1
    run("withdraw", number(run, "GLUX"))
    assert "1 would be drafts" in run("import", str(file), "--dry-run")
    assert json.loads(run("import", str(file), "--json"))["draft"] == 1
    (glux,) = [s for s in json.loads(run("gaps", "--json")) if s["code"] == "GLUX"]
    assert (glux["state"], glux["proposal"]["target_code"]) == ("draft", "2345-7")
    assert name in glux["proposal"]["comment"]


def test_a_workbook_keeps_codes_as_they_are(hub: Hub, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "codes.xlsx"
    run("export", str(file))
    sheet = load_workbook(file).worksheets[0]
    head = [c.value for c in sheet[1]]
    at = head.index("source_code")
    codes = {row[at].value: row[at] for row in sheet.iter_rows(min_row=2)}
    assert "0012" in codes and codes["0012"].number_format == "@" and codes["0012"].data_type == "s"
    book = Workbook()
    book.worksheets[0].append(["source_code", "target_code"])
    book.worksheets[0].append([12, "2345-7"])
    book.save(file)
    done = CliRunner().invoke(app, ["terms", "import", str(file)])
    assert done.exit_code and "source_code is no text but int 12" in str(done.exception)


def test_a_list_of_codes_that_nobody_sent_yet(hub: Hub, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows(
            [
                ["source_system", "source_code", "source_display", "target_system", "target_code"],
                ["L", "FERR", "Ferritin", "http://loinc.org", "2276-4"],
                ["L", "GLUX", "Glucose", "http://loinc.org", "2345-8"],
            ]
        )
    done = CliRunner().invoke(app, ["terms", "import", str(file), "--sender", "ACMELIS|ACME"])
    assert done.exit_code and "check digit" in str(done.exception)  # all of the file or nothing
    file.write_text(file.read_text().replace("2345-8", "2345-7"))
    refused = json.loads(run("import", str(file), "--json"))["refused"]
    assert [one["code"] for one in refused] == ["FERR"]  # whose is it?
    made = json.loads(run("import", str(file), "--sender", "ACMELIS|ACME", "--json"))
    assert (made["new"], made["draft"], made["same"]) == (1, 1, 1)
    run("approve", "--drafts", "--yes")
    path = hub.root / "terminology/maps/acme_lab_to_loinc.csv"
    assert {"FERR", "GLUX"} <= {r.source_code for r in read_table(path.read_bytes(), "t")}
