"""A 277CA: for each claim of a read 837 whether it is taken or rejected, and why.

In: a `Transaction` with its tree and the complaints about it, and who answers when. Out: an interchange with
one claim acknowledgment (005010X214): the receiver of the 837 at HL 20, its submitter at 21, each billing
provider at 19, each patient at PT with its claims. Only what the 837 says is written; a claim without a
readable date of service has none here either. A transaction set that is rejected whole, by itself or with its
group or interchange (closed by now), has no 277CA.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from engine.formats.x12.acknowledge import Issue, answer_header, rejection, row_of, writable
from engine.formats.x12.balance import amount
from engine.formats.x12.claim_status import Status, claims_of, rejections, status_of, whole_set
from engine.formats.x12.elements import is_date
from engine.formats.x12.envelope import Transaction
from engine.formats.x12.levels import misplaced
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.walk import Loop

__all__ = ["ClaimAnswer", "acknowledge_claims"]

GUIDE = "005010X214"
_LINES = {"SV1": (1, 2, 4, ""), "SV2": (2, 3, 5, "NU"), "SV3": (1, 2, 6, "")}  # procedure, charge, units
_Found = list[tuple[Problem, Loop]]
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """What the one who answers says: a reference of its own, its role, and what a taken claim is told.

    `accepted` A1:19 = received; a payer that means acceptance into adjudication says A2:20. `numbers`: the
    payer's claim number by CLM01, where it is already known.
    """

    reference: str
    received: str = ""  # YYYYMMDD; empty = the day of the answer
    role: str = "PR"  # PR payer, AY clearinghouse
    accepted: str = "A1:19"
    numbers: Mapping[str, str] = field(default_factory=dict)


def acknowledge_claims(
    transaction: Transaction, tree: Loop, problems: Iterable[Problem], issue: Issue, answer: ClaimAnswer
) -> bytes | None:
    """Write the 277CA of an 837; None where there is none to write: another set, or rejected as a whole."""
    complaints = list(problems)
    interchange, group = transaction.interchange, transaction.group
    if transaction.set_id != "837" or whole_set(complaints) or interchange is None or group is None:
        return None
    if not claims_of(tree) or group.header is None or rejection(interchange, group):
        return None
    body = list(_Writer(tree, rejections(tree, complaints), issue, answer).rows())
    control = f"{issue.first_set:04d}"
    head = group.header
    s = issue.separators
    rows = [
        answer_header(interchange, issue),
        ["GS", "HN", head.get(3).strip(), head.get(2).strip(), issue.day, issue.time[:4],
         str(issue.control), "X", GUIDE],
        ["ST", "277", control, GUIDE],
        *body,
        ["SE", str(len(body) + 2), control],
        ["GE", "1", str(issue.control)],
        ["IEA", "1", f"{issue.control:09d}"],
    ]  # fmt: skip
    return "".join(s.element.join(row) + s.segment for row in rows).encode("latin-1")


class _Writer:
    """The segments between ST and SE."""

    def __init__(self, root: Loop, rejected: dict[int, _Found], issue: Issue, answer: ClaimAnswer) -> None:
        self.root, self.rejected, self.issue, self.answer = root, rejected, issue, answer
        self.level = 0
        self.apart = {id(level) for level, _, _ in misplaced(root)}

    def rows(self) -> Iterator[list[str]]:
        issue, answer = self.issue, self.answer
        yield ["BHT", "0085", "08", answer.reference, issue.day, issue.time, "TH"]
        yield self._hl("", "20", True)
        yield self._name(self.root, "1000B", answer.role, (2, 3, 0, 0, 0, 0, 8, 9))
        yield ["TRN", "1", answer.reference]
        yield ["DTP", "050", "D8", answer.received or issue.day]
        yield ["DTP", "009", "D8", issue.day]
        yield self._hl("1", "21", True)
        yield self._name(self.root, "1000A", "41", (2, 3, 4, 5, 0, 0, 8, 9))
        batch = self.root.first("BHT")
        yield row_of("TRN", "2", self._clean(batch.get(3)) if batch is not None else "")
        yield from self._totals(claims_of(self.root), self.issue.day, ("90", "AA"))
        for provider in self.root.loops:  # 2000A, or a level the guide does not know
            claims = claims_of(provider)
            if not claims:
                continue
            yield self._hl("2", "19", True)
            parent = str(self.level)
            yield self._name(provider, "2010AA", "85", (2, 3, 4, 5, 0, 7, 8, 9))
            yield ["TRN", "1", "0"]
            yield from self._totals(claims, "", ("QA", "QC"))
            for claim in claims:
                yield from self._patient(claim, parent)

    def _totals(self, claims: list[Loop], day: str, counts: tuple[str, str]) -> Iterator[list[str]]:
        """Write STC, QTY and AMT of a level: how many claims and how much was taken and rejected."""
        groups = [[c for c in claims if bool(self.rejected.get(id(c))) is no] for no in (False, True)]
        sums = [sum((amount(_head(c).get(2)) for c in each), Decimal(0)) for each in groups]
        status = self._codes(Status("A1", "19", self.answer.role))
        yield ["STC", status, day, "WQ", f"{sum(sums, Decimal(0)):f}"]
        for mark, each in zip(counts, groups, strict=True):
            if each:
                yield ["QTY", mark, str(len(each))]
        for mark, each, total in zip(("YU", "YY"), groups, sums, strict=True):
            if each:
                yield ["AMT", mark, f"{total:f}"]

    def _patient(self, claim: Loop, parent: str) -> Iterator[list[str]]:
        found = self.rejected.get(id(claim), [])
        head = _head(claim)
        yield self._hl(parent, "PT", False)
        yield self._patient_name(claim)
        yield row_of("TRN", "2", self._clean(head.get(1)))
        charge = self._number(head.get(2))
        if not found:
            category, _, code = self.answer.accepted.partition(":")
            taken = self._codes(Status(category, code, self.answer.role))
            yield row_of("STC", taken, self.issue.day, "WQ", charge)
        for status, text in _distinct(found).items():
            own = text if status.code in ("684", "21") else ""
            yield row_of(
                "STC", self._codes(status), self.issue.day, "U", charge,
                "", "", "", "", "", "", "", self._clean(own)[:264],
            )  # fmt: skip
        yield from self._references(claim, head)
        for line in (loop for loop in claim.loops if loop.id == "2400"):
            own_line = [each for each in found if _inside(each[1], line)]
            if own_line:
                yield from self._line(line, own_line)

    def _references(self, claim: Loop, head: Segment) -> Iterator[list[str]]:
        number = self.answer.numbers.get(head.get(1), "")
        if number:
            yield ["REF", "1K", self._clean(number)]
        trace = claim.first("REF", "D9")
        if trace is not None and self._clean(trace.get(2)):
            yield ["REF", "D9", self._clean(trace.get(2))]
        if head.component(5, 2) == "A" and head.component(5, 1):
            yield ["REF", "BLT", self._clean(head.component(5, 1) + head.component(5, 3))]
        days = _days(claim, "434") or _days(claim, "472")
        for line in () if days else (loop for loop in claim.loops if loop.id == "2400"):
            days += _days(line, "472")
        yield from _period(days)

    def _line(self, line: Loop, found: _Found) -> Iterator[list[str]]:
        """Write SVC and STC of a line in error, with the number its sender gave it."""
        service = next((s for s in line.segments if s.name in _LINES), None)
        if service is None:
            return
        procedure, charge, units, revenue = _LINES[service.name]
        parts = service.get(procedure).split(service.separators.component)[:6]
        code = service.get(1) if revenue else ""
        if not any(parts):
            parts, code = [revenue, code], ""
        what = self.issue.separators.component.join(self._clean(part) for part in parts)
        named = len(parts) > 1 and self._clean(parts[0]) and self._clean(parts[1])
        if not named or not self._number(service.get(charge)):
            return  # a service that cannot be named is not
        amounts = self._number(service.get(charge)), "", self._clean(code), "", ""
        yield row_of("SVC", what, *amounts, self._number(service.get(units)))
        yield ["STC", self._codes(next(iter(_distinct(found)))), self.issue.day, "U"]
        number = line.first("REF", "6R")
        if number is not None and self._clean(number.get(2)):
            yield ["REF", "FJ", self._clean(number.get(2))]
        yield from _period(_days(line, "472"))

    def _patient_name(self, claim: Loop) -> list[str]:
        """Write the patient's name, and the member's number that the subscriber has."""
        level = claim.parent
        subscriber = level if level is None or level.id in ("2000B", "?HL") else level.parent
        if level is not subscriber and id(level) in self.apart:
            subscriber = None  # HL02 names another one: this one's number is not the patient's
        inner = level.loops if level is not None else []
        outer = subscriber.loops if subscriber is not None else []
        own = [loop for loop in inner if loop.id == "2010CA"]
        member = next((loop.first("NM1") for loop in outer if loop.id == "2010BA"), None)
        person = own[0].first("NM1") if own else member
        number = self._clean(member.get(9)) if member is not None else ""
        kind = member.get(8) if member is not None and number else ""
        names = [self._clean(person.get(n)) for n in (3, 4, 5, 6, 7)] if person is not None else [""] * 5
        return row_of("NM1", "QC", "1", *names, kind if kind in ("MI", "II") else "", number if kind else "")

    def _name(self, above: Loop, loop_id: str, role: str, elements: tuple[int, ...]) -> list[str]:
        loop = next((loop for loop in above.loops if loop.id == loop_id), None)
        name = loop.first("NM1") if loop is not None else None
        if name is None:
            return ["NM1", role]
        return row_of("NM1", role, *(self._clean(name.get(n)) if n else "" for n in elements))

    def _hl(self, parent: str, code: str, children: bool) -> list[str]:
        self.level += 1
        return row_of("HL", str(self.level), parent, code, "1" if children else "")

    def _codes(self, status: Status) -> str:
        return self.issue.separators.component.join(part for part in status if part)

    def _number(self, value: str) -> str:
        return value.strip() if _NUMBER.fullmatch(value.strip()) else ""

    def _clean(self, value: str) -> str:
        return writable(value.strip(), self.issue.separators)


def _head(claim: Loop) -> Segment:
    head = claim.first("CLM")
    assert head is not None
    return head


def _distinct(found: _Found) -> dict[Status, str]:
    out: dict[Status, str] = {}
    for problem, at in found:
        place = (
            "" if problem.where == problem.segment else f"{problem.where} "
        )  # a missing one is in the text
        out.setdefault(status_of(problem, at), place + problem.text.replace(":", ","))
    return out


def _inside(at: Loop, line: Loop) -> bool:
    loop: Loop | None = at
    while loop is not None and loop is not line:
        loop = loop.parent
    return loop is line


def _days(loop: Loop, code: str) -> list[str]:
    found = loop.first("DTP", code)
    days = found.get(3).split("-") if found is not None and found.get(2) in ("D8", "RD8") else []
    return days if all(len(day) == 8 and is_date(day) for day in days) else []


def _period(days: list[str]) -> list[list[str]]:
    if not days:
        return []
    first, last = min(days), max(days)
    return [["DTP", "472", "D8", first] if first == last else ["DTP", "472", "RD8", f"{first}-{last}"]]
