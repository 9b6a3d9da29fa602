"""What is known of senders, kept sealed: counts as far as the journal was read, contracts, coverage.

In: plain JSON records of the observer. Out: the same, and lines for a list. The counts and the entry up to
which they reach change in one transaction: whoever is killed in between has counted nothing, and of two who
read the same entries one is told to start anew.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from engine.staff.database import Part
from engine.staff.sendertables import CONTRACTS, COVERAGES, READING, SENDERS, TYPES

__all__ = ["Contract", "SenderLine", "Senders", "Written"]

Json = dict[str, Any]
_s, _k = SENDERS.c, CONTRACTS.c
_LINES = sa.select(
    _s.id, _s.name, _s.messages, _s.looked, _s.last, _s.day, _s.drift, _k.version, _k.signed, _k.said
).join_from(SENDERS, CONTRACTS, _k.id == _s.contract, isouter=True)


@dataclass(frozen=True, slots=True)
class SenderLine:
    """One sender as a list shows it. Times are ms since the epoch."""

    id: str
    channel: str
    sender: str
    messages: int
    looked: int
    last: int
    day: int
    drift: int
    signed: int | None
    signed_by: str
    version: int


@dataclass(frozen=True, slots=True)
class Contract:
    """A signed contract: what was seen then, who signed it."""

    sender: str
    version: int
    signed: int
    who: str
    note: str
    seen: Json


@dataclass(frozen=True, slots=True)
class Written:
    """One sender as a batch leaves it; `types` are those that changed."""

    channel: str
    sender: str
    seen: Json
    messages: int
    looked: int
    last: int
    day: int
    types: Mapping[str, Json]
    drift: int


class Senders(Part):
    """Senders in `staff.db`."""

    def id_of(self, channel: str, sender: str) -> str:
        """Return the name of a sender in URLs: a keyed hash, as MSH-3 can hold anything."""
        return self.keyring.mac16("console sender", f"{channel}\0{sender}").hex()[:20]

    # -- counts --------------------------------------------------------------------------------------------

    def reached(self) -> int:
        """Return the journal entry up to which everything is counted."""
        with self.database.read() as c:
            return int(c.execute(sa.select(READING.c.entry)).scalar() or 0)

    def seen(self, id_: str) -> Json | None:
        """Return what is counted of a sender."""
        with self.database.read() as c:
            found = c.execute(sa.select(SENDERS.c.seen).where(SENDERS.c.id == id_)).scalar()
        return None if found is None else self._open(found, f"sender:{id_}")

    def types(self, id_: str) -> dict[str, Json]:
        """Return what is counted of every message type of a sender."""
        with self.database.read() as c:
            rows = c.execute(sa.select(TYPES.c.type, TYPES.c.seen).where(TYPES.c.sender == id_)).all()
        return dict(self._open(row.seen, f"sender type:{id_}:{row.type}") for row in rows)

    def type(self, id_: str, name: str) -> Json | None:
        """Return what is counted of one message type of a sender."""
        mac = self._type(name)
        query = sa.select(TYPES.c.seen).where(TYPES.c.sender == id_, TYPES.c.type == mac)
        with self.database.read() as c:
            found = c.execute(query).scalar()
        return None if found is None else self._open(found, f"sender type:{id_}:{mac}")[1]

    def write(self, before: int, after: int, batch: Iterable[Written]) -> bool:
        """Write a batch that reaches from entry `before` to `after`; False where another was quicker."""
        with self.database.write() as c:
            at = c.execute(sa.select(READING.c.entry)).scalar()
            if (at or 0) != before:
                return False
            if at is None:
                c.execute(sa.insert(READING).values(one=1, entry=after))
            else:
                c.execute(sa.update(READING).values(entry=after))
            for one in batch:
                self._write(c, one)
        return True

    def forget(self) -> None:
        """Forget every count and begin at the first entry again; contracts stay."""
        with self.database.write() as c:
            for table in (READING, SENDERS, TYPES, COVERAGES):
                c.execute(sa.delete(table))

    def _write(self, c: sa.Connection, one: Written) -> None:
        id_ = self.id_of(one.channel, one.sender)
        values = {
            "seen": self._seal(one.seen, f"sender:{id_}"),
            "messages": one.messages,
            "looked": one.looked,
            "last": one.last,
            "day": one.day,
            "drift": one.drift,
        }
        done = c.execute(sa.update(SENDERS).where(SENDERS.c.id == id_).values(**values))
        if not done.rowcount:
            sealed = self._seal([one.channel, one.sender], f"sender name:{id_}")
            newest = sa.select(sa.func.max(CONTRACTS.c.id)).where(CONTRACTS.c.sender == id_)
            contract = c.execute(newest).scalar()
            c.execute(sa.insert(SENDERS).values(id=id_, name=sealed, contract=contract, **values))
        for name, seen in one.types.items():
            mac = self._type(name)
            sealed = self._seal([name, seen], f"sender type:{id_}:{mac}")
            where = sa.and_(TYPES.c.sender == id_, TYPES.c.type == mac)
            if not c.execute(sa.update(TYPES).where(where).values(seen=sealed)).rowcount:
                c.execute(sa.insert(TYPES).values(sender=id_, type=mac, seen=sealed))

    # -- lists ---------------------------------------------------------------------------------------------

    def count(self) -> int:
        """Return how many senders there are."""
        with self.database.read() as c:
            return int(c.execute(sa.select(sa.func.count()).select_from(SENDERS)).scalar() or 0)

    def lines(
        self, limit: int = 100, after: str = "", channels: frozenset[str] | None = None
    ) -> list[SenderLine]:
        """Return senders, those with drift first, then the latest; below `after`. `channels`: only these."""
        s = SENDERS.c
        order = (s.drift.desc(), s.last.desc(), s.id)
        query = _LINES.order_by(*order)
        found: list[SenderLine] = []
        with self.database.read() as c:
            if after:
                at = c.execute(sa.select(s.drift, s.last).where(s.id == after)).one_or_none()
                if at is not None:
                    query = query.where(
                        sa.or_(
                            s.drift < at.drift,
                            sa.and_(s.drift == at.drift, s.last < at.last),
                            sa.and_(s.drift == at.drift, s.last == at.last, s.id > after),
                        )
                    )
            for row in c.execute(query):
                line = self._line(row)
                if channels is None or line.channel in channels:
                    found.append(line)
                    if len(found) >= limit:
                        break
        return found

    def line(self, id_: str) -> SenderLine | None:
        """Return one sender's line."""
        with self.database.read() as c:
            row = c.execute(_LINES.where(SENDERS.c.id == id_)).one_or_none()
        return None if row is None else self._line(row)

    def _line(self, row: Any) -> SenderLine:
        channel, sender = self._open(row.name, f"sender name:{row.id}")
        who = (
            self._open(row.said, f"sender contract:{row.id}:{row.version}")[0] if row.said is not None else ""
        )
        return SenderLine(
            row.id,
            channel,
            sender,
            row.messages,
            row.looked,
            row.last,
            row.day,
            row.drift,
            row.signed,
            who,
            row.version or 0,
        )

    # -- contracts -----------------------------------------------------------------------------------------

    def sign(self, id_: str, seen: Json, who: str, note: str, drift: int = 0) -> int:
        """Keep a contract as the one in force; return its version."""
        with self.database.write() as c:
            newest = sa.select(sa.func.max(CONTRACTS.c.version)).where(CONTRACTS.c.sender == id_)
            version = int(c.execute(newest).scalar() or 0) + 1
            made = c.execute(
                sa.insert(CONTRACTS).values(
                    sender=id_,
                    version=version,
                    signed=self.now(),
                    said=self._seal([who, note], f"sender contract:{id_}:{version}"),
                    seen=self._seal(seen, f"sender contract:{id_}:{version}"),
                )
            )
            number = made.inserted_primary_key[0]  # type: ignore[index]
            c.execute(sa.update(SENDERS).where(SENDERS.c.id == id_).values(contract=number, drift=drift))
        return version

    def contract(self, id_: str, version: int = 0) -> Contract | None:
        """Return a contract of a sender; version 0: the newest."""
        query = sa.select(CONTRACTS).where(CONTRACTS.c.sender == id_)
        if version:
            query = query.where(CONTRACTS.c.version == version)
        with self.database.read() as c:
            row = c.execute(query.order_by(CONTRACTS.c.version.desc()).limit(1)).one_or_none()
        if row is None:
            return None
        return self._contract(row, self._open(row.seen, f"sender contract:{id_}:{row.version}"))

    def contracts(self, id_: str, limit: int = 50) -> list[Contract]:
        """Return who signed when, newest first, without what was seen."""
        query = sa.select(CONTRACTS).where(CONTRACTS.c.sender == id_).order_by(CONTRACTS.c.version.desc())
        with self.database.read() as c:
            return [self._contract(row, {}) for row in c.execute(query.limit(limit))]

    def _contract(self, row: Any, seen: Json) -> Contract:
        who, note = self._open(row.said, f"sender contract:{row.sender}:{row.version}")
        return Contract(row.sender, row.version, row.signed, who, note, seen)

    # -- coverage ------------------------------------------------------------------------------------------

    def coverage(self, id_: str) -> tuple[int, str, Json] | None:
        """Return when coverage was looked at last, with which revision of the maps, and what was found."""
        with self.database.read() as c:
            row = c.execute(sa.select(COVERAGES).where(COVERAGES.c.sender == id_)).one_or_none()
        if row is None:
            return None
        return row.made, row.revision, self._open(row.seen, f"sender coverage:{id_}")

    def coverages(self) -> dict[str, tuple[int, str, int]]:
        """Return when, with which revision and up to which entry coverage was looked at, by sender."""
        c_ = COVERAGES.c
        with self.database.read() as c:
            rows = c.execute(sa.select(c_.sender, c_.made, c_.revision, c_.newest)).all()
        return {row.sender: (row.made, row.revision, row.newest) for row in rows}

    def cover(self, id_: str, revision: str, newest: int, seen: Json) -> None:
        """Keep the coverage of a sender in place of what was kept before."""
        sealed = self._seal(seen, f"sender coverage:{id_}")
        values = {"made": self.now(), "revision": revision, "newest": newest, "seen": sealed}
        with self.database.write() as c:
            where = COVERAGES.c.sender == id_
            if not c.execute(sa.update(COVERAGES).where(where).values(**values)).rowcount:
                c.execute(sa.insert(COVERAGES).values(sender=id_, **values))

    # -- sealing -------------------------------------------------------------------------------------------

    def _type(self, name: str) -> str:
        return self.keyring.mac16("console sender type", name).hex()

    def _seal(self, value: Any, what: str) -> bytes:
        return self.keyring.seal(zlib.compress(orjson.dumps(value), 1), what.encode())

    def _open(self, sealed: bytes, what: str) -> Any:
        return orjson.loads(zlib.decompress(self.keyring.unseal(bytes(sealed), what.encode())))
