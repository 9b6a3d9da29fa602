"""SNIP 1 to 5: one change to a good sample, the complaints it must bring, and no others."""

from __future__ import annotations

import pytest
from x12_reading import codes, complaints, sample

from engine.formats.x12.codesets import is_npi

P837, I837, P835, E834 = (
    "837P_professional_claim",
    "837I_institutional_claim",
    "835_payment",
    "834_enrollment",
)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        # 1: envelope
        (P837, "SE*", "SE*9", [("SE[1]-01", "IK502=4")]),
        (P837, "ST*837*0001", "ST*837*0002", [("SE[1]-02", "IK502=3")]),
        (P837, "GE*1*101", "GE*2*101", [("GE-01", "AK905=5")]),
        (P837, "GE*1*101", "GE*1*102", [("GE-02", "AK905=4")]),
        (P837, "IEA*1*000000101", "IEA*1*000000102", [("IEA-02", "TA105=001")]),
        (P837, "IEA*1*", "IEA*3*", [("IEA-01", "TA105=021")]),
        (P837, "IEA*1*000000101~\n", "", [("IEA", "TA105=023")]),
        (P837, "*260914*0830*^", "*261314*0830*^", [("ISA-09", "TA105=014")]),
        (P837, "HL*4*3*23*0", "HL*4*9*23*0", [("HL[3]-04", "IK403=7"), ("HL[4]-02", "IK403=7")]),
        # 2: guide
        (P837, "11:B:1*Y*A", "11:B:1*Y*Q", [("CLM[1]-07", "IK403=7")]),
        (P837, "DMG*D8*19790412*F", "DMG*D8*19791412*F", [("DMG[1]-02", "IK403=8")]),
        (P837, "NM1*85*2*NORTHBAY CLINIC*", "NM1*85*2**", [("NM1[3]-03", "IK403=1")]),
        (P837, "SV1*HC:99213*", "SV1*HC*", [("SV1[1]-01.2", "IK403=1")]),
        (P837, "DTP*431*D8*20260901~", "DTP*431*D8*20260901~\nDTP*431*D8*20260901~", [("DTP[2]", "IK304=5")]),
        (P837, "ABF:R059", "ABF:R059:1:2:3:4:5:6:7:8", [
            *((f"HI[1]-02.{n}", "IK403=I10") for n in range(3, 10)), ("HI[1]-02.10", "IK403=13")]),
        (I837, "CL1*1*1*01~\n", "", [("CL1", "IK304=3")]),
        # 3: balance
        (P837, "CLM*NB-77001*265", "CLM*NB-77001*266", [("CLM[1]-02", "SNIP3=CLM02")]),
        (P835, "BPR*I*290", "BPR*I*291", [("BPR[1]-02", "SNIP3=BPR02")]),
        (P835, "CAS*PR*3*20", "CAS*PR*3*21", [("CLP[1]-04", "SNIP3=CLP04"), ("SVC[1]-03", "SNIP3=SVC03")]),
        (E834, "QTY*TO*2", "QTY*TO*3", [("QTY[3]-02", "SNIP3=QTY02")]),
        # 4: situation
        (P837, "*TE*5035550142", "*TE*5035550142*EX", [("PER[1]-06", "IK403=2")]),
        (P837, "REF*F8*BP2026090000117~\n", "", [("REF", "IK304=I6")]),
        (P837, "UN*1***1:2", "UN*1***1:3", [("SV1[1]-07.2", "IK403=7")]),
        (P837, "SBR*P*18*", "SBR*P**", [("SBR[1]-02", "IK403=I9")]),
    ],
)  # fmt: skip
def test_one_change(name: str, old: str, new: str, expected: list[tuple[str, str]]) -> None:
    counted = new.count("~\n") - old.count("~\n") if "IEA" not in old else 0
    found = codes(sample(name, (old, new)))
    if counted:
        found = [each for each in found if each != ("SE[1]-01", "IK502=4")]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("*PORTLAND*OR*97202~", "*PORTLAND*OX*97202~", "N4[2]-02"),
        ("*PORTLAND*OR*97202~", "*PORTLAND*OR*9720~", "N4[2]-03"),
        ("ABK:J0190", "ABK:0190", "HI[1]-01.2"),
        ("HC:87880", "HC:8788", "SV1[2]-01.2"),
        ("REF*EI*931234567", "REF*EI*93123", "REF[1]-02"),
    ],
)
def test_codes_by_their_shape(old: str, new: str, where: str) -> None:
    found = [(p.level, p.severity, p.where) for p in complaints(sample(P837, (old, new)))]
    assert found == [(5, "W", where)]


def test_npi_check_digit() -> None:
    assert is_npi("1234567893")
    assert not is_npi("1234567890")
    assert not is_npi("123456789")
    assert not is_npi("12345678９3")


def test_another_payers_amounts() -> None:
    other = (
        "SBR*S*18*******CI~\nCAS*PR*1*65~\nAMT*D*200~\nOI***Y***Y~\nNM1*IL*1*ABERNATHY*JUNIPER****MI*X1~\n"
        "NM1*PR*2*CASCADE MUTUAL*****PI*CM0012~\nLX*1~\nSV1*HC:99213*180"
    )
    good = sample(P837, ("LX*1~\nSV1*HC:99213*180", other))
    assert [c for c in codes(good) if c[1].startswith("SNIP3")] == []
    bad = sample(P837, ("LX*1~\nSV1*HC:99213*180", other.replace("AMT*D*200", "AMT*D*190")))
    assert ("AMT[1]-02", "SNIP3=AMT02") in codes(bad)


def test_complaints_hold_no_values() -> None:
    data = sample(P837, ("ABERNATHY*JUNIPER", "ABERNATHY*" + "J" * 50))
    for problem in complaints(data):
        assert "JJJ" not in problem.text + problem.where
