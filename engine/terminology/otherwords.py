"""How like a local text is to a name of a diagnosis, a drug or a vaccine: of what has no axes as LOINC has.

In: texts as senders write them ("LISINOPRIL 10MG TAB", "Pneumonia") and the names of ICD-10-CM, RxNorm, CVX.
Out: what to search for, and a share of likeness with what the text does not say. A name's words that say
"nothing more is known" (unspecified, without complications) count little against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import combinations

from rapidfuzz.distance import JaroWinkler

from engine.terminology.concepts import Concept

__all__ = ["OTHERS", "TESTS", "kind_of", "likeness", "parts", "searches"]

TESTS = "tests"
OTHERS = ("diagnoses", "drugs", "vaccines")
_KINDS = {
    "http://loinc.org": TESTS,
    "http://www.nlm.nih.gov/research/umls/rxnorm": "drugs",
    "http://hl7.org/fhir/sid/ndc": "drugs",
    "http://hl7.org/fhir/sid/cvx": "vaccines",
}
_PART = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|%")
_LITTLE = 0.25


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WEIGHTS: dict[str, Mapping[str, float]] = {
    "diagnoses": {
        **dict.fromkeys(
            _set(
                "unspecified specified not site organism without complication essential primary nos closed "
                "initial encounter for of in with and or the due to by on as a an is"
            ),
            _LITTLE,
        ),
        **{"other": 0.6, "subsequent": 2.0, "sequela": 2.0},
    },
    "drugs": {
        **dict.fromkeys(_set("oral tablet hydrochloride product of in for and a"), _LITTLE),
        **dict.fromkeys(_set("capsule injection injectable solution"), 0.4),
    },
    "vaccines": dict.fromkeys(
        _set("vaccine formulation unspecified seasonal product injectable dose of in or and for a"), _LITTLE
    ),
}
# words that two names may share and yet name different things: a strength, a side, a form
_CARRY_NOTHING = {
    "diagnoses": _set(
        "left right bilateral acute chronic lower upper end type disease disorder syndrome other"
    ),
    "drugs": _set(
        "capsule injection injectable solution mg ml mcg ug hr unt meq mmol actuat extended delayed release "
        "disintegrating suspension topical cream ointment rectal suppository inhalation metered dose inhaler"
    ),
    "vaccines": _set(
        "quadrivalent trivalent bivalent preservative free pediatric adolescent adult conjugate live ml mcg"
    ),
}
_ALIKE = 0.93
_FUZZY = 5  # letters from which on a slip of the pen is forgiven
_MOST = 6  # words that are searched for two by two
_HEADING = 0.9
_MORE_IN_IT = 0.75  # a drug with another substance in it than the text says


def kind_of(system: str) -> str:
    """Return what a code system names: tests, drugs, vaccines; all others are read as diagnoses are."""
    return _KINDS.get(system, "diagnoses")


def parts(text: str) -> list[str]:
    """Split a text into words and numbers, `500mg` into both; of a plural the singular."""
    return [_singular(part) for part in _PART.findall(text.lower())]


def searches(readings: Iterable[str], kind: str) -> list[str]:
    """Return what to search a code system for: whole readings, what weighs in them, and that two by two."""
    made: dict[str, None] = {}
    pairs: dict[str, None] = {}
    for reading in readings:
        inner = [p for p in parts(reading) if _weight(p, kind) > _LITTLE and (len(p) > 1 or p.isdigit())]
        made[reading] = None
        made[" ".join(inner)] = None
        if len(inner) > 2:
            pairs |= {" ".join(pair): None for pair in combinations(inner[:_MOST], 2)}
    made |= pairs
    return [query for query in made if query]


def likeness(readings: Iterable[str], concept: Concept, reasons: list[str]) -> float:
    """Return how like the likeliest reading is to a name, 0 to 1, and add the reasons."""
    kind = kind_of(concept.system)
    name = dict.fromkeys(parts(concept.display))
    best, said, lost = 0.0, "", ""
    for reading in readings:
        given = dict.fromkeys(parts(reading))
        pairs = [(word, _same(word, name)) for word in given]
        hit = {found for _, found in pairs if found}
        if not any(_carries(word, kind) for word in hit):
            continue
        forward = _share((word for word, found in pairs if found), given, kind)
        value = 0.55 * forward + 0.45 * _share(hit, name, kind)
        left = [word for word in name if word not in hit and _weight(word, kind) > _LITTLE]
        if kind == "drugs" and any(_carries(word, kind) for word in left):
            value *= _MORE_IN_IT
        if value > best:
            best, said, lost = value, reading, ", ".join(left[:3])
    if best:
        reasons.append(
            f"text read as '{said}': {round(100 * best)} % alike"
            + (f"; the text does not say {lost}" if lost else "")
        )
    if best and concept.properties.get("billable") == "false":
        reasons.append("a heading: a diagnosis is given by a code below it")
        best *= _HEADING
    return best


def _singular(word: str) -> str:
    plural = len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word


def _weight(word: str, kind: str) -> float:
    return _WEIGHTS[kind].get(word, 1.0)


def _carries(word: str, kind: str) -> bool:
    """Say whether a word alone can make two names alike."""
    return (
        len(word) > 1
        and not word[0].isdigit()
        and _weight(word, kind) > _LITTLE
        and word not in _CARRY_NOTHING[kind]
    )


def _share(some: Iterable[str], of: Iterable[str], kind: str) -> float:
    return sum(_weight(word, kind) for word in some) / (sum(_weight(word, kind) for word in of) or 1.0)


def _same(word: str, among: Mapping[str, None]) -> str:
    """Return the word among others that a word is, or nearly is; empty = none."""
    if word in among:
        return word
    if len(word) < _FUZZY:
        return ""
    near = ((JaroWinkler.similarity(word, other), other) for other in among if len(other) >= _FUZZY)
    score, other = max(near, default=(0.0, ""))
    return other if score >= _ALIKE else ""
