"""What rows do, one law at a time: small maps compiled and run, fast and traced, over a few segments."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from mapping_maker import run_segment, shipped, small

from engine.kernel.errors import MapError


def obx(text: str, segments: str, site: str = "") -> Any:
    return small(text, segments, "Observation", "OBX", site)


# -- repeats and labels --------------------------------------------------------------------------------


def test_a_repeating_field_gives_one_entry_per_repetition() -> None:
    out = small("name: PID-5", "PID|1||||DOE^JO~ROE^JO")
    assert [n["family"] for n in out["name"]] == ["DOE", "ROE"]


def test_entries_come_in_row_order_then_repetition_order() -> None:
    out = small("name(b): PID-9\nname(a): PID-5", "PID|1||||A~B||||C~D")
    assert [n["family"] for n in out["name"]] == ["C", "D", "A", "B"]
    assert out.labels["name"] == ["b", "b", "a", "a"]


def test_a_label_sets_neither_use_nor_type() -> None:
    out = small("telecom(home): PID-13", "PID|1||||||||||||^^PH^^^518^5550100")
    assert "use" not in out["telecom"][0]


def test_the_same_label_on_two_rows_is_the_same_entry() -> None:
    text = "address(list): PID-11\naddress(list).district: PID-12(1)"
    out = small(text, "PID|1||||||||||1 Elm^^Troy|RENS")
    assert out["address"] == [{"line": ["1 Elm"], "city": "Troy", "district": "RENS"}]


def test_another_label_is_another_entry() -> None:
    out = small("address(a): PID-11\naddress(b).district: PID-12(1)", "PID|1||||||||||1 Elm^^Troy|RENS")
    assert [sorted(a) for a in out["address"]] == [["city", "line"], ["district"]]


def test_rows_may_stand_in_any_order() -> None:
    first = "name(a): PID-5\ngender: {from: PID-8, code: AdministrativeSex}\nname(a).text: PID-2"
    other = "name(a).text: PID-2\ngender: {from: PID-8, code: AdministrativeSex}\nname(a): PID-5"
    text = "PID|1|shown||DOE^JO||||F".replace("||DOE", "|||DOE")
    assert small(first, text).body == small(other, text).body


def test_a_row_into_entries_makes_one_only_with_a_value() -> None:
    assert "address" not in small("address(list).use: {value: =home, assumed: x}", "PID|1")
    assert small("address(list).district: PID-12(1)", "PID|1|||||||||||RENS")["address"] == [
        {"district": "RENS"}
    ]
    assert "address" not in small("address(list).district: PID-12(1)\naddress(list).use: =home", "PID|1")


def test_constants_join_an_entry_that_others_make() -> None:
    text = "address(a): {from: PID-11, use: =home}"
    assert small(text, "PID|1||||||||||1 Elm")["address"] == [{"line": ["1 Elm"], "use": "home"}]
    assert "address" not in small(text, "PID|1")


def test_exact_duplicates_are_dropped() -> None:
    assert len(small("name: PID-5", "PID|1||||DOE^JO~DOE^JO~ROE")["name"]) == 2


def test_identifiers_of_one_system_and_value_are_one_entry() -> None:
    text = "identifier(list): PID-3\nidentifier(old): PID-2"
    out = small(text, "PID|1|77^^^&1.2&ISO^^^20200101|77^^^&1.2&ISO^MR")
    (both,) = out["identifier"]
    assert both["type"]["coding"][0]["code"] == "MR" and both["period"]["start"] == "2020-01-01"


def test_an_only_repetition() -> None:
    text = "identifier(x): PID-3(only)"
    assert small(text, "PID|1||77^^^N^MR")["identifier"][0]["value"] == "77"
    assert "identifier" not in small(text, "PID|1||77^^^N^MR~88^^^N^PI")


def test_from_binds_the_repetition_for_conditions_and_children() -> None:
    inside = "extension(t): {url: =u:x, valueString: PID-13.4}"
    text = f"telecom(mail): {{from: PID-13, when: PID-13.2 = NET, {inside}}}"
    out = small(text, "PID|1||||||||||||5550100^PRN~^NET^Internet^jo@mail.example")
    (mail,) = out["telecom"]
    assert mail["value"] == "jo@mail.example"
    assert mail["extension"][0]["valueString"] == "jo@mail.example"


# -- which value ---------------------------------------------------------------------------------------


def test_first_valued_wins() -> None:
    text = "language: [PID-2, PID-4, =en]"
    assert small(text, "PID|1|a||b")["language"] == "a"
    assert small(text, "PID|1|||b")["language"] == "b"
    assert small(text, "PID|1")["language"] == "en"


def test_an_explicit_delete_stops_the_search() -> None:
    out = small("language: [PID-2.1, PID-4.1]", 'PID|1|""||b')
    assert "language" not in out
    whole = small("language: [PID-2, PID-4]", 'PID|1|""||b')
    assert "language" not in whole and whole.cleared == ["language"]


def test_default_applies_only_when_every_location_is_empty() -> None:
    text = "gender: {from: PID-8, code: AdministrativeSex, default: {value: =unknown, assumed: x}}"
    assert small(text, "PID|1")["gender"] == "unknown"
    assert small(text, "PID|1||||||||F".replace("||||||||F", "|||||||F"))["gender"] == "female"
    unmapped = small(text, "PID|1|||||||Q")
    assert "gender" not in unmapped and unmapped.codes == ["unmapped-code"]
    assert "gender" not in small(text, 'PID|1|||||||""')


def test_a_default_of_children_applies_where_they_are_empty() -> None:
    text = "telecom(home): {from: PID-13, default: {use: =home}}"
    out = small(text, "PID|1||||||||||||5550100~5550101^WPN")
    assert [t["use"] for t in out["telecom"]] == ["home", "work"]


BY = "gender: {by: PID-8, M|m: =male, '\"\"': =unknown, F: =female, else: {skip: no}}"


@pytest.mark.parametrize(
    ("value", "found"), [("M", "male"), ("m", "male"), ("F", "female"), ("", "unknown"), ("Q", None)]
)
def test_cases_are_exact_words(value: str, found: str | None) -> None:
    assert small(BY, f"PID|1|||||||{value}").body.get("gender") == found


def test_no_case_and_no_else_is_flagged() -> None:
    out = small("gender: {by: PID-8, M: =male}", "PID|1|||||||Q")
    assert out.body == {} and out.codes == ["no-case"]
    assert small("gender: {by: PID-8, M: =male}", "PID|1").codes == []


VALUE = """
value[x]:
  by: OBX-2
  NM: {valueQuantity: OBX-5, valueQuantity(unit): OBX-6, failed: {valueString: OBX-5, flag: not a number}}
  SN:
    by: OBX-5.3
    "-": {valueRange: OBX-5}
    ":": {valueRatio: OBX-5}
    else: {valueQuantity: OBX-5, failed: {valueString: {join: [OBX-5.1, OBX-5.2, OBX-5.3], with: space}}}
  ST|TX: {valueString: {join: OBX-5, with: newline}}
  CE|CWE: {valueCodeableConcept: OBX-5}
  DT: {valueDateTime: OBX-5}
  "": {valueString: OBX-5, flag: OBX-2 missing}
"""


MG = {"unit": "mg", "code": "mg", "system": "http://unitsofmeasure.org"}


@pytest.mark.parametrize(
    ("kind", "raw", "expected", "codes"),
    [
        ("NM", "4.10", {"valueQuantity": {"value": Decimal("4.10"), **MG}}, []),
        ("NM", "<5", {"valueQuantity": {"value": 5, "comparator": "<", **MG}}, []),
        ("NM", "=5", {"valueQuantity": {"value": 5, **MG}}, []),
        ("NM", "HEMOLYZED", {"valueString": "HEMOLYZED"}, ["not-a-number"]),
        ("NM", "", {}, []),
        ("SN", "^5", {"valueQuantity": {"value": 5}}, []),
        ("SN", ">=^5", {"valueQuantity": {"value": 5, "comparator": ">="}}, []),
        ("SN", "^1^-^10", {"valueRange": {"low": {"value": 1}, "high": {"value": 10}}}, []),
        (
            "SN",
            "^1^:^8",
            {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 8}}},
            [],
        ),
        ("SN", "^2^+", {"valueString": "2 +"}, []),
        ("SN", "<>^2", {"valueString": "<> 2"}, []),
        ("ST", "a~b", {"valueString": "a\nb"}, []),
        ("", "a", {"valueString": "a"}, ["obx-2-missing"]),
        ("DT", "202605", {"valueDateTime": "2026-05"}, []),
        ("ZZ", "a", {}, ["no-case"]),
    ],
)
def test_value_by_type(kind: str, raw: str, expected: dict[str, Any], codes: list[str]) -> None:
    out = obx(VALUE, f"OBX|1|{kind}|X||{raw}|mg")
    assert out.body == expected
    assert str(out.body) == str(expected)  # 4.10 is not 4.1
    assert out.codes == codes


@pytest.mark.parametrize("kind", ["CE", "CWE"])
def test_coded_values_are_read_by_the_type_that_obx_2_says(kind: str) -> None:
    out = obx(VALUE, f"OBX|1|{kind}|X||112283007^E. coli^SCT^ECO^Coli^L")
    first, second = out["valueCodeableConcept"]["coding"]
    assert first == {"system": "http://snomed.info/sct", "code": "112283007", "display": "E. coli"}
    assert (second["code"], second["display"], "system" in second) == ("ECO", "Coli", False)


def test_several_results_in_one_obx_become_components() -> None:
    out = run_segment(shipped(), "OBX_ObservationComponent", "OBX|1|NM|BP^Pressure^L||120~80")
    assert [c["code"]["coding"][0]["code"] for c in out["component"]] == ["BP", "BP"]
    assert [c["valueQuantity"]["value"] for c in out["component"]] == [120, 80]


# -- codes ---------------------------------------------------------------------------------------------


def test_a_hit_puts_the_standard_coding_first_and_keeps_the_local_one() -> None:
    out = small("maritalStatus: {from: PID-16, code: MaritalStatus}", f"PID|1{'|' * 15}M^Verheiratet^L")
    first, second = out["maritalStatus"]["coding"]
    assert first["system"].endswith("v3-MaritalStatus") and second["code"] == "M"


@pytest.mark.parametrize(
    ("unmapped", "there", "work", "held"),
    [
        ("keep", True, False, False),
        ("flag", True, True, False),
        ("drop", False, False, False),
        ("hold", False, False, True),
    ],
)
def test_a_code_that_is_in_no_table(unmapped: str, there: bool, work: bool, held: bool) -> None:
    text = f"maritalStatus: {{from: PID-16, code: MaritalStatus, unmapped: {unmapped}}}"
    out = small(text, f"PID|1{'|' * 15}QQ^Odd^L")
    assert ("maritalStatus" in out) is there
    assert (out.held is not None) is held
    assert any(f.work for f in out.flags) is work
    assert out.codes == ([] if held else ["unmapped-code"])


def test_required_codes_are_never_kept_as_sent() -> None:
    out = small("gender: {from: PID-8, code: AdministrativeSex}", "PID|1|||||||QQ")
    assert "gender" not in out and out.codes == ["unmapped-code"]


def test_constants_by_the_type_of_the_element() -> None:
    text = "gender: =male\nactive: =true\nmaritalStatus: =v2-0002#M\nmeta.tag(p): =v2-0103#P\n"
    text += "identifier(x): {system: =own:x, value: PID-2}"
    out = small(text, "PID|1|7")
    assert (out["gender"], out["active"]) == ("male", True)
    assert out["maritalStatus"]["coding"][0]["system"].endswith("v2-0002")
    assert out["meta"]["tag"][0]["code"] == "P"
    assert out["identifier"][0]["system"] == "urn:hub/id/x"


@pytest.mark.parametrize(
    "text", ["gender: =man", "active: =yes", "maritalStatus: =v2-0002#ZZ", "famly: PID-5", "contact: PID-5"]
)
def test_what_cannot_be_compiled_says_where(text: str) -> None:
    with pytest.raises(MapError) as e:
        small(text, "PID|1")
    assert e.value.where == "small.yaml:5"


# -- deletes and empties -------------------------------------------------------------------------------


def test_an_explicit_delete_is_no_value_and_no_default() -> None:
    out = small("telecom(home): {from: PID-13, default: {use: =home}}", 'PID|1||||||||||||""')
    assert "telecom" not in out and out.cleared == ["telecom(home)"]
    assert small("telecom(home): PID-13", "PID|1").cleared == []


def test_a_delete_of_the_field_deletes_what_its_parts_made() -> None:
    out = small("language: PID-15.1", f'PID|1{"|" * 13}""'.replace("|||||||||||||", "||||||||||||||"))
    assert out.cleared == ["language"]


def test_a_delete_in_a_component_removes_that_part() -> None:
    (name,) = small("name: PID-5", 'PID|1||||DOE^""^Q')["name"]
    assert name == {"family": "DOE", "given": ["Q"]}


@pytest.mark.parametrize("field", ["", " ", "^^", "~", "&^", '""^""'])
def test_nothing_comes_of_nothing(field: str) -> None:
    text = "name: PID-5\nlanguage: PID-5.1\nextension(x): {from: PID-5, url: =u:x, valueString: PID-5.2}"
    assert small(text, f"PID|1||||{field}").body == {}


def test_an_extension_without_a_value_is_dropped() -> None:
    inside = "extension(a): {url: =a, valueString: PID-2}, extension(b): {url: =b, valueString: PID-4}"
    text = f"extension(outer): {{url: =u:o, {inside}}}"
    assert small(text, "PID|1").body == {}
    (outer,) = small(text, "PID|1|x")["extension"]
    assert outer == {"url": "u:o", "extension": [{"url": "a", "valueString": "x"}]}


def test_an_extension_on_a_primitive_stands_beside_it() -> None:
    text = (
        "birthDate: PID-7\nbirthDate.extension(t): {when: length(PID-7) > 8, url: =u:t, valueString: PID-7}"
    )
    full = small(text, "PID|1||||||198001311230")
    assert full["birthDate"] == "1980-01-31"
    assert full["_birthDate"]["extension"][0]["valueString"] == "198001311230"
    assert "_birthDate" not in small(text, "PID|1||||||19800131")


def test_it_may_stand_where_the_value_is_absent() -> None:
    text = "birthDate: PID-7\n"
    text += "birthDate.extension(absent): {when: birthDate not set, url: =u:absent, valueCode: =unknown}"
    out = small(text, "PID|1")
    assert out["_birthDate"] == {"extension": [{"url": "u:absent", "valueCode": "unknown"}]}
    assert "_birthDate" not in small(text, "PID|1||||||1980")


# -- two rows, one element -----------------------------------------------------------------------------


def test_the_first_row_of_a_single_element_wins() -> None:
    out = small("language(a): PID-2\nlanguage(b): PID-4", "PID|1|x||y")
    assert out["language"] == "x"
    assert small("language(a): PID-2\nlanguage(b): PID-4", "PID|1|||y")["language"] == "y"


def test_the_types_of_a_choice_exclude_each_other() -> None:
    out = small("deceasedDateTime: PID-29\ndeceasedBoolean: PID-30", f"PID|1{'|' * 28}20260501|Y")
    assert "deceasedDateTime" in out and "deceasedBoolean" not in out


def test_a_label_on_a_single_element_adds_to_it_and_never_makes_it() -> None:
    assert (
        obx(
            "value[x]: {by: OBX-2, NM: {valueQuantity: OBX-5, valueQuantity(unit): OBX-6}}", "OBX|1|NM|X|||mg"
        ).body
        == {}
    )


# -- text ----------------------------------------------------------------------------------------------


def test_join_split_and_escapes() -> None:
    assert small("language: {join: [PID-2, PID-4], with: space}", "PID|1|a||b")["language"] == "a b"
    assert small("language: {join: [PID-2, PID-4], with: comma}", "PID|1|||b")["language"] == "b"
    assert small("language: PID-2 + PID-4", r"PID|1|a\T\||b")["language"] == "a&b"
    (name,) = small("name(a): {given: {from: PID-2, split: space}}", "PID|1|Ann  Lee")["name"]
    assert name["given"] == ["Ann", "Lee"]


def test_a_constant_alone_is_no_joined_text() -> None:
    text = "language: {join: ['=urn:oid: ', PID-2]}"
    assert small(text, "PID|1|a")["language"] == "urn:oid: a"
    assert "language" not in small(text, "PID|1||b")  # fast and traced alike


def test_a_key_never_joins_two_different_inputs_into_one() -> None:
    text = "identifier(own): {system: =own:k, value: {join: [PID-2, PID-4, PID-6.1], with: key}}"
    made = {small(text, f"PID|1|{a}||{b}||{c}")["identifier"][0]["value"] for a, b, c in KEYS}
    assert len(made) == len(KEYS)
    assert small(text, "PID|1|a")["identifier"][0]["value"] == "a"


KEYS = [
    ("a", "", "b"),
    ("a", "b", ""),
    ("a|b", "", ""),
    ("a\\E\\", "b", ""),
    ("", "a", "b"),
    ("a\\F\\b", "", ""),
]
KEYS = [k for k in KEYS if "|" not in k[0]]


# -- notes ---------------------------------------------------------------------------------------------

NOTES = "note: {each: NTE, text: {join: NTE-3, with: newline}}"


def test_notes_of_an_obx_are_those_behind_it() -> None:
    segments = "PID|1\nNTE|1||patient\nOBR|1\nNTE|1||order\nOBX|1|NM|A\nNTE|1||first~line two\n"
    segments += "NTE|2||second\nOBX|2|NM|B\nNTE|1||other"
    out = obx(NOTES, segments)
    assert [n["text"] for n in out["note"]] == ["first\nline two", "second"]
    order = small(NOTES, segments, "ServiceRequest", "OBR")
    assert [n["text"] for n in order["note"]] == ["order"]
    patient = small("extension(n): {each: NTE, url: =u:n, valueString: NTE-3}", segments)
    assert [e["valueString"] for e in patient["extension"]] == ["patient"]


def test_an_obx_without_notes_inherits_none() -> None:
    assert "note" not in obx(NOTES, "OBR|1\nNTE|1||order\nOBX|1|NM|A")


def test_a_coded_part_inside_a_component_keeps_its_coding() -> None:
    text = "status: =active\nintent: =order\noccurrenceTiming: {from: ORC-7(1).2, as: RI_Timing}"
    out = small(text, "ORC|NW|P1|||||1^Q6H&0600", "ServiceRequest", "ORC")
    code = out["occurrenceTiming"]["code"]
    assert {c["code"] for c in code["coding"]} == {"Q6H"} and code["text"] == "0600"


def test_a_decimal_may_be_a_constant() -> None:
    text = "status: =active\nintent: =order\nquantityQuantity: {rows: {value: =0.50, unit: ORC-7(1).1}}"
    out = small(text, "ORC|NW|P1|||||tab", "ServiceRequest", "ORC")
    assert str(out["quantityQuantity"]["value"]) == "0.50"
    with pytest.raises(MapError, match="not a number"):
        small(text.replace("=0.50", "=half"), "ORC|NW|P1|||||tab", "ServiceRequest", "ORC")
