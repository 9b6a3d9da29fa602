"""The rules of critical results, as analysts write them in `mappings/critical.yaml`.

In: the file. Out: `Rules`, checked: every limit has a unit that is UCUM or none at all, every code a system.
Nothing is critical that no rule names: the hub knows no limits of its own. Errors name `file:line`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from engine.channels.alerts import duration_ms
from engine.channels.critical.ages import Band, read_band
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, Seq, load, place_of
from engine.terminology import ucum

__all__ = ["FILE", "INTERPRETATION", "LOINC", "Limit", "Rule", "Rules", "read_rules", "rules_of"]

FILE = "mappings/critical.yaml"
LOINC = "http://loinc.org"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

_TOP = ("not_older_than", "escalate_after", "rules")
_WORDS = (
    *("name", "loinc", "code", "interpretation", "below", "above", "at_most", "at_least", "every", "age"),
    *("channels", "category", "preliminary", "say", "escalate_after"),
)
_SIDES = ("below", "above", "at_most", "at_least")
_LIMIT = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)(?:\s+(\S+))?")
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: `above 6.2 mmol/L`. Without a unit it is compared with plain numbers only."""

    side: str  # below | above | at_most | at_least
    value: Decimal
    unit: str  # UCUM; empty: none


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. A result has to have one of the codes (where any is named) and lie beyond a limit or carry
    one of the interpretations."""

    name: str
    place: str  # file:line
    codes: frozenset[tuple[str, str]] = frozenset()
    interpretations: frozenset[tuple[str, str]] = frozenset()
    limits: tuple[Limit, ...] = ()
    every: bool = False  # whatever its value
    age: Band | None = None
    channels: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    preliminary: bool = True
    say: str = ""
    escalate_ms: int | None = None

    def on(self, channel: str) -> bool:
        """Say whether the rule holds for a channel."""
        return not self.channels or any(fnmatchcase(channel, one) for one in self.channels)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and what holds for all of them."""

    rules: tuple[Rule, ...] = ()
    not_older_ms: int = 7 * 86_400_000
    escalate_ms: int | None = None  # None: what config.yaml says
    by_code: Mapping[tuple[str, str], tuple[Rule, ...]] = field(default_factory=dict)
    of_any_code: tuple[Rule, ...] = ()

    def about(self, codes: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[Rule]:
        """Return the rules that could speak of a result with these codes."""
        found = list(self.of_any_code)
        for code in codes:
            found += [rule for rule in self.by_code.get(code, ()) if rule not in found]
        return found


def rules_of(root: Path) -> Rules:
    """Read the rules of a project; no file: no rules. Raises ConfigError."""
    path = root / FILE
    return read_rules(load(path, name=FILE)) if path.exists() else Rules()


def read_rules(data: Any) -> Rules:
    """Read the content of the file. Raises ConfigError."""
    if not isinstance(data, Map):
        raise ConfigError("must be `rules:` and a list below it", where=FILE)
    _known(data, _TOP, "critical.yaml")
    lines = data.get("rules")
    if lines is None:
        lines = Seq()
    if not isinstance(lines, Seq):
        raise ConfigError("rules: takes a list", where=_at(data, "rules"))
    rules: list[Rule] = []
    for line in lines:
        rule = _rule(line, place_of(line, FILE))
        if any(rule.name == other.name for other in rules):
            raise ConfigError(
                f"two rules are called {rule.name!r}", where=rule.place, remedy="give each a name of its own"
            )
        rules.append(rule)
    by_code: dict[tuple[str, str], tuple[Rule, ...]] = {}
    for rule in rules:
        for code in rule.codes:
            by_code[code] = (*by_code.get(code, ()), rule)
    return Rules(
        tuple(rules),
        _time(data, "not_older_than") or Rules().not_older_ms,
        _time(data, "escalate_after"),
        by_code,
        tuple(rule for rule in rules if not rule.codes),
    )


def _rule(line: Any, where: str) -> Rule:
    if not isinstance(line, Map):
        raise ConfigError("a rule is `name: ...` and lines below it", where=where)
    _known(line, _WORDS, "a rule")
    name = _text(line, "name")
    if not name or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"a rule needs a name of at most {_LONGEST_NAME} letters", where=where, remedy="name: Potassium"
        )
    codes = [(LOINC, one) for one in _list(line, "loinc")] + [_code(line, one) for one in _list(line, "code")]
    said = [
        _code(line, one, "interpretation") if "|" in one else (INTERPRETATION, one)
        for one in _list(line, "interpretation")
    ]
    limits = tuple(_limit(line, side, one) for side in _SIDES for one in _list(line, side))
    every = _switch(line, "every", False)
    if not (said or limits or every):
        raise ConfigError(
            f"rule {name!r} does not say what is critical",
            where=where,
            remedy="write above:, below:, at_least:, at_most:, interpretation: or every: true",
        )
    if every and (said or limits):
        raise ConfigError(
            f"rule {name!r}: every: true stands alone", where=where, remedy="leave out either of them"
        )
    if (limits or every) and not codes:
        raise ConfigError(
            f"rule {name!r} has limits for no code",
            where=where,
            why="a number means nothing without what was measured",
            remedy="add loinc: or code:",
        )
    return Rule(
        name,
        where,
        frozenset(codes),
        frozenset(said),
        limits,
        every,
        read_band(line["age"], _at(line, "age")) if line.get("age") is not None else None,
        tuple(_list(line, "channels")),
        frozenset(_list(line, "category")),
        _switch(line, "preliminary", True),
        _text(line, "say"),
        _time(line, "escalate_after"),
    )


def _limit(line: Map, side: str, text: str) -> Limit:
    where = _at(line, side)
    found = _LIMIT.fullmatch(text)
    try:
        value = Decimal(found[1]) if found else None
    except InvalidOperation:
        value = None
    if found is None or value is None:
        raise ConfigError(f"{side}: {text!r} is no number with a unit", where=where, remedy="6.2 mmol/L")
    unit = found[2] or ""
    if unit and not ucum.is_unit(unit):
        raise ConfigError(
            f"{side}: {unit!r} is no unit of UCUM",
            where=where,
            remedy="write it as UCUM does: mmol/L, mg/dL, 10*3/uL, [degF]; nothing for a plain number",
        )
    return Limit(side, value, unit)


def _code(line: Map, text: str, word: str = "code") -> tuple[str, str]:
    system, bar, code = text.rpartition("|")
    if not bar or not system or not code:
        raise ConfigError(
            f"{word}: {text!r} has no system",
            where=_at(line, word),
            why="the same code means something else at another laboratory",
            remedy=f"write system|code, as the Observation has it, e.g. {LOINC}|2823-3",
        )
    return system, code


def _known(line: Map, words: tuple[str, ...], of: str) -> None:
    for word in line:
        if word not in words:
            raise ConfigError(
                f"{of} does not know {word!r}", where=_at(line, word), remedy=f"use {', '.join(words)}"
            )


def _at(line: Map, word: str) -> str:
    return f"{line.file}:{line.key_lines.get(word, line.line)}"


def _text(line: Map, word: str) -> str:
    value = line.get(word)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{word}: takes a text", where=_at(line, word))
    return " ".join(str(value or "").split())


def _list(line: Map, word: str) -> list[str]:
    value = line.get(word)
    many = value if isinstance(value, Seq) else [] if value is None else [value]
    if not all(isinstance(one, str) and one.strip() for one in many):
        raise ConfigError(f"{word}: takes a text or a list of texts", where=_at(line, word))
    return [" ".join(str(one).split()) for one in many]


def _switch(line: Map, word: str, default: bool) -> bool:
    value = line.get(word, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{word}: takes true or false", where=_at(line, word))
    return value


def _time(line: Map, word: str) -> int | None:
    return duration_ms(_text(line, word), _at(line, word)) if line.get(word) is not None else None
