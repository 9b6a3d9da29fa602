"""The balances of an 835 beside those of oxedi, an independent reader: every amount changed once."""

from __future__ import annotations

import pytest
from x12_reading import read, sample

from engine.formats.x12.segments import read_segments
from engine.formats.x12.validate import check_transaction

oxedi = pytest.importorskip("oxedi", reason="NOT COMPARED: oxedi is not installed (pip install oxedi)")

AMOUNTS = {"BPR": (2,), "CLP": (3, 4), "SVC": (2, 3), "CAS": (3,), "PLB": (4,)}


def _changed(step: str) -> list[bytes]:
    """The sample with one amount after another set to another value."""
    text = sample("835_payment").decode()
    rows = text.split("~")
    out = []
    for index, row in enumerate(rows):
        elements = row.strip().split("*")
        for number in AMOUNTS.get(elements[0], ()):
            changed = elements.copy()
            changed[number] = step.format(changed[number])
            out.append("~".join([*rows[:index], "\n" + "*".join(changed), *rows[index + 1 :]]).encode())
    return out


def _ours(data: bytes) -> set[int]:
    """The places, counted in segments of the file, of amounts that do not add up."""
    index = {segment.offset: n for n, segment in enumerate(read_segments(data)[0])}
    (transaction,), _ = read(data)
    problems = check_transaction(transaction, transaction.tree())
    return {index[problem.offset] for problem in problems if problem.kind == "SNIP3"}


def _theirs(data: bytes) -> set[int]:
    return {d.segment for d in oxedi.parse(data).diagnostics if d.kind == "BalanceMismatch"}


@pytest.mark.parametrize("step", ["{}", "{}1", "{}.50", "-{}", "0"])
def test_the_same_amounts_do_not_add_up(step: str) -> None:
    changed = _changed(step)
    assert len(changed) == 16
    for data in changed:
        assert _ours(data) == _theirs(data)
    if step != "{}":
        assert all(_ours(data) for data in changed)
