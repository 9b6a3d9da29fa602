"""The core store: FHIR R4 resources with their versions, the change feed, and what became of every entry.

In: works (an entry's drafts, or its parking). Out: outcomes, resources, pages, feed rows. SQLite by default,
PostgreSQL by URL, one schema. `apply` and `rerun` are one transaction each; reads see one snapshot each and
may come from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.message import Flag, Outcome, Work
from engine.store import outcomes as _outcomes
from engine.store.about import Held, held_about
from engine.store.apply import apply_one, begin, done, load_for, parked
from engine.store.audit import Audit
from engine.store.chain import chain_of, touches_of
from engine.store.closing import Closing
from engine.store.database import Database, Session
from engine.store.deliverydesk import Deliveries
from engine.store.finding import Finding
from engine.store.gaps import Gaps, Ledger
from engine.store.keys import Keyring, Keys, id_text
from engine.store.links import settle_pending
from engine.store.migrations import migrate
from engine.store.owning import Owning
from engine.store.pack import Bodies
from engine.store.plan import Prepared, prepare
from engine.store.provenance import entry_of, provenance, provenance_about
from engine.store.read import Change, Reader, StoredVersion
from engine.store.rehearsal import Rehearsal, rehearse
from engine.store.rerun import Stopped, rerun
from engine.store.search import Page, SearchError, first_seq, search
from engine.store.state import State, Types
from engine.store.waiting import Waiting
from engine.store.writer import Writer
from engine.store.written import Wrote, wrote

__all__ = ["SqlStore"]

T = TypeVar("T")


class SqlStore:
    """The core store on an SQL database."""

    def __init__(self, database: Database, keyring: Keyring, cache_bytes: int) -> None:
        self._database = database
        self._keys = Keys(keyring)
        self._types = Types()
        self._bodies = Bodies(cache_bytes)
        self._concepts: set[int] = set()
        self._ledger = Ledger()
        self._owning = Owning()
        self.audit = Audit(database, keyring)
        self.gaps = Gaps(database, self._keys)
        self.waiting = Waiting(database)
        self.closing = Closing(database, self._keys)
        self.finding = Finding(database, self._keys)
        self.deliveries = Deliveries(database, self._keys)

    @classmethod
    def open(cls, url: str, keyring: Keyring, *, cache_bytes: int = 64 << 20) -> SqlStore:
        """Open a store, making or upgrading its tables. Raises StoreUnavailable, ConfigError."""
        database = Database(url)
        try:
            migrate(database.engine)
        except HubError:
            database.close()
            raise
        except Exception as error:
            database.close()
            raise database.translated(error) from error
        return cls(database, keyring, cache_bytes)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def identify(self, type: str, system: str, value: str) -> str:
        """Return the id that a resource gets from its key: keyed, so that nobody can guess who hides behind
        it.

        Drafts whose ids are made this way cost one row for id and key together.
        """
        return id_text(self._keys.identity(type, system, value))

    # -- writing ------------------------------------------------------------

    def apply(self, batch: Sequence[Work], *, confirmed: Collection[int] = ()) -> list[Outcome]:
        """Write a batch of works in one transaction and return their outcomes, in order.

        An entry that has an outcome is not written again. `confirmed` holds entries whose demographics a
        person has checked. Raises StoreUnavailable; then nothing was written.
        """
        prepared = [prepare(work, self._keys) for work in batch]
        return self._one_by_one_if_needed(prepared, lambda part: self._apply(part, confirmed))

    def _apply(self, batch: Sequence[Prepared], confirmed: Collection[int]) -> list[Outcome]:
        with self._transaction() as (state, writer):
            known = done(state.session, [prepared.work.entry for prepared in batch])
            fresh = [prepared for prepared in batch if prepared.work.entry not in known]
            load_for(fresh, state)
            made: dict[int, Outcome] = {}
            for prepared in fresh:
                work = prepared.work
                if work.entry not in made:
                    outcome = made[work.entry] = apply_one(prepared, state, writer, confirmed)
                    writer.outcome(outcome, work)
            if known:
                made |= _outcomes.outcomes_of(state.session, list(known))
                for prepared in batch:
                    writer.advance(prepared.work.lanes, prepared.work.entry)
            return [made[prepared.work.entry] for prepared in batch]

    def rerun(
        self, works: Sequence[Work], *, who: str = "", why: str = "", confirmed: Collection[int] = ()
    ) -> list[Outcome]:
        """Write works again in the order of their positions, in one transaction; only final states become
        versions.

        If one of them must be parked, nothing of the run is kept except that parking, and that only where the
        entry was not done before; its outcome is then the only one returned.
        """
        prepared = [prepare(work, self._keys) for work in works]
        reason = f"{who}: {why}" if why else who
        try:
            with self._transaction() as (state, writer):
                return rerun(prepared, state, writer, confirmed, reason)
        except Stopped as stopped:
            with self._transaction() as (state, writer):
                before = _outcomes.outcome(state.session, stopped.work.entry)
                if before is None or before.status != "done":
                    writer.outcome(stopped.outcome, stopped.work, reason)
            return [stopped.outcome]

    def rehearse(self, works: Sequence[Work], *, again: bool = False) -> Rehearsal:
        """Work out what works would write, and write nothing; `again`: as `rerun` does, else as `apply`.

        Raises StoreUnavailable.
        """
        prepared = [prepare(work, self._keys) for work in works]
        return rehearse(prepared, self._database, self._keys, (self._types, self._bodies), again)

    def _one_by_one_if_needed(
        self, batch: Sequence[Prepared], write: Callable[[Sequence[Prepared]], list[Outcome]]
    ) -> list[Outcome]:
        """Write a batch; if something in it breaks the transaction, write its works alone, so that only that
        one parks.
        """
        try:
            return write(batch)
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(batch) != 1:
                return [
                    outcome for prepared in batch for outcome in self._one_by_one_if_needed([prepared], write)
                ]
            work = batch[0].work
            where = error.where if isinstance(error, HubError) else ""
            # only the kind of error: its text may quote what it stumbled over
            flag = Flag(
                "cannot-store", where, f"the store cannot write it ({type(error).__name__})", work=True
            )
            bare = replace(
                work, drafts=[], flags=[], search=(), deliveries=(), gaps=(), sender=ascii(work.sender)[1:-1]
            )
            with self._transaction() as (state, writer):
                outcome = parked(bare, flag, state.at)
                writer.outcome(outcome, bare)
            return [outcome]

    @contextmanager
    def _transaction(self) -> Iterator[tuple[State, Writer]]:
        try:
            with self._database.write() as session:
                state = begin(session, self._keys, self._types, self._bodies, self._owning)
                writer = Writer(state, self._keys, self._concepts, self._ledger)
                yield state, writer
                settle_pending(writer)
                writer.flush()
        except BaseException:
            self._ledger.clear()
            raise
        for seq, body in writer.new_bodies:
            self._bodies.put(seq, body)
        self._concepts |= writer.new_concepts
        self._types.take(state.types)
        for name, number in writer.new_types.items():
            self._types.numbers[name] = number
            self._types.names[number] = name

    def own(self, lanes: Collection[int], owner: str) -> None:
        """Take lanes over from whoever has them. From then on every transaction of this object raises
        LanesLost, with nothing written, once somebody else has taken one of them.
        """
        with self._database.write() as session:
            taken = self._owning.take(session, lanes, owner)
        self._owning.taken(taken)

    def disown(self, lanes: Collection[int]) -> None:
        """Work on these lanes no more."""
        self._owning.leave(lanes)

    def owners(self) -> dict[int, str]:
        """Return who took each lane last."""
        with self._database.read() as session:
            return dict(session.all("SELECT lane, owner FROM lane_owner"))

    def advance(self, lanes: Sequence[int], upto: int) -> None:
        """Raise the watermark of lanes where entries need nothing written."""
        with self._transaction() as (_, writer):
            writer.advance(lanes, upto)

    def delete(self, type: str, id: str, *, entry: int = 0) -> bool:
        """Delete a resource: a tombstone in the feed, its versions stay. Returns whether there was one."""
        with self._transaction() as (state, writer):
            found = self._reader(state.session).row(type, id)
            if found is None or found.deleted:
                return False
            writer.delete(found, entry)
            return True

    # -- reading ------------------------------------------------------------

    def _reader(self, session: Session) -> Reader:
        return Reader(session, self._keys, self._types, self._bodies)

    def _read(self, ask: Callable[[Reader], T]) -> T:
        with self._database.read() as session:
            return ask(self._reader(session))

    def read(self, type: str, id: str) -> dict[str, Any] | None:
        """Return a current resource, or None if there is none (`gone` says whether there was)."""

        def ask(reader: Reader) -> dict[str, Any] | None:
            if type == "Provenance" and (entry := entry_of(id)) is not None:
                return provenance(reader, entry)
            row = reader.row(type, id)
            return None if row is None else reader.current(row)

        return self._read(ask)

    def gone(self, type: str, id: str) -> bool:
        """Say whether a resource was there and has been deleted."""

        def ask(reader: Reader) -> bool:
            row = reader.row(type, id)
            return row is not None and bool(row.deleted)

        return self._read(ask)

    def vread(self, type: str, id: str, version: int) -> StoredVersion | None:
        """Return one version of a resource."""
        return self._read(lambda reader: reader.version(type, id, version))

    def history(self, type: str, id: str) -> list[StoredVersion]:
        """Return all versions of a resource, newest first."""
        return self._read(lambda reader: reader.versions(type, id))

    def search(
        self, type: str, parameters: Sequence[tuple[str, str]], count: int = 50, cursor: str | None = None
    ) -> Page:
        """Return one page of a search; raises SearchError for what is not supported."""

        def ask(reader: Reader) -> Page:
            if type != "Provenance":
                return search(reader, type, parameters, count, cursor)
            targets = [value.split("/") for name, value in parameters if name == "target"]
            if len(parameters) != 1 or len(targets) != 1 or len(targets[0]) != 2:
                raise SearchError("Provenance is searched by target=Type/id alone", where="target")
            return Page(provenance_about(reader, *targets[0]), None)

        return self._read(ask)

    def feed(
        self, since: int = 0, limit: int = 100, *, bodies: bool = False, of: Collection[str] | None = None
    ) -> list[Change]:
        """Return the changes after a feed position, in commit order; `of`: bodies of these types alone."""
        return self._read(lambda reader: reader.feed(since, limit, bodies, of))

    def position_before(self, at: int) -> int:
        """Return the feed position after which everything was written at or after a time (ms)."""
        return self._read(lambda reader: first_seq(reader, at) - 1)

    def head(self) -> int:
        """Return the newest feed position."""
        return self._read(
            lambda reader: int(reader.session.all("SELECT seq FROM core_clock WHERE id = 1")[0][0])
        )

    def written_by(self, entry: int) -> list[tuple[str, str, int, str]]:
        """Return (type, id, version, op) of everything an entry wrote."""
        return self._read(lambda reader: reader.written_by(entry))

    def wrote(self, *entries: int, most: int = 200, at: int | None = None) -> list[Wrote]:
        """Return what entries wrote, each with what was there before; `most` of it; `at`: at that moment."""
        return self._read(lambda reader: wrote(reader, entries, most, at))

    def entries_touching(self, resources: Sequence[tuple[str, str]], after: int) -> list[tuple[int, int]]:
        """Return (position, newest entry) of all that spoke of these resources (type, id) after a position,
        in order.

        Linking to a resource (`write: create`) is not speaking of it, and entries that changed nothing are
        known only for resources about a patient.
        """

        def ask(reader: Reader) -> list[tuple[int, int]]:
            rows = [row for row in (reader.row(*one) for one in resources) if row is not None]
            found: dict[int, int] = {}
            for links in chain_of(reader.session, [row.rid for row in rows]).values():
                for link in links:
                    if link.position > after and link.op in (1, 2):
                        found[link.position] = max(link.entry, found.get(link.position, 0))
            for touches in touches_of(reader.session, [row.rid for row in rows], after).values():
                for position, entry in touches:
                    found[position] = max(entry, found.get(position, 0))
            return sorted(found.items())

        return self._read(ask)

    def held_about(self, patients: Collection[str], most: int = 20_000) -> Held:
        """Return what is held about Patients (ids) and all that a merge joined with them."""
        return self._read(lambda reader: held_about(reader, patients, most))

    def outcome(self, entry: int) -> Outcome | None:
        """Return what became of an entry, or None if nothing has yet."""
        return self._read(lambda reader: _outcomes.outcome(reader.session, entry))

    def outcomes(
        self, *, after: int = 0, limit: int = 100, newest_first: bool = False, **filters: str
    ) -> list[Outcome]:
        """Return outcomes by entry id; filters: status, cause, channel, sender. `after` is where the last
        page ended.
        """
        return self._read(
            lambda reader: _outcomes.outcomes(reader.session, after, limit, filters, newest_first)
        )

    def parked(self, *, after: int = 0, limit: int = 100) -> list[Outcome]:
        """Return the entries that wait for a person, oldest first."""
        return self.outcomes(after=after, limit=limit, status="parked")

    def watermarks(self) -> dict[int, int]:
        """Return the watermark of every lane."""
        return self._read(lambda reader: _outcomes.watermarks(reader.session))

    def find(self, kind: str, value: str, limit: int = 100) -> list[int]:
        """Return the entries known under a word (`Work.search`), newest first."""
        return self._read(lambda reader: _outcomes.find(reader.session, self._keys, kind, value, limit))

    def known(self, entries: Sequence[int], kind: str, value: str) -> set[int]:
        """Return which of these entries are known under a word."""
        return self._read(lambda reader: _outcomes.known(reader.session, self._keys, entries, kind, value))

    def outcomes_of(self, entries: Sequence[int]) -> dict[int, Outcome]:
        """Return the outcomes of these entries; those nobody has worked on are left out."""
        return self._read(lambda reader: _outcomes.outcomes_of(reader.session, entries))
