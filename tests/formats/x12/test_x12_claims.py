"""277CA: each claim taken or rejected, for its own reason and no other's; it reads back and is right."""

from __future__ import annotations

import pytest
from x12_reading import ISSUE, complaints, read, sample

from engine.formats.x12.acknowledge_claims import ClaimAnswer, acknowledge_claims
from engine.formats.x12.validate import check_transaction

P837, I837, D837 = "837P_professional_claim", "837I_institutional_claim", "837D_dental_claim"


def answer(data: bytes, **more: object) -> bytes:
    (transaction,), _ = read(data)
    tree = transaction.tree()
    assert tree is not None
    reply = ClaimAnswer("HUB-1", **more)  # type: ignore[arg-type]
    out = acknowledge_claims(transaction, tree, check_transaction(transaction, tree), ISSUE, reply)
    return out or b""


def rows(data: bytes, *names: str, **more: object) -> list[str]:
    return [row for row in answer(data, **more).decode("latin-1").split("~") if row.split("*")[0] in names]


def test_a_good_837_is_taken() -> None:
    written = answer(sample(P837), numbers={"NB-77001": "BP1"})
    assert written.decode().split("~")[2:-1] == [
        "ST*277*0001*005010X214",
        "BHT*0085*08*HUB-1*20260914*0845*TH",
        "HL*1**20*1",
        "NM1*PR*2*BLUEPEAK HEALTH PLAN*****46*BP7700",
        "TRN*1*HUB-1",
        "DTP*050*D8*20260914",
        "DTP*009*D8*20260914",
        "HL*2*1*21*1",
        "NM1*41*2*NORTHBAY CLINIC*****46*NB1001",
        "TRN*2*NB260914A",
        "STC*A1:19:PR*20260914*WQ*385",
        "QTY*90*2",
        "AMT*YU*385",
        "HL*3*2*19*1",
        "NM1*85*2*NORTHBAY CLINIC*****XX*1400007013",
        "TRN*1*0",
        "STC*A1:19:PR**WQ*385",
        "QTY*QA*2",
        "AMT*YU*385",
        "HL*4*3*PT",
        "NM1*QC*1*ABERNATHY*JUNIPER*L***MI*BPK100200300",
        "TRN*2*NB-77001",
        "STC*A1:19:PR*20260914*WQ*265",
        "REF*1K*BP1",
        "REF*D9*CH0099887",
        "DTP*472*D8*20260902",
        "HL*5*3*PT",
        "NM1*QC*1*TREMBLAY*THEO****MI*BPK400500600",
        "TRN*2*NB-77002",
        "STC*A1:19:PR*20260914*WQ*120",
        "DTP*472*D8*20260905",
        "SE*32*0001",
        "GE*1*77",
        "IEA*1*000000077",
    ]


TAKEN1, TAKEN2 = "STC*A1:19:PR*20260914*WQ*265", "STC*A1:19:PR*20260914*WQ*120"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("CLM*NB-77001*265", "CLM*NB-77001*266", ["STC*A8:400*20260914*U*266", TAKEN2]),
        ("HC:87880:QW*85*UN*1", "HC:87880:QW*85*UN*X", [
            "STC*A7:476*20260914*U*265", "STC*A7:476*20260914*U", TAKEN2]),
        ("NM1*IL*1*TREMBLAY*ODILE****MI*BPK400500600", "NM1*IL*1*TREMBLAY*ODILE****MI", [
            TAKEN1, "STC*A6:164:IL*20260914*U*120"]),
        ("DMG*D8*20190218*M", "DMG*D8*20191318*M", [TAKEN1, "STC*A7:158:QC*20260914*U*120"]),
        ("N3*12 HARBOR WAY", "N3*", [
            "STC*A6:503:85*20260914*U*265", "STC*A6:503:85*20260914*U*120"]),
        ("REF*F8*BP2026090000117~\n", "REF*EA*MRN1~\n", [TAKEN1, "STC*A6:464*20260914*U*120"]),
        # what is missing at the end of the first claim is not a matter of the second
        ("LX*1~\nSV1*HC:99213*180*UN*1***1:2~", "LX*1~\nDTP*472*D8*20260902~", [
            "STC*A8:400*20260914*U*265",
            "STC*A3:684*20260914*U*265********SV1 is required and missing", TAKEN2]),
    ],
)  # fmt: skip
def test_only_the_claim_in_error_is_rejected(old: str, new: str, expected: list[str]) -> None:
    data = sample(P837, (old, new))
    given = [row for row in rows(data, "STC") if not row.endswith(("*385", "*386"))]
    assert given == expected


def test_counts_and_lines_of_what_is_rejected() -> None:
    data = sample(P837, ("HC:87880:QW*85*UN*1", "HC:87880:QW*85*UN*X"))
    given = rows(data, "QTY", "AMT", "SVC", "REF")
    assert given == [
        "QTY*90*1", "QTY*AA*1", "AMT*YU*120", "AMT*YY*265", "QTY*QA*1", "QTY*QC*1",
        "AMT*YU*120", "AMT*YY*265",
        "REF*D9*CH0099887", "SVC*HC:87880:QW*85", "REF*FJ*NB-77001-2",
    ]  # fmt: skip


def test_an_institutional_claim_has_its_bill_type_and_period() -> None:
    assert rows(sample(I837), "REF", "DTP")[2:] == ["REF*BLT*111", "DTP*472*RD8*20260820-20260823"]


def test_a_set_that_the_999_rejects_whole_has_none() -> None:
    assert answer(sample(P837, ("SE*", "SE*9"))) == b""
    assert answer(sample("835_payment")) == b""


@pytest.mark.parametrize("name", [P837, I837, D837])
def test_it_reads_back_and_is_right(name: str) -> None:
    for change in (("CLM*", "CLM*"), ("DMG*D8*19790412*F", "DMG*D8*19790412*Q"), ("LX*1~", "LX*ONE~")):
        written = answer(sample(name, change))
        (back,), _ = read(written)
        table, exact = back.table()
        assert table is not None
        assert (table.name, exact) == ("277CA", True)
        assert complaints(written) == []


@pytest.mark.parametrize("name", [P837, I837, D837])
def test_every_claim_is_answered_once_whatever_is_damaged(name: str) -> None:
    text = sample(name).decode()
    rows = text.split("~\n")
    for i, row in enumerate(rows):
        if row[:2] in ("IS", "GS", "ST", "SE", "GE", "IE", ""):
            continue
        elements = row.split("*")
        for n in range(1, len(elements)):
            for value in ("", "ZZ9"):
                changed = [*rows[:i], "*".join([*elements[:n], value, *elements[n + 1 :]]), *rows[i + 1 :]]
                data = "~\n".join(changed).encode()
                claims = [r.split("*")[1] for r in changed if r.startswith("CLM*")]
                written = answer(data).decode().split("HL*4*")[1:]
                told = [r[6:] for r in "".join(written).split("~") if r.startswith("TRN*2")]
                assert told == claims or not written, changed[i]
