"""Samples, and reading them, for the tests of this room."""

from __future__ import annotations

from pathlib import Path

from engine.formats.x12.acknowledge import Issue, acknowledge, verdict_on
from engine.formats.x12.envelope import Interchange, Transaction, envelopes
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import read_segments
from engine.formats.x12.validate import check_interchange, check_transaction

SAMPLES = Path(__file__).parents[3] / "sample_messages" / "x12"
ISSUE = Issue("20260914", "0845", 77)


def sample(name: str, *changes: tuple[str, str]) -> bytes:
    """Read a sample, each change made once."""
    text = (SAMPLES / f"{name}.x12").read_text("ascii")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text.encode()


def read(data: bytes) -> tuple[list[Transaction], list[Interchange]]:
    """Read the transaction sets and interchanges of bytes."""
    items = list(envelopes(read_segments(data)[0]))
    sets = [item for item in items if isinstance(item, Transaction)]
    return sets, [item for item in items if isinstance(item, Interchange)]


def complaints(data: bytes) -> list[Problem]:
    """Give all complaints about bytes."""
    segments, _, out = read_segments(data)
    for item in envelopes(segments):
        if isinstance(item, Transaction):
            out += check_transaction(item, item.tree())
        else:
            out += check_interchange(item)
    return out


def codes(data: bytes) -> list[tuple[str, str]]:
    """Give where and with which code bytes are complained of, errors only."""
    return [(p.where, f"{p.kind}={p.code}") for p in complaints(data) if p.severity == "E"]


def answer(data: bytes, *, lenient: bool = False) -> list[str]:
    """Give the segments of the answer to the first interchange of bytes."""
    sets, interchanges = read(data)
    verdicts = [verdict_on(t, check_transaction(t, t.tree()), lenient=lenient) for t in sets]
    out = acknowledge(interchanges[0], verdicts, ISSUE)
    return out.decode("latin-1").split("~")[:-1] if out is not None else []
