"""Every inline test that ships with the maps passes; and the runner says so when one does not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from engine.kernel.yamlfile import loads
from engine.mapping import model
from engine.mapping.project import Maps
from engine.mapping.readtests import read_tests
from engine.mapping.tests_inline import run_all, run_test

ROOT = Path(__file__).parents[2]


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def shipped() -> list[str]:
    m = maps()
    return sorted([d.name for d in (*m.maps.values(), *m.messages.values()) if d.tests] + list(m.sites))


def inline(text: str, name: str) -> tuple[model.TestDef, ...]:
    return read_tests(loads(text, "some.yaml"), "some.yaml", "standard", name)


@pytest.mark.parametrize("name", shipped())
def test_shipped(name: str) -> None:
    results = list(run_all(maps(), name))
    assert results
    assert [(str(r.place), r.name, r.differences) for r in results if r.differences] == []


PID = "PID|1||77^^^NORTH^MR||DOE^JO^^^^^L~ROE^JO^^^^^M||19800101|F|||||^^^^^518^5550100\n"


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("{gender: female}", ""),
        ("{gender: male}", "gender: expected male, found female"),
        ("{gender: absent}", "gender: expected nothing, found female"),
        ("{birthDate: set, deceasedBoolean: absent}", ""),
        ("{deceasedBoolean: set}", "deceasedBoolean: expected something, found nothing"),
        ("{name.family: DOE}", ""),
        ("{'name(1).family': ROE}", ""),
        ("{'name(legal).family': [DOE, ROE]}", ""),
        ("{'name(alias)': absent}", ""),
        ("{name.family: [DOE]}", "name.family: expected ['DOE'], found ['DOE', 'ROE']"),
        ("{'telecom(home).use': home}", ""),
        ("{'telecom(work).use': work}", "telecom(work).use: expected work, found nothing"),
        ("{flags: [unmapped code]}", "flags: expected 'unmapped code', found none"),
        ("{gender: cleared}", "gender: expected an explicit delete, found none"),
        ("{identifier: {value: '77', type.coding.code: MR}}", ""),
        ("{identifier: {value: '78'}}", "identifier.value: expected 78, found 77"),
    ],
)
def test_says_what_differs(out: str, told: str) -> None:
    (test,) = inline(f"- in: {PID}  out: {out}", "PID_Patient")
    assert run_test(maps(), test).differences == ((told,) if told else ())


A40 = """
- in: |
    MSH|^~\\&|A|N|H|C|20260502080000-0500||ADT^A40^ADT_A39|M1|P|2.5.1
    EVN|A40
    PID|1||77^^^N^MR
    MRG|88^^^N^MR
  out: {OUT}
"""


def test_clear_and_flags() -> None:
    (cleared,) = inline(
        "- {in: 'PID|1||77^^^N^MR||DOE^JO|||F|||||\"\"', out: {telecom(home): cleared}}", "PID_Patient"
    )
    assert run_test(maps(), cleared).differences == ()
    (flagged,) = inline(
        "- {in: 'PID|1||77^^^N^MR|||||QQ', out: {flags: [unmapped-code], gender: absent}}", "PID_Patient"
    )
    assert run_test(maps(), flagged).differences == ()


@pytest.mark.parametrize(
    ("out", "told"),
    [
        (
            "refused: MRG-1 names the survivor",
            "refused: expected 'MRG-1 names the survivor', found that it goes on",
        ),
        ("Patient(1).active: false, Patient(0).active: absent, Encounter: absent", ""),
        ("Patient(1).identifier.value: '89'", "Patient(1).identifier.value: expected 89, found 88"),
        ("Encounter: set", "Encounter: expected something, found nothing"),
        ("Patient(2): set", "Patient(2): expected something, found nothing"),
    ],
)
def test_a_message_test_names_resources(out: str, told: str) -> None:
    (test,) = inline(A40.replace("OUT", out), "ADT_A40")
    assert run_test(maps(), test).differences == ((told,) if told else ())


def test_a_map_that_is_not_there_is_a_difference() -> None:
    (test,) = inline("- {in: 'NTE|1', out: {text: absent}}", "NTE_Nowhere")
    assert run_test(maps(), test).differences
    (missing,) = inline("- {in: 'NTE|1', out: {gender: absent}}", "PID_Patient")
    assert "no PID segment" in run_test(maps(), missing).differences[0]
