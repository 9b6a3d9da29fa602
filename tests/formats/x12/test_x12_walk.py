"""Where segments land that are not where they should be; transaction sets in parts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from x12_reading import codes, complaints, read, sample

from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import NAMES, table
from engine.formats.x12.walk import arrange, parts

P837 = "837P_professional_claim"


def test_the_address_of_an_unknown_party_becomes_nobody_elses() -> None:
    data = sample(P837, ("HL*2*1*22*0~", "NM1*ZQ*2*STRANGER~\nN3*9 ELSEWHERE~\nHL*2*1*22*0~"))
    tree = read(data)[0][0].tree()
    assert tree is not None
    strange = [loop for loop in tree.walk() if loop.id == "?NM1"]
    assert [[s.name for s in loop.segments] for loop in strange] == [["NM1", "N3"]]
    assert len(tree.find("2010AA")[0].named("N3")) == 1
    assert ("NM1[4]", "IK304=2") in codes(data)


def test_a_segment_out_of_order_lands_in_its_loop_and_is_reported() -> None:
    data = sample(P837, ("REF*6R*NB-77001-1~", "REF*6R*NB-77001-1~\nDTP*463*D8*20260101~"))
    tree = read(data)[0][0].tree()
    assert tree is not None
    assert [s.get(1) for s in tree.find("2400")[0].named("DTP")] == ["472", "463"]
    assert ("DTP[3]", "IK304=7") in codes(data)


def test_what_follows_a_level_is_never_said_of_the_level_above() -> None:
    line = "TRN*2*NB-PA-21-2*9931234567~\nHCR*A1*AUTH-660012~\n"
    data = sample("278_review_response", (line, f"{line}DTP*AAH*D8*20261009~\n"))
    tree = read(data)[0][0].tree()
    assert tree is not None
    assert [s.get(3) for s in tree.find("2000F")[0].named("DTP")] == ["20261009"]
    assert ("DTP[2]-01", "IK403=7") in codes(data)


def test_a_level_whose_parent_is_missing_is_kept() -> None:
    data = sample("270_eligibility_inquiry", ("HL*2*1*21*1~\nNM1*1P*2*NORTHBAY CLINIC*****XX*", "REF*ZZ*"))
    tree = read(data)[0][0].tree()
    assert tree is not None
    assert [loop.rule.path for loop in tree.find("2000C")] == ["2000A/2000B/2000C"]
    assert ("HL[2]", "IK304=7") in codes(data)


def test_an_unknown_segment_is_kept_where_it_stands() -> None:
    data = sample(P837, ("LX*1~", "ZZZ*1~\nLX*1~"))
    assert ("ZZZ[1]", "IK304=1") in codes(data)
    data = sample(P837, ("LX*1~", "PLB*1~\nLX*1~"))
    assert ("PLB[1]", "IK304=2") in codes(data)


def test_parts_are_the_loops_of_the_whole() -> None:
    transaction = read(sample(P837))[0][0]
    found, _ = transaction.table()
    assert found is not None
    whole = arrange(transaction.segments, found).find("2300")
    every = list(parts(transaction.segments, found, "2300"))
    given = [loop for loop in every if loop.id == "2300"]
    assert [[s.raw for e in loop.walk() for s in e.segments] for loop in given] == [
        [s.raw for e in loop.walk() for s in e.segments] for loop in whole
    ]
    assert [loop.rule.path for loop in given] == [loop.rule.path for loop in whole]
    assert sum(len(e.segments) for loop in every for e in loop.walk()) == len(transaction.segments)


def test_parts_count_on() -> None:
    transaction = read(sample("835_payment"))[0][0]
    found, _ = transaction.table()
    assert found is not None
    assert [loop.n for loop in parts(transaction.segments, found, "2100") if loop.id == "2100"] == [1, 2]


WORDS = st.sampled_from(
    [
        "ST", "BHT", "HL", "NM1", "N1", "N3", "N4", "REF", "DTP", "CLM", "SBR", "LX",
        "SV1", "SVC", "CLP", "CAS", "PLB", "INS", "HD", "EB", "LS", "LE", "ENT", "RMR",
        "UM", "HCR", "AK2", "IK3", "IK4", "TRN", "STC", "SE", "XX", "ISA",
    ]
)  # fmt: skip
VALUES = st.sampled_from(
    ["", "1", "20", "22", "23", "IL", "PR", "85", "HC:99213", "D8", "20261399", "18", "\xff", "^", ":"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(NAMES), st.lists(st.tuples(WORDS, st.lists(VALUES, max_size=6)), max_size=40)
)  # fmt: skip
def test_whatever_comes_every_segment_lands_once(name: str, rows: list[tuple[str, list[str]]]) -> None:
    segments = [Segment([word, *values], n, "", "~") for n, (word, values) in enumerate(rows)]
    tree = arrange(segments, table(name))
    landed = [segment for loop in tree.walk() for segment in loop.segments]
    assert sorted(s.offset for s in landed) == list(range(len(rows)))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.lists(st.tuples(WORDS, st.lists(VALUES, max_size=6)), max_size=30))
def test_whatever_comes_is_complained_of_and_not_thrown(name: str, rows: list[tuple[str, list[str]]]) -> None:
    found = table(name)
    head = (
        "ISA*00*          *00*          *ZZ*A              *ZZ*B              "
        "*260914*0830*^*00501*000000001*1*T*:~"
        f"GS*{found.functional}*A*B*20260914*0830*1*X*{found.guides[0]}~ST*{found.set_id}*0001~"
    )
    body = "".join("*".join([word, *values]) + "~" for word, values in rows)
    for problem in complaints((head + body + "SE*1*0001~").encode("latin-1")):
        assert problem.text
