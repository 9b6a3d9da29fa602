"""SQL for the newest rows of several runs of one index at once, the same on SQLite and PostgreSQL.

In: a table, a column that counts upwards, and conditions that each fix the leading columns of one index. Out:
one statement that walks each run backwards for at most `limit` rows and merges them, however many rows the
runs have; and one that lists which runs there are by leaping from each to the next. Neither database finds
such a plan for `source IN (...) ORDER BY id DESC LIMIT 50` by itself: they sort all that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["AT_ONCE", "leaps", "merged", "newest_of", "pieces"]

T = TypeVar("T")
AT_ONCE = 60
"""Runs in one statement; more are asked in several."""


def newest_of(
    table: str, key: str, runs: Sequence[str], *, above: int, below: int, limit: int, more: str = ""
) -> str:
    """Return a statement for the `limit` greatest keys with above < key < below of these runs.

    Runs and `more` are conditions in SQL, of numbers or of `?` places only.
    """
    tail = f"{key} > {above:d} AND {key} < {below:d}{f' AND {more}' if more else ''} ORDER BY {key} DESC"
    parts = [
        f"SELECT {key} FROM (SELECT {key} FROM {table} WHERE {run} AND {tail} LIMIT {limit:d}) AS r{n}"
        for n, run in enumerate(runs)
    ]
    return (
        f"SELECT DISTINCT {key} FROM ({' UNION ALL '.join(parts)}) AS r ORDER BY {key} DESC LIMIT {limit:d}"
    )


def leaps(table: str, columns: Sequence[str], key: str, where: str = "1 = 1") -> str:
    """Return a statement for the distinct values of an index's leading columns, none of them null where
    `where` holds: from each to the next that differs in the last column, else in the one before, and so on.
    """
    order = ", ".join(columns)
    ends = f"ORDER BY {order} LIMIT 1"
    nexts = ", ".join(
        f"(SELECT n.{key} FROM {table} n WHERE {where}"
        + "".join(f" AND n.{column} = p.{column}" for column in columns[:last])
        + f" AND n.{columns[last]} > p.{columns[last]} {ends})"
        for last in reversed(range(len(columns)))
    )
    following = f"COALESCE({nexts})" if len(columns) > 1 else nexts
    ours = ", ".join(f"t.{column}" for column in columns)
    first = f"SELECT {key} FROM {table} WHERE {where} {ends}"
    return (
        f"WITH RECURSIVE p({order}) AS (SELECT {ours} FROM {table} t WHERE t.{key} = ({first}) "
        f"UNION ALL SELECT {ours} FROM p CROSS JOIN {table} t WHERE t.{key} = {following}) "
        f"SELECT {order} FROM p"
    )


def pieces(runs: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give the runs in portions of one statement."""
    for start in range(0, len(runs), AT_ONCE):
        yield runs[start : start + AT_ONCE]


def merged(found: Iterable[Iterable[int]], limit: int) -> list[int]:
    """Put the answers to several portions together."""
    return sorted({n for part in found for n in part}, reverse=True)[:limit]
