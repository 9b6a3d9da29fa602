"""A replay of many: every one tried first, the differences grouped, then released in the order of origins.

In: entries, a pipeline. Out: a `Rehearsed` that grows while it runs: how many are done, what state they would
have, which resources would come out different, grouped by element and kind of difference with samples.
Nothing is stored while it runs. Each entry is tried against what stands today; a resource that several of
them would change counts once, as the last of them leaves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from engine.channels.message.rehearsing import DryRun
from engine.channels.replay import AT_ONCE, ask_replays, due_replays
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import HubError
from engine.store.sql import SqlStore

__all__ = ["MOST", "Group", "Rehearsed", "release", "try_many"]

MOST = 20_000  # entries of one replay
_SAMPLES = 5
_PLACES = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class Group:
    """Differences of one kind at one element, over all resources."""

    element: str  # Observation.valueQuantity.unit; a type alone: the whole resource
    kind: str  # new | added | removed | changed | deleted
    count: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)  # (entry, Type/id)


@dataclass(slots=True)
class Rehearsed:
    """What a replay of many would come to, as far as it has been worked out."""

    entries: tuple[int, ...]
    done: int = 0
    ended: bool = False
    quiet: int = 0  # nothing would come out different
    changing: list[int] = field(default_factory=list)
    parked: dict[str, list[int]] = field(default_factory=dict)  # cause -> entries
    unreadable: list[int] = field(default_factory=list)
    revisions: dict[str, int] = field(default_factory=dict)
    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    problem: str = ""
    _resources: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def resources(self) -> int:
        """How many resources would come out different."""
        return len(self._resources)

    def sorted_groups(self) -> list[Group]:
        """Return the groups, those of most resources first."""
        return sorted(self.groups.values(), key=lambda g: (-g.count, g.element))

    def add(self, one: DryRun) -> None:
        """Take the dry run of one entry in."""
        self.revisions[one.revision] = self.revisions.get(one.revision, 0) + 1
        if one.state == "parked":
            self.parked.setdefault(one.cause, []).append(one.entry)
            return
        if one.quiet:
            self.quiet += 1
            return
        self.changing.append(one.entry)
        for change in one.changes:
            name = change.type, change.id
            for key in self._resources.pop(name, ()):
                group = self.groups[key]
                group.count -= 1
                if not group.count:
                    del self.groups[key]
            keys = [(change.type, change.kind)] if change.kind != "changed" else []
            keys += list(dict.fromkeys((_PLACES.sub("", d.path), d.kind) for d in change.differences))
            self._resources[name] = keys
            for key in keys:
                group = self.groups.setdefault(key, Group(*key))
                group.count += 1
                if len(group.samples) < _SAMPLES and one.entry not in (n for n, _ in group.samples):
                    group.samples.append((one.entry, f"{change.type}/{change.id}"))


def try_many(
    entries: Sequence[int],
    attempt: Callable[[int], DryRun],
    into: Rehearsed,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Try the replay of every entry, in order; `into` is filled as it goes."""
    try:
        for number in entries:
            if stop():
                into.problem = "stopped"
                return
            try:
                into.add(attempt(number))
            except UnreadableEntry:
                into.unreadable.append(number)
            into.done += 1
    except HubError as e:
        into.problem = str(e)
    finally:
        into.ended = True


def release(
    journal: SqlJournal,
    store: SqlStore,
    entries: Iterable[int],
    who: str,
    why: str,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[int, int]:
    """Ask for the replays, in the order of their origins; returns entry -> its replay.

    An entry whose body is gone is left out, and one whose replay waits already.
    """
    made: dict[int, int] = {}
    due = set(due_replays(journal, store))
    lines = journal.search.lines(list(entries))
    lines.sort(key=lambda line: (line.position, line.id))
    numbers = [line.id for line in lines if line.id not in due and not line.deleted]
    for at in range(0, len(numbers), AT_ONCE):
        made |= ask_replays(journal, numbers[at : at + AT_ONCE], who, why)
        progress(len(made))
    return made
