"""Destinations as the core store knows them: by number, how each is doing, whose turn it is.

In: names; what a try or a person says; who wants to deliver. Out: numbers for ever, a state that outlives
processes, and the number of the hand-over. Whoever takes a turn gets a new number, and who had it before
finds at its next look that its own is not the newest: it sends nothing more. What it has under way just then
nobody can call back; whoever takes a turn that was not given back is told so, and waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine.store.database import Database, Session
from engine.store.keys import Keys

__all__ = ["Destinations", "Standing", "Turn", "numbered", "plain"]


class Standing(NamedTuple):
    """How a destination stands."""

    state: str = "open"  # open | down | stopped
    handed: int = 0  # the newest hand-over
    holder: str = ""  # who took it; empty: given back


class Turn(NamedTuple):
    """A turn that was taken. `before`: who had it, did not give it back, and was waited for by nobody."""

    number: int
    before: tuple[str, ...] = ()


class Destinations:
    """The destinations of one store."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keyring = database, keys.keyring

    def take(self, destination: str, holder: str) -> Turn:
        """Take the turn at a destination; whoever has it now has it no more."""
        with self._database.write() as session:
            numbered(session, [destination])
            # first the writing: two that take it at once come one after the other
            session.run("UPDATE destination SET handed = handed + 1 WHERE name = ?", (destination,))
            sql = "SELECT handed, holder, before FROM destination WHERE name = ?"
            ((number, last, earlier),) = session.all(sql, (destination,))
            before = {name for name in (last, *earlier.split("\n")) if name not in ("", holder)}
            sql = "UPDATE destination SET holder = ?, before = ? WHERE name = ?"
            session.run(sql, (holder, "\n".join(sorted(before)), destination))
        return Turn(number, tuple(sorted(before)))

    def waited(self, destination: str, number: int) -> None:
        """Hear that whoever had the turn before this one has nothing under way any more."""
        with self._database.write() as session:
            sql = "UPDATE destination SET before = '' WHERE name = ? AND handed = ?"
            session.run(sql, (destination, number))

    def give_back(self, destination: str, number: int) -> None:
        """Give a turn back: nothing is under way any more."""
        with self._database.write() as session:
            sql = "UPDATE destination SET holder = '' WHERE name = ? AND handed = ?"
            session.run(sql, (destination, number))

    def standing(self, destination: str) -> Standing:
        """Return how a destination stands."""
        with self._database.read() as session:
            sql = "SELECT state, handed, holder FROM destination WHERE name = ?"
            rows = session.all(sql, (destination,))
        return Standing(*rows[0]) if rows else Standing()

    def set_state(self, destination: str, state: str, why: str, at: int, by_hand: bool = False) -> None:
        """Write down how a destination is doing. What a person stopped is opened by a person (`by_hand`)."""
        with self._database.write() as session:
            numbered(session, [destination])
            session.run(
                "UPDATE destination SET state = ?, since = ?, why = ? WHERE name = ?"
                + ("" if by_hand else " AND state <> 'stopped'"),
                (state, at, plain(why, 500), destination),
            )


def numbered(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Return the number of each destination, making those that are new."""
    known = {name: number for number, name in session.all("SELECT id, name FROM destination")}
    for name in sorted(set(names) - set(known)):
        known[name] = max(known.values(), default=0) + 1
        if known[name] >= 1 << 12:
            raise ValueError("there are more than 4,095 destinations")
        columns = "id bigint, name text, state text, since bigint, why text"
        session.insert("destination", columns, [(known[name], name, "open", 0, "")])
    return known


def plain(text: str, most: int) -> str:
    """Return the words of another side as every database takes them: no NUL, no half of a pair."""
    return "".join(c if c.isprintable() else " " for c in text[:most])
