"""The runs of one message: as it came, its replays, its edited copies; and which of them counts now.

In: which entries are parked or flagged, which entry is a replay or an edited copy of which, and what became
of them. Out: the entries that no longer count, because a later run of the same message went through or was
parked in their place, and the messages that run at this moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

__all__ = ["Runs"]


class Runs:
    """Messages that ran more than once. A message is named by the entry it came as, its root."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._runs: dict[int, list[int]] = {}  # root -> its replays and copies, oldest first
        self._state: dict[int, str] = {}
        self.open: set[int] = set()  # runs without an outcome
        self.past: set[int] = set()  # runs that a later one stands for
        self.newest = 0  # the newest entry that was told of

    def root(self, entry: int) -> int:
        """Return the entry that a run came as."""
        while (before := self._parent.get(entry)) is not None:
            entry = before
        return entry

    def all(self, root: int) -> list[int]:
        """Return the runs of a message, oldest first."""
        return [root, *self._runs.get(root, ())]

    def told(self, again: Iterable[tuple[int, int]]) -> None:
        """Take in replays and copies: (entry, parent), oldest first."""
        for entry, parent in again:
            self.newest = max(self.newest, entry)
            self._parent[entry] = parent
            self._runs.setdefault(self.root(parent), []).append(entry)
            self.open.add(entry)

    def became(self, states: Mapping[int, str]) -> set[int]:
        """Take in what became of runs; returns the roots of those that are new."""
        touched = set()
        for entry, state in states.items():
            if state != self._state.get(entry):
                self._state[entry] = state
                self.open.discard(entry)
                touched.add(self.root(entry))
        return touched

    def settle(self, roots: Iterable[int] | None, parked: Collection[int]) -> None:
        """Work out anew which runs of some messages (None: of all) no longer count."""
        for root in self._runs if roots is None else roots:
            if root not in self._runs:
                continue
            runs = set(self.all(root))
            self.past -= runs
            self.past |= runs - {self.parked(root, parked), self.through(root, parked)}

    def through(self, root: int, parked: Collection[int]) -> int:
        """Return the newest run of a message that was not parked; 0 where there is none."""
        for run in reversed(self.all(root)):
            if run not in parked and (run == root or self._state.get(run, "parked") in ("done", "skipped")):
                return run
        return 0

    def parked(self, root: int, parked: Collection[int]) -> int:
        """Return the run of a message that is parked and that no later one has brought in; 0: none."""
        through = self.through(root, parked)
        newest = max((run for run in self.all(root) if run in parked), default=0)
        return newest if newest > through else 0

    def running(self) -> set[int]:
        """Return the roots of the messages that have a run without an outcome."""
        return {self.root(entry) for entry in self.open}
