"""The worklist in other tools' forms: what goes out comes back, and damage is refused with its line."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest

from engine.fhir.validate import validate
from engine.kernel.errors import ConfigError
from engine.terminology.exchange import (
    COLUMNS,
    Line,
    from_concept_map,
    from_rows,
    read_csv,
    to_concept_map,
    to_csv,
    to_usagi,
)

LOINC = "http://loinc.org"
GLU = Line(
    "LIS|NORTH",
    "OBX-3",
    "L",
    "GLU",
    "Glucose, serum",
    "mg/dL",
    "SER",
    "12",
    "draft",
    "equivalent",
    LOINC,
    "2345-7",
    "Glucose [Mass/volume] in Serum or Plasma",
    "cli:ann",
    "2026-11-21",
    "as before",
)
OPEN = Line("LIS|NORTH", "OBX-3", "L", "1E5", "Colony count", count="3")
NONE = Line("LIS|NORTH", "OBX-3", "", "XHOLD", "Extra tube", state="approved", equivalence="unmatched")
ALL = [GLU, OPEN, NONE]


def test_a_plain_list_comes_back() -> None:
    data = to_csv(ALL)
    assert read_csv(data, "list.csv") == ALL
    assert b'=""1E5""' in data  # a spreadsheet leaves it alone


def test_columns_may_be_few_and_in_any_order() -> None:
    (line,) = read_csv(b"target_code,source_code\n2345-7,GLU\n", "list.csv")
    assert (line.source_code, line.target_code, line.decided) == ("GLU", "2345-7", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source_code,nonsense\nA,B\n", "unknown nonsense"),
        ("target_code\nA\n", "missing source_code"),
        ("source_code\nMar-93\n", "list.csv:2.*date"),
        ("source_code\n1.00E+05\n", "list.csv:2.*exponent"),
        ("source_code,target_system,target_code\nA,http://loinc.org,2345-8\n", "check digit"),
        ("source_code,equivalence\nA,same\n", "equivalence 'same'"),
        ("source_code,equivalence,target_code\nA,unmatched,2345-7\n", "unmatched and has a target"),
        ('source_code\n"A\n', "not readable CSV"),
    ],
)
def test_what_is_damaged_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_csv(text.encode(), "list.csv")


def test_a_workbook_known_to_hold_text_may_hold_such_codes() -> None:
    (line,) = from_rows([(1, ["source_code"]), (2, ["1E5"])], "book.xlsx", typed=True)
    assert line.source_code == "1E5"


def test_usagi_comes_back() -> None:
    data = to_usagi(ALL, lambda system, code: "3004501" if code == "2345-7" else "")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [r["sourceCode"] for r in rows] == ["GLU", "1E5", "XHOLD"]
    assert (rows[0]["conceptId"], rows[0]["mappingStatus"], rows[0]["equivalence"]) == (
        "3004501",
        "UNCHECKED",
        "EQUIVALENT",
    )
    assert rows[1]["conceptId"] == "0"
    protected = data.replace(b"1E5", b'"=""1E5"""')
    back = read_csv(protected, "codes.usagi.csv")
    keep = (
        "sender",
        "field",
        "source_system",
        "source_code",
        "unit",
        "equivalence",
        "target_system",
        "target_code",
    )
    assert [[getattr(b, n) for n in keep] for b in back] == [[getattr(a, n) for n in keep] for a in ALL]


USAGI = (
    "sourceCode,sourceName,sourceFrequency,matchScore,mappingStatus,equivalence,statusSetBy,"
    "conceptId,conceptName\n"
)


def test_what_usagi_wrote_itself_is_resolved_by_concept_id() -> None:
    known = {"3004501": (LOINC, "2345-7", "Glucose")}
    text = (
        USAGI
        + "GLU,Glucose,10,0.9,APPROVED,EQUAL,ann,3004501,Glucose\n"
        + "X,x,1,0,UNCHECKED,,,0,\nY,y,1,0,IGNORED,,ann,0,\n"
    )
    glu, x, y = read_csv(text.encode(), "u.csv", lambda number, name: known.get(number))
    assert (glu.target_system, glu.target_code, glu.state, glu.equivalence, glu.by) == (
        LOINC,
        "2345-7",
        "approved",
        "equal",
        "ann",
    )
    assert not x.decided and y.equivalence == "unmatched"
    with pytest.raises(ConfigError, match="OMOP concept 3004501"):
        read_csv(text.encode(), "u.csv", lambda number, name: None)
    twice = USAGI + "GLU,G,1,0,APPROVED,EQUAL,a,1,A\nGLU,G,1,0,APPROVED,EQUAL,a,2,B\n"
    with pytest.raises(ConfigError, match="several targets"):
        read_csv(
            twice.encode(), "u.csv", lambda number, name: (LOINC, {"1": "2345-7", "2": "2339-0"}[number], "")
        )


def test_a_concept_map_is_valid_and_comes_back() -> None:
    made = to_concept_map(ALL, "urn:hub:own/ConceptMap/local-codes", "Local codes", "1", "2026-11-21")
    assert validate(made) == []
    assert made["status"] == "draft" and len(made["group"]) == 2
    import json

    back = from_concept_map(json.dumps(made).encode(), "map.json")
    said = {(b.source_system, b.source_code, b.target_code, b.equivalence) for b in back}
    assert said == {("L", "GLU", "2345-7", "equivalent"), ("", "XHOLD", "", "unmatched")}
    approved = to_concept_map([replace(GLU, state="approved")], "urn:x", "t", "1", "2026-11-21")
    assert approved["status"] == "active"


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"{", "not JSON"), (b"[]", "not a ConceptMap"), (b'{"resourceType":"Patient"}', "not a")],
)
def test_what_is_no_concept_map(data: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_concept_map(data, "map.json")


def test_words_of_r4_that_stand_for_ours() -> None:
    text = (
        b'{"resourceType":"ConceptMap","status":"active","group":[{"source":"L","target":"http://loinc.org","element":['
        b'{"code":"A","target":[{"code":"2345-7","equivalence":"subsumes"}]},'
        b'{"code":"B","target":[{"code":"2339-0","equivalence":"relatedto"}]},{"code":"C"}]}]}'
    )
    a, b, c = from_concept_map(text, "map.json")
    assert (a.equivalence, b.equivalence, c.decided) == ("wider", "inexact", False)


def test_the_columns_are_the_lines_fields() -> None:
    assert COLUMNS[:4] == ("sender", "field", "source_system", "source_code")


@pytest.mark.parametrize("code", ["=1+1", "+", "-", "@SUM(1)", '=HYPERLINK("x")', "-1+2", "K"])
def test_no_cell_of_a_list_is_a_formula(code: str) -> None:
    made = to_csv([Line(source_code=code, source_display=code, comment=code)])
    (row,) = list(csv.reader(io.StringIO(made.decode("utf-8-sig"))))[1:]
    assert not [c for c in row if c[:1] in "+-@='" and c and not re.fullmatch(r'="[^"]*"|\'.*".*', c)]
    if '"' not in code:
        (back,) = read_csv(made, "codes.csv")
        assert (back.source_code, back.source_display, back.comment) == (code, code, code)
