"""Rows as PostgreSQL array literals, for `INSERT ... SELECT * FROM unnest(...)`.

In: rows of integers, bytes and None, and the PostgreSQL type of each column. Out: one text a column, which
costs a tenth of letting the driver adapt every item (PostgreSQL manual, 8.15.6 Array Input and Output
Syntax).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["array", "arrays"]


def array(values: Sequence[Any], kind: str) -> Any:
    """Write one array; what is neither number nor bytes is left to the driver."""
    if kind in ("bigint", "int", "smallint"):
        return "{" + ",".join(map(str, values)).replace("None", "NULL") + "}"
    if kind == "bytea":
        return "{" + ",".join(["NULL" if v is None else '"\\\\x' + v.hex() + '"' for v in values]) + "}"
    return list(values)


def arrays(rows: Sequence[Sequence[Any]], kinds: Sequence[str]) -> list[Any]:
    """Write rows as one array a column."""
    if not rows:
        return [array((), kind) for kind in kinds]
    return [array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
