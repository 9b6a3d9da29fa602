"""What the maps of one site made of a text before, so that it need not be made again.

Maps are pure: the same text under the same delimiters gives the same value, and most texts of codes, units, places and
clinicians come again and again. Kept are functions that give a fresh copy at every call, so nothing that happens to a
resource later reaches the memory. In: a run (its `cache` belongs to one site and set of delimiters), a key that ends
with the raw text, the value. Not kept: long texts, explicit deletes, text whose meaning depends on the message's
character set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["copier", "keep"]

KEPT = 20_000
"""Values kept per site and set of delimiters; then all are dropped and learned anew."""
LONGEST = 400
"""Longer texts are rarely sent twice."""


def copier(v: Any) -> Callable[[], Any]:
    """Return a function that gives a fresh copy of a small value of dicts, lists and leaves at every call."""
    if type(v) is dict:
        nested = [(k, copier(w)) for k, w in v.items() if type(w) is dict or type(w) is list]
        if not nested:
            return v.copy
        if len(nested) == 1:
            ((name, inner),) = nested

            def with_one() -> Any:
                out = v.copy()
                out[name] = inner()
                return out

            return with_one

        def with_several() -> Any:
            out = v.copy()
            for name, inner in nested:
                out[name] = inner()
            return out

        return with_several
    if type(v) is list:
        if not any(type(w) is dict or type(w) is list for w in v):
            return v.copy
        inners = [copier(w) for w in v]
        if len(inners) == 1:
            (only,) = inners
            return lambda: [only()]
        return lambda: [inner() for inner in inners]
    return lambda: v


def keep(x: Any, key: tuple[Any, str], made: Callable[[], Any]) -> None:
    """Keep what `made` gives under a key, unless its text is one of those that are never kept."""
    raw = key[1]
    if len(raw) <= LONGEST and '""' not in raw and not (x.es and x.es in raw):
        if len(x.cache) >= KEPT:
            x.cache.clear()
        x.cache[key] = made()
