"""Finding entries in the core store: by keyed words, by state and cause, by flags; newest first, in portions.

In: kinds and plain words, which are hashed here; states, channels and causes; ids to stay between. Out: ids.
A word is looked for era by era from the newest on, so a page costs what it shows, however often the word
came. `searched` says from which entry on words of a kind are kept: what came before is not known by them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import orjson

from engine.kernel.message import Outcome
from engine.kernel.newest import leaps, merged, newest_of, pieces
from engine.store.database import Database, Session
from engine.store.keys import Keys
from engine.store.outcomes import outcomes_of
from engine.store.tables import ENTRY_ERA

__all__ = ["Finding", "Standing"]

Pair = tuple[str, str]
_ERAS = (8, 56, 192, 768)  # eras asked at once: few where the word is frequent, all where it is rare
_LEFT = "status <> 'done'"
_FEW = 500  # entries with a word, up to which it is rare


class Standing(NamedTuple):
    """What became of an entry, as far as a search asks."""

    status: str
    cause: str
    work: bool
    flags: str  # JSON

    def codes(self) -> list[str]:
        """Return the codes of its flags."""
        return [code for code, *_ in orjson.loads(self.flags)] if self.flags else []


class Finding:
    """Looks entries up."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def known(self, words: Sequence[Collection[Pair]], *, above: int, below: int, limit: int) -> list[int]:
        """Return the newest entries between two ids that are known under a (kind, word) of each of these."""
        macs = [self._macs(pairs) for pairs in words]
        found: list[int] = []
        with self._database.read() as session:
            ((newest,),) = session.all("SELECT COALESCE(MAX(era), 0) FROM search_key")
            high, low = min(newest, (below - 1) >> ENTRY_ERA), max(0, (above + 1) >> ENTRY_ERA)
            for eras in _windows(high, low):
                found += _in_all(session, macs, eras, above, below, limit - len(found))
                if len(found) >= limit:
                    break
        return found[:limit]

    def among(self, pairs: Iterable[Pair], entries: Collection[int]) -> set[int]:
        """Return which of these entries are known under any of these (kind, word)."""
        if not entries:
            return set()
        macs, eras = self._macs(pairs), sorted({entry >> ENTRY_ERA for entry in entries})
        low, high = min(entries), max(entries)
        with self._database.read() as session:
            found = set(_in_eras(session, macs, eras, low - 1, high + 1, -1))
        return found.intersection(entries)

    def standing(self, entries: Sequence[int], *, flags: bool = False) -> dict[int, Standing]:
        """Return what became of these entries; those that nobody has worked on are left out."""
        more = "flags" if flags else "NULL"
        sql = f"SELECT entry, status, cause, work, {more} FROM outcome WHERE entry IN (...)"
        with self._database.read() as session:
            rows = session.among(sql, entries)
        return {
            n: Standing(status, cause or "", work is not None, f or "") for n, status, cause, work, f in rows
        }

    def outcomes(self, entries: Sequence[int]) -> dict[int, Outcome]:
        """Return the outcomes of these entries."""
        with self._database.read() as session:
            return outcomes_of(session, entries)

    def left(
        self, wanted: Callable[[str, str, str], bool], *, above: int, below: int, limit: int
    ) -> list[int]:
        """Return the newest entries left without being written whose (status, channel, cause) is wanted."""
        with self._database.read() as session:
            found = session.all(leaps("outcome", ("status", "channel", "cause"), "entry", _LEFT))
            why = [one for one in found if wanted(*one)]
            run = f"{_LEFT} AND status = ? AND channel = ? AND cause = ?"
            parts = []
            for part in pieces(why):
                sql = newest_of("outcome", "entry", [run] * len(part), above=above, below=below, limit=limit)
                given = [value for one in part for value in one]
                parts.append([entry for (entry,) in session.all(sql, given)])
        return merged(parts, limit)

    def flagged(
        self, codes: Sequence[str], channels: Sequence[str] | None, *, above: int, below: int, limit: int
    ) -> list[int]:
        """Return the newest entries written with a flag for somebody to look at, of one of these codes (`*`
        allowed; none: any), of these channels (None: all).
        """
        tests = " OR ".join("flags LIKE ? ESCAPE '!'" for _ in codes)
        given = [f'%["{_like(code)}",%' for code in codes]
        more = f"({tests})" if codes else ""
        run = "work IS NOT NULL"
        with self._database.read() as session:
            if channels is None:
                sql = newest_of("outcome", "entry", [run], above=above, below=below, limit=limit, more=more)
                return [entry for (entry,) in session.all(sql, given)]
            parts = []
            for part in pieces(list(channels)):
                runs = [f"{run} AND channel = ?"] * len(part)
                sql = newest_of("outcome", "entry", runs, above=above, below=below, limit=limit, more=more)
                parts.append([n for (n,) in session.all(sql, [v for c in part for v in (c, *given)])])
        return merged(parts, limit)

    def ready(self, lanes: int) -> tuple[dict[tuple[str, str], int], int]:
        """Return from which entry on a channel's messages ("" = all) have words of a kind or a place, and the
        entry up to which every message has been worked on.
        """
        with self._database.read() as session:
            rows = session.all("SELECT channel, place, first FROM searched")
            marks = dict(session.all("SELECT lane, watermark FROM lane"))
        worked = min((marks.get(lane, 0) for lane in range(lanes)), default=0)
        return {(channel, place): first for channel, place, first in rows}, worked

    def note_searched(self, declared: Collection[tuple[str, str]], newest: int) -> None:
        """Write down which places the channels name from now on: entries after `newest` have those words."""
        known = {key for key in self.ready(0)[0] if key[0]}
        if known == set(declared):
            return
        with self._database.write() as session:
            for channel, place in sorted(known - set(declared)):
                session.run("DELETE FROM searched WHERE channel = ? AND place = ?", (channel, place))
            rows = [(channel, place, newest + 1) for channel, place in sorted(set(declared) - known)]
            session.insert(
                "searched", "channel text, place text, first bigint", rows, "ON CONFLICT DO NOTHING"
            )

    def _macs(self, pairs: Iterable[Pair]) -> list[int]:
        return sorted({self._keys.search(kind, value) for kind, value in pairs})


def _windows(high: int, low: int) -> Iterator[range]:
    """Give the eras from high down to low, a few first, then many at once."""
    sizes = iter(_ERAS)
    size = next(sizes)
    while high >= low:
        yield range(max(low, high - size + 1), high + 1)
        high -= size
        size = next(sizes, size)


def _in_all(
    session: Session, macs: Sequence[Sequence[int]], eras: Iterable[int], above: int, below: int, limit: int
) -> list[int]:
    """Return the newest entries of some eras with one of each of these sets of hashes."""
    if len(macs) == 1:
        return _in_eras(session, macs[0], eras, above, below, limit)
    few = f"{_where(macs[0], eras, above, below)} LIMIT {_FEW:d}"
    rows = session.all(few) if all(macs) else []
    found = sorted({entry for (entry,) in rows}, reverse=True)
    if len(rows) < _FEW:  # rare: the others are looked for where the first one is
        for more in macs[1:]:
            left = {entry >> ENTRY_ERA for entry in found}
            both = set(_in_eras(session, more, sorted(left), above, below, -1)) if left else set()
            found = [entry for entry in found if entry in both]
        return found[:limit]
    sql = " INTERSECT ".join(_where(some, eras, above, below) for some in macs)
    return [entry for (entry,) in session.all(f"{sql} ORDER BY entry DESC LIMIT {limit:d}")]


def _in_eras(
    session: Session, macs: Sequence[int], eras: Iterable[int], above: int, below: int, limit: int
) -> list[int]:
    """Return the entries of some eras with any of these hashes, newest first; limit -1: all."""
    if not macs:
        return []
    sql = _where(macs, eras, above, below).replace("SELECT", "SELECT DISTINCT", 1)
    sql += " ORDER BY entry DESC" + (f" LIMIT {limit:d}" if limit >= 0 else "")
    return [entry for (entry,) in session.all(sql)]


def _where(macs: Iterable[int], eras: Iterable[int], above: int, below: int) -> str:
    return (
        f"SELECT entry FROM search_key WHERE era IN ({','.join(map(str, eras))}) "
        f"AND mac IN ({','.join(map(str, macs))}) AND entry > {above:d} AND entry < {below:d}"
    )


def _like(code: str) -> str:
    for sign in "!%_":
        code = code.replace(sign, f"!{sign}")
    return code.replace("*", "%")
