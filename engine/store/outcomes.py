"""What became of journal entries: outcomes, watermarks, and finding entries by what a person knows of them.

In: entry ids, filters, plain words to look for. Out: `Outcome` records, lanes, entry ids. Only keyed hashes
are asked for, so a word finds entries and an entry never gives back its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from engine.kernel.message import Flag, Outcome
from engine.store.database import Session
from engine.store.keys import Keys
from engine.store.tables import ENTRY_ERA
from engine.store.writer import outcome_columns

__all__ = [
    "Record",
    "find",
    "known",
    "outcome",
    "outcomes",
    "outcomes_of",
    "record",
    "watermarks",
]


Record = tuple[Outcome, dict[str, Any]]
_FILTERS = ("status", "cause", "channel", "sender")


def _made(columns: Sequence[Any]) -> Outcome:
    (entry, _position, status, _channel, _sender, revision, cause, place, text) = columns[:9]
    (written, unchanged, superseded, flags, _reason, at) = columns[9:15]
    return Outcome(
        entry,
        status,
        cause or "",
        place or "",
        text or "",
        revision,
        written,
        unchanged,
        superseded,
        tuple(Flag(*flag) for flag in orjson.loads(flags)) if flags else (),
        at,
    )


def outcome(session: Session, entry: int) -> Outcome | None:
    """Return what became of one entry, or None if it has not been worked on."""
    rows = session.all(f"SELECT {outcome_columns()} FROM outcome WHERE entry = ?", (entry,))
    return _made(rows[0]) if rows else None


def outcomes_of(session: Session, entries: Sequence[int]) -> dict[int, Outcome]:
    """Return the outcomes of several entries."""
    rows = session.among(f"SELECT {outcome_columns()} FROM outcome WHERE entry IN (...)", entries)
    return {row[0]: _made(row) for row in rows}


def record(session: Session, keys: Keys, entry: int) -> Record | None:
    """Return an outcome with what Provenance needs: position, channel, sender, and why it ran again."""
    rows = session.all(f"SELECT {outcome_columns()} FROM outcome WHERE entry = ?", (entry,))
    if not rows:
        return None
    row = rows[0]
    reason = keys.keyring.unseal(bytes(row[13]), b"core:reason:%d" % entry).decode() if row[13] else ""
    return _made(row), {"position": row[1], "channel": row[3], "sender": row[4], "reason": reason}


def outcomes(
    session: Session, after: int, limit: int, filters: dict[str, str], newest_first: bool
) -> list[Outcome]:
    """Return outcomes by entry id; filters: status, cause, channel, sender."""
    unknown = set(filters) - set(_FILTERS)
    if unknown:
        raise TypeError(f"outcomes cannot be filtered by {', '.join(sorted(unknown))}")
    where = ["entry < ?" if newest_first and after else "entry > ?", *[f"{name} = ?" for name in filters]]
    if filters.get("status") == "parked":
        where.append("status = 'parked'")  # written out, so that the small index of parked entries is used
    sql = (
        f"SELECT {outcome_columns()} FROM outcome WHERE {' AND '.join(where)} "
        f"ORDER BY entry {'DESC' if newest_first else 'ASC'} LIMIT ?"
    )
    return [_made(row) for row in session.all(sql, [after, *filters.values(), limit])]


def watermarks(session: Session) -> dict[int, int]:
    """Return the watermark of every lane."""
    return dict(session.all("SELECT lane, watermark FROM lane"))


def find(session: Session, keys: Keys, kind: str, value: str, limit: int) -> list[int]:
    """Return the entries known under a word, newest first."""
    ((newest,),) = session.all("SELECT COALESCE(MAX(era), 0) FROM search_key")
    mac = keys.search(kind, value)
    sql = (
        f"WITH RECURSIVE e(n) AS (SELECT {newest} UNION ALL SELECT n - 1 FROM e WHERE n > 0) "
        "SELECT k.entry FROM e CROSS JOIN search_key k WHERE k.era = e.n AND k.mac = ? "
        "ORDER BY k.entry DESC LIMIT ?"
    )
    return [entry for (entry,) in session.all(sql, (mac, limit))]


def known(session: Session, keys: Keys, entries: Sequence[int], kind: str, value: str) -> set[int]:
    """Return which of these entries are known under a word."""
    mac = keys.search(kind, value)
    eras = sorted({entry >> ENTRY_ERA for entry in entries})
    if not eras:
        return set()
    where = f"era IN ({','.join(map(str, eras))}) AND mac = {mac} AND entry IN (...)"
    return {n for (n,) in session.among(f"SELECT entry FROM search_key WHERE {where}", list(entries))}
