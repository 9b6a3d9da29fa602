"""Which segment a location of an X12 map reads, and what a segment of several groups is taken apart into."""

from __future__ import annotations

import pytest
from x12_maker import HEAD, PARENT, SELF, interchange, sent

from engine.formats.x12.segments import read_segments
from engine.mapping.from_x12 import arrivals
from engine.mapping.locate import locate
from engine.mapping.x12scope import LoopScope, pieces

CLAIM = """CLM*C1*100***11:B:1*Y*A*Y*Y
REF*D9*TRACE
HI*ABK:J0190*ABF:R059
SBR*S*01*G2******CI
OI***Y***Y
NM1*IL*1*OTHER*OSCAR****MI*X9
NM1*PR*2*OTHERPAYER*****PI*OP1
REF*G1*NOT MINE
LX*1
SV1*HC:99213*100*UN*1***1
DTP*472*D8*20260902
REF*6R*LINE1
"""


def scope(body: str, *path: str) -> LoopScope:
    ((found, _),) = sent(body).scope.at(path)
    return found


def test_bare_names_read_the_own_loop_alone() -> None:
    claim = scope(HEAD + SELF + CLAIM, "2300")
    assert [s.get(1) for s in claim.segments("REF")] == ["D9"]
    assert claim.coded("REF", "G1") is None  # it stands in 2330B
    assert claim.near("NM1") is None
    assert claim.near("SBR") is None  # of 2000B and of 2320, neither is the claim's own
    line = scope(HEAD + SELF + CLAIM, "2400")
    assert line.coded("REF", "6R").get(2) == "LINE1"
    assert line.coded("REF", "D9") is None


def test_another_loop_is_named() -> None:
    claim = scope(HEAD + SELF + CLAIM, "2300")
    assert claim.near("2000B/SBR").get(1) == "P"
    assert claim.near("2320/SBR").get(1) == "S"
    assert claim.near("2010BB/NM1").get(9) == "BP7700"
    assert claim.near("2330B/NM1").get(9) == "OP1"
    assert claim.near("ST/BHT").get(3) == "REF1"
    assert claim.near("ST/ISA").get(6).strip() == "NORTHBAY"
    line = scope(HEAD + SELF + CLAIM, "2400")
    assert line.near("2300/CLM").get(1) == "C1"
    inner = scope(HEAD + SELF + CLAIM, "2330A")
    assert inner.near("2010BB|2330B/NM1").get(9) == "OP1"  # the nearer one


def test_several_of_a_name_are_none() -> None:
    two = HEAD + SELF + CLAIM + "LX*2\nSV1*HC:99214*50*UN*1***1\nDTP*472*D8*20260902\n"
    assert scope(two, "2300").near("2400/SV1") is False
    assert len(scope(two, "2300").loops("2400")) == 2


def test_a_dependents_claim_is_not_the_subscribers() -> None:
    own = "CLM*OWN*1***11:B:1*Y*A*Y*Y\nHI*ABK:J0190\nLX*1\nSV1*HC:99213*1*UN*1***1\nDTP*472*D8*20260902\n"
    child = own.replace("OWN", "CHILD")
    body = HEAD + PARENT + own + "HL*3*2*23*0\nPAT*19\nNM1*QC*1*TREMBLAY*THEO\nDMG*D8*20190218*M\n" + child
    top = sent(body).scope
    assert [g.near("CLM").get(1) for g, _ in top.at(("2000B", "2300"))] == ["OWN"]
    assert [g.near("CLM").get(1) for g, _ in top.at(("2000C", "2300"))] == ["CHILD"]
    (theirs, _), (childs, _) = top.at(("2300",))
    assert theirs.near("2010BA|2010CA/NM1").get(4) == "ODILE"
    assert childs.near("2010BA|2010CA/NM1").get(4) == "THEO"


@pytest.mark.parametrize(
    ("segment", "groups"),
    [
        ("HI*ABK:J0190**ABF:R059", [(1, 1), (1, 3)]),
        ("CAS*CO*45*20**96*5*1", [(2, 2), (2, 5)]),
        ("PLB*1*20261231*WO:A*20*CS:B*-3", [(3, 3), (3, 5)]),
        ("PER*IC*DESK*TE*555*EM*a@b.example", [(3, 3), (3, 5)]),
        ("MOA***MA01*MA02", [(3, 3), (3, 4)]),
        ("NTE*ADD*a note", []),
    ],
)
def test_groups_of_elements_keep_their_true_places(segment: str, groups: list[tuple[int, int]]) -> None:
    data = interchange(segment)
    (s,) = [x for x in read_segments(data)[0] if x.name == segment.split("*")[0]]
    s.n = 1
    found = pieces(s)
    if not groups:
        assert found == [s]
        return
    elements = segment.split("*")
    for piece, (place, number) in zip(found, groups, strict=True):
        assert piece.fields[place] == elements[number]
        traced = piece.traced()
        assert traced[place].src[0].field == number  # type: ignore[attr-defined]
        assert [v for v in piece.fields if v not in ("", *elements)] == []


def test_a_benefit_of_several_services_is_one_piece_each() -> None:
    (s,) = [x for x in read_segments(interchange("EB*C*IND*30^98^UC***23*1500"))[0] if x.name == "EB"]
    found = pieces(s)
    assert [p.fields[3] for p in found] == ["30", "98", "UC"]
    assert [p.fields[7] for p in found] == ["1500"] * 3
    assert (
        pieces(next(x for x in read_segments(interchange("EB*C*IND*30"))[0] if x.name == "EB"))[0].name
        == "EB"
    )


def test_components_by_another_mark_are_read() -> None:
    body = (HEAD + SELF + CLAIM).replace("SV1*HC:99213*", "SV1*HC>99213*")
    line = scope(body, "2400")
    assert line.near("SV1").fields[1] == "HC:99213"


def test_text_that_is_no_ascii() -> None:
    data = interchange(HEAD + SELF.replace("JUNIPER", "ZOÉ") + CLAIM)
    (one,) = arrivals(data)
    ((loop, _),) = one.scope.at(("2010BA",))
    assert loop.near("NM1").fields[4] == "ZOÉ"


@pytest.mark.parametrize(
    ("text", "name", "field", "component"),
    [
        ("CLM-05.1", "CLM", 5, 1),
        ("2010BB/NM1-09", "2010BB/NM1", 9, 0),
        ("2010BA|2010CA/NM1-03", "2010BA|2010CA/NM1", 3, 0),
        ("ST/BPR-02", "ST/BPR", 2, 0),
        ("C003.2", "C003", 2, 0),
    ],
)
def test_locations(text: str, name: str, field: int, component: int) -> None:
    found = locate(text)
    assert found is not None
    assert (found.name, found.field, found.component) == (name, field, component)
