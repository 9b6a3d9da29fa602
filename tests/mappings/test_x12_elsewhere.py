"""A claim whose level hangs elsewhere than it stands is held, and is no claim of the patient before it."""

from __future__ import annotations

import pytest
from x12_mapping import fast, resources, sample, traced

P837 = "837P_professional_claim"
WRONG = [
    ("HL*4*3*23*0", "HL*4*2*23*0", "HL[4]-02"),
    ("HL*4*3*23*0", "HL*4*9*23*0", "HL[4]-02"),
    ("HL*4*3*23*0", "HL*4*3*24*0", "HL[4]-03"),
    ("HL*3*1*22*1", "HL*3*2*22*1", "HL[3]-02"),
    ("HL*3*1*22*1~\n", "", "HL[3]-02"),
]


@pytest.mark.parametrize(("old", "new", "where"), WRONG)
def test_it_is_held_and_nothing_is_made_of_it(old: str, new: str, where: str) -> None:
    data = sample(P837, (old, new))
    built = fast(data)
    assert built.held is not None
    assert (built.held.code, built.held.where) == ("level-elsewhere", where)
    made = resources(data)
    assert [c["identifier"][0]["value"] for c in made["Claim"]] == ["NB-77001"]
    assert not [p for p in made["Patient"] if "THEO" in str(p) or "20190218" in str(p)]


def test_the_report_says_what_was_not_mapped() -> None:
    done = traced(sample(P837, WRONG[0][:2]))
    assert done.built.held is not None and done.built.held.where == "HL[4]-02"
    assert "CLM[2]-01" in {u.source for u in done.report.unmapped}
    assert not [m for m in done.report.mapped if m.source.startswith("CLM[2]")]


def test_a_good_one_is_not_held() -> None:
    assert fast(sample(P837)).held is None


def test_an_answer_about_somebody_else_is_held() -> None:
    built = fast(sample("271_eligibility_rejection", ("HL*5*4*23*0", "HL*5*3*23*0")))
    assert built.held is not None and built.held.where == "HL[5]-02"
