"""The raw fields of a segment, as many as any row may ask for.

In: a segment. Out: its fields with empty ones behind them, so that generated code may ask for any number;
laid out once per run.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EMPTY", "fields"]

WIDTH = 96
EMPTY: list[str] = [""] * WIDTH
_PADS = [EMPTY[n:] for n in range(WIDTH)]


def fields(s: Any, x: Any) -> list[str]:
    """Return the raw fields of a segment, padded."""
    known = x.laid.get(id(s))
    if known is not None:
        return known[1]  # type: ignore[no-any-return]
    f: list[str] = s.fields
    n = len(f)
    padded = f if n >= WIDTH else f + _PADS[n]
    x.laid[id(s)] = (s, padded)  # with the segment, so that no other one can come by its id
    return padded
