"""A search as alternatives: lists of single conditions that all must hold, any list of them being enough.

In: what was asked. Out: lists of conditions, some of them with `not`; and for a condition the keyed words
that stand for it, if any do. A cause is either why a message was parked or skipped, or a flag it was written
with; a bare date before the journal began is somebody's birth date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from engine.channels.asked import All, Asked, Either, Held, Is, Named, Not, Received, Word, settled
from engine.channels.asking import BadQuery
from engine.channels.searchwords import BY_PLACE
from engine.formats.hl7v2.locations import parse_location

__all__ = ["ALL_KINDS", "Keys", "alternatives", "filter_keys", "is_private", "keys_of", "place_keys"]

ALL_KINDS = ("patient", "account", "order", "visit", "control", "claim", "document", "study", "code")
"""Kinds of words that are compared as they were sent."""
_LETTERS = ("order", "control", "code")
"""Those that may be letters alone. Numbers of people, visits, claims have a digit, a study's has a dot: each
kind left out is a tenth of what a search costs."""
_MOST = 16
_SPLIT = re.compile(r"[\^&~|\\]")


@dataclass(frozen=True, slots=True)
class Keys:
    """Keyed words, any of which will do. `control`: also a control id in the journal. `kept`: the kind or
    place of which `searched` says since when it is kept; "" = since ever.
    """

    pairs: tuple[tuple[str, str], ...]
    control: str = ""
    kept: str = ""


def alternatives(asked: Asked, began: datetime | None) -> list[list[Asked]]:
    """Return the alternatives; `began` is when the oldest entry of the journal came. Raises BadQuery."""
    return _alternatives(settled(_meant(settled(asked), began)))


def _meant(asked: Asked, began: datetime | None) -> Asked:
    """Put what stands for several conditions as those."""
    if isinstance(asked, (All, Either)):
        return type(asked)(tuple(_meant(part, began) for part in asked.parts))
    if isinstance(asked, Not):
        return Not(_meant(asked.part, began))
    if isinstance(asked, Is) and asked.what == "state":
        return Either(tuple(Is("state", one) for one in asked.values))
    if isinstance(asked, Is) and asked.what == "cause":
        return Either((Is("why", asked.value), Is("flag", asked.value)))
    if isinstance(asked, Received) and asked.birth:
        if began is not None and asked.until is not None and asked.until <= began:
            return Named("birth", asked.birth)
        return Received(asked.since, asked.until)
    return asked


def _alternatives(asked: Asked) -> list[list[Asked]]:
    if isinstance(asked, Either):
        found = [one for part in asked.parts for one in _alternatives(part)]
    elif isinstance(asked, All):
        found = []
        parts = [_alternatives(part) for part in asked.parts]
        count = 1
        for part in parts:
            count *= len(part)
            _few(count)
        for chosen in product(*parts):
            found.append([condition for one in chosen for condition in one])
    elif isinstance(asked, Not) and isinstance(asked.part, Received):
        since, until = asked.part.since, asked.part.until
        found = [[Received(None, since)]] if since else []
        found += [[Received(until, None)]] if until else []
    else:
        found = [[asked]]
    _few(len(found))
    return found


def _few(count: int) -> None:
    if count > _MOST:
        raise BadQuery(0, "it has too many alternatives", "make it two searches")


def is_private(condition: Asked) -> bool:
    """Say whether a condition is about what a message holds: whoever may not open it learns nothing by it."""
    part = condition.part if isinstance(condition, Not) else condition
    return isinstance(part, (Word, Held)) or (isinstance(part, Named) and part.kind != "entry")


def keys_of(asked: Asked, *, private: bool = True, others: bool = True) -> Keys | None:
    """Return the keyed words of a word; without `private` those alone that say nothing of a patient.

    `others`: whether anything but HL7 v2 ever came, which alone has claims, documents and studies.
    """
    if isinstance(asked, Word):
        if not private:
            return Keys((), asked.text)
        digits, dots = any(c.isdigit() for c in asked.text), "." in asked.text
        kinds = [kind for kind in ALL_KINDS if (digits and (dots or kind != "study")) or kind in _LETTERS]
        kinds = [kind for kind in kinds if others or kind not in ("claim", "document", "study")]
        pairs = [("name", asked.text.casefold()), *((kind, asked.text) for kind in kinds)]
        return Keys((*pairs, *(("birth", day) for day in _days(asked.text))), asked.text)
    if not isinstance(asked, Named) or asked.kind == "entry":
        return None
    if asked.kind == "control":
        return Keys((("control", asked.value),) if private else (), asked.value)
    if not private:
        return None
    if asked.kind == "birth":
        days = _days(asked.value) or [asked.value]
        return Keys(tuple(("birth", day) for day in days))
    value = asked.value.casefold() if asked.kind == "name" else asked.value
    return Keys(((asked.kind, value),), kept="code" if asked.kind == "code" else "")


def place_keys(held: Held, declared: frozenset[str]) -> tuple[Keys, bool] | None:
    """Return the words among which all with this value there is, and whether they say exactly that."""
    if held.op != "=":
        return None
    if held.place in declared:
        return Keys(((held.place, held.value),), kept=held.place), True
    return _near(held.place, held.value)


def _near(place: str, value: str) -> tuple[Keys, bool] | None:
    kind = BY_PLACE.get(place) or BY_PLACE.get(f"{place}.1")
    if not kind or _SPLIT.search(value):
        return None
    if kind == "name":
        words = sorted(value.casefold().split(), key=len)
        return (Keys((("name", words[-1]),)), False) if words else None
    if kind == "birth":
        return (Keys((("birth", value[:8]),)), False) if len(value) >= 8 else None
    return Keys(((kind, value),), kept="code" if kind == "code" else ""), False


def filter_keys(held: Held) -> list[Keys]:
    """Return keyed words that narrow down what has anything there: those of `OBX(3.1=K)-5`."""
    location = parse_location(held.place)
    found = []
    for condition in location.segment_filter:
        near = [
            _near(f"{location.segment}-{'.'.join(map(str, condition.path))}", value)
            for value in condition.values
        ]
        if not condition.negated and all(one is not None for one in near):
            keys = [one[0] for one in near if one is not None]
            found.append(Keys(tuple(pair for one in keys for pair in one.pairs), kept=keys[0].kept))
    return found


def _days(word: str) -> list[str]:
    """Return a birth date as messages write it, `YYYYMMDD`; 03/04/1980 may be two."""
    if re.fullmatch(r"\d{8}", word):
        return [word]
    if m := re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", word):
        return [f"{m[1]}{int(m[2]):02}{int(m[3]):02}"]
    if m := re.fullmatch(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", word):
        one, two = int(m[1]), int(m[2])
        return [
            f"{m[3]}{month:02}{day:02}"
            for month, day in {(one, two), (two, one)}
            if month <= 12 and day <= 31
        ]
    return []
