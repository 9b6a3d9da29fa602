"""The rules by which a channel keeps some of what devices measure: `downsample:` in its file.

In: the lines of the word. Out: `Downsampling`: for every code how long an interval is, by how much a value
must differ to be kept within it, and how abnormal ones are treated. A rule for a code holds whatever the rule
for all says. Errors name `file:line`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

from engine.channels.alerts import duration_ms
from engine.channels.critical.rules import LOINC, Rules, rules_of
from engine.channels.filewords import FileWords
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, Seq, line_of
from engine.terminology import ucum

__all__ = ["Downsampling", "IntervalRule", "read_downsampling"]

_WORDS = ("loinc", "code", "every", "change", "abnormal", "keep")
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class IntervalRule:
    """One line: how many of the values of a code are kept. `every_ms` 0: all of them."""

    place: str  # file:line
    every_ms: int
    said: str = ""  # the time as it was written
    change: Decimal | None = None  # values so far apart are kept beside each other
    unit: str = ""  # UCUM, of `change`
    abnormal_ms: int = 0  # interval of values that are not normal; 0: all are kept
    abnormal_said: str = ""

    def text(self, abnormal: bool) -> str:
        """Say it for people, without a value."""
        if abnormal:
            return f"one abnormal value in {self.abnormal_said} is kept ({self.place})"
        apart = f" for every {self.change} {self.unit}".rstrip() if self.change is not None else ""
        return f"one value in {self.said}{apart} is kept ({self.place})"


@dataclass(frozen=True, slots=True)
class Downsampling:
    """The rules of one channel. Without any, every value is written."""

    for_all: IntervalRule | None = None
    by_code: Mapping[tuple[str, str], IntervalRule] = field(default_factory=dict)
    critical: Rules = field(default_factory=Rules)  # what one of these names is always written

    def __bool__(self) -> bool:
        return self.for_all is not None or bool(self.by_code)

    def of(self, codes: Iterable[tuple[str, str]]) -> IntervalRule | None:
        """Return the rule for a measurement with these codes; None: it is always written."""
        found = next((self.by_code[code] for code in codes if code in self.by_code), self.for_all)
        return found if found is not None and found.every_ms else None


def read_downsampling(f: FileWords, root: Path) -> Downsampling:
    """Read `downsample:`. Raises ConfigError."""
    for_all: IntervalRule | None = None
    by_code: dict[tuple[str, str], IntervalRule] = {}
    for line in f.list_of("downsample"):
        where = f"{f.file}:{line_of(line, f.m.key_lines['downsample'])}"
        if not isinstance(line, Map):
            raise ConfigError(
                "downsample: a line takes {every: 15 minutes}",
                where=where,
                remedy=f"its words are {', '.join(_WORDS)}",
            )
        rule, codes = _line(line, where)
        if not codes:
            if for_all is not None:
                raise ConfigError("downsample: two lines are for all codes", where=where)
            for_all = rule
        for code in codes:
            if code in by_code:
                raise ConfigError(f"downsample: two lines are for {code[1]}", where=where)
            by_code[code] = rule
    rules = Downsampling(for_all, by_code)
    return Downsampling(for_all, by_code, rules_of(root)) if rules else rules


def _line(line: Map, where: str) -> tuple[IntervalRule, list[tuple[str, str]]]:
    for word in line:
        if word not in _WORDS:
            raise ConfigError(
                f"downsample: does not know {word!r}", where=where, remedy=f"use {', '.join(_WORDS)}"
            )
    codes = [(LOINC, one) for one in _texts(line, "loinc", where)]
    for one in _texts(line, "code", where):
        system, bar, code = one.rpartition("|")
        if not (bar and system and code):
            raise ConfigError(
                f"downsample: code: {one!r} has no system",
                where=where,
                remedy="write system|code, as the Observation has it, or loinc: 8867-4",
            )
        codes.append((system, code))
    if "keep" in line:
        if line["keep"] != "all" or {"every", "change", "abnormal"} & set(line):
            raise ConfigError("downsample: keep: all stands alone", where=where, remedy="or write every:")
        return IntervalRule(where, 0), codes
    every, said = _time(line, "every", where)
    change, unit = _change(line, where)
    abnormal = (0, "") if line.get("abnormal", "all") == "all" else _time(line, "abnormal", where)
    return IntervalRule(where, every, said, change, unit, *abnormal), codes


def _time(line: Map, word: str, where: str) -> tuple[int, str]:
    said = " ".join(str(line.get(word) or "").split())
    if not said:
        raise ConfigError(
            f"downsample: a line needs {word}:", where=where, remedy="write every: 15 minutes, or keep: all"
        )
    found = duration_ms(said, where)
    if found > _DAY:
        raise ConfigError(f"downsample: {word}: {said} is more than a day", where=where)
    return found, said


def _change(line: Map, where: str) -> tuple[Decimal | None, str]:
    said = line.get("change")
    if said is None:
        return None, ""
    number, _, unit = str(said).strip().partition(" ")
    try:
        change = Decimal(number)
    except InvalidOperation:
        change = Decimal(0)
    if not (change.is_finite() and change > 0) or not ucum.is_unit(unit.strip()):
        raise ConfigError(
            f"downsample: change: {said!r} is no amount with a unit of UCUM",
            where=where,
            remedy="write e.g. change: 10 /min, 5 mm[Hg], 0.5 Cel, 3 %",
        )
    return change, unit.strip()


def _texts(line: Map, word: str, where: str) -> list[str]:
    value = line.get(word)
    many = value if isinstance(value, Seq) else [] if value is None else [value]
    if not all(isinstance(one, str) and one.strip() for one in many) or value == []:
        raise ConfigError(f"downsample: {word}: takes a code or a list of codes", where=where)
    return [one.strip() for one in many]
