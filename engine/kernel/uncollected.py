"""Python's garbage collector, held while much is made that stays.

It starts whenever enough objects were made, walks all of them, and finds nothing while maps are read and
compiled: a quarter of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the collector; also as a decorator. It goes on afterwards where it was on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
