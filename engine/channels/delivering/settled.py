"""Up to where everything that came has been worked off: what is delivered as it came must not go beyond.

In: the journal's heads, the watermarks of the core store. Out: an entry id. Several workers commit in no
order: entry 100 may ask for its delivery before entry 99 does.
"""

from __future__ import annotations

from engine.channels.sides import JournalSide, StoreSide

__all__ = ["settled"]

WINDOW = 2_000  # entries looked at: more are seen by the next look


def settled(journal: JournalSide, store: StoreSide) -> int:
    """Return the entry up to which every one is worked off. Raises StoreUnavailable."""
    marks = store.watermarks()  # first: what is worked off after this counts as open
    after = min((marks.get(n, 0) for n in range(journal.lanes)), default=0)
    for number, lanes in journal.heads(after, WINDOW):
        if any(marks.get(n, 0) < number for n in lanes):
            return number - 1
        after = number
    return after
