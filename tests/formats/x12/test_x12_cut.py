"""Interchanges cut into what is worked on one by one: nothing is lost, no patient in another's part."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.x12.cut import Part, Received, Stray, cut
from engine.formats.x12.segments import Reader, read_segments

SAMPLES = sorted((Path(__file__).parents[3] / "sample_messages/x12").glob("*.x12"))
ENVELOPE = ("ISA", "GS", "ST", "SE", "GE", "IEA")
HEAD = (
    "ISA*00*          *00*          *ZZ*PAYER          *ZZ*CLINIC         "
    "*260914*0830*^*00501*000000201*0*P*:~"
    "GS*HP*PAYER*CLINIC*20260914*0830*201*X*005010X221A1~"
)
BEGIN = (
    "ST*835*0001~BPR*I*100*C*NON************20260914~TRN*1*TRACE1*1999999999~DTM*405*20260914~"
    "N1*PR*PAYER~N3*1 ST~N4*PORTLAND*OR*97201~PER*BL*DESK*TE*5035550100~N1*PE*CLINIC*XX*1400007013~LX*1~"
)
END = "PLB*1400007013*20261231*WO:1*5~SE*{n}*0001~GE*1*201~IEA*1*000000201~"


def remittance(claims: int) -> bytes:
    """A payment of so many claims."""
    body = "".join(
        f"CLP*C{n:06d}*1*10*10**12*P{n}*11~NM1*QC*1*FAMILY{n}*GIVEN****MI*M{n}~" for n in range(claims)
    )
    count = BEGIN.count("~") + body.count("~") + 2
    return (HEAD + BEGIN + body + END.format(n=count)).encode()


def parts(data: bytes, **how: int) -> list[Part]:
    return [p for p in cut(Reader(BytesIO(data)), **how) if isinstance(p, Part)]  # type: ignore[arg-type]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
def test_every_segment_stands_in_a_part(path: Path) -> None:
    data = path.read_bytes()
    kept = [s.raw for p in parts(data) for s in read_segments(p.body)[0]]
    assert not [s.raw for s in read_segments(data)[0] if s.raw not in kept and s.name not in ENVELOPE]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
def test_a_part_is_an_interchange_of_its_own(path: Path) -> None:
    for part in parts(path.read_bytes()):
        (again,) = (r for r in cut(Reader(BytesIO(part.body))) if isinstance(r, Received))
        assert not again.interchange.problems and all(v.code in "AE" for v in again.verdicts)


def test_several_interchanges_and_what_stands_between_them() -> None:
    data = remittance(1) + b"\r\nSent by the clearing house\r\n" + remittance(2)
    items = list(cut(Reader(BytesIO(data))))
    strays = b"".join(i.body for i in items if isinstance(i, Stray))
    kept = b"".join(p.body for p in items if isinstance(p, Part))
    assert b"clearing house" in strays and kept.count(b"CLP*") == 3


def test_a_long_payment_is_cut_at_claims_and_each_stands_once() -> None:
    found = parts(remittance(500), part=4096)
    assert len(found) > 5 and [p.n for p in found] == list(range(1, len(found) + 1))
    claims = [s.get(1) for p in found for s in read_segments(p.body)[0] if s.name == "CLP"]
    assert claims == [f"C{n:06d}" for n in range(500)]
    assert all(b"TRN*1*TRACE1" in p.body and b"N1*PE*CLINIC" in p.body for p in found)
    assert [b"PLB*" in p.body for p in found] == [False] * (len(found) - 1) + [True]


def test_one_too_long_to_be_checked_is_judged_by_its_envelope() -> None:
    received = [r for r in cut(Reader(BytesIO(remittance(500))), whole=4096) if isinstance(r, Received)]
    assert [v.code for r in received for v in r.verdicts] == ["A"]
    short = remittance(500).replace(b"SE*", b"SE*9")
    received = [r for r in cut(Reader(BytesIO(short)), whole=4096) if isinstance(r, Received)]
    assert [v.code for r in received for v in r.verdicts] == ["E"], "it was worked off: it cannot be rejected"


def test_a_claim_goes_without_other_patients() -> None:
    first, second = parts((SAMPLES[0].parent / "837P_professional_claim.x12").read_bytes())
    assert b"ABERNATHY" in first.body and b"TREMBLAY" not in first.body
    assert b"TREMBLAY" in second.body and b"ABERNATHY" not in second.body


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_dropped_or_doubled_nothing_is_lost(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SAMPLES))
    lines = path.read_bytes().replace(b"\n", b"").split(b"~")[:-1]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(1, len(lines) - 1))
        lines[at : at + 1] = data.draw(st.sampled_from([[], [lines[at]] * 2, [b"ZZZ*1", lines[at]]]))
    damaged = b"~".join(lines) + b"~"
    kept = {s.raw for p in parts(damaged) for s in read_segments(p.body)[0]}
    inside, sets = False, []
    for s in read_segments(damaged)[0]:
        inside = s.name == "ST" or (inside and s.name not in ("SE", "GE", "IEA", "GS", "ISA"))
        if inside:
            sets.append(s.raw)
    assert not [raw for raw in sets if raw not in kept]


def test_what_its_header_says_of_a_long_set_rejects_it_before_it_is_worked_on() -> None:
    text = remittance(500).decode()
    begin, end = text.index("ST*"), text.index("GE*")
    twice = (text[:end] + text[begin:end] + text[end:]).replace("GE*1*", "GE*2*").encode()
    items = list(cut(Reader(BytesIO(twice)), whole=4096, part=4096))
    told = [p.transaction.rejected for p in items if isinstance(p, Part) and p.transaction is not None]
    assert set(told) == {(), ("23",)} and told == sorted(told)
    assert [[v.code for v in r.verdicts] for r in items if isinstance(r, Received)] == [["A", "R"]]
