"""Map files as rows: short and long forms, words and elements, places, and what is refused."""

from __future__ import annotations

import pytest
from mapping_maker import rows

from engine.kernel.errors import HubError, MapError
from engine.kernel.yamlfile import loads
from engine.mapping import types as T
from engine.mapping.model import Constant, First, Join, Locate, MapDef, Row, Step
from engine.mapping.read import read_map, read_target
from engine.mapping.readmessage import read_message


def read(text: str, to: str = "Patient", source: str = "PID", **top: str) -> MapDef:
    return read_map(loads(rows(text, to, source, **top), "some.yaml"), "some.yaml", "standard", T.has_child)


def one(text: str, to: str = "Patient", source: str = "PID") -> Row:
    (row,) = read(text, to, source).rows
    return row


def test_short_forms() -> None:
    assert one("birthDate: PID-7").source == Locate("PID-7")
    assert one("active: =true").source == Constant("true")
    assert one("gender: [PID-8, PID-9]").source == First((Locate("PID-8"), Locate("PID-9")))
    assert one("birthDate: PID-7 + PID-8").source == Join((Locate("PID-7"), Locate("PID-8")), "")
    assert one("gender: skip").skip


def test_a_target_is_steps_with_labels() -> None:
    assert read_target("telecom(home).use", "") == (Step("telecom", "home"), Step("use"))
    assert one("address(home).district: PID-12").name == "address(home).district"
    assert read_target("value[x]", "")[0].name == "value[x]"


def test_words_and_elements_live_in_one_block() -> None:
    row = one("identifier(ssn): {from: PID-19, when: PID-19 valued, type: =v2-0203#SS, system: =http://x}")
    assert row.source == Locate("PID-19") and row.when is not None
    assert [c.name for c in row.children] == ["type", "system"]


def test_value_is_an_element_where_the_type_has_one() -> None:
    assert one("identifier(ssn): {value: PID-19}").children[0].name == "value"
    assert one("gender: {value: =male, when: PID-8 valued}").source == Constant("male")
    assert one("valueQuantity: {value: OBX-5}", "Observation", "OBX").children[0].name == "value"


def test_cases_defaults_and_failures() -> None:
    row = one("gender: {by: PID-8, M|m: =male, '\"\"': =unknown, else: {skip: no}}")
    assert [c.values for c in row.cases] == [("M", "m"), ('""',), ("else",)]
    assert row.cases[2].rows[0].skip == "no"
    choice = one(
        "value[x]: {by: OBX-2, NM: {valueQuantity: OBX-5, failed: {valueString: OBX-5}}}",
        "Observation",
        "OBX",
    )
    names = [r.name for r in choice.cases[0].rows]
    assert names == ["valueQuantity", ""]
    assert choice.cases[0].rows[1].failed[0].name == "valueString"
    assert one("gender: {from: PID-8, default: =unknown}").default[0].source == Constant("unknown")


def test_a_when_of_a_case_guards_each_of_its_rows() -> None:
    row = one(
        "value[x]: {by: OBX-2, ST: {when: OBX-5 valued, valueString: OBX-5, note: OBX-7}}",
        "Observation",
        "OBX",
    )
    assert all(r.when is not None for r in row.cases[0].rows)


def test_rows_know_their_place() -> None:
    m = read("birthDate: PID-7\ngender:\n  from: PID-8\n  code: AdministrativeSex")
    assert [r.place.line for r in m.rows] == [5, 6]
    assert str(m.rows[1].place) == "some.yaml:6"


def test_true_and_012_stay_text() -> None:
    assert one("gender: {by: PID-8, NO: =male, 012: =female, 12:30: =other, else: skip}").cases[1].values == (
        "012",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gender: true", "true/false alone is not a source"),
        ("gender:", "says nothing"),
        ("gender: {from: PID-8, value: =x}", "says both from and value"),
        ("gender: {from: PID-8, unmapped: maybe}", "unmapped: maybe"),
        ("gender: {from: PID-8, when: PID-8 in (M, F)}", "comma"),
        ("gender: {by: PID-8, split: x, M: =male}", "a by table cannot also say split"),
        ("gender: {from: PID-8, code: }", "says nothing"),
        ("Gender!: PID-8", "is not an element"),
        ("gender: PID-8\ngender: PID-9", "twice"),
    ],
)
def test_refused(text: str, told: str) -> None:
    with pytest.raises(HubError) as e:
        read(text)
    assert told in str(e.value)
    assert e.value.where.startswith("some.yaml:")


def test_words_of_the_file() -> None:
    m = read("gender: PID-8", key="[PID-3(5=MR), PID-3(only)]", ignore="[PID-1]", note="x")
    assert m.key == (First((Locate("PID-3(5=MR)"), Locate("PID-3(only)"))),)
    assert m.ignore == ("PID-1",)
    two = read("gender: PID-8", key="identifier(a) | identifier(b)")
    assert two.key == (Locate("identifier(a)"), Locate("identifier(b)"))
    with pytest.raises(MapError, match="does not know the word 'rowss'"):
        read_map(loads("map: A\nfrom: PID\nto: Patient\nrowss: {}", "x"), "x", "standard", T.has_child)
    with pytest.raises(MapError, match="has no from"):
        read_map(loads("map: A\nto: Patient", "x"), "x", "standard", T.has_child)


MESSAGE = """
map: ORU_R01
from: ORU_R01
for: [ORU^R01, ORU^R32]
to: Bundle
resources:
  patient: {per: PATIENT_RESULT/PATIENT, rows: [PID_Patient], write: create}
  result:  {per: ., rows: [OBX_Observation], links: {subject: patient}, when: OBX-2 valued}
write: {by: MSH-9.2, A01: snapshot, else: merge}
mend: [a rule]
"""


def test_message_map() -> None:
    m = read_message(loads(MESSAGE, "m.yaml"), "m.yaml", "standard")
    assert m.triggers == (("ORU", "R01"), ("ORU", "R32"))
    patient, result = m.resources
    assert patient.per == ("PATIENT_RESULT", "PATIENT") and patient.write == "create"
    assert result.per == () and result.links == ((("subject",), "patient"),) and result.when is not None
    assert isinstance(m.write, tuple) and m.write_by == Locate("MSH-9.2")
    assert m.mend[0][0] == "a rule"
    with pytest.raises(MapError, match="write: often"):
        read_message(loads(MESSAGE.replace("write: create", "write: often"), "m.yaml"), "m.yaml", "standard")
