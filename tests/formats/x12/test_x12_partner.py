"""A partner's rules: what each word asks for, the line it names, whose files it is for, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from x12_reading import ISSUE, answer, read, sample

from engine.formats.x12.acknowledge_claims import ClaimAnswer, acknowledge_claims
from engine.formats.x12.partner_rules import Partner, load_partner, load_partners
from engine.formats.x12.problem import Problem
from engine.formats.x12.validate import check_transaction
from engine.kernel.errors import ConfigError

P837 = "837P_professional_claim"
TOP = "partner: Bluepeak\nmatch: {receiver: BLUEPEAK}\nrules:\n"


def partner(folder: Path, rules: str, top: str = TOP) -> Partner:
    path = folder / "partners/bluepeak.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(top + rules)
    return load_partner(path, folder)


def found(data: bytes, *partners: Partner) -> list[Problem]:
    (transaction,), _ = read(data)
    return [p for p in check_transaction(transaction, transaction.tree(), partners) if p.level == 7]


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ("need: REF(01=D9)", ["REF(01=D9)"]),
        ("need: 2310B", ["2310B"]),
        ("need: REF(01=F8)\n  when: CLM-05.3 = 7|8", []),
        ("need: REF(01=D9)\n  when: CLM-05.3 = 7|8", ["REF(01=D9)"]),
        ("need: REF(01=D9)\n  when: CLM-05.3 != 7", []),
        ("need: REF(01=D9)\n  when: DTP valued", []),
        ("need: REF(01=D9)\n  when: DTP not valued", ["REF(01=D9)"]),
        ("forbid: DTP(01=431)", ["DTP[1]"]),
        ("forbid: 2310A", ["NM1[6]"]),
        ("value: CLM-05.1\n  among: [11, 22]", []),
        ("value: CLM-05.1\n  among: 22|23", ["CLM[1]-05.1", "CLM[2]-05.1"]),
        ("value: HI-02.2\n  among: places.csv", ["HI[1]-02.2"]),
        ("value: CLM-01\n  like: 'NB-\\d+1'", ["CLM[2]-01"]),
        ("value: CLM-01\n  longest: 7", ["CLM[1]-01", "CLM[2]-01"]),
        ("value: CLM-01\n  shortest: 8", []),
    ],
)
def test_what_a_rule_asks_for(rule: str, where: list[str], tmp_path: Path) -> None:
    (tmp_path / "partners").mkdir()
    (tmp_path / "partners/places.csv").write_text("code,display\nJ0190,x\n")
    rules = partner(tmp_path, f"- in: [837P, 837I]\n  loop: 2300\n  {rule}\n")
    problems = found(sample(P837), rules)
    assert [p.where for p in problems] == where
    assert {(p.severity, p.kind, p.code) for p in problems} <= {("E", "PARTNER", "partners/bluepeak.yaml:4")}
    assert all(p.text.endswith("(rule partners/bluepeak.yaml:4)") for p in problems)
    assert all(p.unit[0] == "CLM01" for p in problems)


def test_only_for_the_files_of_that_partner(tmp_path: Path) -> None:
    rule = "- in: 837P\n  need: NTE\n  say: Bluepeak wants a note\n"
    assert [p.text for p in found(sample(P837), partner(tmp_path, rule))] == [
        "Bluepeak wants a note (rule partners/bluepeak.yaml:4)"
    ]
    other = partner(tmp_path, rule, TOP.replace("BLUEPEAK", "CASCADE"))
    sender = partner(tmp_path, rule, TOP.replace("receiver: BLUEPEAK", "sender: NORTHBAY"))
    assert (len(found(sample(P837), other)), len(found(sample(P837), sender))) == (0, 1)
    assert found(sample("837I_institutional_claim"), sender) == []
    assert [p.name for p in load_partners(tmp_path)] == ["Bluepeak"]


def test_a_rule_rejects_its_claim_in_a_277ca_and_no_999(tmp_path: Path) -> None:
    rules = partner(tmp_path, "- in: 837P\n  loop: 2300\n  need: REF(01=D9)\n  status: A6:478\n")
    (transaction,), _ = read(sample(P837))
    tree = transaction.tree()
    assert tree is not None
    problems = check_transaction(transaction, tree, [rules])
    written = acknowledge_claims(transaction, tree, problems, ISSUE, ClaimAnswer("HUB-1")) or b""
    rows = [row for row in written.decode().split("~") if row.startswith("STC")]
    assert rows[2:] == ["STC*A1:19:PR*20260914*WQ*265", "STC*A6:478*20260914*U*120"]
    assert "IK5*A" in answer(sample(P837))


@pytest.mark.parametrize(
    ("rules", "what"),
    [
        ("- in: 838\n  need: REF\n", "in: names no transaction set: 838"),
        ("- in: 837P\n  loop: 2999\n  need: REF\n", "loop: 837P has no loop 2999"),
        ("- in: 837P\n  need: REF(1=D9)\n", "REF(1=D9) is no place"),
        ("- in: 837P\n  need: QQQ\n", "QQQ is no place"),
        ("- in: 837P\n  need: REF\n  forbid: NTE\n", "a rule says one of need, forbid, value"),
        ("- in: 837P\n  needs: REF\n", "there is no word needs"),
        ("- in: 837P\n  need: REF\n  when: CLM\n", "when: cannot be read"),
        ("- in: 837P\n  need: REF\n  when: REF = D9\n", "when: compares a segment, not a value"),
        ("- in: 837P\n  value: CLM-01\n  like: '['\n", "like: is no pattern"),
        ("- in: 837P\n  value: CLM-01\n  among: none.csv\n", "among: none.csv cannot be read"),
        ("- in: 837P\n  value: CLM-01\n  longest: long\n", "longest and shortest are numbers"),
        ("- in: 837P\n  need: REF\n  status: 562\n", "status: is no claim status"),
        ("- in: 837P\n  need: REF\n  severity: bad\n", "severity: is error or warning"),
        ("- need\n", "a rule is not made of"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(rules: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        partner(tmp_path, rules)
    assert what in str(caught.value)
    assert "partners/bluepeak.yaml:" in str(caught.value)


def test_a_file_without_match_or_rules(tmp_path: Path) -> None:
    for top in ("rules:\n", "partner: X\n", "match: {to: X}\nrules:\n"):
        with pytest.raises(ConfigError):
            partner(tmp_path, "- in: 837P\n  need: REF\n" if "rules" in top else "", top)
