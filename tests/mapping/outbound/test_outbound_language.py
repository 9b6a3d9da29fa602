"""The language of outbound maps: places, paths, and mistakes told with file and line."""

from __future__ import annotations

import pytest
from outbound_maker import made

from engine.kernel.errors import MapError
from engine.mapping.outbound.draft import Draft
from engine.mapping.outbound.resources import Resources
from engine.mapping.outbound.run import Running

HEAD = "map: x\nfrom: Claim\nto: 837P 2300\nrows:\n"
CLAIM = {
    "resourceType": "Claim", "id": "c", "status": "active",
    "identifier": [{"system": "a", "value": "1"}, {"system": "b", "value": "2"}],
    "created": "2026-09", "total": {"value": 5},
}  # fmt: skip


def run(rows, claim=None):
    maps = made(HEAD + rows)
    resources = Resources.of(claim or CLAIM, {"y": "Y"})
    running = Running(resources, {})
    draft = Draft("x")
    maps.entry("x").run(resources.nodes, draft, running)
    draft.prune()
    return {p.name: {e.name: e.value for e in p.parts} for p in draft.parts}, running


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("  CLM-01: identifer.value", "Claim has no element `identifer`"),
        ("  CLM-01: identifier.value.first(1)", "no function"),
        ("  CLM-40: id", "does not use CLM-40"),
        ("  REF(01=ZZ)-02: id", "no segment REF(01=ZZ)"),
        ("  2410/NM1-01: id", "no segment NM1"),
        ("  2999/NM1-01: id", "no loop 2999"),
        ("  CLM-01: {from: id, as: nothing}", "no outbound map or function nothing"),
        ("  CLM-01: {from: id, code: nothing}", "no table 'nothing'"),
        ("  CLM-01: type", "CodeableConcept does not fit"),
        ("  CLM-01: {from: id, make: Patient}", "do not know the word 'make'"),
        ("  CLM-01: {from: id, when: statuz = active}", "no element `statuz`"),
        ("  CLM-01: {from: id, when: status ist active}", "'status ist active'"),
        ("  CLM-01: Patient.id", "never a Patient"),
        ("  CLM-01: total.resolve()", "only a Reference"),
    ],
)
def test_a_mistake_is_told_with_its_line(row, said):
    with pytest.raises(MapError) as wrong:
        made(HEAD + "  CLM-02: total.value\n" + row).check()
    assert "test0.yaml:6" in str(wrong.value)
    assert said in str(wrong.value)


def test_a_constant_alone_makes_no_segment_where_a_row_could_have_said_more():
    found, _ = run(
        "  CLM-02: total.value\n  REF(01=G1)-02: insurance.preAuthRef\n  NTE-01: =ADD\n  NTE-02: text.div"
    )
    assert set(found) == {"CLM"}


def test_two_filters_are_two_segments():
    maps = made(HEAD + "  REF(01=G1)-02: identifier[0].value\n  REF(01=F8)-02: identifier[1].value")
    draft = Draft("x")
    resources = Resources.of(CLAIM)
    maps.entry("x").run(resources.nodes, draft, Running(resources, {}))
    assert [[e.value for e in p.parts] for p in draft.parts] == [["G1", "1"], ["F8", "2"]]


def test_a_month_is_not_written_as_a_day():
    found, running = run("  DTP(01=431)-03: created")
    assert found == {}
    assert [f.code for f in running.flags] == ["not-writable"]
    assert "Claim/c.created" not in running.resources.read


def test_first_valued_and_what_the_caller_gives():
    found, _ = run('  CLM-01: [patient.display, "%x", "%y", id]')
    assert found == {"CLM": {"01": "Y"}}


def test_by_takes_its_case_and_a_case_for_nothing():
    rows = '  CLM-05.3: {by: status, active: =1, "": =7}\n  CLM-02: total.value'
    found, running = run(rows)
    assert found["CLM"]["02"] == "5"
    assert "Claim/c.status" in running.resources.read
    _, running = run("  CLM-05.3: {by: status, draft: =1}")
    assert [f.code for f in running.flags] == ["no-case"]


def test_where_uses_only_what_it_keeps():
    _, running = run("  CLM-01: identifier.where(system = 'b').value")
    assert "Claim/c.identifier[1].system" in running.resources.read
    assert "Claim/c.identifier[0].system" not in running.resources.read


def test_join_glues_what_is_there():
    found, _ = run("  NTE-01: =ADD\n  NTE-02: {join: [status, patient.display, id], with: space}")
    assert found["NTE"]["02"] == "active c"


def test_a_second_value_for_one_place_is_told_and_not_written():
    found, running = run("  CLM-01: id\n  .(again):\n    rows:\n      CLM-01: status")
    assert found == {"CLM": {"01": "c"}}
    assert [f.code for f in running.flags] == ["second-value"]
    assert "Claim/c.status" not in running.resources.read


def test_every_map_with_a_mistake_is_told_and_none_runs_half():
    bad = HEAD + "  CLM-01: id\n  CLM-02: totl.value"
    other = "map: y\nfrom: Claim\nto: 837P 2300\nrows:\n  .: {from: $this, as: x}\n  CLM-01: idd"
    maps = made(bad, "x12", other)
    assert [str(e).split(": ")[0] for e in maps.problems()] == ["test0.yaml:6"]
    with pytest.raises(MapError):
        maps.entry("x")
    with pytest.raises(MapError):
        maps.entry("y")
