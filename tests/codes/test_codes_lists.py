"""ICD-10 order files, GEMs, the CDC's vaccine codes, the NDC directory and lists of codes."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path

import pytest
from code_samples import write, zipped
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from engine.codes.loaders.gem import read_line as gem_line
from engine.codes.loaders.icd10 import read_line
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import CARC, CPT, CVX, HCPCS, ICD9CM, ICD10CM, ICD10PCS, MVX, NDC
from engine.kernel.errors import HubError


def order(n: int, code: str, valid: int, short: str, long: str) -> str:
    return f"{n:05d} {code:<7} {valid} {short:<60} {long}\r\n"


ORDER = (
    order(1, "A00", 0, "Cholera", "Cholera")
    + order(
        2, "A000", 1, "Cholera due to V. cholerae 01", "Cholera due to Vibrio cholerae 01, biovar cholerae"
    )
    + order(3, "A009", 1, "Cholera, unspecified", "Cholera, unspecified")
    + order(4, "A01", 0, "Typhoid and paratyphoid fevers", "Typhoid and paratyphoid fevers")
    + order(5, "A010", 0, "Typhoid fever", "Typhoid fever")
    + order(6, "A0100", 1, "Typhoid fever, unspecified", "Typhoid fever, unspecified")
)


def _icd(folder: Path, text: str = ORDER, name: str = "icd10cm_order_2026.txt") -> CodeStore:
    load_release(folder / "codes.db", write(folder / "in", {name: text}) / name)
    return CodeStore(folder / "codes.db")


def test_an_order_file(tmp_path: Path) -> None:
    store = _icd(tmp_path)
    (release,) = store.releases()
    assert (release.version, release.effective, release.concepts) == ("2026", "2025-10-01", 6)
    found = store.lookup(ICD10CM, "A01.00")
    assert found is not None
    assert (found.display, found.parents) == ("Typhoid fever, unspecified", ("A01.0",))
    assert found.properties == {"billable": "true"}
    heading = store.lookup(ICD10CM, "A01")
    assert heading is not None
    assert (heading.properties["billable"], heading.parents) == ("false", ())
    assert store.lookup(ICD10CM, "A0100") is None  # the code has a dot
    assert store.validate(ICD10CM, "A0100") == (
        False,
        f"'A0100' is not in {ICD10CM} 2026, where it is written 'A01.00'",
    )
    assert store.validate(ICD10CM, "Z9999") == (False, f"'Z9999' is not in {ICD10CM} 2026")
    assert store.subsumes(ICD10CM, "A01", "A01.00") == "subsumes"
    assert store.names(ICD10CM, "A00.0") == [("Cholera due to V. cholerae 01", "en", "short")]


def test_procedures_have_no_dot_and_april_is_a_release_of_its_own(tmp_path: Path) -> None:
    text = order(1, "001", 0, "CNS, Bypass", "Central Nervous System, Bypass") + order(
        2, "0016070", 1, "Bypass Cereb Vent", "Bypass Cerebral Ventricle to Nasopharynx"
    )
    store = _icd(tmp_path, text, "icd10pcs_order_2026.txt")
    found = store.lookup(ICD10PCS, "0016070")
    assert found is not None and found.parents == ("001",)
    store = _icd(tmp_path, name="icd10cm-order-April-2026.txt")
    april = next(r for r in store.releases() if r.system == ICD10CM)
    assert (april.version, april.effective) == ("2026-04", "2026-04-01")
    parts = {"icd10cm_order_2026.txt": ORDER, "icd10cm_order_addenda_2026.txt": "Add: nothing", "a.pdf": ""}
    load_release(tmp_path / "codes.db", zipped(tmp_path / "april-1-2026-code-descriptions.zip", parts))
    assert [r.version for r in store.releases() if r.system == ICD10CM] == ["2026-04"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[:-20], r"2026\.txt:6: (is no line|ends in)"),
        (lambda t: t.replace("A000 ", "A000", 1), r"2026\.txt:2: is no line of an order file"),
        (lambda t: t.replace("00003", "00002"), r"2026\.txt:3: is out of order"),
        (lambda t: t.replace("A010 ", "A00  "), r"2026\.txt:5: has A00 a second time"),
        (lambda t: "", r"has no codes"),
    ],
)
def test_a_damaged_order_file_is_refused(change: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=said):
        _icd(tmp_path, change(ORDER))  # type: ignore[operator]


CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=3, max_size=7)
NAMES = st.text(st.characters(codec="latin-1", exclude_categories=("C", "Z")), min_size=1, max_size=60)


@given(n=st.integers(0, 99999), code=CODES, valid=st.booleans(), short=NAMES, long=NAMES)
def test_every_line_of_the_layout_is_read(n: int, code: str, valid: bool, short: str, long: str) -> None:
    assert read_line(order(n, code, int(valid), short, long)) == (n, code, valid, short, long)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_letters_beyond_ascii_wherever_the_places_are_counted(encoding: str, tmp_path: Path) -> None:
    by_character = order(1, "M350", 0, "Sjögren syndrome", "Sjögren syndrome")
    by_byte = order(2, "M3500", 1, "Sjögren syndrome, unsp", "Sjögren syndrome, unspecified")
    if encoding == "utf-8":
        by_byte = by_byte.replace("unsp  ", "unsp ", 1)  # the ö took two of the 60 places
    (tmp_path / "icd10cm_order_2026.txt").write_bytes((by_character + by_byte).encode(encoding))
    load_release(tmp_path / "codes.db", tmp_path / "icd10cm_order_2026.txt")
    store = CodeStore(tmp_path / "codes.db")
    found = store.lookup(ICD10CM, "M35.00")
    assert found is not None and found.display == "Sjögren syndrome, unspecified"
    assert store.names(ICD10CM, "M35.00") == [("Sjögren syndrome, unsp", "en", "short")]
    assert [c.code for c in store.search(ICD10CM, "sjogren")] == ["M35.0", "M35.00"]


@given(st.text(max_size=120))
def test_no_other_line_is_taken_for_one(line: str) -> None:
    read = read_line(line)
    assert read is None or len(line) >= 78


def test_gems(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "gems",
        {
            "2018_I9gem.txt": "0010  A000    00000\n25000 E119    10000\n80600 S12000A 10111\n"
            "80600 S14101A 10112\nE0000 NoDx    11000\n",
            "2018_I10gem.txt": "A000    0010  00000\n",
            "gem_i9pcs.txt": "0001  6A750ZZ 10000\n",
        },
    )
    summary = load_release(tmp_path / "codes.db", folder)
    store = CodeStore(tmp_path / "codes.db")
    assert [(m.code, m.equivalence) for m in store.translate(ICD9CM, "001.0", ICD10CM)] == [
        ("A00.0", "equivalent")
    ]
    assert [(m.code, m.equivalence) for m in store.translate(ICD9CM, "250.00", ICD10CM)] == [
        ("E11.9", "inexact")
    ]
    both = store.translate(ICD9CM, "806.00", ICD10CM)
    assert [(m.code, m.equivalence) for m in both] == [("S12.000A", "inexact"), ("S14.101A", "inexact")]
    assert "needed together" in both[0].source
    assert store.translate(ICD9CM, "E000.0", ICD10CM) == []
    assert [m.code for m in store.translate(ICD10CM, "A00.0", ICD9CM)] == ["001.0"]
    assert [m.code for m in store.translate(ICD9CM, "00.01", ICD10PCS)] == ["6A750ZZ"]
    assert summary.skipped == {"code without an equivalent": 1}
    write(tmp_path / "gems", {"2018_I9gem.txt": "0010  A000    00000\n25000 E119   100\n"})
    with pytest.raises(HubError, match=r"2018_I9gem\.txt:2: is no line of a GEM file"):
        load_release(tmp_path / "codes.db", folder)


@given(st.text(max_size=30))
def test_no_line_breaks_the_reader_of_gems(line: str) -> None:
    read = gem_line(line)
    assert read is None or len(read[2]) == 5


CVX_TXT = (
    "901       |short A|Full vaccine A|a note|Active|False|2025/05/01\r\n"
    "902       |short B|Full vaccine B||Inactive|False|2024/01/31\r\n"
    "903       |short C|Never given||Never Active|False|2010/05/28\r\n"
)
CPT_TXT = (
    "90001     |AMA words||short A|901       ||2025/04/01|1\r\n"
    "90002     |AMA words||short A|901       ||2025/04/01|2\r\n"
    "90002     |AMA words||short B|902       ||2025/04/01|3\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_vaccines(encoding: str, tmp_path: Path) -> None:
    text = CVX_TXT.replace("a note", "a note – with a dash")
    folder = write(
        tmp_path / "cdc",
        {
            "mvx.txt": "ZZA |Invented Maker|Notes|Active|2025/02/03\r\n"
            "ZZB |Old Maker||Inactive|2012/10/18\r\n",
            "TRADENAME.txt": "FICTAVAX|short A|901       |Invented Maker|ZZA |Active|Active|2025/05/01\r\n",
            "cpt.txt": CPT_TXT,
        },
    )
    (folder / "cvx.txt").write_bytes(text.encode(encoding))
    load_release(tmp_path / "codes.db", folder)
    store = CodeStore(tmp_path / "codes.db")
    found = store.lookup(CVX, "901")
    assert found is not None
    assert (found.display, found.version, found.active) == ("Full vaccine A", "2025-05-01", True)
    assert found.properties["notes"] == "a note – with a dash"
    assert store.validate(CVX, "902")[0]  # given in the past: the code stays right
    assert not store.validate(CVX, "903")[0]
    assert [c.code for c in store.search(CVX, "fictavax")] == ["901"]
    assert store.validate(MVX, "ZZA")[0] and not store.validate(MVX, "ZZB")[0]
    assert [(m.code, m.equivalence) for m in store.translate(CPT, "90001", CVX)] == [("901", "wider")]
    assert {m.equivalence for m in store.translate(CPT, "90002", CVX)} == {"inexact"}
    assert store.lookup(CPT, "90001") is None  # the AMA's names are not ours to keep


def test_ndc_to_cvx(tmp_path: Path) -> None:
    def row(sale: str, use: str, cvx: str) -> str:
        cells = [sale, "", "Fictavax", "Maker", "CARTON", "im", "2024/01/01", "", "", "2025/05/01", "", use]
        return "|".join([*cells, *[""] * 6, cvx, "short A", "", "Active"]) + "\r\n"

    text = row("00001-2345-10", "00001-2345-01", "901       ") + row("00001-2346-10", "00001-2345-01", "902")
    path = write(tmp_path / "cdc", {"get_all_ndc_display2.txt": text}) / "get_all_ndc_display2.txt"
    load_release(tmp_path / "codes.db", path)
    store = CodeStore(tmp_path / "codes.db")
    assert [(m.code, m.equivalence) for m in store.translate(NDC, "00001234510", CVX)] == [("901", "wider")]
    several = store.translate(NDC, "00001234501", CVX)
    assert [(m.code, m.equivalence) for m in several] == [("901", "inexact"), ("902", "inexact")]
    assert store.releases()[0].version == "2025-05-01"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            CVX_TXT.replace("901       ", "9         "),
            r"cvx\.txt:1: has the code '9': zeros in front are lost",
        ),
        (CVX_TXT + "904|cut", r"cvx\.txt:4: is no row of this code set"),
        (CVX_TXT.replace("902       ", "Sep 02    "), r"cvx\.txt:2: is no row"),
        ("901|a|b|c|Active|False|\n", r"cvx\.txt: has no dates.*--release"),
    ],
)
def test_damaged_vaccine_codes_are_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=said):
        load_release(tmp_path / "codes.db", write(tmp_path / "cdc", {"cvx.txt": text}))


def test_the_ndc_directory(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "ndctext",
        {
            "product.txt": "PRODUCTID\tPRODUCTNDC\tPROPRIETARYNAME\tNONPROPRIETARYNAME\tDOSAGEFORMNAME\t"
            'LABELERNAME\n1\t0001-2345\tFictor "plus"\tinventamol\tTABLET\tInvented Labs\n',
            "package.txt": "PRODUCTID\tPRODUCTNDC\tNDCPACKAGECODE\tPACKAGEDESCRIPTION\n"
            "1\t0001-2345\t0001-2345-67\t100 TABLET in 1 BOTTLE\n1\t0001-2345\t0001-2345\tno package\n",
        },
    )
    product = (folder / "product.txt").read_text().replace("Invented Labs", "Inventé Labs")
    (folder / "product.txt").write_bytes(product.encode("cp1252"))
    summary = load_release(tmp_path / "codes.db", folder, Asked(version="2025-06-30"))
    store = CodeStore(tmp_path / "codes.db")
    found = store.lookup(NDC, "00001234567")
    assert found is not None
    assert found.display == 'Fictor "plus", TABLET, 100 TABLET in 1 BOTTLE'
    assert found.properties["ndc"] == "0001-2345-67" and found.properties["labeler"] == "Inventé Labs"
    assert store.lookup(NDC, "0001-2345-67") == found and store.validate(NDC, "00001-2345-67") == (True, "")
    assert store.lookup(NDC, "0001-2345-68") is None
    assert store.search(NDC, "inventamol")[0] == found
    assert store.releases()[0].effective == "2025-06-30"
    assert summary.skipped == {"package code of no known form": 1}


def _list(folder: Path, name: str, text: str, **asked: object) -> CodeStore:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    load_release(folder / "codes.db", path, Asked(**{"version": "1", **asked}))  # type: ignore[arg-type]
    return CodeStore(folder / "codes.db")


def test_a_list_of_codes(tmp_path: Path) -> None:
    store = _list(
        tmp_path,
        "carc.csv",
        "CARC list\n\nStart,Code,Description,Status\n2001,1,Deductible,Active\n"
        '2002,A1,"Claim, denied",Deactivated\n',
    )
    found = store.lookup(CARC, "A1")
    assert found is not None
    assert (found.display, found.active, found.properties) == ("Claim, denied", False, {"Start": "2002"})
    store = _list(
        tmp_path, "own.csv", "id;bezeichnung;parent\nA;Oben;\nB;Unten;A\n", system="urn:x:own",
        columns={"code": "id", "display": "bezeichnung"},
    )  # fmt: skip
    assert store.subsumes("urn:x:own", "A", "B") == "subsumes"


def _book(path: Path, rows: list[list[object]]) -> Path:
    book = Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(path)
    return path


def test_a_workbook(tmp_path: Path) -> None:
    path = _book(
        tmp_path / "HCPC2026.xlsx",
        [
            ["HCPCS of 2026"],
            ["HCPC", "LONG DESCRIPTION", "COV"],
            ["A0021", "Ambulance", "I"],
            ["E1399", "Other", None],
        ],
    )
    load_release(tmp_path / "codes.db", path, Asked(version="2026"))
    store = CodeStore(tmp_path / "codes.db")
    found = store.lookup(HCPCS, "E1399")
    assert found is not None and found.display == "Other"
    with zipfile.ZipFile(tmp_path / "hcpcs.zip", "w") as made:
        made.write(path, path.name)
        made.writestr("notes.txt", "read me")
    load_release(tmp_path / "codes.db", tmp_path / "hcpcs.zip", Asked(version="2026b"))
    _book(path, [["code", "display"], ["A0021", "Ambulance"], [datetime.datetime(2026, 3, 2), "?"]])
    with pytest.raises(
        HubError, match=r"HCPC2026\.xlsx:3: has the code '2026-03-02 00:00:00': a spreadsheet"
    ):
        load_release(tmp_path / "codes.db", path, Asked(version="2027"))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(HubError, match=r"HCPC2026\.xlsx: is no readable workbook"):
        load_release(tmp_path / "codes.db", path, Asked(version="2027"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "cpt.csv",
            "code,display\n99213,Visit\n12,Lost\n",
            r"cpt\.csv:3: has the code '12': zeros in front are lost",
        ),
        ("hcpc.csv", "code,display\nA0021,x\n1E+05,y\n", r"hcpc\.csv:3: .*exponent notation"),
        ("rarc.csv", "code,display\nM1,x\nMar-93,y\n", r"rarc\.csv:3: .*into a date"),
        ("carc.csv", "code,display\n001,x\n2,y\n", r"carc\.csv:3: .*the other codes here have 3 digits"),
        ("carc.csv", "code,display\n1,x\n1,y\n", r"carc\.csv:3: has '1' a second time"),
        ("carc.csv", "code,display\n1\n", r"carc\.csv:2: has 1 cells instead of 2"),
        ("carc.csv", "a,b\n1,x\n", r"carc\.csv:1: has no column for codes.*--column"),
        ("own.csv", "code,display\n1,x\n", r"own\.csv: does not say its code system.*--system"),
        ("carc.csv", 'code,display\n1,"x\n', r"carc\.csv:\d: is not readable as CSV"),
    ],
)
def test_a_damaged_list_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=said):
        _list(tmp_path, name, text)


def test_a_list_in_another_encoding_says_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "carc.csv").write_bytes("code,display\n1,Sjögren\n".encode("cp1252"))
    with pytest.raises(HubError, match=r"carc\.csv:2: is not UTF-8.*Save the list again, as `CSV UTF-8`"):
        load_release(tmp_path / "codes.db", tmp_path / "carc.csv", Asked(version="1"))


def test_a_code_that_really_looks_like_a_number_is_written_as_text(tmp_path: Path) -> None:
    store = _list(tmp_path, "own.csv", 'code,display\n"=""1E5""",Real\n', system="urn:x:own")
    assert store.lookup("urn:x:own", "1E5") is not None
