"""A core store in memory, and a process's side of it with its lanes.

One transaction is one step nobody sees the inside of: outcomes, resources, marks of lanes and deliveries, all
or nothing, as `engine/store` promises. Every commit is handed to the judge before anybody goes on. What the
worker relies on is here: an entry that has an outcome is not written again, older never overwrites newer, and
who has lost a lane is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from engine.kernel.message import Outcome, Work
from engine.store.deliveries import Delivery
from engine.store.owning import LanesLost

from .outbox import Outbox, OutboxSide
from .schedule import Schedule

T = TypeVar("T")


class Judge(Protocol):
    """Who looks at every commit."""

    def worked(self, work: Work, owner: str, lanes: Collection[int], again: bool) -> None: ...
    def marked(self, lane: int, mark: int) -> None: ...
    def wrote(self, name: tuple[str, str], work: Work, before: int) -> None: ...
    def turned(self, before: Delivery | None, now: Delivery | None) -> None: ...
    def state(self, name: str, before: str, now: str) -> None: ...
    def handed(self, name: str, before: str, holder: str) -> None: ...


@dataclass(slots=True)
class Resource:
    """One resource: who wrote it last, and what it says."""

    position: int = -1
    value: str = ""
    versions: list[tuple[int, str]] = field(default_factory=list)  # (entry, value)
    said: dict[int, int] = field(default_factory=dict)  # position -> newest entry that spoke of it


class Core:
    """What all processes share."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.outcomes: dict[int, Outcome] = {}
        self.marks: dict[int, int] = {}
        self.resources: dict[tuple[str, str], Resource] = {}
        self.written: dict[int, list[tuple[str, str, int, str]]] = {}
        self.owners: dict[int, tuple[int, str]] = {}
        self.handed = 0
        self.outbox = Outbox(judge)

    def side(self, schedule: Schedule) -> CoreSide:
        """Return the core store as one process reaches it."""
        return CoreSide(schedule, self)

    @property
    def rows(self) -> dict[int, Delivery]:
        return self.outbox.rows

    @property
    def states(self) -> dict[str, str]:
        return self.outbox.states

    @property
    def tries(self) -> None:
        """Nobody keeps evidence here."""

    def close(self) -> None: ...

    def record(
        self, work: Work, counts: tuple[int, int], side: CoreSide, at: int, again: bool = False
    ) -> Outcome:
        """Write down what became of an entry, and what is to be delivered of it."""
        self.judge.worked(work, side.owner, side.mine, again)
        written, late = counts
        status = "parked" if work.parked else "done"
        cause = work.parked.code if work.parked else ""
        made = Outcome(
            work.entry, status, cause, written=written, superseded=late, revision=work.revision, at=at
        )
        self.outcomes[work.entry] = made
        self.mark(work.lanes, work.entry)
        if status == "done":
            self.outbox.ask(work, at)
        return made

    def mark(self, lanes: Sequence[int], upto: int) -> None:
        for lane in lanes:
            if upto > self.marks.get(lane, 0):
                self.marks[lane] = upto
                self.judge.marked(lane, upto)

    def write(self, work: Work) -> tuple[int, int]:
        """Write the drafts of a work; return how many were written and how many came too late."""
        written = late = 0
        for draft in work.drafts:
            name = draft.type, draft.id
            found = self.resources.setdefault(name, Resource())
            found.said[work.position] = max(work.entry, found.said.get(work.position, 0))
            if work.position < found.position:
                late += 1
                continue
            self.judge.wrote(name, work, found.position)
            found.position, found.value = work.position, draft.body["value"]
            found.versions.append((work.entry, found.value))
            self.written.setdefault(work.entry, []).append((*name, len(found.versions), "update"))
            written += 1
        return written, late


class CoreSide:
    """The core store as one process reaches it."""

    def __init__(self, schedule: Schedule, core: Core) -> None:
        self._schedule, self._core = schedule, core
        self.mine: dict[int, int] = {}
        self.owner = ""
        self.deliveries = OutboxSide(schedule, core.outbox)

    # -- lanes --------------------------------------------------------------

    def own(self, lanes: Collection[int], owner: str) -> None:
        def take() -> dict[int, int]:
            core = self._core
            core.handed += 1
            for lane in lanes:
                core.owners[lane] = core.handed, owner
            self._schedule.note(f"takes lanes {sorted(lanes)}")
            return dict.fromkeys(lanes, core.handed)

        self.mine |= self._write("own", take, fenced=False)
        self.owner = owner

    def disown(self, lanes: Collection[int]) -> None:
        for lane in lanes:
            self.mine.pop(lane, None)

    def _check(self) -> None:
        owners = self._core.owners
        lost = [lane for lane, number in self.mine.items() if owners.get(lane, (0, ""))[0] != number]
        self.disown(lost)
        if lost:
            raise LanesLost(lost, owners[lost[0]][1])

    # -- writing ------------------------------------------------------------

    def apply(self, batch: Sequence[Work]) -> list[Outcome]:
        return self._write("apply", lambda: [self._applied(work) for work in batch])

    def _applied(self, work: Work) -> Outcome:
        core = self._core
        if work.entry in core.outcomes:
            core.mark(work.lanes, work.entry)
            return core.outcomes[work.entry]
        counts = (0, 0) if work.parked else core.write(work)
        return core.record(work, counts, self, self._schedule.now)

    def rerun(self, works: Sequence[Work], *, who: str = "") -> list[Outcome]:
        def run() -> list[Outcome]:
            now = self._schedule.now
            ordered = sorted(works, key=lambda one: one.position)
            return [self._core.record(work, self._core.write(work), self, now, True) for work in ordered]

        return self._write("rerun", run)

    def advance(self, lanes: Sequence[int], upto: int) -> None:
        self._write("advance", lambda: self._core.mark(lanes, upto))

    def _write(self, what: str, do: Callable[[], T], *, fenced: bool = True) -> T:
        s = self._schedule
        s.cross(f"store.{what}")
        s.fails(1.0 if s.full else s.faults.before, f"store.{what}, before,")
        if fenced:
            self._check()
        done = do()
        s.note(f"store.{what}")
        s.fails(s.faults.after, f"store.{what}, after,")
        s.cross(f"store.{what} done")
        return done

    # -- reading ------------------------------------------------------------

    def watermarks(self) -> dict[int, int]:
        return self._read("watermarks", lambda: dict(self._core.marks))

    def outcome(self, entry: int) -> Outcome | None:
        return self._read("outcome", lambda: self._core.outcomes.get(entry))

    def written_by(self, entry: int) -> list[tuple[str, str, int, str]]:
        return self._read("written_by", lambda: list(self._core.written.get(entry, ())))

    def entries_touching(self, resources: Sequence[tuple[str, str]], after: int) -> list[tuple[int, int]]:
        def ask() -> list[tuple[int, int]]:
            found: dict[int, int] = {}
            for name in resources:
                for position, entry in self._core.resources.get(name, Resource()).said.items():
                    if position > after:
                        found[position] = max(entry, found.get(position, 0))
            return sorted(found.items())

        return self._read("entries_touching", ask)

    def find(self, kind: str, value: str, limit: int = 100) -> list[int]:
        return []  # no channel of the simulation parks by key

    def read(self, type: str, id: str) -> dict[str, Any] | None:
        found = self._read("read", lambda: self._core.resources.get((type, id)))
        if not found:
            return None
        meta = {"versionId": str(len(found.versions))}
        return {"resourceType": type, "id": id, "value": found.value, "meta": meta}

    def _read(self, what: str, do: Callable[[], T]) -> T:
        s = self._schedule
        s.cross(f"store.{what}")
        s.fails(s.faults.before, f"store.{what}")
        return do()
