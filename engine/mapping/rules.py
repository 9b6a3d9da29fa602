"""The linter's rules, numbered once and for ever, and what it says when one is broken.

`Finding` is one line for a person: where, what, why, and what to try. Numbers are never used again for
something else; `docs/analysts/lint.md` is written from this table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["RULES", "Finding", "Rule", "finding", "ordered"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its number, how bad it is, what it is about and why that matters."""

    number: str
    level: str  # error | warning | info
    title: str
    why: str


_TABLE = (
    ("M01", "error", "unknown element", "FHIR R4 has no such element, so nothing can be written there"),
    ("M02", "error", "unknown field", "no HL7 version has this field, so the row never gives anything"),
    (
        "M03",
        "error",
        "no map for a pair of types",
        "nobody has said how this HL7 type becomes this FHIR type",
    ),
    ("M04", "warning", "repeating into single", "only the first repetition is taken; the others go nowhere"),
    ("M05", "warning", "required element never set", "FHIR demands it: the message would be parked"),
    (
        "M06",
        "error",
        "required codes without a table",
        "FHIR allows only certain codes here; others are left out",
    ),
    ("M07", "error", "constant is no such code", "a code that does not exist cannot be written"),
    (
        "M08",
        "warning",
        "condition never changes",
        "the row always or never applies; something else was meant",
    ),
    (
        "M09",
        "warning",
        "row shadowed by another",
        "both give one single element; the first wins, the other is lost",
    ),
    (
        "M10",
        "warning",
        "mapped and ignored",
        "a field is mapped or ignored, not both; the report would contradict itself",
    ),
    ("M11", "error", "changes a row that is gone", "the standard map no longer has this row"),
    ("M12", "warning", "base row has changed", "the standard row is not the one this change was written for"),
    ("M13", "error", "key may be several", "a key with several identifiers can join two people into one"),
    ("M14", "warning", "constant not marked assumed", "a fact nobody sent must say on whose word it stands"),
    ("M15", "info", "no test touches this row", "nobody would notice if it broke"),
    (
        "M16",
        "warning",
        "unlabelled row beside others",
        "a site cannot name the entry, and the entries may be mixed up",
    ),
    ("M17", "error", "half a row", "a comma inside a one-line { } cut the row in two"),
    (
        "M18",
        "error",
        "cell changed by a spreadsheet",
        "a code that Excel has eaten means something else or nothing",
    ),
    ("M19", "error", "unknown name", "what is named here does not exist"),
    ("M20", "error", "link that leads nowhere", "the resource or the element of the link does not exist"),
    ("M21", "error", "cannot be read", "nothing of this file is used until it can be read"),
    ("M22", "error", "cannot be compiled", "messages that need this map would be parked"),
    ("M23", "warning", "new row that looks like a changed one", "a label was mistyped, so both rows apply"),
    ("M24", "error", "wrong code in a table", "the table gives a code that the element does not allow"),
    (
        "M25",
        "error",
        "action without an entry",
        "an action code speaks of one entry of a list, and nothing says which",
    ),
    (
        "M26",
        "warning",
        "history kept by the store",
        "it follows from all messages of a visit; one overwrites it",
    ),
)
RULES: dict[str, Rule] = {row[0]: Rule(*row) for row in _TABLE}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong, or worth a look: `place` is `file:line`, `try_` the edit to try first."""

    rule: str
    level: str
    place: str
    what: str
    why: str
    try_: str

    def __str__(self) -> str:
        text = f"{self.place}: {self.level} {self.rule}: {self.what}: {self.why}"
        return f"{text}. Try: {self.try_}" if self.try_ else text


def finding(
    rule: str, place: object, what: str, try_: str = "", *, why: str = "", level: str = ""
) -> Finding:
    """Make a finding with the rule's own level and reason where nothing better is known."""
    r = RULES[rule]
    return Finding(rule, level or r.level, str(place), what, why or r.why, try_)


_RANK = {"error": 0, "warning": 1, "info": 2}


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once: errors first, then by file and line."""

    def key(f: Finding) -> tuple[int, str, int, str]:
        file, _, line = f.place.rpartition(":")
        return _RANK[f.level], file or f.place, int(line) if line.isdigit() else 0, f.rule

    return sorted(dict.fromkeys(findings), key=key)
