"""What works would write, worked out by the very code that writes, and then thrown away.

In: works (an entry's drafts, or a replay with all that came later). Out: a `Rehearsal`: the outcomes, and of
every resource the body before and after. Nothing is stored. It runs in a snapshot for reading, which waits
for nobody and stops nobody; only where the plan must find its own rows again (merges, moves, references that
wait for a target) does it take the write lock, and rolls back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.message import Flag, Outcome
from engine.store.apply import apply_one, begin, load_for, parked
from engine.store.content import Version
from engine.store.database import Database, Session
from engine.store.gaps import Ledger
from engine.store.keys import Keys
from engine.store.links import settle_pending
from engine.store.pack import Bodies
from engine.store.plan import Prepared
from engine.store.rerun import Stopped, rerun
from engine.store.state import Row, State, Types
from engine.store.writer import Writer

__all__ = ["Made", "Rehearsal", "rehearse"]

_PRIVATE = 16 << 20  # bytes of bodies kept while the lock is held


@dataclass(frozen=True, slots=True)
class Made:
    """One resource as a rehearsal leaves it. `before` None: it would be new; `after` None: deleted."""

    type: str
    id: str
    version: int  # the version that it has now; 0 = none
    entry: int  # the entry of the run that has the last word on it
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(slots=True)
class Rehearsal:
    """What a run would come to."""

    outcomes: list[Outcome] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)


class _MustWrite(Exception):
    """The plan must find its own rows again: this cannot be worked out in a snapshot."""


class _Snapshot(Session):
    """A session that only reads."""

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        raise _MustWrite

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
        raise _MustWrite

    def update(self, table: str, key: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        raise _MustWrite


class _Watched(Writer):
    """A writer that notes what each version says and what was there before the run."""

    def __init__(self, state: State, keys: Keys) -> None:
        super().__init__(state, keys, set(), Ledger())
        self.seen: dict[int, Made] = {}

    def write(
        self, entry: int, versions: Sequence[Version], position: int | None, op: int | None = None
    ) -> None:
        for version in versions:
            before = version.before.value if version.before is not None else None
            self._note(version.row, entry, before, version.body.value)
        super().write(entry, versions, position, op)

    def delete(self, row: Row, entry: int) -> None:
        self._note(row, entry, row.body.value if row.body is not None else None, None)
        super().delete(row, entry)

    def _note(
        self, row: Row, entry: int, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        first = self.seen.get(row.rid)
        version = first.version if first is not None else row.version
        was = first.before if first is not None else _named(row, before)
        self.seen[row.rid] = Made(row.type, row.id, version, entry, was, _named(row, after))

    def flush(self) -> None:
        if isinstance(self.state.session, _Snapshot):
            raise _MustWrite
        super().flush()


def rehearse(
    prepared: Sequence[Prepared],
    database: Database,
    keys: Keys,
    shared: tuple[Types, Bodies],
    again: bool,
    confirmed: Collection[int] = (),
) -> Rehearsal:
    """Work out what works would write; `again`: as a replay runs. Raises StoreUnavailable."""

    def run(session: Session, types: Types, bodies: Bodies) -> Rehearsal:
        state = begin(session, keys, types, bodies)
        writer = _Watched(state, keys)
        outcomes = (_again if again else _first)(prepared, state, writer, confirmed)
        if isinstance(session, _Snapshot) and _may_settle(writer):
            raise _MustWrite
        settle_pending(writer)
        return Rehearsal(outcomes, list(writer.seen.values()))

    try:
        try:
            with database.read() as session:
                return run(_Snapshot(session.connection, session.postgres), *shared)
        except _MustWrite:
            # what is read here of rows that will not stay must not reach the memory that others share
            with database.undone() as session:
                return run(session, Types(), Bodies(_PRIVATE))
    except StoreUnavailable:
        raise
    except Stopped as stopped:
        return Rehearsal([stopped.outcome])
    except Exception as error:
        where = error.where if isinstance(error, HubError) else ""
        text = f"the store cannot write it ({type(error).__name__})"
        flag = Flag("cannot-store", where, text, work=True)
        return Rehearsal([parked(one.work, flag, 0) for one in prepared[:1]])


def _first(
    prepared: Sequence[Prepared], state: State, writer: Writer, confirmed: Collection[int]
) -> list[Outcome]:
    load_for(prepared, state)
    return [apply_one(one, state, writer, confirmed) for one in prepared]


def _again(
    prepared: Sequence[Prepared], state: State, writer: Writer, confirmed: Collection[int]
) -> list[Outcome]:
    return rerun(prepared, state, writer, confirmed, "")


def _may_settle(writer: Writer) -> bool:
    """Say whether something waits for an identifier that this run brings."""
    state = writer.state
    if not writer.named:
        return False
    macs = [state.keys.token(*identifier) for identifier in writer.named]
    sql = "SELECT rid FROM pending_reference WHERE mac IN (...)"
    return writer.waits or bool(state.session.among(sql, macs))


def _named(row: Row, body: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put type and id before a body."""
    if body is None:
        return None
    rest = {name: value for name, value in body.items() if name not in ("resourceType", "id", "meta")}
    return {"resourceType": row.type, "id": row.id, **rest}
