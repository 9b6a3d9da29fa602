"""What the sender of an interchange is answered: a TA1 for the envelope, a 999 for each functional group.

In: an `Interchange`, the verdict on each of its transaction sets, and who answers when with which control
number. Out: an interchange as bytes. Follows the TA1 of X12.5 and the 999 (005010X231A1): AK2 and IK5 a
transaction set, IK3 a segment in error, CTX which claim or inquiry it is in and what made it required, IK4
an element in error, AK9 the group. A group of acknowledgements (GS01 FA) is not answered. Balances (SNIP 3),
partner rules and warnings are no matter of a 999.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from engine.formats.x12.envelope import Group, Interchange, Transaction
from engine.formats.x12.problem import Problem
from engine.formats.x12.separators import DEFAULT, Separators
from engine.formats.x12.validate import check_interchange

__all__ = [
    "Issue",
    "Verdict",
    "acknowledge",
    "answer_header",
    "codes_of",
    "rejection",
    "row_of",
    "ta1_code",
    "verdict_on",
    "writable",
]

GUIDE = "005010X231A1"
_STRUCTURE = frozenset(("1", "2", "3", "4", "6", "7", "23"))


@dataclass(frozen=True, slots=True)
class Issue:
    """When an answer is given (YYYYMMDD, HHMM), its control number, and the characters it is written with."""

    day: str
    time: str
    control: int
    separators: Separators = DEFAULT
    first_set: int = 1  # ST02 of the first 999


@dataclass(slots=True)
class Verdict:
    """A transaction set judged: A accepted, E accepted with errors, R rejected."""

    set_id: str
    control: str
    guide: str
    group: Group | None
    code: str = "A"
    problems: list[Problem] = field(default_factory=list)


def verdict_on(transaction: Transaction, problems: Iterable[Problem], *, lenient: bool = False) -> Verdict:
    """Judge a transaction set: any error rejects it, or with `lenient` only one of its envelope."""
    errors = [p for p in problems if p.severity == "E" and p.kind in ("IK304", "IK403", "IK502")]
    st03 = transaction.segments[0].get(3)
    verdict = Verdict(transaction.set_id, transaction.control, st03, transaction.group, problems=errors)
    if errors:
        structure = any(p.kind == "IK502" and p.code in _STRUCTURE for p in errors)
        verdict.code = "E" if lenient and not structure else "R"
    return verdict


def codes_of(verdict: Verdict) -> list[str]:
    """Give IK502 and what follows it: what is wrong with a transaction set as a whole."""
    codes = list(dict.fromkeys(p.code for p in verdict.problems if p.kind == "IK502"))
    inner = [p for p in verdict.problems if p.kind != "IK502"]
    if inner:
        codes.append("5" if any(p.code[0] != "I" for p in inner) else "I5")
    return codes[:5]


def rejection(interchange: Interchange, group: Group | None = None) -> str:
    """Say by which codes the TA1 of a closed interchange, or the AK9 of a group, rejects all of it; or ""."""
    code, note = ta1_code(check_interchange(interchange))
    if code == "R":
        return f"TA105 {note}"
    faults = _faults(group) if group is not None else []
    return f"AK905 {' '.join(faults)}" if faults else ""


def _faults(group: Group) -> list[str]:
    """Give AK905: what is wrong with a group itself."""
    return list(dict.fromkeys(p.code for p in group.problems if p.kind == "AK905"))[:5]


def ta1_code(problems: Iterable[Problem]) -> tuple[str, str]:
    """Give TA104 and TA105 for the complaints about an interchange: accepted, with errors, or rejected."""
    own = [p for p in problems if p.kind == "TA105"]
    errors = [p for p in own if p.severity == "E"]
    if errors:
        return "R", errors[0].code
    return ("E", own[0].code) if own else ("A", "000")


def acknowledge(
    interchange: Interchange, verdicts: Iterable[Verdict], issue: Issue, *, more: Iterable[Problem] = ()
) -> bytes | None:
    """Write the answer to an interchange; None where nothing is to be answered.

    A TA1 goes out when ISA14 asks for one or the interchange is rejected; a rejected one has no 999. `more`:
    complaints of the reader (separators, stray text).
    """
    isa = interchange.header
    problems = [*check_interchange(interchange), *more]
    code, note = ta1_code(problems)
    groups = [
        group
        for group in interchange.groups
        if code != "R" and group.header is not None and group.header.get(1) != "FA"
    ]
    wants = isa.get(14) == "1" or code == "R"
    if isa.name != "ISA" or not (groups or wants):
        return None
    rows: list[list[str]] = [answer_header(interchange, issue)]
    if wants:
        rows.append(["TA1", isa.get(13), isa.get(9), isa.get(10), code, note])
    if groups:
        rows += _group(groups, list(verdicts), problems, issue)
    rows.append(["IEA", "1" if groups else "0", f"{issue.control:09d}"])
    s = issue.separators
    return "".join(s.element.join(row) + s.segment for row in rows).encode("latin-1")


def answer_header(interchange: Interchange, issue: Issue) -> list[str]:
    """Write the header of an answer: sender and receiver change places."""
    isa, s = interchange.header, issue.separators
    return [
        "ISA", "00", " " * 10, "00", " " * 10,
        isa.get(7)[:2].ljust(2), isa.get(8)[:15].ljust(15),
        isa.get(5)[:2].ljust(2), isa.get(6)[:15].ljust(15),
        issue.day[2:], issue.time[:4], s.repetition, "00501", f"{issue.control:09d}", "0",
        isa.get(15)[:1] or "P", s.component,
    ]  # fmt: skip


def _group(
    groups: list[Group], verdicts: list[Verdict], problems: list[Problem], issue: Issue
) -> Iterator[list[str]]:
    head = groups[0].header
    assert head is not None
    sender, receiver = head.get(3).strip(), head.get(2).strip()
    yield ["GS", "FA", sender, receiver, issue.day, issue.time[:4], str(issue.control), "X", GUIDE]
    for number, group in enumerate(groups, issue.first_set):
        rows = list(_answer(group, [v for v in verdicts if v.group is group], issue.separators))
        control = f"{number:04d}"
        yield ["ST", "999", control, GUIDE]
        yield from rows
        yield ["SE", str(len(rows) + 2), control]
    yield ["GE", str(len(groups)), str(issue.control)]


def _answer(group: Group, verdicts: list[Verdict], separators: Separators) -> Iterator[list[str]]:
    header = group.header
    assert header is not None
    yield row_of(
        "AK1", writable(header.get(1), separators), writable(header.get(6), separators), header.get(8)
    )
    faults = _faults(group)
    for verdict in verdicts:
        if faults and verdict.code == "A":
            continue  # nothing is wrong with it, and it is not accepted: AK9 says so of them all
        yield row_of("AK2", verdict.set_id, writable(verdict.control, separators), verdict.guide)
        inner = sorted((p for p in verdict.problems if p.kind != "IK502"), key=_order)
        for (position, name, _), found in groupby(inner, key=_order):
            yield from _segment(position, name, list(found), separators)
        yield row_of("IK5", "R" if faults else verdict.code, *codes_of(verdict))
    accepted = 0 if faults else sum(verdict.code in "AE" for verdict in verdicts)
    if faults:
        code = "R"
    elif accepted < len(verdicts):
        code = "P" if accepted else "R"
    else:
        code = "E" if any(verdict.code == "E" for verdict in verdicts) else "A"
    trailer = group.trailer
    declared = trailer.get(1) if trailer is not None and trailer.get(1).isdecimal() else str(len(verdicts))
    yield row_of("AK9", code, declared, str(len(verdicts)), str(accepted), *faults)


def _order(problem: Problem) -> tuple[int, str, bool]:
    return problem.position, problem.segment, problem.kind == "IK403"


def _segment(position: int, name: str, found: list[Problem], separators: Separators) -> Iterator[list[str]]:
    """Write IK3 for each complaint about a segment, or one with the IK4 of its elements."""
    name = writable(name, separators)[:3]
    if found[0].kind == "IK304":
        for problem in found:
            yield row_of("IK3", name, str(position), _loop(problem), problem.code)
            yield from _context(problem, separators)
        return
    yield row_of("IK3", name, str(position), _loop(found[0]), "8")
    yield from _context(found[0], separators)
    for problem in found:
        place = [str(problem.element)]
        if problem.component or problem.repetition:
            place.append(str(problem.component) if problem.component else "")
        if problem.repetition:
            place.append(str(problem.repetition))
        reference = problem.reference if problem.reference.isdecimal() else ""
        where = separators.component.join(place)
        yield row_of("IK4", where, reference, problem.code, writable(problem.value, separators)[:99])


def _context(problem: Problem, separators: Separators) -> Iterator[list[str]]:
    """Write CTX: what made the segment required, then the claim or inquiry it stands in."""
    if problem.trigger is not None:
        mark, cause = separators.component, problem.trigger
        place = (cause.segment, str(cause.position), cause.loop)
        parts = (cause.element.replace(":", mark), cause.reference.replace(":", mark))
        yield row_of("CTX", "SITUATIONAL TRIGGER", *place, *parts)
    name, value = problem.unit
    value = writable(value, separators)
    if value:
        yield row_of("CTX", f"{name}{separators.component}{value[:35]}")


def _loop(problem: Problem) -> str:
    return "" if problem.loop.startswith("?") else problem.loop[:6]


def row_of(*values: str) -> list[str]:
    """Give the elements of a segment without the empty ones at its end."""
    row = list(values)
    while not row[-1]:
        row.pop()
    return row


def writable(value: str, separators: Separators) -> str:
    """Give a value as it can be written here; one that holds a separator is left out."""
    return "" if any(mark in value for mark in separators if mark) or not value.isprintable() else value
