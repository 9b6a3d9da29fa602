"""What the maps of one site made of a text before, so that it need not be made again.

Maps are pure: the same text under the same delimiters gives the same value, and most texts of codes, units,
places and clinicians come again and again. Kept are functions that give a fresh copy at every call, so
nothing that happens to a resource later reaches the memory. In: a run (its `cache` belongs to one site and
set of delimiters), a key that ends with the raw text, the value. Not kept: long texts, explicit deletes, text
whose meaning depends on the message's character set.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from engine.fhir.validate import sound_elements
from engine.mapping.padded import fields

__all__ = ["fresh", "keep", "keeps", "met_before", "remembered"]

KEPT = 20_000
"""Values kept per site and set of delimiters; then all are dropped and learned anew."""
MET = 50_000
"""Hashes of texts met once, per site and set of delimiters."""
YOUNG = 3
"""So many copies are made in passing before a value is worth a copier."""
LONGEST = 400
"""Longer texts are rarely sent twice."""


def _flat(v: Any) -> bool:
    return type(v) is dict and not any(type(w) is dict or type(w) is list for w in v.values())


def _concept(v: dict[str, Any], name: str, first: dict[str, Any], second: Any = None) -> Callable[[], Any]:
    """The copier of an element with a list of one or two plain entries: a CodeableConcept, nine times out of
    ten."""

    def with_entry() -> Any:
        out = v.copy()
        out[name] = [first.copy()]
        return out

    def with_two() -> Any:
        out = v.copy()
        out[name] = [first.copy(), second.copy()]
        return out

    return with_entry if second is None else with_two


def copier(v: Any) -> Callable[[], Any]:
    """Return a function that gives a fresh copy of a small value of dicts, lists and leaves at every call."""
    if type(v) is dict:
        nested = [(k, copier(w)) for k, w in v.items() if type(w) is dict or type(w) is list]
        if not nested:
            return v.copy
        if len(nested) == 1:
            ((name, inner),) = nested
            entries = v[name]
            if type(entries) is list and 0 < len(entries) < 3 and all(_flat(e) for e in entries):
                return _concept(v, name, *entries)

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


def fresh(v: Any) -> Any:
    """Return a copy of a small value of dicts, lists and leaves."""
    if type(v) is dict:
        return {k: w if type(w) is str else fresh(w) for k, w in v.items()}
    if type(v) is list:
        return [w if type(w) is str else fresh(w) for w in v]
    return v


def _young(cache: dict[Any, Any], key: tuple[Any, ...], value: Any) -> Callable[[], Any]:
    """Give the first copies of a value; one that goes on coming then gets a copier of its own, which costs
    more to make and less to use."""
    left = YOUNG

    def again() -> Any:
        nonlocal left
        left -= 1
        if not left:
            cache[key] = copier(value)
        return fresh(value)

    return again


def keeps(x: Any, raw: str) -> bool:
    """Say whether what a text gave may be kept."""
    return len(raw) <= LONGEST and '""' not in raw and not (x.es and x.es in raw)


def keep(x: Any, key: tuple[Any, ...], value: Any) -> None:
    """Keep a value that nobody else holds: what the cache has from now on gives a copy of it at every call.
    When there is no more room, all is learned anew."""
    if len(x.cache) >= KEPT:
        x.cache.clear()
    x.cache[key] = _young(x.cache, key, value)


def met_before(x: Any, key: tuple[Any, ...]) -> bool:
    """Say whether a text was met before: what comes only once (numbers, times) is not worth keeping."""
    met = x.met
    mark = hash(key)
    if mark in met:
        return True
    if len(met) >= MET:
        met.clear()
    met.add(mark)
    return False


def remembered(fill: Callable[..., None], numbers: tuple[int, ...]) -> Callable[..., None]:
    """Wrap a segment map that reads these fields of its own segment alone: senders say the same in each
    message.

    Not for a map that fills up what another began; what left a note, made a resource of its own or cleared an
    element is done anew. What is remembered is validated once: `x.known` gets what was found sound.
    """

    texts: Callable[[list[str]], Any] = itemgetter(*numbers)

    def filled(s: Any, g: Any, x: Any, o: dict[str, Any], lab: dict[str, list[str]]) -> None:
        if lab or x.contained or len(o) > 1:
            return fill(s, g, x, o, lab)
        key = (fill, texts(fields(s, x)))
        seen = x.cache.get(key)
        if seen is not None:
            made, labels, contained, sound = seen()
            x.known.update(sound)
            o.update(made)
            lab.update(labels)
            x.contained = contained
            return None
        if not met_before(x, key):
            return fill(s, g, x, o, lab)
        kind = o.copy()
        before = (x.notes, x.settled, len(x.cleared), len(x.weak), len(x.spots))
        fill(s, g, x, o, lab)
        if before == (x.notes, x.settled, len(x.cleared), len(x.weak), len(x.spots)) and keeps(
            x, "".join(key[1])
        ):
            made = {k: v for k, v in o.items() if k not in kind}
            sound = sound_elements(kind["resourceType"], kept := fresh(made))
            keep(x, key, [kept, fresh(lab), fresh(x.contained), sound])
        return None

    return filled
