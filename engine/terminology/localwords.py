"""The words of a local test name and of a LOINC name, made comparable.

In: texts as laboratories write them ("SGPT", "BILIRUBIN,DIRECT") and `abbreviations.csv`, which people own.
Out: readings of a text in the words of standard names, and a standard name taken apart into what is measured
and how. Nothing here knows a code. LOINC Users' Guide, "Long Common Name".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from rapidfuzz.distance import JaroWinkler

from engine.kernel.errors import ConfigError

__all__ = ["Abbreviations", "Name", "among", "name_of", "same_text", "split_points", "words"]

_HEADER = ["abbreviation", "expansion", "note", "for"]
_FOR = ("tests", "diagnoses", "drugs", "vaccines")
_WORD = re.compile(r"[a-z0-9]+(?:[.'][a-z0-9]+)*|#|%")
_SMALL = frozenset(
    [
        "a",
        "an",
        "and",
        "by",
        "count",
        "for",
        "in",
        "level",
        "of",
        "on",
        "or",
        "the",
        "to",
        "total",
        "with",
        "blood",
        "test",
        "value",
    ]
)
# words that say how or in what, and so do not have to be found in what a candidate measures
_BRACKET = re.compile(r"\[([^]]*)\]")
_CUT = re.compile(r" (?:in|of|by|--|-) |(?: --)|$")
_ALIKE = 0.92  # Jaro-Winkler of two words taken for one, so that slips of the pen still match
_LONGEST = 4  # words of one abbreviation
_READINGS = 4


def words(text: str) -> list[str]:
    """Split a text into lower-case words; commas and slashes separate, `%` and `#` are words."""
    return _WORD.findall(text.lower().replace("/", " "))


def same_text(text: str) -> str:
    """Return a text as it compares with what other senders wrote."""
    return " ".join(words(text))


@dataclass(frozen=True, slots=True)
class Abbreviations:
    """What senders write -> what standard names say, several readings in order."""

    readings: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    others: dict[str, Abbreviations] = field(default_factory=dict)  # those for drugs, vaccines, diagnoses

    @classmethod
    def read(cls, data: bytes, name: str) -> Abbreviations:
        """Read `abbreviations.csv`. Raises ConfigError."""
        rows = list(csv.reader(data.decode("utf-8-sig").splitlines()))
        if not rows or rows[0] != _HEADER:
            raise ConfigError("has another first line", where=f"{name}:1", remedy=",".join(_HEADER))
        found: dict[str, dict[tuple[str, ...], list[str]]] = {kind: {} for kind in _FOR}
        for line, row in enumerate(rows[1:], 2):
            if not row or row[0].startswith("#"):
                continue
            key = tuple(words(row[0]))
            if len(row) != len(_HEADER) or not key or not row[1].strip() or (row[3] or _FOR[0]) not in _FOR:
                raise ConfigError(
                    "has a row that is no abbreviation",
                    where=f"{name}:{line}",
                    remedy="write: what senders write, what standard names say, a note or nothing, "
                    f"{', '.join(_FOR)} or nothing",
                )
            found[row[3] or _FOR[0]].setdefault(key, []).append(row[1].strip().lower())
        made = {
            kind: cls({key: tuple(expansions) for key, expansions in rows.items()})
            for kind, rows in found.items()
        }
        return cls(made.pop(_FOR[0]).readings, made)

    def of(self, kind: str) -> Abbreviations:
        """Return the abbreviations for a kind of names; those for tests are these."""
        return self if kind == _FOR[0] else self.others.get(kind, Abbreviations())

    def expand(self, text: str) -> list[str]:
        """Return the readings of a text, the likeliest first; of abbreviations the longest is spelled out."""
        parts: list[tuple[str, ...]] = []
        given = words(text)
        at = 0
        while at < len(given):
            for size in range(min(_LONGEST, len(given) - at), 0, -1):
                readings = self.readings.get(tuple(given[at : at + size]))
                if readings:
                    parts.append(readings)
                    at += size
                    break
            else:
                parts.append((given[at],))
                at += 1
        made: list[str] = []
        for choice in product(*parts):
            made.append(" ".join(choice))
            if len(made) == _READINGS:
                break
        return made


@dataclass(frozen=True, slots=True)
class Name:
    """A standard name taken apart: what is measured, and all its words."""

    analyte: frozenset[str]
    all: frozenset[str]
    challenge: frozenset[str] = frozenset()  # after "--": when and after what the specimen was taken


def name_of(long_name: str, others: Iterable[str] = ()) -> Name:
    """Take a LONG_COMMON_NAME apart; `others` are short and related names, whose words count too."""
    name, _, challenge = long_name.partition(" --")
    bare = _BRACKET.sub("", name)
    analyte = bare[: m.start()] if (m := _CUT.search(bare)) else bare
    analyte = re.sub(r"/100 \w+|/1\.73 sq M", "", analyte)
    found = set(words(long_name))
    for other in others:
        found.update(words(other))
    return Name(
        _content(analyte), frozenset(split_points(found)), _content(challenge) if challenge else frozenset()
    )


def _content(text: str) -> frozenset[str]:
    return frozenset(word for word in split_points(words(text)) if word not in _SMALL)


def split_points(given: Iterable[str]) -> Iterator[str]:
    """Give each word, and its parts where points join them: bilirubin.total."""
    for word in given:
        if "." in word and not word[0].isdigit():
            yield from word.split(".")
        else:
            yield word


def among(word: str, names: Iterable[str]) -> bool:
    """Say whether a word, or one that is nearly it, is among others."""
    if word in names or (len(word) > 7 and word.startswith("anti") and among(word[4:], names)):
        return True
    if len(word) < 4:
        return False
    return any(
        len(other) >= 4
        and (
            (len(word) >= 5 and other.startswith(word))
            or (len(other) >= 5 and word.startswith(other) and len(word) - len(other) <= 2)
            or (len(word) >= 8 and word[:7] == other[:7])
            or JaroWinkler.similarity(word, other) >= _ALIKE
        )
        for other in names
    )
