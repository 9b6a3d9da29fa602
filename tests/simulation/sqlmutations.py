"""Ways to break the SQL of the core store and of the journal that the simulation must notice.

Each takes one clause or one statement out of the real code. A clause that is not there any more breaks the
test, so that whoever rewrites the statement looks here, too. `python -m tests.simulation 0-150 --store sql
--mutation NAME` shows what each leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from engine.journal import appending
from engine.journal.sqlite import SqliteTail
from engine.store.database import Session
from engine.store.deliveries import Asked, Queues
from engine.store.deliverydesk import Deliveries
from engine.store.destinations import Destinations
from engine.store.owning import Owning

SQL_MUTATIONS: dict[str, Callable[[], AbstractContextManager[None]]] = {}


def _mutation(name: str, where: Any, method: str, new: Callable[[Any], Any]) -> None:
    """Register a change: what stands there is given, what is to stand there returned."""

    @contextmanager
    def swapped() -> Iterator[None]:
        before = getattr(where, method)
        setattr(where, method, new(before))
        try:
            yield
        finally:
            setattr(where, method, before)

    SQL_MUTATIONS[name] = swapped


def _clause(name: str, where: Any, method: str, old: str, new: str) -> None:
    """Register a change of a clause in the statements of a method."""

    @contextmanager
    def swapped() -> Iterator[None]:
        right = getattr(where, method)
        before = {what: getattr(Session, what) for what in ("all", "run", "insert")}

        def call(*given: Any, **named: Any) -> Any:
            token = _CLAUSE.set((old, new))
            try:
                return right(*given, **named)
            finally:
                _CLAUSE.reset(token)

        for what, do in before.items():
            setattr(Session, what, _rewriting(do))
        setattr(where, method, call)
        try:
            yield
        finally:
            setattr(where, method, right)
            for what, do in before.items():
                setattr(Session, what, do)

    SQL_MUTATIONS[name] = swapped
    CLAUSES.append((where, method, old))


def _rewriting(do: Any) -> Any:
    def call(session: Session, *given: Any) -> Any:
        old, new = _CLAUSE.get()
        return do(session, *(g.replace(old, new) if isinstance(g, str) and old else g for g in given))

    return call


FOUND = {
    "flush-what-was-skipped": 105,
    "record-in-any-round": 93,
    "again-in-the-same-round": 71,
    "hasten-nothing": 71,
    "held-keys-are-free": 19,
    "take-forgets-who-was-before": 24,
    "as-new-under-the-old-key": 18,
    "the-fence-of-the-store-is-open": 43,
    "twins-are-appended": 14,
    "waited-for-nobody": 24,
}
"""A seed that is known to show it, tried first; where nothing stands here the first few do."""
CLAUSES: list[tuple[Any, str, str]] = []
_CLAUSE: ContextVar[tuple[str, str]] = ContextVar("the clause that is changed", default=("", ""))
"""Of one process of the simulation: a greenlet has a context of its own."""

# -- what works ask for -----------------------------------------------------


def _only_the_first(right: Any) -> Any:
    def note(self: Asked, work: Any, state: Any) -> None:
        for due in work.deliveries[:1]:
            self.add(work.entry, work.position, state.at, due)

    return note


def _each_run_is_another(right: Any) -> Any:
    return lambda self, entry, position, at, due: right(self, entry, entry, at, due)


_mutation("note-only-the-first", Asked, "note", _only_the_first)
_mutation("add-a-replay-as-another", Asked, "add", _each_run_is_another)
_mutation("flush-nothing", Asked, "flush", lambda right: lambda self, session: None)
_clause("flush-what-was-skipped", Asked, "flush", "WHERE delivery.status <> 'skipped'", "")

# -- the loop ---------------------------------------------------------------

_clause("pending-newest-first", Queues, "pending", "ORDER BY d.id", "ORDER BY -d.id")
_mutation("held-keys-are-free", Queues, "held_keys", lambda right: lambda self, destination: set())
_clause("record-in-any-round", Queues, "_one", "AND round = ? AND status = 'pending'", "AND ? >= 0")
_mutation("record-nothing", Queues, "record", lambda right: lambda self, results: None)
_clause(
    "record-without-evidence", Queues, "_one", "SELECT n, verdict, why FROM", "SELECT 1, 'retry', '' FROM"
)
_mutation("body-of-nobody", Queues, "body", lambda right: lambda self, n: right(self, n) and b"text/plain\n-")
_mutation("keep-body-keeps-nothing", Queues, "keep_body", lambda right: lambda self, delivery, body: None)
_mutation("set-state-nothing", Destinations, "set_state", lambda right: lambda self, *given, **named: None)
_mutation(
    "standing-is-open", Destinations, "standing", lambda right: lambda *a: right(*a)._replace(state="open")
)
_clause("take-without-a-number", Destinations, "take", "handed + 1", "handed + 0")
_clause("take-forgets-who-had-it", Destinations, "take", "SELECT handed, holder", "SELECT handed, ''")
_clause("take-forgets-who-was-before", Destinations, "take", "holder, before", "holder, ''")
_mutation("waited-for-nobody", Destinations, "give_back", lambda right: _waited_at_once)
_clause("give-back-what-is-another's", Destinations, "give_back", "AND handed = ?", "AND ? >= 0")
_mutation("hasten-nothing", Queues, "hasten", lambda right: lambda self, destination, after: None)
_clause("some-without-keys", Queues, "some", "p.name, d.status, d.keys,", "p.name, d.status, '[]',")
_clause("told-to-nobody", Queues, "told", "AND status = 'sent'", "AND status = 'never'")
_mutation("told-nothing", Queues, "told", lambda right: lambda self, number, receipt, at: None)

# -- people -----------------------------------------------------------------

_clause("again-in-the-same-round", Deliveries, "send_again", "round = round + 1", "round = round + 0")
_clause("as-new-under-the-old-key", Deliveries, "send_again", ", body = NULL", "")

# -- entries ----------------------------------------------------------------

_mutation("the-fence-of-the-store-is-open", Owning, "check", lambda right: lambda self, session, handed: None)
_mutation("twins-are-appended", SqliteTail, "_lay_out", lambda right: _without_twins)


def _waited_at_once(self: Destinations, destination: str, number: int) -> None:
    self.waited(destination, number)
    with self._database.write() as session:
        sql = "UPDATE destination SET holder = '' WHERE name = ? AND handed = ?"
        session.run(sql, (destination, number))


def _without_twins(self: SqliteTail, connection: Any, batch: Any, keys: Any) -> Any:
    last = connection.execute("SELECT ifnull(max(id), 0) FROM entry").fetchone()[0]
    return appending.lay_out(batch, last, (0, 0), keys, lambda *_: None, lambda *_: None)
