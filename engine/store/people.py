"""Whether two sets of demographics can be one person's.

In: two Patient bodies found under the same identifier. Out: nothing, or in one word what speaks against it.
Words are compared without case, accents and punctuation; what one side does not say speaks against nothing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

__all__ = ["disagreement"]

_WORDS = re.compile(r"\w+").findall


def disagreement(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return `birthDate` or `name` when two Patients are clearly not one person, else an empty string."""
    born, also = one.get("birthDate"), other.get("birthDate")
    if born and also and not (born.startswith(also) or also.startswith(born)):
        return "birthDate"
    names, others = one.get("name"), other.get("name")
    if not names or not others or names == others:
        return ""
    family, given = _words(names)
    family2, given2 = _words(others)
    if not (family or given) or not (family2 or given2):
        return ""
    return "" if family & family2 or given & given2 else "name"


def _words(names: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    family: set[str] = set()
    given: set[str] = set()
    for name in names:
        family.update(_plain(name.get("family") or ""))
        for part in name.get("given") or ():
            given.update(_plain(part or ""))
        if not name.get("family") and not name.get("given") and name.get("text"):
            words = _plain(name["text"])
            family.update(words)
            given.update(words)
    return family, given


@lru_cache(maxsize=10_000)
def _plain(text: str) -> frozenset[str]:
    letters = unicodedata.normalize("NFKD", text.casefold().replace("'", "").replace("’", ""))
    return frozenset(_WORDS("".join(c for c in letters if not unicodedata.combining(c))))
