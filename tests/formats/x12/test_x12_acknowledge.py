"""TA1 and 999: accepted, accepted with errors, rejected; an answer is itself right."""

from __future__ import annotations

import pytest
from x12_reading import ISSUE, answer, complaints, read, sample

from engine.formats.x12.acknowledge import acknowledge, ta1_code, verdict_on
from engine.formats.x12.validate import check_transaction

P837 = "837P_professional_claim"
BAD = ("11:B:1*Y*A", "11:B:1*Y*Q")


@pytest.mark.parametrize(
    ("name", "change", "rows"),
    [
        (P837, ("REF*F8*BP2026090000117~\n", ""), [
            "IK3*REF*48*2300*I6", "CTX*SITUATIONAL TRIGGER*CLM*47*2300*5:3*C023:1325", "CTX*CLM01:NB-77002"]),
        (P837, ("NM1*85*2*NORTHBAY CLINIC*", "NM1*85*2**"), ["IK3*NM1*8*2010AA*8", "IK4*3*1035*1"]),
        ("270_eligibility_inquiry", ("DTP*291*D8*20260914", "DTP*291*D8*20261914"), [
            "IK3*DTP*11*2100C*8", "CTX*TRN02:NB-EL-88-1", "IK4*3*1251*8*20261914"]),
        ("834_enrollment", ("NM1*IL*1*ABERNATHY*JUNIPER", "NM1*IL*1**JUNIPER"), [
            "IK3*NM1*14*2100A*8", "CTX*SUBSCRIBER NUMBER REF02:BPK100200300", "IK4*3*1035*1"]),
        ("820_premium_payment", ("RMR*AZ*BPK400500600**920.25", "RMR*AZ*BPK400500600**920.2S"), [
            "IK3*RMR*14*2300B*8", "CTX*ENT01:2", "IK4*4*782*6*920.2S"]),
    ],
)  # fmt: skip
def test_a_999_names_the_claim_or_inquiry(name: str, change: tuple[str, str], rows: list[str]) -> None:
    given = [row for row in answer(sample(name, change)) if row[:3] in ("IK3", "CTX", "IK4")]
    assert given == rows


def test_a_good_group_is_accepted() -> None:
    assert answer(sample(P837)) == [
        "ISA*00*          *00*          *ZZ*BLUEPEAK       *ZZ*NORTHBAY       "
        "*260914*0845*^*00501*000000077*0*T*:",
        "GS*FA*BLUEPEAK*NORTHBAY*20260914*0845*77*X*005010X231A1",
        "ST*999*0001*005010X231A1",
        "AK1*HC*101*005010X222A1",
        "AK2*837*0001*005010X222A1",
        "IK5*A",
        "AK9*A*1*1*1",
        "SE*6*0001",
        "GE*1*77",
        "IEA*1*000000077",
    ]


def test_an_error_rejects_or_is_named_only() -> None:
    rejected = answer(sample(P837, BAD))
    assert rejected[5:10] == [
        "IK3*CLM*19*2300*8", "CTX*CLM01:NB-77001", "IK4*7*1359*7*Q", "IK5*R*5", "AK9*R*1*1*0",
    ]  # fmt: skip
    assert answer(sample(P837, BAD), lenient=True)[8:10] == ["IK5*E*5", "AK9*E*1*1*1"]
    structure = answer(sample(P837, ("ST*837*0001", "ST*837*0009")), lenient=True)
    assert structure[5:7] == ["IK5*R*3", "AK9*R*1*1*0"]


def test_one_of_two_sets_is_rejected() -> None:
    text = sample(P837).decode()
    begin, end = text.index("ST*"), text.index("GE*")
    second = text[begin:end].replace("*0001", "*0002").replace(*BAD)
    data = (text[:end] + second + text[end:]).replace("GE*1*", "GE*2*").encode()
    rows = answer(data)
    assert [row for row in rows if row[:3] in ("AK2", "IK5", "AK9")] == [
        "AK2*837*0001*005010X222A1", "IK5*A", "AK2*837*0002*005010X222A1", "IK5*R*5", "AK9*P*2*2*1",
    ]  # fmt: skip


def test_ta1_when_asked_for_and_when_rejected() -> None:
    asked = answer(sample(P837, ("*0*T*:~", "*1*T*:~")))
    assert asked[1] == "TA1*000000101*260914*0830*A*000"
    assert asked[2].startswith("GS*FA*")
    rejected = answer(sample(P837, ("IEA*1*000000101", "IEA*1*000000999")))
    assert rejected[1:] == ["TA1*000000101*260914*0830*R*001", "IEA*0*000000077"]


def test_widths_are_accepted_with_errors() -> None:
    _, interchanges = read(sample(P837, ("*ZZ*BLUEPEAK       *", "*ZZ*BLUEPEAK*")))
    assert ta1_code(interchanges[0].problems) == ("A", "000")
    from engine.formats.x12.segments import read_segments

    problems = read_segments(sample(P837, ("*ZZ*BLUEPEAK       *", "*ZZ*BLUEPEAK*")))[2]
    assert ta1_code(problems) == ("E", "022")


def test_acknowledgements_are_not_acknowledged() -> None:
    assert answer(sample("999_acknowledgment")) == []
    assert answer(sample("TA1_interchange_acknowledgment")) == []


def test_a_balance_is_no_matter_of_a_999() -> None:
    assert "IK5*A" in answer(sample("835_payment", ("BPR*I*290", "BPR*I*291")))


def test_a_value_that_cannot_be_written_is_left_out() -> None:
    data = sample(P837).replace(b"*", b"|").replace(b"11:B:1|Y|A", b"11:B:1|Y|*")
    assert "IK4*7*1359*7" in answer(data)


def test_answers_are_right_themselves() -> None:
    for name, change in (
        (P837, BAD),
        (P837, ("SE*", "SE*4")),
        ("835_payment", ("CAS*CO*45*20~", "CAS*CO*45~")),
    ):
        sets, interchanges = read(sample(name, change))
        verdicts = [verdict_on(t, check_transaction(t, t.tree())) for t in sets]
        written = acknowledge(interchanges[0], verdicts, ISSUE)
        assert written is not None
        assert complaints(written) == []
