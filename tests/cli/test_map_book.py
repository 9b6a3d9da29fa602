"""`hub map export` and `import`: what goes out comes back whole, edits become rows, damage is refused."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from engine.channels.sheetbook import read_book
from engine.channels.sheetcells import COLUMNS, Cell, Grid, entries_of, flat
from engine.cli.mapbook import map_export
from engine.cli.mapimport import map_import
from engine.cli.maps import open_program
from engine.kernel.errors import ConfigError, HubError
from engine.mapping.entries import entries

ROOT = Path(__file__).parents[2]
Out = pytest.CaptureFixture[str]
SEGMENTS = ("PID_Patient", "OBX_Observation")
PID = "mappings/hl7v2/segments/PID_Patient.yaml"


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(ROOT / "terminology", root / "terminology")
    shutil.copytree(ROOT / "mappings/hl7v2/datatypes", root / "mappings/hl7v2/datatypes")
    (root / "mappings/hl7v2/segments").mkdir()
    (root / "mappings/sites").mkdir()
    for name in SEGMENTS:  # a small project: opening it is most of what these tests do
        shutil.copy(ROOT / f"mappings/hl7v2/segments/{name}.yaml", root / "mappings/hl7v2/segments")
    for name in ("acme_lab", "us_core"):
        text = (ROOT / f"mappings/sites/{name}.yaml").read_text().split("\ntests:")[0] + "\n"
        others = [x for x in re.findall(r"^  ([A-Z][A-Z0-9]{2}_\w+):", text, re.M) if x not in SEGMENTS]
        for other in others:
            text = re.sub(rf"^  {other}:.*?(?=^  [A-Z]|^\S|\Z)", "", text, flags=re.M | re.S)
        (root / f"mappings/sites/{name}.yaml").write_text(text)
    (root / "config.yaml").write_text("hub: Book\n")
    return root


@pytest.fixture
def project(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "project"))


class Book:
    """A workbook somebody edits."""

    def __init__(self, root: Path, *names: str, site: str = "") -> None:
        self.path = root / "book.xlsx"
        map_export(root, names, self.path, site)
        self.book = load_workbook(self.path)

    def cell(self, sheet: str, element: str, word: str) -> Any:
        rows = list(self.book[sheet].iter_rows())
        head = next(r for r in rows if r[0].value in ("depth", "source_system"))
        column = {c.value: n for n, c in enumerate(head)}[word]
        return next(r for r in rows if r[1].value == element)[column]

    def set(self, sheet: str, element: str, word: str, value: Any) -> str:
        cell = self.cell(sheet, element, word)
        cell.value = value
        if isinstance(value, str):
            cell.data_type = "s"
        return f"{sheet}!{cell.coordinate}"

    def add(self, sheet: str, depth: int, element: str, **words: str) -> None:
        rows = list(self.book[sheet].iter_rows())
        head = next(r for r in rows if r[0].value == "depth")
        last = len(rows) + 1
        for n, h in enumerate(head, 1):
            word = "from" if h.value == "comes from" else h.value
            text = {"depth": str(depth), "element": element, **words}.get(word)
            if text:
                self.book[sheet].cell(last, n, text).data_type = "s"

    def save(self) -> Path:
        self.book.save(self.path)
        return self.path


def test_maps_go_out_and_come_back_whole(shipped: Path, tmp_path: Path, capsys: Out) -> None:
    names = ("PID_Patient", "OBX_Observation", "PL_Location")
    out = tmp_path / "book.xlsx"
    assert map_export(shipped, names, out, "acme_lab") == 0
    program = open_program(shipped, "acme_lab")
    for grid in read_book(out.read_bytes(), out.name):
        if "map" in grid.head:
            found, _ = entries_of(grid)
            of = program.resolved[grid.head["map"].text()]
            assert [e.said for e in found] == [e.said for e in entries(of)]
    assert map_import(shipped, out, dry_run=True) == 0
    assert capsys.readouterr().out.endswith("0 edits\n")


def test_every_map_becomes_lines_and_entries_again(shipped: Path) -> None:
    for name, m in open_program(shipped, "acme_lab").resolved.items():
        rows = list(entries(m))
        lines = [
            {c: Cell(f"{name}!{n}", text or None) for c, text in zip(COLUMNS, line, strict=True)}
            for n, line in enumerate(flat(rows))
        ]
        assert [e.said for e in entries_of(Grid(name, {}, lines))[0]] == [e.said for e in rows], name


def test_all_cells_are_text_and_comments_and_tables_are_there(project: Path) -> None:
    book = Book(project, "PID_Patient")
    constant = book.cell("PID_Patient", "identifier(ssn)", "assumed")
    assert constant.number_format == "@" and constant.data_type == "s"
    url = book.cell("PID_Patient", "url", "comes from")
    assert url.value.startswith("=http://") and url.data_type == "s" and url.quotePrefix
    assert "every repetition" in book.cell("PID_Patient", "identifier(list)", "comment").value
    assert book.cell("table AdministrativeSex", "F", "target_code").value == "female"


def test_an_edit_becomes_a_delta_of_the_site(project: Path, capsys: Out) -> None:
    site = project / "mappings/sites/acme_lab.yaml"
    before = site.read_text()
    book = Book(project, "PID_Patient", site="acme_lab")
    where = book.set("PID_Patient", "birthDate", "comes from", "PID-29")
    book.add("PID_Patient", 0, "identifier(school)", **{"from": "PID-4(1)", "comment": "asked 3 May"})
    assert map_import(project, book.save()) == 0
    said = capsys.readouterr().out
    assert f"{where}: PID_Patient birthDate: from: was PID-7, is PID-29" in said
    assert (
        "PID_Patient identifier(school): added" in said and "2 edits in mappings/sites/acme_lab.yaml" in said
    )
    after = site.read_text()
    new = [x.strip() for x in after.splitlines() if x not in before.splitlines()]
    assert [x.split(":")[0] for x in new] == ["birthDate", "identifier(school)"] and "# asked 3 May" in new[1]
    assert [x for x in before.splitlines() if x not in after.splitlines()] == []  # comments and all else stay
    resolved = open_program(project, "acme_lab").resolved["PID_Patient"]
    assert {e.key: e.words for e in entries(resolved)}["birthDate"] == {"from": "PID-29"}


def test_a_row_set_back_leaves_the_site_and_a_removed_one_is_skipped(project: Path) -> None:
    book = Book(project, "PID_Patient", site="acme_lab")
    book.set("PID_Patient", "identifier(external)", "skip", None)
    book.set("PID_Patient", "identifier(external)", "comes from", "PID-2")  # as the standard has it
    sheet = book.book["PID_Patient"]
    sheet.delete_rows(book.cell("PID_Patient", "maritalStatus", "element").row)
    assert map_import(project, book.save()) == 0
    text = (project / "mappings/sites/acme_lab.yaml").read_text()
    assert "identifier(external)" not in text and "maritalStatus: skip" in " ".join(text.split())


def test_one_case_of_a_table_is_one_case_in_the_site(project: Path) -> None:
    book = Book(project, "OBX_Observation", site="us_core")
    cell = next(
        c for row in book.book["OBX_Observation"].iter_rows() for c in row if c.value == "case DT|TS|DTM"
    )
    below = book.book["OBX_Observation"].cell(cell.row + 1, cell.column)
    assert below.value == "valueDateTime"
    below.value = "valueString"
    assert map_import(project, book.save()) == 0
    text = (project / "mappings/sites/us_core.yaml").read_text()
    assert "DT|TS|DTM:" in text and "CE|CWE" not in text


def test_a_new_sender_gets_a_file(project: Path) -> None:
    book = Book(project, "PID_Patient")
    book.set("PID_Patient", "gender", "code", "")
    book.set("PID_Patient", "gender", "comes from", "=unknown")
    book.set("PID_Patient", "gender", "assumed", "the lab never fills PID-8")
    assert map_import(project, book.save(), site="harbor") == 0
    text = (project / "mappings/sites/harbor.yaml").read_text()
    assert text.startswith("site: harbor\nover: standard\n") and "assumed: the lab never fills PID-8" in text
    assert open_program(project, "harbor").layers[-1].name == "harbor"


def test_the_standard_is_edited_in_its_own_file(project: Path) -> None:
    before = (project / PID).read_text().splitlines()
    book = Book(project, "PID_Patient")
    book.set("PID_Patient", "birthDate", "comes from", "[PID-7, PID-29]")
    book.set("PID_Patient", "identifier(list)", "comment", "all of them")
    assert map_import(project, book.path) == 0  # nothing edited yet
    assert (project / PID).read_text().splitlines() == before
    assert map_import(project, book.save(), standard=True) == 0
    after = (project / PID).read_text().splitlines()
    assert len(after) == len(before)
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert [b.split(":")[0].strip() for _, b in changed] == ["identifier(list)", "birthDate"]
    assert "# all of them" in changed[0][1] and "[PID-7, PID-29]" in changed[1][1]


@pytest.mark.parametrize(
    ("word", "value", "why"),
    [
        ("comes from", datetime(2026, 5, 7), "became a date"),
        ("comes from", 7, "became a number"),
        ("comes from", "=PID-7", "is a formula"),
        ("comes from", "7-May", "a spreadsheet has changed it"),
        ("comes from", "PID\u20137", "typeset"),
        ("comes from", "PID-77", "field"),
        ("comes from", "[PID-7", "is not readable YAML"),
        ("when", "PID-7 value", "condition"),
        ("code", "NoSuchTable", "NoSuchTable"),
        ("unmapped", "maybe", "unmapped"),
        ("element", "birthDay", "birthDay"),
        ("depth", "3", "does not follow"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_cell(
    project: Path, word: str, value: object, why: str
) -> None:
    before = (project / PID).read_text()
    book = Book(project, "PID_Patient")
    row = book.cell("PID_Patient", "birthDate", "element").row
    cell = book.cell("PID_Patient", "birthDate", word)
    cell.value = value
    if isinstance(value, str) and why != "is a formula":
        cell.data_type = "s"
    with pytest.raises(HubError) as fault:
        map_import(project, book.save(), standard=True)
    assert why in str(fault.value)
    assert fault.value.where.startswith("PID_Patient!") and fault.value.where.endswith(str(row))
    assert (project / PID).read_text() == before


def test_a_sheet_of_an_older_map_is_refused(project: Path) -> None:
    book = Book(project, "PID_Patient")
    book.set("PID_Patient", "birthDate", "comes from", "PID-29")
    path = project / PID
    path.write_text(
        path.read_text().replace("multipleBirthInteger:   PID-25", "multipleBirthInteger:   PID-26")
    )
    with pytest.raises(HubError, match="has changed since this sheet was written"):
        map_import(project, book.save(), standard=True)


def test_code_tables_come_back_and_eaten_codes_do_not(project: Path, capsys: Out) -> None:
    table = project / "terminology/maps/acme_lab_to_loinc.csv"
    before = table.read_text()
    book = Book(project, "OBX_Observation", site="acme_lab")
    book.set("table acme_lab_to_loinc", "GLUF", "status", "draft")
    assert map_import(project, book.save()) == 0
    changed = [
        (a, b) for a, b in zip(before.splitlines(), table.read_text().splitlines(), strict=True) if a != b
    ]
    assert len(changed) == 1 and ",draft," in changed[0][1] and changed[0][1].startswith("L,GLUF")
    book.set("table acme_lab_to_loinc", "GLUF", "target_code", "Aug-58")
    with pytest.raises(HubError, match="a spreadsheet has changed it"):
        map_import(project, book.save())
    shared = Book(project, "PID_Patient", site="acme_lab")
    shared.set("table AdministrativeSex", "F", "target_code", "other")
    with pytest.raises(HubError, match="belongs to all senders"):
        map_import(project, shared.save())


def test_a_csv_of_one_map_goes_round(project: Path, capsys: Out) -> None:
    out = project / "pid.csv"
    assert map_export(project, ["PID_Patient"], out) == 0
    rows = list(csv.reader(out.open(encoding="utf-8-sig", newline="")))
    line = next(r for r in rows if r[1:2] == ["birthDate"])
    line[2] = "PID-29"
    with out.open("w", encoding="utf-8-sig", newline="") as f:
        csv.writer(f).writerows(rows)
    capsys.readouterr()
    assert map_import(project, out, standard=True, dry_run=True, as_json=True) == 0
    (edit,) = json.loads(capsys.readouterr().out)
    assert (edit["element"], edit["was"], edit["now"]) == ("birthDate", "PID-7", "PID-29")
    assert map_import(project, out) == 1  # where to, nobody has said
    assert "--to SITE or --standard" in capsys.readouterr().out


@pytest.mark.parametrize("bomb", ["far", "long"])
def test_a_workbook_that_does_not_fit_into_memory_is_refused(bomb: str) -> None:
    book, out = Workbook(), io.BytesIO()
    assert book.active is not None
    if bomb == "far":
        book.active["XFD1048576"] = "x"
    book.save(out)
    if bomb == "long":
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as parts, parts.open("xl/far.xml", "w") as part:
            for _ in range(201):
                part.write(b" " * (1 << 20))
    assert len(out.getvalue()) < 1 << 20
    with pytest.raises(ConfigError, match=r"too many cells|too large unpacked"):
        read_book(out.getvalue(), "rows.xlsx")
