"""A long transaction set in pieces gives what it gives at once."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from test_x12_maps import CHILD, PAYMENT, PLAIN
from x12_maker import HEAD, PARENT, SELF, interchange, maps

from engine.mapping import x12pieces
from engine.mapping.convert import trace_arrived
from engine.mapping.from_x12 import arrivals
from engine.mapping.lineage import Mapped
from engine.mapping.x12pieces import several, trace_long, transaction_sets

CLAIMS = HEAD + SELF + PLAIN.format("A1") + PLAIN.format("A2") + PARENT + PLAIN.format("B1") + CHILD
CLAIMS += PLAIN.format("B2") + PLAIN.format("B3")


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x12pieces, "OBJECTS_IN_ONE", 1)


def reached(m: Mapped) -> tuple[str, str]:
    """The place and the element; what encloses claims tells its elements of the first piece alone."""
    inner = m.source.startswith(("CLM", "HI", "SV1", "CLP", "CAS", "SVC", "PLB"))
    return m.source, m.target.partition(".")[2] if inner else ""


def both(data: bytes) -> tuple[dict[str, Any], dict[str, Any], Any, Any]:
    """(id -> body at once, in pieces), and the two reports as (source, element) or source alone."""
    (one,) = arrivals(data)
    whole = trace_arrived(one, maps(), "standard", "entry")
    (sents,) = [list(s) for s in transaction_sets(BytesIO(data))]
    assert len(sents) > 1
    pieces = list(trace_long(iter(sents), maps(), "standard", "entry"))
    parts = {d.id: d.body for p in pieces for d in p.built.drafts}
    told = sorted({reached(m) for p in pieces for m in p.report.mapped})
    wanted = sorted({reached(m) for m in whole.report.mapped})
    return {d.id: d.body for d in whole.built.drafts}, parts, wanted, told


def test_claims() -> None:
    whole, parts, wanted, told = both(interchange(CLAIMS))
    assert parts == whole
    assert sum(b["resourceType"] == "Claim" for b in parts.values()) == 5
    assert told == wanted


def test_payments_add_up() -> None:
    whole, parts, wanted, told = both(interchange(PAYMENT, "835", "005010X221A1"))
    assert parts == whole
    (paid,) = [b for b in parts.values() if b["resourceType"] == "PaymentReconciliation"]
    assert [d["amount"]["value"] for d in paid["detail"]] == [150, -30, 20, -10]
    assert told == wanted


def test_each_place_is_told_once() -> None:
    data = interchange(CLAIMS)
    (sents,) = [list(s) for s in transaction_sets(BytesIO(data))]
    pieces = list(trace_long(iter(sents), maps(), "standard", "entry"))
    unmapped = [u.source for p in pieces for u in p.report.unmapped]
    assert len(unmapped) == len(set(unmapped))
    claims = [
        m.target.partition(".")[0] for p in pieces for m in p.report.mapped if m.source.startswith("CLM")
    ]
    assert sorted(set(claims)) == [f"Claim[{n}]" for n in range(5)]


def test_files_of_several_transaction_sets() -> None:
    one = interchange(CLAIMS)
    assert not several(BytesIO(one))
    assert several(BytesIO(one + one))
    assert len([list(s) for s in transaction_sets(BytesIO(one + one))]) == 2
