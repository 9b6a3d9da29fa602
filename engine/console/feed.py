"""`GET /feed`: what changed in the core store, in commit order, for whoever keeps a copy (the EHR core).

In: `since` (0 = from the beginning, then the last `next`), `limit`, `types`, `bodies`. Out: the changes after
it and `next`, the cursor to ask with the next time: no change is ever skipped, and a cursor from before an
older backup was restored is refused with 410 (see `engine.store.cursor`). JSON, or JSON lines where the
Accept header says `application/x-ndjson`.
"""

from __future__ import annotations

from typing import Any

from engine.console.exchange import Ask, Reply
from engine.console.sight import Caller, insufficient
from engine.fhir import jsonio
from engine.fhir.definitions import resource_types
from engine.kernel.clock import iso
from engine.store.cursor import FeedRestored, cursor_at, position_of
from engine.store.read import Change
from engine.store.sql import SqlStore

__all__ = ["BadFeed", "FeedAsk", "read_feed", "understand"]

_LIMIT, _MOST, _LONGEST = 100, 1000, 30.0
_LOOKED_AT = 20_000  # changes looked at in one call, when only some types are wanted


class BadFeed(Exception):
    """A question the feed cannot answer. `status` is 400 or 410."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text, self.status = text, status


class FeedAsk:
    """The parameters of one call, read."""

    def __init__(self, ask: Ask) -> None:
        given = dict(ask.query)
        unknown = set(given) - {"since", "limit", "types", "bodies", "wait"}
        if unknown or len(given) != len(ask.query):
            raise BadFeed("known are since, limit, types, bodies and wait, each once")
        self.since = given.get("since", "0")
        self.limit = min(max(1, _whole(given, "limit", _LIMIT)), _MOST)
        self.wait = min(float(_whole(given, "wait", 0)), _LONGEST)
        self.types = frozenset(t for t in given.get("types", "").split(",") if t)
        wrong = self.types - resource_types()
        if wrong:
            raise BadFeed("types: takes FHIR R4 resource types, comma between")
        bodies = given.get("bodies", "false")
        if bodies not in ("true", "false"):
            raise BadFeed("bodies: takes true or false")
        self.bodies = bodies == "true"
        self.lines = "application/x-ndjson" in ask.headers.get("accept", "")

    def keep_to(self, caller: Caller) -> None:
        """Refuse what the scopes do not give: the feed, and the bodies of each type. Raises Refusal."""
        caller.needs("feed")
        for kind in (sorted(self.types) or ["*"]) if self.bodies else []:
            if caller.limit(kind, "r") is not None:  # one patient's: the feed is everybody's
                raise insufficient(f"system/{kind}.r")


def understand(ask: Ask) -> FeedAsk:
    """Read the parameters of a call; raises BadFeed."""
    return FeedAsk(ask)


def read_feed(store: SqlStore, ask: FeedAsk) -> tuple[Reply, bool]:
    """Return the answer as of now, and whether it moves on; BadFeed: `since` is no cursor of this store."""
    try:
        since = position_of(store, ask.since)
    except ValueError as e:
        raise BadFeed(f"since: {e}") from None
    except FeedRestored as e:
        raise BadFeed(str(e), 410) from None
    head = store.head()
    changes, at = _changes(store, ask, since)
    next_ = cursor_at(store, at)
    rows = [_row(change, ask.bodies) for change in changes]
    if ask.lines:
        body = b"".join(jsonio.dumps(row) + b"\n" for row in [*rows, {"next": next_, "head": head}])
    else:
        body = jsonio.dumps({"changes": rows, "next": next_, "head": head})
    media = "application/x-ndjson" if ask.lines else "application/json"
    about = f"since {since} next {at} changes {len(rows)} bodies {str(ask.bodies).lower()}"
    if ask.types:
        about += f" types {','.join(sorted(ask.types))}"
    return Reply(200, body, media, action="read", what="feed", detail=about), at > since


def _changes(store: SqlStore, ask: FeedAsk, since: int) -> tuple[list[Change], int]:
    """Return the changes that are wanted and the position up to which all were looked at."""
    if not ask.types:
        found = store.feed(since, ask.limit, bodies=ask.bodies)
        return found, found[-1].seq if found else since
    wanted: list[Change] = []
    at = since
    for _ in range(_LOOKED_AT // _MOST):
        page = store.feed(at, _MOST)
        for change in page:
            if change.type in ask.types:
                if ask.bodies:
                    (change,) = store.feed(change.seq - 1, 1, bodies=True)
                wanted.append(change)
            at = change.seq
            if len(wanted) == ask.limit:
                return wanted, at
        if len(page) < _MOST:
            break
    return wanted, at


def _row(change: Change, bodies: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "position": change.seq,
        "type": change.type,
        "id": change.id,
        "version": change.version,
        "op": change.op,
        "at": iso(change.at),
        "entry": change.entry,
        "origin": change.position,
    }
    if bodies:
        row["resource"] = change.body
    return row


def _whole(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadFeed(f"{name}: takes a whole number, 0 or more")
    return int(text)
