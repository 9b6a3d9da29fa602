"""Rules of one partner, written by its analyst: `partners/NAME.yaml` read into `Partner`.

In: YAML with `partner`, `match` (`sender`, `receiver`: codes of ISA06/GS02 and ISA08/GS03) and `rules`. A
rule stands `in` transaction sets and a `loop`, and says one thing: `need` or `forbid` a segment, an element
or a loop; or of a `value` that it is `among` codes (or a CSV file whose first column has them), `like` a
pattern, `shortest`, `longest`. Out: the rules, each with its file and line. A word that is not known, a set,
a loop or a segment that does not exist, a pattern that cannot be read: ConfigError with the line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from engine.formats.x12.tables import NAMES, LoopRule, shape, table
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, line_of, load

__all__ = ["Location", "Partner", "Rule", "load_partner", "load_partners", "partners_in"]

_PLACE = re.compile(r"([A-Z][A-Z0-9]{1,2})(?:\((\d\d)=([^)]+)\))?(?:-(\d\d)(?:\.(\d))?)?")
_LOOP = re.compile(r"\d{4}[A-Z]{0,2}")
_WHEN = re.compile(r"(.+?)\s+(=|!=|valued|not valued)(?:\s+(.+))?")
_STATUS = re.compile(r"A[0-8]:\d{1,3}(:\w{2,3})?")
_TOP = frozenset({"partner", "match", "rules"})
_WORDS = frozenset(
    {"in", "loop", "when", "need", "forbid", "value", "among", "like", "longest", "shortest", "say", "status"}
    | {"severity"}
)


@dataclass(frozen=True, slots=True)
class Location:
    """`REF(01=D9)-02`, or a loop `2310B`; `element` 0 = the segment itself."""

    text: str
    segment: str = ""
    at: int = 0  # element of the filter
    codes: frozenset[str] = frozenset()
    element: int = 0
    component: int = 0
    loop: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `verb`: need, forbid, value."""

    verb: str
    location: Location
    sets: frozenset[str]
    loop: str
    say: str
    place: str  # file:line
    condition: tuple[Location, str, frozenset[str]] | None = None
    among: frozenset[str] = frozenset()
    like: re.Pattern[str] | None = None
    longest: int = 0
    shortest: int = 0
    status: str = ""  # claim status for a 277CA, A7:562:85
    severity: str = "E"


@dataclass(frozen=True, slots=True)
class Partner:
    """The rules of a partner, and whose interchanges they are for; an empty set = anyone's."""

    name: str
    senders: frozenset[str]
    receivers: frozenset[str]
    rules: tuple[Rule, ...]


def load_partners(root: Path) -> list[Partner]:
    """Read the partners of a project: every YAML file in `partners/`."""
    return [load_partner(path, root) for path in sorted((root / "partners").glob("*.yaml"))]


@cache
def partners_in(folder: Path) -> tuple[Partner, ...]:
    """Read the partners of a folder, once; none where there is no such folder."""
    return tuple(load_partner(path, folder.parent) for path in sorted(folder.glob("*.yaml")))


def load_partner(path: Path, root: Path | None = None) -> Partner:
    """Read one file of rules; places are named from `root`."""
    name = path.relative_to(root).as_posix() if root is not None else path.name
    top = load(path, name=name)
    if not isinstance(top, Map) or not isinstance(top.get("rules"), list):
        _fail("has no rules", name, "write `partner:`, `match:` and a list `rules:`")
    _known(top, _TOP, name)
    match = top.get("match")
    if not isinstance(match, Map) or not match or set(match) - {"sender", "receiver"}:
        _fail("match: says not whose files these rules are for", f"{name}:{line_of(match, 1)}",
              "match: {receiver: CODE}, as in ISA08 or GS03; or sender")  # fmt: skip
    return Partner(
        str(top.get("partner") or path.stem),
        _codes(match.get("sender")),
        _codes(match.get("receiver")),
        tuple(_rule(each, name, path.parent) for each in top["rules"]),
    )


def _rule(said: Any, name: str, folder: Path) -> Rule:
    place = f"{name}:{line_of(said, 1)}"
    if not isinstance(said, Map):
        _fail("a rule is not made of `word: value`", place, "in: 837P\n  loop: 2300\n  need: REF(01=D9)")
    _known(said, _WORDS, name)
    verbs = [verb for verb in ("need", "forbid", "value") if said.get(verb)]
    if len(verbs) != 1:
        _fail("a rule says one of need, forbid, value", place, "write two rules")
    sets = _codes(said.get("in"))
    if not sets or sets - set(NAMES):
        _fail(
            f"in: names no transaction set: {', '.join(sorted(sets - set(NAMES)))}", place, ", ".join(NAMES)
        )
    loop = str(said.get("loop") or "")
    for each in sorted(sets):
        if loop and loop not in _loops(table(each).root):
            _fail(f"loop: {each} has no loop {loop}", place, "hub parse shows the loops of a file")
    return Rule(
        verbs[0],
        _location(str(said[verbs[0]]), place),
        sets,
        loop,
        str(said.get("say") or ""),
        place,
        _condition(said.get("when"), place),
        _among(said.get("among"), folder, place),
        _pattern(said.get("like"), place),
        _number(said.get("longest"), place),
        _number(said.get("shortest"), place),
        _status(said.get("status"), place),
        {"error": "E", "warning": "W"}.get(str(said.get("severity") or "error"))
        or _fail("severity: is error or warning", place, "severity: warning"),
    )


def _location(text: str, place: str) -> Location:
    if _LOOP.fullmatch(text):
        return Location(text, loop=text)
    found = _PLACE.fullmatch(text)
    if found is None or shape(found[1]) is None:
        _fail(f"{text} is no place", place, "write SEG, SEG-02, SEG-05.1 or SEG(01=CODE)-02, or a loop")
    codes = frozenset(found[3].split("|")) if found[3] else frozenset()
    return Location(text, found[1], int(found[2] or 0), codes, int(found[4] or 0), int(found[5] or 0))


def _condition(said: Any, place: str) -> tuple[Location, str, frozenset[str]] | None:
    if said is None:
        return None
    found = _WHEN.fullmatch(str(said))
    if found is None or (found[2] in ("=", "!=")) != bool(found[3]):
        _fail("when: cannot be read", place, "when: CLM-05.3 = 7|8, or REF(01=G1) valued")
    location = _location(found[1], place)
    if found[3] and not location.element:
        _fail("when: compares a segment, not a value", place, f"{found[1]}-02 = {found[3]}")
    return location, found[2], frozenset((found[3] or "").split("|")) - {""}


def _among(said: Any, folder: Path, place: str) -> frozenset[str]:
    if not (isinstance(said, str) and said.endswith(".csv")):
        return _codes(said)
    try:
        with (folder / said).open(encoding="utf-8-sig", newline="") as file:
            return frozenset(row[0].strip() for row in csv.reader(file) if row and row[0].strip())
    except (OSError, UnicodeDecodeError):
        _fail(f"among: {said} cannot be read", place, "a CSV file beside this one, UTF-8")


def _pattern(said: Any, place: str) -> re.Pattern[str] | None:
    try:
        return re.compile(str(said)) if said else None
    except re.error as e:
        _fail(f"like: is no pattern: {e}", place, r"like: '[A-Z]{3}\d+'")


def _number(said: Any, place: str) -> int:
    if said is None:
        return 0
    if not str(said).isdecimal():
        _fail("longest and shortest are numbers", place, "longest: 20")
    return int(said)


def _status(said: Any, place: str) -> str:
    if said and not _STATUS.fullmatch(str(said)):
        _fail("status: is no claim status", place, "status: A7:562:85")
    return str(said or "")


def _codes(said: Any) -> frozenset[str]:
    if said is None:
        return frozenset()
    return frozenset(str(each).strip() for each in (said if isinstance(said, list) else str(said).split("|")))


def _known(said: Map, words: frozenset[str], name: str) -> None:
    for key in said:
        if key not in words:
            _fail(f"there is no word {key}", f"{name}:{said.key_lines[key]}", ", ".join(sorted(words)))


def _loops(rule: LoopRule) -> Iterator[str]:
    for item in rule.items:
        if isinstance(item, LoopRule):
            yield item.id
            yield from _loops(item)


def _fail(what: str, where: str, remedy: str) -> NoReturn:
    raise ConfigError(what, where=where, remedy=remedy)
