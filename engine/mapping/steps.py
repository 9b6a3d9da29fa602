"""The small steps of which generated functions are made: taking raw fields apart, asking about them, laying
values down.

Everything here is pure: raw HL7 v2 text (still escaped) in, a piece of it or a FHIR element out. `SPACE`
holds the steps by the names that the emitter writes; the traced twin takes a few others (`TRACED`), which
split always so that every piece learns its address. HL7 v2.8.2 §2.5 (repetitions, components), §2.5.3 (the
delete indicator).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from engine.kernel.errors import MapError
from engine.mapping.dates import read_date
from engine.mapping.lists import Mix, kept, put_entries, put_list
from engine.mapping.memory import fresh, keep, keeps, met_before
from engine.mapping.padded import EMPTY, fields
from engine.mapping.traced import Address, TStr, absorb
from engine.mapping.values import BUILTIN, decimal_of

__all__ = ["EMPTY", "SPACE", "TRACED", "put_list"]

_BLANK = "^~&|\\ \t\r\n#"

# -- pieces of raw text --------------------------------------------------------------------------------------


def _reps(raw: str, rs: str) -> Sequence[str]:
    """The repetitions that are not empty."""
    if not raw or raw == '""':
        return ()
    if rs not in raw and type(raw) is str:
        return (raw,)
    return [r for r in raw.split(rs) if r and r != '""']


def _count(raw: str, rs: str) -> int:
    """How many repetitions are not empty."""
    if not raw or raw == '""':
        return 0
    return 1 if rs not in raw else len(_reps(raw, rs))


def _first(found: Sequence[str]) -> str:
    return found[0] if found else ""


def _one(raw: str, rs: str) -> str:
    """The first repetition that is not empty."""
    if rs not in raw and raw != '""':
        return raw
    found = _reps(raw, rs)
    return found[0] if found else ""


def _comp(raw: str, rs: str, cs: str, i: int) -> str:
    """A component (from 0) of the first repetition that is not empty."""
    if not raw:
        return raw
    if rs in raw or raw == '""':
        raw = _one(raw, rs)
    parts = raw.split(cs, i + 1)
    return parts[i] if i < len(parts) else ""


def _nth(raw: str, rs: str, i: int) -> str:
    if not raw:
        return raw
    parts = raw.split(rs)
    return parts[i] if i < len(parts) else ""


def _only(raw: str, rs: str) -> str:
    """The one valued repetition; "" when there are several."""
    if not raw:
        return raw
    found = [r for r in _reps(raw, rs) if r.strip(_BLANK)]
    return found[0] if len(found) == 1 else ""


def _part(raw: str, sep: str, i: int) -> str:
    if not raw:
        return raw
    parts = raw.split(sep)
    return parts[i] if i < len(parts) else ""


def _traced_one(raw: str, rs: str) -> str:
    found = _reps(raw, rs)
    return found[0] if found else ""


def _traced_comp(raw: str, rs: str, cs: str, i: int) -> str:
    return _part(_traced_one(raw, rs), cs, i)


# -- questions -----------------------------------------------------------------------------------------------


def _valued(raw: str) -> bool:
    return bool(raw) and raw != '""' and bool(raw.strip(_BLANK))


_NODE = re.compile(r"\d+(?:\.\d+)*(?:\.0)+")
"""What holds other things in a containment tree: 1.0.0.0, 1.2.0.0 (IHE PCD-01, OBX-4)."""


def _looks(text: str, like: str) -> bool:
    if like == "number":
        return decimal_of(text) is not None
    if like == "date":
        return read_date(text) is not None
    if like == "node":
        return _NODE.fullmatch(text) is not None
    raise MapError(f"looks like {like}", remedy="use number, date or node")


def _number(text: str, op: str, bound: float) -> bool:
    n = decimal_of(text)
    if n is None:
        return False
    return {"<": n < bound, ">": n > bound, "<=": n <= bound, ">=": n >= bound}[op]


def _is_set(o: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    at: Any = o
    for step in path:
        if isinstance(at, list):
            at = next((e for e in at if isinstance(e, dict)), {})
        if step.endswith("[x]"):
            stem = step[:-3]
            return any(k.startswith(stem) and k[len(stem) : len(stem) + 1].isupper() for k in at)
        at = at.get(step) if isinstance(at, dict) else None
        if at is None:
            return False
    return bool(at) or at is False or at == 0


# -- laying values down --------------------------------------------------------------------------------------


def _put_one(o: dict[str, Any], name: str, value: Any, x: Any) -> None:
    """The twin's assignment: an equal value from a second row lends its source, another value is flagged."""
    if name in o:
        if o[name] == value:
            o[name] = absorb(o[name], value)
        return
    if any(k != name and _same_choice(k, name) for k in o):
        return
    o[name] = value


_CHOICES = (
    "value", "effective", "onset", "deceased", "multipleBirth", "occurrence", "performed", "collected",
    "abatement",
    "timing", "medication", "asNeeded", "bounds", "allowed", "recorded", "born", "age",
)  # fmt: skip
_NOT_CHOICES = frozenset({"valueSet", "recordedDate", "effectivePeriodName"})


def _same_choice(a: str, b: str) -> bool:
    stem = _stem(a)
    return bool(stem) and stem == _stem(b)


@lru_cache(maxsize=4096)
def _stem(name: str) -> str:
    """The choice that an element is one alternative of; "" where it is none."""
    if name in _NOT_CHOICES:
        return ""
    return next((s for s in _CHOICES if name.startswith(s) and name[len(s) :][:1].isupper()), "")


def _put_all(o: dict[str, Any], t: dict[str, Any], x: Any) -> None:
    for k, v in t.items():
        if k not in o:
            o[k] = v
        elif isinstance(v, list):
            o[k] = o[k] + [e for e in v if e not in o[k]]


def _onto(have: dict[str, Any], more: dict[str, Any], mix: Mix = kept) -> None:
    for k, v in more.items():
        if k not in have:
            have[k] = v
        elif have[k] == v:
            have[k] = mix(have[k], v)


def _beside(o: dict[str, Any], name: str, extra: dict[str, Any]) -> None:
    """Put an extension beside the last entry of a list of primitives (FHIR R4 JSON: `_name` runs
    parallel)."""
    n = len(o.get(name, ()))
    if n:
        o["_" + name] = [None] * (n - 1) + [extra]


def _put_all_of(
    o: dict[str, Any],
    lab: dict[str, list[str]],
    name: str,
    label: str,
    entries: list[Any],
    spots: list[Any],
    x: Any,
) -> None:
    """Append the entries that `each` made of segments: none is collapsed, and each is known by its
    segment."""
    o.setdefault(name, []).extend(entries)
    told = x.told.get((name, label))
    if told is None:
        lab.setdefault(name, []).extend([label] * len(entries))
    else:
        lab.setdefault(name, []).extend(told[id(s)][0] if id(s) in told else label for s in spots)
    x.spots.setdefault((name, label), []).extend(zip(spots, entries, strict=True))


# -- segments ------------------------------------------------------------------------------------------------


def _traced_fields(s: Any, x: Any) -> list[str]:
    """The same with addresses: laid out once per run too."""
    known = x.laid.get(id(s))
    if known is None:
        known = x.laid[id(s)] = (s, _addressed(s))
    return known[1]  # type: ignore[no-any-return]


def _addressed(s: Any) -> list[str]:
    if hasattr(s, "traced"):
        merged: list[str] = s.traced()
        return merged + EMPTY[len(merged) :]
    out: list[str] = [TStr(v, (Address(s.name, s.n, i),)) for i, v in enumerate(s.fields)]
    return out + EMPTY[len(out) :]


def _near(x: Any, g: Any, name: str) -> list[str]:
    """The padded fields of the segment `name` for a row standing in `g`; EMPTY where there is none."""
    if name not in x.names:
        return EMPTY
    found: list[str] | None = g.padded.get(name)
    if found is not None:
        return found
    above = g.parent
    if name in g.own:
        found = fields(g.own[name][0], x)
    elif above is None or g.groups:
        s = x.near(g, name)
        found = EMPTY if s is None else fields(s, x)
    else:  # read from outside: all repetitions of this group read the same
        key = (name, g.name)
        found = above.padded.get(key)
        if found is None:
            s = x.near(g, name)
            found = above.padded[key] = EMPTY if s is None else fields(s, x)
    g.padded[name] = found
    return found


def _around(x: Any, g: Any, name: str, segments: frozenset[str], fn: Callable[[Any, Any], Any]) -> Any:
    """What the map `name` reads outside its own segment: worked out once for all repetitions of a group."""
    above = g.parent
    if above is None or g.groups or not segments.isdisjoint(g.own):
        return fn(x, g)
    key = (name, g.name)
    found = above.padded.get(key)
    if found is None:
        found = above.padded[key] = fn(x, g)
    return found


def _near_traced(x: Any, g: Any, name: str) -> list[str]:
    s = x.near(g, name)
    return EMPTY if s is None else _traced_fields(s, x)


# -- values seen before --------------------------------------------------------------------------------------


def remember(x: Any, key: tuple[str, str], make: Callable[[], Any]) -> Any:
    """Make a value and keep it for the next time this text comes; one that left a mark on the run (a flag, a
    failure, a resource made) or whose text needs the message's character set is made anew every time."""
    if not met_before(x, key):
        return make()
    marks, cleared, weak = x.marks, len(x.cleared), len(x.weak)
    value = make()
    if x.marks == marks and len(x.cleared) == cleared and len(x.weak) == weak and keeps(x, key[1]):
        keep(x, key, value)
        return fresh(value)
    return value


def _memo(x: Any, name: str, raw: str, sep: str, fn: Callable[..., Any]) -> Any:
    """A datatype's value; most texts of codes, units, names and places come again and again."""
    found = x.cache.get((name, raw))
    if found is not None:
        return found()
    return remember(x, (name, raw), lambda: fn(raw.split(sep), x))


SPACE: dict[str, Any] = {
    "reps": _reps, "count": _count, "first": _first, "one": _one, "comp": _comp, "nth": _nth, "only": _only,
    "part": _part,
    "valued": _valued, "looks": _looks, "number": _number, "is_set": _is_set,
    "put_list": put_list, "put_entries": put_entries, "put_one": _put_one, "put_all": _put_all,
    "put_all_of": _put_all_of,
    "beside": _beside, "onto": _onto, "memo": _memo,
    "near": _near, "around": _around, "fields": fields, "EMPTY": EMPTY, "NONE": {}, "decimal": decimal_of,
    **{f"B_{name}": fn for name, fn in BUILTIN.items()},
}  # fmt: skip
TRACED: dict[str, Any] = {
    "one": _traced_one,
    "comp": _traced_comp,
    "near": _near_traced,
    "fields": _traced_fields,
    "put_list": partial(put_list, mix=absorb),
    "put_entries": partial(put_entries, mix=absorb),
    "onto": partial(_onto, mix=absorb),
}
