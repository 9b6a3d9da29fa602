"""Conditions: what they read as, what they mean of a message, and which can never be true."""

from __future__ import annotations

import pytest
from mapping_maker import small

from engine.kernel.errors import MapError
from engine.mapping.conditions import (
    And,
    Compare,
    GroupThere,
    Not,
    Or,
    TargetSet,
    Valued,
    groups_of,
    locations_of,
    parse,
    targets_of,
)
from engine.mapping.logic import possible
from engine.mapping.sheet import condition_text


def test_words_become_a_tree() -> None:
    assert parse("PID-5 valued") == Valued("PID-5")
    assert parse("PID-29 not valued") == Not(Valued("PID-29"))
    assert parse("OBX-2 = NM|SN") == Compare("", "OBX-2", "=", ("NM", "SN"))
    assert parse("count(PID-11) = 1") == Compare("count", "PID-11", "=", ("1",))
    assert parse("TIMING_ENCODED not valued") == Not(GroupThere("TIMING_ENCODED"))
    assert groups_of(parse("PR1_GROUP valued and PR1 valued")) == ["PR1_GROUP"]
    assert locations_of(parse("PR1_GROUP valued and PR1-3.1 = X")) == ["PR1-3.1"]
    assert parse("value[x] not set") == Not(TargetSet("value[x]"))
    assert parse("ORC valued or OBR-2 valued and PID-5 valued") == Or(
        (Valued("ORC"), And((Valued("OBR-2"), Valued("PID-5"))))
    )


@pytest.mark.parametrize(
    "text",
    [
        "PID-5 valued",
        "PID-29 not valued and count(PID-11) = 1",
        "TIMING_ENCODED not valued and RXE valued",
        "(PRT-5 valued or PRT-8 valued) and PRT-2 != D|DE|UN",
        "not (OBX-2 = NM|SN)",
        "length(PID-7) > 8",
        "OBX-5 looks like number",
        "PID-13 cleared",
        "system not set and CQ.2.1 valued",
    ],
)
def test_text_of_a_tree_reads_as_the_same_tree(text: str) -> None:
    assert parse(condition_text(parse(text))) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PID-5",
        "PID-5 valued and",
        "OBX-2 in (NM",
        "= 5",
        "PID-5 > x",
        "(PID-5 valued",
        "PID-5 valued PID-6 valued",
        "family",
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(MapError) as e:
        parse(text, "some.yaml:3")
    assert e.value.where == "some.yaml:3"


def test_it_knows_what_it_reads() -> None:
    c = parse("PID-5 valued and not (name set or length(PID-7) > 8)")
    assert locations_of(c) == ["PID-5", "PID-7"]
    assert targets_of(c) == ["name"]


@pytest.mark.parametrize(
    ("when", "pid", "holds"),
    [
        ("PID-2 valued", "A", True),
        ("PID-2 valued", "", False),
        ("PID-2 valued", '""', False),
        ("PID-2 valued", "^&", False),
        ("PID-2 cleared", '""', True),
        ("PID-2 cleared", "", False),
        ("PID-2.1 = A|B", "B^C", True),
        ("PID-2.1 = A|B", "b", False),
        ("PID-2.1 != A", "", True),
        ('PID-2.1 = ""', "", True),
        ("PID-2.1 > 5", "6", True),
        ("PID-2.1 > 5", "6.5 mg", False),
        ("PID-2.1 <= 5", "5.0", True),
        ("length(PID-2) > 2", "ABC", True),
        ("length(PID-2) > 2", "AB", False),
        ("count(PID-3) = 2", "A~B", True),
        ("count(PID-3) = 2", "A~~B", True),
        ("count(PID-3) = 1", "A~B", False),
        ("PID-2 looks like number", "4.10", True),
        ("PID-2 looks like number", "1:40", False),
        ("PID-2 looks like date", "20260229", False),
        ("not (PID-2 valued)", "A", False),
        ("PID-2 valued or PID-4 valued", "A", True),
        ("PV1 valued", "A", False),
    ],
)
def test_meaning(when: str, pid: str, holds: bool) -> None:
    field = "|" + pid if "PID-3" in when else pid
    out = small(f"active: {{value: =true, when: '{when}'}}", f"PID|1|{field}")
    assert ("active" in out) is holds


def test_a_condition_on_the_target_waits_for_the_rows_above_and_below() -> None:
    text = "birthDate: {from: PID-2, when: gender not set}\ngender: {from: PID-8, code: AdministrativeSex}"
    assert "birthDate" not in small(text, "PID|1|20200101||||||F")
    assert small(text, "PID|1|20200101")["birthDate"] == "2020-01-01"


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("PID-5 valued and PID-5 not valued", False),
        ("PID-5.1 = A and PID-5.1 = B", False),
        ("PID-5.1 = A|B and PID-5.1 = B|C", True),
        ("PID-5.1 = A and PID-5.1 != A", False),
        ("PID-5.1 > 5 and PID-5.1 < 3", False),
        ("PID-5.1 > 3 and PID-5.1 < 5", True),
        ("PID-5.1 = 7 and PID-5.1 < 5", False),
        ("count(PID-3) = 1 and count(PID-3) = 2", False),
        ("count(PID-3) > 1 and count(PID-3) < 2", True),
        ("PID-5.1 = A and PID-5 not valued", False),
        ("PID not valued and PID-5 valued", False),
        ("name set and name not set", False),
        ("PID-5 cleared and PID-5 valued", False),
        ("PID-5 valued or PID-5 not valued", True),
        ("(PID-5 valued or PID-6 valued) and PID-5 not valued", True),
        ("not (PID-5 valued) and PID-5 valued", False),
    ],
)
def test_contradictions_are_seen(text: str, can: bool) -> None:
    assert possible(parse(text)) is can


@pytest.mark.parametrize("text", ["PID-5 valued or PID-5 not valued", "PID-5.1 = A or PID-5.1 != A"])
def test_the_opposite_of_what_is_always_true_is_impossible(text: str) -> None:
    assert not possible(Not(parse(text)))
