"""Which remittances are one payment: the same number, amount and day; anything else is another."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.cli.convert import convert_bytes
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLE = (ROOT / "sample_messages/x12/835_payment.x12").read_bytes()


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def _payments(data: bytes) -> set[str]:
    urls = set()
    for result in convert_bytes(data, maps()):
        assert result.bundle is not None, result.error
        for entry in result.bundle["entry"]:
            if entry["resource"]["resourceType"] == "PaymentReconciliation":
                urls.add(entry["fullUrl"])
    return urls


def _with(number: int, value: bytes) -> bytes:
    begin = SAMPLE.index(b"BPR*")
    end = SAMPLE.index(b"~", begin)
    elements = SAMPLE[begin:end].split(b"*")
    elements[number] = value
    return SAMPLE[:begin] + b"*".join(elements) + SAMPLE[end:]


def test_a_remittance_sent_again_is_the_same_payment() -> None:
    assert len(_payments(SAMPLE)) == 1
    assert _payments(SAMPLE) == _payments(SAMPLE.replace(b"~", b"~\n") if b"~\n" not in SAMPLE else SAMPLE)


def test_another_amount_or_day_under_the_same_number_is_another_payment() -> None:
    payments = _payments(SAMPLE) | _payments(_with(2, b"999")) | _payments(_with(16, b"20270101"))
    assert len(payments) == 3
