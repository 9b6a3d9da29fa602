"""Looking codes up: only approved meanings, by system, and never two codes taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.errors import ConfigError
from engine.terminology.tables import COLUMNS
from engine.terminology.translate import Table, Terminology

HEAD = ",".join(COLUMNS) + "\n"
V2 = "http://terminology.hl7.org/CodeSystem/v2-"
SYSTEMS = (
    f"{V2}0396,HL7*,,equal,,{V2}*,,approved,hub,,\n"
    f"{V2}0396,LN,LOINC,equal,,http://loinc.org,,approved,hub,,\n"
    f"{V2}0396,I9,ICD9,inexact,,,,approved,hub,,ask\n"
)


def terminology(**tables: str) -> Terminology:
    content = {f"maps/{name}.csv": (HEAD + rows).encode() for name, rows in tables.items()}
    return Terminology.of({"maps/systems.csv": (HEAD + SYSTEMS).encode(), **content})


def line(system: str, code: str, target: str, equivalence: str = "equal", status: str = "approved") -> str:
    to = "" if equivalence == "unmatched" else f"http://x.example/{target[0]}"
    return f"{system},{code},,{equivalence},{to},{target if to else ''},,{status},hub,,\n"


def table(rows: str) -> Table:
    return terminology(t=rows).table("t")


@pytest.mark.parametrize("equivalence", ["equal", "equivalent", "wider"])
def test_approved_rows_translate(equivalence: str) -> None:
    hit = table(line("L", "K", "kalium", equivalence)).translate("K", "L")
    assert hit is not None
    assert (hit.code, hit.equivalence, hit.drop, hit.where) == ("kalium", equivalence, False, "t.csv:2")
    assert hit.source == "L"


@pytest.mark.parametrize(
    "rows",
    [line("L", "K", "k", "narrower"), line("L", "K", "k", "inexact"), line("L", "K", "k", "equal", "draft")],
)
def test_nothing_else_translates(rows: str) -> None:
    assert table(rows).translate("K", "L") is None


def test_unmatched_says_drop() -> None:
    hit = table(line("L", "XHOLD", "", "unmatched")).translate("XHOLD", "L")
    assert hit is not None
    assert hit.drop
    assert hit.code == ""


def test_a_draft_unmatched_row_drops_nothing() -> None:
    assert table(line("L", "XHOLD", "", "unmatched", "draft")).translate("XHOLD", "L") is None


def test_a_code_of_another_system_is_another_code() -> None:
    t = table(line(f"{V2}0001", "F", "female"))
    assert t.translate("F", "L") is None
    assert t.translate("F", "", "https://house.example/codes") is None
    fixed_by_the_field = t.translate("F", "L", any_system=True)
    assert fixed_by_the_field is not None
    assert fixed_by_the_field.code == "female"


@pytest.mark.parametrize("system", ["HL70001", "hl70001", f"{V2}0001", ""])
def test_the_ways_to_name_a_system(system: str) -> None:
    hit = table(line(f"{V2}0001", "F", "female")).translate("F", system)
    assert hit is not None
    assert hit.code == "female"


def test_a_system_of_the_house_by_its_word_or_by_its_uri() -> None:
    t = table(line("L", "K", "kalium") + line("https://acme.example/codes", "NA", "natrium"))
    assert t.translate("K", "L", "https://acme.example/codes") is not None
    assert t.translate("NA", "L", "https://acme.example/codes") is not None
    assert t.translate("NA", "L") is None


def test_a_row_without_system_is_for_all() -> None:
    t = table(line("", "Q6H", "q6"))
    assert t.translate("Q6H", "L") is not None
    assert t.translate("Q6H") is not None


def test_a_bare_code_that_two_systems_use_says_nothing() -> None:
    t = table(line("HL70001", "U", "unknown") + line("L", "U", "urine"))
    assert t.translate("U") is None
    hit = t.translate("U", "L")
    assert hit is not None
    assert hit.code == "urine"


def test_case_is_the_last_resort_and_told() -> None:
    t = table(line("L", "Internet", "email"))
    exact, folded = t.translate("Internet", "L"), t.translate("INTERNET", "L")
    assert exact is not None
    assert folded is not None
    assert not exact.folded
    assert folded.folded
    assert folded.code == "email"


def test_codes_that_differ_by_case_only_are_never_mixed() -> None:
    t = table(line("L", "mg", "milli") + line("L", "Mg", "Mega"))
    for sent, code in (("mg", "milli"), ("Mg", "Mega")):
        hit = t.translate(sent, "L")
        assert hit is not None
        assert hit.code == code
    assert t.translate("MG", "L") is None


def test_a_third_spelling_does_not_bring_back_what_case_made_unclear() -> None:
    t = table(line("L", "mg", "milli") + line("L", "Mg", "Mega") + line("L", "mG", "milli"))
    assert t.translate("MG", "L") is None


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_looked_up(code: str, system: str) -> None:
    hit = table(line("L", "K", "kalium") + line("", "*", "star")).translate(code, system)
    assert hit is None or hit.code in ("kalium", "star")


def test_pattern_rows_want_four_digits() -> None:
    resolve = terminology().systems()
    assert resolve("HL70396") == f"{V2}0396"
    for not_a_table in ("HL7396", "HL7039", "HL7nnnn", "HL700396", "XHL70396"):
        assert resolve(not_a_table) == ""


def test_coding_systems() -> None:
    resolve = terminology().systems({"L": "https://acme.example/codes", "LN": "https://acme.example/ln"})
    assert resolve("L") == "https://acme.example/codes"
    assert resolve("LN") == "https://acme.example/ln"  # the site has the first word
    assert resolve("l") == "https://acme.example/codes"
    assert resolve("I9") == ""  # only the sender knows which
    assert resolve("99HOUSE") == ""
    assert resolve("") == ""
    assert resolve("urn:oid:1.2.3") == "urn:oid:1.2.3"
    assert resolve("http://x.example/cs") == "http://x.example/cs"
    assert terminology().systems()("LN") == "http://loinc.org"


def test_an_authority_is_not_a_coding_system() -> None:
    terms = terminology(authorities="")
    assert terms.authorities({"ACME": "urn:oid:1.2.3"})("ACME") == "urn:oid:1.2.3"
    assert terms.authorities()("LN") == ""


def test_the_digest_follows_the_content() -> None:
    one, same, other = (terminology(t=line("L", "K", x)) for x in ("a", "a", "b"))
    assert one.digest == same.digest
    assert one.digest != other.digest


def test_names_that_are_not_there() -> None:
    terms = terminology(AdministrativeSex=line("L", "F", "female"))
    with pytest.raises(ConfigError, match="Did you mean AdministrativeSex"):
        terms.table("AdminstrativeSex")
    with pytest.raises(ConfigError, match="Add the file"):
        terms.system("zzz")


def test_two_files_for_one_system() -> None:
    system = b"# system: http://x.example/cs\ncode,display\nA,Apple\n"
    with pytest.raises(ConfigError, match="same system as a"):
        Terminology.of({"systems/a.csv": system, "systems/b.csv": system})


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "t.csv").write_text(HEAD + line("L", "K", "kalium"))
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "s.csv").write_text("# system: http://x.example/cs\ncode,display\nA,Apple\n")
    terms = Terminology.open(tmp_path)
    assert terms.table("t").translate("K", "L") is not None
    assert terms.system("s").display("A") == "Apple"
    assert terms.system("http://x.example/cs") is terms.system("s")
    with pytest.raises(ConfigError, match="no terminology folder"):
        Terminology.open(tmp_path / "nowhere")
