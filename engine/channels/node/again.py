"""When something that did not work is tried again: later each time, not all at once.

In: how often it was tried, a random number. Out: milliseconds to wait.
"""

from __future__ import annotations

__all__ = ["wait_ms"]

FIRST, LONGEST = 5_000, 900_000


def wait_ms(tries: int, chance: float) -> int:
    """Return the pause after `tries` failures: doubled each time up to 15 minutes, less up to a third."""
    longest = min(LONGEST, FIRST * 2 ** min(max(tries - 1, 0), 20))
    return int(longest * (1 - chance / 3))
