"""What the supervisor knows of its children, for the health process: a few bytes of shared memory.

In: the names of the children, before any is forked. Out: their states, and whether the node is stopping.
Nothing is locked and nothing can be left behind: the memory is gone with the last process.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

__all__ = ["DOWN", "READY", "STARTING", "Board"]

DOWN, STARTING, READY = 0, 1, 2


class Board:
    """The states of the children of one supervisor."""

    def __init__(self, names: Sequence[str]) -> None:
        self._at = {name: number for number, name in enumerate(names, 1)}
        self._memory = mmap.mmap(-1, len(names) + 1)

    def put(self, name: str, state: int) -> None:
        """Say how a child is."""
        self._memory[self._at[name]] = state

    def states(self) -> dict[str, int]:
        """Return how every child is."""
        return {name: self._memory[at] for name, at in self._at.items()}

    def drain(self) -> None:
        """Say that this node stops."""
        self._memory[0] = 1

    @property
    def draining(self) -> bool:
        """Say whether this node stops."""
        return bool(self._memory[0])
