"""Levels that stand where they do not belong: told of, and in no other patient's part or answer."""

from __future__ import annotations

from io import BytesIO

import pytest
from x12_reading import ISSUE, answer, codes, complaints, read, sample

from engine.formats.x12.acknowledge_claims import ClaimAnswer, acknowledge_claims
from engine.formats.x12.cut import Part, cut
from engine.formats.x12.levels import misplaced
from engine.formats.x12.segments import Reader
from engine.formats.x12.validate import check_transaction
from engine.formats.x12.walk import Loop

P837, I837 = "837P_professional_claim", "837I_institutional_claim"
ELSEWHERE = ("HL*4*3*23*0", "HL*4*2*23*0")
SIBLING = (
    "HL*5*3*23*0~\nPAT*19~\nNM1*QC*1*TREMBLAY*ANA~\nDMG*D8*20170101*F~\nCLM*NB-77003*9***11:B:1*Y*A*Y*Y~\n"
)


def tree_of(data: bytes) -> Loop:
    tree = read(data)[0][0].tree()
    assert tree is not None
    return tree


def apart(data: bytes) -> list[str]:
    """Give the HL01 of the levels that must not be read by their place."""
    return [head.get(1) for _, head, _ in misplaced(tree_of(data))]


def claims(data: bytes) -> list[tuple[str, list[str]]]:
    """Give of each claim the ids of the loops it stands in, outermost first, and its number."""
    found = []
    for loop in tree_of(data).find("2300"):
        path, at = [], loop.parent
        while at is not None and at.parent is not None:
            path.append(at.id)
            at = at.parent
        head = loop.first("CLM")
        assert head is not None
        found.append((head.get(1), path[::-1]))
    return found


def test_a_level_that_names_another_one_than_it_stands_in() -> None:
    data = sample(P837, ELSEWHERE)
    assert ("HL[4]-02", "IK403=7") in codes(data)
    (found,) = [p for p in complaints(data) if p.where == "HL[4]-02"]
    assert (found.severity, found.level) == ("E", 1)
    assert apart(data) == ["4"]
    assert [row for row in answer(data, lenient=True) if row.startswith("IK4*2*")]


def test_what_names_the_level_it_stands_in_is_there() -> None:
    for name in (P837, I837, "271_eligibility_rejection", "276_claim_status_inquiry", "278_review_request"):
        assert apart(sample(name)) == []
    assert apart(sample(P837, ("HL*3*1*22*1", "HL*03*1*22*1"))) == [], "the number is the same"
    assert apart(sample(P837, ("HL*4*3*23*0", "HL*4**23*0"))) == [], "it names none"


@pytest.mark.parametrize(
    ("old", "new", "levels"),
    [
        ("HL*4*3*23*0", "HL*4*9*23*0", ["4"]),  # no such level
        ("HL*4*3*23*0", "HL*4*1*23*0", ["4"]),  # the provider
        ("HL*4*3*23*0", "HL*4*4*23*0", ["4"]),  # itself
        ("HL*3*1*22*1", "HL*3*2*22*1", ["3"]),  # a subscriber below a subscriber, with all below it
        ("HL*3*1*22*1~\n", "", ["4"]),  # the HL of its subscriber was lost
    ],
)
def test_levels_that_hang_elsewhere(old: str, new: str, levels: list[str]) -> None:
    assert apart(sample(P837, (old, new))) == levels


def test_a_number_that_two_levels_have() -> None:
    data = sample(P837, ("HL*3*1*22*1", "HL*2*1*22*1"))
    assert ("HL[3]-01", "IK403=7") in codes(data)
    (found,) = [p for p in complaints(data) if p.where == "HL[3]-01"]
    assert "another level has it" in found.text
    assert apart(data) == ["4"]


@pytest.mark.parametrize("code", ["24", ""])
def test_the_claim_of_a_level_nobody_knows_is_not_the_subscribers(code: str) -> None:
    data = sample(P837, ("HL*4*3*23*0", f"HL*4*3*{code}*0"))
    assert apart(data) == ["4"]
    assert dict(claims(data))["NB-77002"] == ["2000A", "2000B", "?HL"]
    assert dict(claims(data))["NB-77001"] == ["2000A", "2000B"]


def test_levels_nobody_knows_stand_side_by_side() -> None:
    strange = "HL*4*3*98*0~\nNM1*QC*1*NOBODY~\n"
    data = sample(P837, ("HL*4*3*23*0~\n", strange * 1500 + "HL*5*3*23*0~\n"))
    assert len(apart(data)) == 1500
    assert dict(claims(data))["NB-77002"] == ["2000A", "2000B", "2000C"]


def test_in_an_institutional_claim_too_what_follows_is_not_the_subscribers() -> None:
    data = sample(I837, ("CLM*", "HL*3*2*98*0~\nCLM*"))
    assert [path for _, path in claims(data)] == [["2000A", "2000B", "?HL"]]


def test_each_part_of_a_cut_837_tells_what_is_elsewhere() -> None:
    for wrong in (ELSEWHERE, ("HL*4*3*23*0", "HL*4*3*24*0")):
        data = sample(P837, wrong, ("SE*54", SIBLING + "SE*59"))
        made = [p for p in cut(Reader(BytesIO(data))) if isinstance(p, Part)]
        held = {s.get(1): apart(p.body) for p in made for s in p.segments if s.name == "CLM"}
        assert held == {"NB-77001": [], "NB-77002": ["4"], "NB-77003": []}


@pytest.mark.parametrize(
    "wrong", [[ELSEWHERE, ("HL*2*1*22*0", "HL*2*1*22*1")], [("HL*4*3*23*0", "HL*4*3*24*0")]]
)
def test_its_claim_is_rejected_without_the_number_of_the_subscriber_before(
    wrong: list[tuple[str, str]],
) -> None:
    data = sample(P837, *wrong)
    (transaction,), _ = read(data)
    tree = transaction.tree()
    assert tree is not None
    problems = check_transaction(transaction, tree)
    written = acknowledge_claims(transaction, tree, problems, ISSUE, ClaimAnswer("HUB-1"))
    assert written is not None
    assert b"BPK400500600" not in written and b"ODILE" not in written
    patients = written.decode().split("*PT~")[1:]
    assert ["STC*A1" in each for each in patients] == [True, False]
