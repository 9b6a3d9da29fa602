"""When garbage is collected: between batches or messages, where one has left hardly anything behind.

Python's collector starts when enough objects were made, which is always in the middle of a batch: it then
walks everything the messages of the batch hold, finds nothing, and does so again: 11 % of a worker's CPU.
"""

from __future__ import annotations

import gc
import time

__all__ = ["Collecting"]

EVERY = 30.0  # seconds between looks at what survived the first look
LEFT = 50_000  # objects made and not freed that are worth a look


class Collecting:
    """Takes the collector over for this process; what lives by now is never looked at again."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        self.next = time.monotonic() + EVERY

    def tick(self) -> None:
        """Collect what the last batches left."""
        now = time.monotonic()
        if now < self.next:
            gc.collect(0)
            return
        self.next = now + EVERY
        gc.collect()

    def spare(self) -> None:
        """Collect when much is left: where what came before let go of itself, nothing is."""
        if gc.get_count()[0] > LEFT:
            gc.collect(0)

    def end(self) -> None:
        """Give the collector back."""
        gc.unfreeze()
        gc.enable()
