"""`hub answer`: what the sender of an X12 file is answered: TA1, 999 and, asked for, the 277CA of its claims.

In: a file that holds interchanges. Out: the answers as bytes, one interchange each, with the rules of the
project's partners. What a channel answers by itself stands in its settings; this is for looking and testing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from engine.cli.project import project_above
from engine.formats.x12.acknowledge import Issue, acknowledge, verdict_on
from engine.formats.x12.acknowledge_claims import ClaimAnswer, acknowledge_claims
from engine.formats.x12.envelope import Interchange, Transaction, envelopes
from engine.formats.x12.partner_rules import Partner, load_partners
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Reader
from engine.formats.x12.validate import check_transaction
from engine.kernel.errors import HubError

__all__ = ["answer_file", "answers"]

_Checked = tuple[Transaction, list[Problem]]


def answer_file(file: Path, claims: bool, lenient: bool, control: int) -> int:
    """Write the answers to a file on standard output; returns 0, or 1 where there is nothing to answer."""
    root = project_above()
    written = False
    try:
        partners = load_partners(root) if root is not None else []
        for each in answers(file, partners, claims, lenient, control, time.strftime("%Y%m%d%H%M")):
            sys.stdout.buffer.write(each)
            written = True
    except OSError as e:
        print(f"{file}, 0, -, cannot be read: {e.strerror}", file=sys.stderr)
        return 1
    except HubError as e:
        print(f"{file}, 0, {e.where or '-'}, {e}", file=sys.stderr)
        return 1
    if not written:
        print(f"{file}, 0, -, nothing to answer: no interchange, or only acknowledgments", file=sys.stderr)
    return 0 if written else 1


def answers(
    file: Path, partners: list[Partner], claims: bool, lenient: bool, control: int, now: str
) -> Iterator[bytes]:
    """Give the answers to each interchange of a file; `now`: YYYYMMDDHHMM, `control`: of the first answer."""
    with file.open("rb") as source:
        reader = Reader(source)
        held: list[_Checked] = []
        for item in envelopes(reader):
            if isinstance(item, Transaction):
                held.append((item, check_transaction(item, item.tree(), partners)))
                continue
            for written in _interchange(item, held, claims, lenient, control, now, reader.problems):
                yield written
                control += 1
            held = []


def _interchange(
    item: Interchange, held: list[_Checked], claims: bool, lenient: bool, control: int, now: str,
    more: list[Problem],
) -> Iterator[bytes]:  # fmt: skip
    day, minute = now[:8], now[8:]
    verdicts = [verdict_on(t, problems, lenient=lenient) for t, problems in held]
    first = acknowledge(item, verdicts, Issue(day, minute, control), more=more)
    if first is not None:
        yield first
        control += 1
    for transaction, problems in held if claims else ():
        tree = transaction.tree()
        if tree is None:
            continue
        issue = Issue(day, minute, control)
        reply = ClaimAnswer(f"{item.header.get(13).strip()}-{transaction.control}")
        written = acknowledge_claims(transaction, tree, problems, issue, reply)
        if written is not None:
            yield written
            control += 1
