"""Whether two descriptions of a person can be one person's: a name, a day of birth, a sex.

In: what an object says (PS3.3 C.7.1.1) and a Patient of the core store. Out: what speaks against it, as a
stable word; nothing where nothing does. What one side does not say never speaks against it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["contradiction"]

Json = Mapping[str, Any]
_SEXES = {"M": "male", "F": "female"}
_SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv", "md", "phd", "dr", "prof"})
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "ß": "ss"})
_PLAIN = str.maketrans({"ø": "o", "æ": "ae", "ß": "ss", "ł": "l", "đ": "d"})


def contradiction(dataset: Any, patient: Json) -> str:
    """Return what of a person's description differs: `birth-date-differs`, `sex-differs`, `name-differs`."""
    born, known = (
        str(dataset.get("PatientBirthDate") or "").replace(".", ""),
        str(patient.get("birthDate") or ""),
    )
    said = known.replace("-", "")
    if born and said and not (born.startswith(said) if len(said) < 8 else born == said):
        return "birth-date-differs"
    sex, gender = str(dataset.get("PatientSex") or ""), patient.get("gender")
    if sex in _SEXES and gender in _SEXES.values() and _SEXES[sex] != gender:
        return "sex-differs"
    return "" if _may_be_named(str(dataset.get("PatientName") or ""), patient) else "name-differs"


def _may_be_named(said: str, patient: Json) -> bool:
    """Say whether a PN can be one of a patient's names; in scripts of two kinds they cannot be compared."""
    compared = False
    for family, given in _groups(said):
        for name in patient.get("name") or ():
            held = str(name.get("family") or name.get("text") or "")
            first = str(next(iter(name.get("given") or ()), ""))
            if not held or _latin(family) != _latin(held):
                continue
            compared = True
            if _folded(family) & _folded(held) and _same_first(given, first):
                return True
    return not compared


def _groups(said: str) -> Iterator[tuple[str, str]]:
    for group in said.split("="):
        family, _, rest = group.partition("^")
        if family.strip():
            yield family, rest.partition("^")[0]


def _same_first(one: str, other: str) -> bool:
    """Say whether first names agree: one may be an initial, cut off, or not there."""
    a, b = (_folded(text.replace("-", " ").split()[0]) if text.split() else {""} for text in (one, other))
    return any(x.startswith(y) or y.startswith(x) for x in a for y in b)


def _folded(text: str) -> set[str]:
    """Return how a name may be written without case, accents, suffixes and signs: `müller`, `mueller`."""
    words = [w for w in re.split(r"[\s,.]+", text.casefold()) if w]
    kept = [w for w in words if w not in _SUFFIXES] or words
    whole = unicodedata.normalize("NFC", "".join(kept))
    forms = (whole.translate(_WRITTEN_OUT), whole.translate(_PLAIN))
    return {
        "".join(
            c for c in unicodedata.normalize("NFKD", form) if c.isalnum() and not unicodedata.combining(c)
        )
        for form in forms
    }


def _latin(text: str) -> bool:
    return any("LATIN" in unicodedata.name(c, "") for c in text)
