"""One measurement an interval: of drafts that stand for the same interval, the first is written and takes it.

In: a prepared work whose drafts may carry an `Interval`. Out: the same without those whose interval is taken,
and a flag that names them and the rule. An interval is taken by a binding of its key in `identity`, as every
key is: for ever, in the transaction that writes the measurement, under the store's lock. So the same entries
in the same order always give the same, on any number of workers, and however late one arrives it finds what
stands for its interval.

What is stored is never left out again (a correction reaches it), and nothing is left out for the sake of one
that does not count: deleted, entered in error, cancelled; nor, where it stood for what is near to it,
corrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.kernel.message import Draft, Flag
from engine.store.columns import span_of
from engine.store.plan import Prepared
from engine.store.state import Row, State

__all__ = ["LEFT_OUT", "flags_of", "interval_keys", "left_out", "named", "one_an_interval"]

LEFT_OUT = "downsampled"
"""The code of the flag that names what was not written."""
_VOID = frozenset({"entered-in-error", "cancelled"})
_CORRECTED = frozenset({"corrected", "amended"})
_FOREVER = 1 << 62


def interval_keys(works: Iterable[Prepared], state: State) -> set[bytes]:
    """Return the keys of the intervals that these works speak of."""
    return {
        _interval(draft, state)
        for work in works
        for draft in work.work.drafts
        if draft.interval is not None and draft.interval.key[1]
    }


def left_out(flags: Iterable[Flag]) -> int:
    """Count the measurements that flags name as not written."""
    return sum(flag.where.count(",") + 1 for flag in flags if flag.code == LEFT_OUT)


def one_an_interval(prepared: Prepared, state: State) -> tuple[Prepared, list[Flag]]:
    """Leave out the drafts whose interval something stands for; what is kept takes its interval.

    Of several of one message the one measured first is kept.
    """
    drafts = prepared.work.drafts
    if all(draft.interval is None for draft in drafts):
        return prepared, []
    series = [n for n, draft in enumerate(drafts) if draft.interval is not None and draft.interval.key[1]]
    flags = _taken_back(prepared, state)
    if not series:
        return prepared, flags
    series.sort(key=lambda place: (span_of("Observation", drafts[place].body)[0] or _FOREVER, place))
    keys = list(prepared.keys)
    owns = {place: _own(keys[place], state) for place in series}
    intervals = {place: _interval(drafts[place], state) for place in series}
    taken = {
        key: place  # what stands for it already and is of this work, perhaps to be rebuilt by it
        for place, key in intervals.items()
        if owns[place] is not None and state.by_key.get(key) is owns[place]
    }
    out: dict[int, str] = {}  # place -> rule
    for place, key in intervals.items():
        own, there = owns[place], state.by_key.get(key)
        if there is None and key not in taken:
            taken[key] = place
            keys[place] = [*keys[place], key]
        elif taken.get(key) != place and not _stored(own):
            near = (one := drafts[place].interval) is not None and one.near
            if key in taken or (there is not None and _counts(there, near)):
                out[place] = _rule(drafts[place])
    if not out:
        return replace(prepared, keys=keys), flags
    prepared.work.search += ((LEFT_OUT, "any"),)
    flags += flags_of(out, named(drafts))
    left = [place for place in range(len(drafts)) if place not in out]
    found = {place: n for n, place in enumerate(left)}
    return (
        replace(
            prepared,
            work=replace(prepared.work, drafts=[drafts[place] for place in left]),
            keys=[keys[place] for place in left],
            patients=[prepared.patients[place] for place in left],
            alone=[found[place] for place in prepared.alone if place in found],
        ),
        flags,
    )


def _own(keys: list[bytes], state: State) -> Row | None:
    """Return what is known under one of the keys of a draft."""
    return next((row for key in keys if (row := state.by_key.get(key)) is not None), None)


def _interval(draft: Draft, state: State) -> bytes:
    assert draft.interval is not None
    return state.keys.identity(draft.type, *draft.interval.key)


def _rule(draft: Draft) -> str:
    return draft.interval.rule if draft.interval is not None else ""


def _stored(own: Row | None) -> bool:
    """Say whether a measurement is stored already, if only to be rebuilt by a replay."""
    return own is not None and not own.deleted and (own.version > 0 or own.body is not None)


def _counts(row: Row, near: bool) -> bool:
    """Say whether a stored measurement can stand for others, or for those that are `near` to it."""
    if near and row.version > 1:  # it says something else since, and they were near to what it said first
        return False
    not_these = _VOID | _CORRECTED if near else _VOID
    return row.exists and (row.body is None or row.body.value.get("status") not in not_these)


def _says_else(draft: Draft, row: Row) -> bool:
    """Say whether a draft has another value than what is stored."""
    stored = row.body.value if row.body is not None else {}
    names = {name for one in (draft.body, stored) for name in one if name.startswith(("value", "component"))}
    return any(draft.body.get(name) != stored.get(name) for name in names)


def _taken_back(prepared: Prepared, state: State) -> list[Flag]:
    """Tell people that a measurement is taken back, or corrected, that others may have been left out for."""
    flags = []
    for draft, keys in zip(prepared.work.drafts, prepared.keys, strict=True):
        if draft.interval is None:
            continue
        row = _own(keys, state)
        if row is None or not _counts(row, draft.interval.near):
            continue
        if draft.interval.key[1] and not (draft.interval.near and _says_else(draft, row)):
            continue
        text = (
            "it stood for an interval of which other values may have been left out: "
            "hub msg find downsampled:any shows them, a replay writes the first that counts"
        )
        flags.append(Flag("interval-empty", draft.name, text, work=True))
    return flags


def flags_of(out: dict[int, str], names: list[str]) -> list[Flag]:
    """Name what is left out, a flag a rule: place among the drafts -> rule."""
    by_rule: dict[str, list[str]] = {}
    for place, rule in sorted(out.items()):
        by_rule.setdefault(rule, []).append(names[place])
    text = "not written, the journal has it: another stands for its interval"
    return [Flag(LEFT_OUT, ", ".join(places), f"{text}; {rule}") for rule, places in by_rule.items()]


def named(drafts: list[Draft]) -> list[str]:
    """Name drafts as reports do: by type, and place among those of their type."""
    seen: dict[str, int] = {}
    out = []
    for draft in drafts:
        out.append(f"{draft.type}[{seen.get(draft.type, 0)}]")
        seen[draft.type] = seen.get(draft.type, 0) + 1
    return out
