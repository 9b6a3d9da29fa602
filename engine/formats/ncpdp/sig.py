"""Whether a number of a structured Sig stands in its words: the words are the truth.

In: a number as written, the words of the Sig, what the number counts (a dose, times a unit, every so many
units, for how long). Out: yes or no; no wherever it is not certain, so that a structure that contradicts its
words is left to them. Digits in any language, number words in English. Follows NCPDP SCRIPT 2017071 and
2023011 (SigText governs).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache

__all__ = ["stands_in"]

_WORDS = {
    "0.25": r"quarter|1/4|¼",
    "0.5": r"(?<!and )(?<!and a )half|(?<!\d )1/2|(?<!\d )(?<!\d)½",
    "1.5": r"one and (?:a|one)[ -]half|1 ?1/2|1 ?½|1 and (?:a|1)[ /]?(?:half|/2)",
    **{"1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six"},
    **{"7": "seven", "8": "eight", "9": "nine", "10": "ten", "11": "eleven", "12": "twelve"},
}
_TIMES = {
    "1": r"once|daily|nightly|(?:every|each) (?:day|morning|evening|night|afternoon)|at bedtime"
    r"|q\.?d\.?|q\.?h\.?s\.?|qam|qpm",
    "2": r"twice|b\.?i\.?d\.?|morning and (?:evening|night|bedtime)",
    "3": r"thrice|t\.?i\.?d\.?",
    "4": r"q\.?i\.?d\.?",
}
_EVERY = {"1": r"daily|hourly|weekly|monthly|(?:every|each) (?:day|hour|week|month)", "2": r"every other"}
_UNITS_OF_TIME = r"(?:x\b|times?\b|min|h\b|hrs?\b|hours?|d\b|days?|w\b|wks?\b|weeks?|months?|years?)"


def stands_in(number: str, words: str, counts: str) -> bool:
    """Say whether a number stands in the words; `counts`: `dose`, `times`, `every` or `for` (so long)."""
    plain = _plain(number)
    return bool(plain) and _pattern(plain, counts).search(words) is not None


def _plain(number: str) -> str:
    try:
        value = Decimal(number.strip())
    except InvalidOperation:
        return ""
    if not value.is_finite() or value <= 0 or value > 100_000:
        return ""
    return format(value.normalize(), "f")


@lru_cache(maxsize=512)
def _pattern(plain: str, counts: str) -> re.Pattern[str]:
    whole, _, part = plain.partition(".")
    digits = rf"0*{whole}(?:\.{part}0*)?" if part else rf"0*{whole}(?:\.0+)?"
    # no part of a greater number, and no end of a range: 1-2 and 1 to 2 say neither
    before = r"(?<![\d./,])(?<!\d[-–])(?<!\d [-–] )(?<!\dto )(?<!\d to )(?<!\d or )"
    alone = rf"{before}{digits}(?![\d/½¼]|[.,]\d| ?½| \d/\d| ?(?:-|–|to|or) ?\d)"
    spelled = rf"|(?<!\w)(?:{_WORDS[plain]})(?!\w)" if plain in _WORDS else ""
    number = rf"(?:{alone}{spelled})"
    if counts == "dose":
        found = rf"{number}(?!\)?[ -]*{_UNITS_OF_TIME})"
    elif counts == "for":
        found = rf"{number}\)?[ -]*{_UNITS_OF_TIME}"
    elif counts == "times":
        more = rf"|\b(?:{_TIMES[plain]})(?!\w)" if plain in _TIMES else ""
        found = rf"{number}\)?[ -]*(?:x|times?)(?!\w){more}"
    else:
        more = rf"|\b(?:{_EVERY[plain]})(?!\w)" if plain in _EVERY else ""
        found = rf"(?:\b(?:every|each) |\bq\.? ?){number}{more}"
    return re.compile(found, re.I)
