"""Ranks the terms of a code system as translations of a local laboratory code, and says why.

In: a local term (text, unit, specimen, sample values, panel), candidates that a full-text search found, the
abbreviations people own, and what other senders' codes of the same text were mapped to. Out: suggestions with
a score from 0 to 100 and reasons in words. Nothing is decided here: a person approves. The axes are LOINC's
(PROPERTY, SYSTEM, SCALE_TYP, ranks); a candidate without them is ranked by its name alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from engine.terminology import otherwords
from engine.terminology.concepts import CodeService, Concept
from engine.terminology.localwords import Abbreviations, Name, among, name_of, same_text, split_points, words
from engine.terminology.testclues import (
    DRAWN,
    SYSTEMS,
    WHOLE,
    hints_in,
    properties_of,
    scale_of,
    system_of,
    systems_fit,
)

__all__ = ["LocalTerm", "Precedent", "Suggestion", "gather", "queries", "suggest"]

_STEM = 5
_RARE = frozenset({"RelTime", "RelMCnc", "RelCCnc", "AFr", "SatFr"})
"""Properties not worth a search by themselves."""
_RANKS = ("COMMON_TEST_RANK", "COMMON_SI_TEST_RANK")
# words of a local name that say in what or how, and need not stand in what a term measures
_AROUND = frozenset(
    word
    for line in (
        "serum plasma urine urinary blood csf spinal fluid stool body random whole level count total test",
        "lab use quantitative quant qual measured calculated calc direct automated auto absolute abs",
        "percent pct",
        "ratio value hour hr 24 by with w of in and the reflex rt patient % # ur ab ag igg igm iga ige",
        "screen presence titer index free ionized",
    )
    for word in line.split()
)

# how likely each is of what comes from a vein, or of a name that says nothing
_UNSAID = {"": 1.0, "Ser/Plas": 1.0, "Ser": 0.99, "Plas": 0.99, "PPP": 0.99, "Bld": 0.97, "RBC": 0.97}
# what LOINC adds where a laboratory says no method, because there hardly is another
_USUAL = frozenset({"automated count", "coagulation assay"})
_UNIT_IN_TEXT = re.compile(
    r"(?i)(?<![\w/])\(?(?:[munpk]?g|[munp]?mol|meq|[mu]?iu|u|k|cells)"
    r"/(?:dl|l|ml|ul|cu ?mm|24 ?h(?:rs?)?)\)?(?![\w/])"
)
_REFLEX = re.compile(r"(?i)\W+(?:w/?|with )? *reflex(?: to)?\b.*$")
_COUNTED = frozenset({"#", "absolute", "abs"})
_SHARE = frozenset({"%", "percent", "pct", "fraction"})


@dataclass(frozen=True, slots=True)
class LocalTerm:
    """A code that a sender uses and no table knows. `unit` is as the sender writes it."""

    code: str
    text: str
    field: str = ""
    unit: str = ""
    specimen: str = ""
    values: tuple[str, ...] = ()
    panel: str = ""
    sender: str = ""
    value_type: str = ""


@dataclass(frozen=True, slots=True)
class Precedent:
    """What another code of the same text was mapped to, by approval."""

    text: str
    code: str
    sender: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A candidate, how well it fits (0 to 100), and why."""

    concept: Concept
    score: float
    reasons: tuple[str, ...]


def as_written(unit: str) -> str:
    """Take a unit for UCUM as it stands; the table of units is the better way."""
    return unit


def named(text: str) -> str:
    """Return a local name without the unit it repeats and without what it may lead to ("w/reflex to FT4")."""
    return _UNIT_IN_TEXT.sub(" ", _REFLEX.sub("", text)).strip()


def queries(term: LocalTerm, abbreviations: Abbreviations) -> list[str]:
    """Return the texts to search a code system for, the best first."""
    made: list[str] = []
    texts = [named(term.text)] if term.text else []
    if not texts or re.search("[A-Za-z]", term.code):  # a number says nothing where there are words
        texts.append(term.code)
    for text in texts:
        for reading in [*abbreviations.expand(text), same_text(text)]:
            inner = [word for word in words(reading) if word not in _AROUND and len(word) > 1]
            for query in (" ".join(words(reading)), " ".join(inner)):
                if query and query not in made:
                    made.append(query)
    return made


def gather(
    service: CodeService,
    system: str,
    term: LocalTerm,
    abbreviations: Abbreviations,
    limit: int = 150,
    ucum_of: Callable[[str], str] = as_written,
) -> list[Concept]:
    """Search a code system for all that may be meant: whole readings first, then their single words.

    A full release has hundreds of terms of one analyte, and a search returns no more than `limit`. So, where
    a search is full, the terms that fit unit and specimen are asked for by themselves, too.
    """
    found: dict[str, Concept] = {}
    kind = otherwords.kind_of(system)
    if kind == otherwords.TESTS:
        asked = queries(term, abbreviations)
    else:
        asked = otherwords.searches(_spelled(term, abbreviations.of(kind)), kind)
    filters = _filters(term, ucum_of(term.unit) if term.unit else "")

    def ask(query: str) -> bool:
        hits = service.search(system, query, limit)
        if len(hits) >= limit and "SYSTEM" in hits[0].properties:
            for properties in filters:
                hits = hits + service.search(system, query, limit, 0, properties)
        for concept in hits:
            found.setdefault(concept.code, concept)
        return bool(hits)

    singles: list[str] = []
    for query in asked:
        ask(query)
        singles += [w for w in words(query) if w not in singles and w not in _AROUND and len(w) > 2]
    for word in singles:
        if not ask(word) and len(word) > _STEM:
            ask(word[:_STEM])  # a slip of the pen further on in the word
    return list(found.values())


def _spelled(term: LocalTerm, abbreviations: Abbreviations) -> list[str]:
    """Return how the name of what is no test can be read."""
    text = same_text(term.text or term.code)
    return list(dict.fromkeys((*abbreviations.expand(text), text)))


def _filters(term: LocalTerm, unit: str) -> list[dict[str, str]]:
    """Return what axes to ask for by themselves: those that fit; of blood, where nothing says otherwise."""
    system = system_of(term.specimen) or hints_in(words(f"{term.text} {term.panel}"))
    systems = [s for s in SYSTEMS if systems_fit(system, s) in ("same", "may")] if system else list(DRAWN)
    properties = sorted(properties_of(unit)[1] - _RARE)
    if properties:
        return [{"PROPERTY": p, "SYSTEM": s} for p in properties for s in systems]
    return [{"SYSTEM": s} for s in systems]


def suggest(
    term: LocalTerm,
    candidates: Iterable[Concept],
    abbreviations: Abbreviations,
    precedents: Sequence[Precedent] = (),
    limit: int = 5,
    ucum_of: Callable[[str], str] = as_written,
) -> list[Suggestion]:
    """Rank candidates for a term; the best first, at most `limit`, none that nothing speaks for."""
    clues = _Clues.of(term, abbreviations, ucum_of)
    made: list[tuple[float, Suggestion]] = []
    seen: set[str] = set()
    for concept in candidates:
        if concept.active and concept.code not in seen:
            seen.add(concept.code)
            score, reasons = clues.judge(concept, precedents)
            if score >= 1:
                made.append((score, Suggestion(concept, round(min(score, 100.0), 1), reasons)))
    made.sort(key=lambda m: (-m[0], len(m[1].concept.display), m[1].concept.code))
    return [suggestion for _, suggestion in made[:limit]]


@dataclass(frozen=True, slots=True)
class _Clues:
    """What is known of a term, read once for all candidates."""

    term: LocalTerm
    readings: tuple[tuple[str, frozenset[str], float], ...]  # as text, its words, what it is worth
    unit: str
    measures: str
    properties: frozenset[str]
    system: str
    from_specimen: bool
    scale: str
    spelled: dict[str, list[str]]  # for what is no test: its readings by what the candidates name

    @classmethod
    def of(cls, term: LocalTerm, abbreviations: Abbreviations, ucum_of: Callable[[str], str]) -> _Clues:
        readings: list[tuple[str, frozenset[str], float]] = []
        for text, worth in ((named(term.text), 1.0), (term.code, 0.9)):
            spelled = abbreviations.expand(text)
            plain = same_text(text)
            if worth < 1 and readings and spelled == [plain]:
                continue  # a code stands for its text only where an abbreviation says what it means
            for reading in dict.fromkeys((*spelled, plain)):
                if reading:
                    readings.append((reading, frozenset(split_points(words(reading))), worth))
        unit = ucum_of(term.unit) if term.unit else ""
        measures, properties = properties_of(unit)
        given = words(term.text)
        said = system_of(term.specimen)
        hint = hints_in(given) or hints_in(words(term.panel))
        # a name that says "urine" is more exact than a specimen that says "fluid", "blood" or nothing
        system = hint if hint and said in ("", "Body fld", "Bld") else said
        if said in ("", "Bld") and "whole" in given:
            said, system = "Bld", WHOLE
        if said == "Bld" and hint in ("Urine", "CSF", "Stool", "Body fld"):
            system = said
        return cls(
            term,
            tuple(readings),
            unit,
            measures,
            properties,
            system,
            bool(said) and system == said,
            _scale_said(given) or scale_of(term.value_type, term.values, unit),
            {kind: _spelled(term, abbreviations.of(kind)) for kind in otherwords.OTHERS},
        )

    def judge(self, concept: Concept, precedents: Sequence[Precedent]) -> tuple[float, tuple[str, ...]]:
        """Score one candidate and say why."""
        have = concept.properties
        reasons: list[str] = []
        kind = otherwords.kind_of(concept.system)
        if kind != otherwords.TESTS:
            score = 100 * otherwords.likeness(self.spelled[kind], concept, reasons)
            return score + self._by_precedent(concept, precedents, reasons), tuple(reasons)
        others = [have[key] for key in ("SHORTNAME", "DisplayName", "CONSUMER_NAME") if key in have]
        name = name_of(concept.display, others)
        text, reading, missing = max(
            (self._alike(r, found, worth, name) for r, found, worth in self.readings),
            key=lambda x: x[0],
            default=(0.0, "", ""),
        )
        if text > 0:
            plain = same_text(self.term.text or self.term.code)
            read = f" read as '{reading}'" if reading != plain else ""
            reasons.append(f"text{read}: {round(100 * text)} % alike" + (f"; {missing}" if missing else ""))
        score = 100 * text
        score *= self._by_unit(have.get("PROPERTY", ""), reasons)
        score *= self._by_specimen(have.get("SYSTEM", ""), reasons)
        score *= self._by_scale(have.get("SCALE_TYP", ""), reasons)
        score *= self._by_count(have.get("PROPERTY", ""), reasons)
        score *= self._by_method(concept.display, reasons)
        if have.get("STATUS") == "DISCOURAGED":
            score *= 0.9
            reasons.append("LOINC discourages this term")
        if score > 0 and (rank := _rank(concept)):
            score += max(0.0, 4 - math.log10(rank))
            reasons.append(f"number {rank} of the most common tests")
        score += self._by_precedent(concept, precedents, reasons)
        return score, tuple(reasons)

    def _alike(self, reading: str, found: frozenset[str], worth: float, name: Name) -> tuple[float, str, str]:
        """Compare one reading with a name: how much of either the other has."""
        inner = frozenset(w for w in found if w not in _AROUND) or found
        hit = sum(1 for w in inner if among(w, name.all))
        around = found - inner
        extra = sum(1 for w in around if among(w, name.all)) / (len(around) or 1) if around else 0.0
        back = sum(1 for w in name.analyte if among(w, found)) / (len(name.analyte) or 1)
        forward = hit / len(inner) if inner else 0.0
        if not hit:
            return 0.0, reading, ""
        value = worth * (
            0.46 * forward + 0.44 * back + 0.1 * (extra if around else 1.0 if forward == 1 else 0.0)
        )
        if name.challenge and not any(among(w, found) for w in name.challenge):
            return value * 0.6, reading, "the term is of a challenge or a timed level"
        lost = sorted(w for w in name.analyte if not among(w, found))
        return value, reading, f"the text does not say {', '.join(lost[:3])}" if lost else ""

    def _by_unit(self, property_: str, reasons: list[str]) -> float:
        if not self.properties or not property_:
            return 1.0
        if property_ in self.properties:
            reasons.append(f"unit {self.term.unit} is {self.measures}, as {property_} needs")
            return 1.0
        reasons.append(f"unit {self.term.unit} is {self.measures}: {property_} excluded")
        return 0.25

    def _by_specimen(self, system: str, reasons: list[str]) -> float:
        if not self.system:
            # what says nothing of its specimen is blood, serum or plasma
            return _UNSAID.get(system, 0.93)
        fit = systems_fit(self.system, system)
        source = f"specimen {self.term.specimen}" if self.from_specimen else f"the text says {self.system}"
        if fit == "same":
            reasons.append(f"{source} is {system}")
            return 1.0
        if fit == "may":
            reasons.append(f"{source} may be tested as {system}")
            return 0.97 * _UNSAID.get(system, 0.9)
        if fit == "no":
            reasons.append(f"{source} is not {system}")
            return 0.4
        return 0.95

    def _by_scale(self, scale: str, reasons: list[str]) -> float:
        if not self.scale or not scale or scale == "OrdQn":
            return 1.0
        quantity = scale == "Qn"
        if quantity == (self.scale == "Qn"):
            return 1.0
        if self.scale == "Qn":
            reasons.append(f"values are numbers: {scale} excluded")
            return 0.5
        reasons.append("values are no numbers: Qn excluded")
        return 0.6

    def _by_count(self, property_: str, reasons: list[str]) -> float:
        """Tell "absolute" and "percent" apart where no unit does."""
        if self.properties or property_ not in ("NCnc", "NFr"):
            return 1.0
        given = frozenset(words(self.term.text))
        if given & _COUNTED and property_ == "NFr":
            reasons.append("the text says a count, not a share")
            return 0.6
        if given & _SHARE and property_ == "NCnc":
            reasons.append("the text says a share, not a count")
            return 0.6
        return 1.0

    def _by_method(self, display: str, reasons: list[str]) -> float:
        """Prefer the term without a method where the text says none."""
        _, _, method = display.partition(" by ")
        if not method or method.lower() in _USUAL:
            return 1.0
        if any(among(word, found) for word in words(method) for _, found, _ in self.readings):
            return 1.0
        reasons.append(f"the text does not say {method}")
        return 0.95

    def _by_precedent(self, concept: Concept, precedents: Sequence[Precedent], reasons: list[str]) -> float:
        text = same_text(self.term.text or self.term.code)
        senders = sorted(
            {p.sender for p in precedents if p.code == concept.code and same_text(p.text) == text and text}
        )
        if not senders:
            return 0.0
        reasons.append(
            f"{', '.join(senders[:3])} {'has' if len(senders) == 1 else 'have'} this text mapped to it"
        )
        return 12.0 + 4.0 * min(len(senders), 4)


def _scale_said(given: Sequence[str]) -> str:
    if any(word in ("qual", "qualitative", "qualit", "ql") for word in given):
        return "Ord"
    return "Qn" if any(word.startswith("quantit") or word == "quant" for word in given) else ""


def _rank(concept: Concept) -> int:
    """Return how common a test is, 1 the most; 0 = not ranked."""
    ranks = [int(v) for key in _RANKS if re.fullmatch(r"[1-9]\d*", v := concept.properties.get(key, ""))]
    return min(ranks, default=0)
