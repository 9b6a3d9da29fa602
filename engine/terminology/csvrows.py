"""Small CSV files that people own, read strictly: the named columns, one row a line.

In: the bytes of a file. Out: (line, column -> cell) for every row. What cannot be right is an error with
`file:line`. Used for the lists of units; code tables are read by tables.py.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from engine.kernel.errors import ConfigError

__all__ = ["records"]


def records(data: bytes, name: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Give every row of a file whose first line is exactly these columns. Raises ConfigError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError("is not UTF-8", where=f"{name}:{line}", remedy="save it as `CSV UTF-8`") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for number, cells in enumerate(reader):
            if number == 0:
                if cells != list(columns):
                    raise ConfigError(
                        "has other columns",
                        where=f"{name}:1",
                        remedy=f"the first line is {','.join(columns)}",
                    )
            elif any(cells):
                if len(cells) != len(columns):
                    raise ConfigError(
                        f"has {len(cells)} cells instead of {len(columns)}",
                        where=f"{name}:{reader.line_num}",
                        remedy='put "..." around a text that contains a comma',
                    )
                yield reader.line_num, dict(zip(columns, (c.strip() for c in cells), strict=True))
    except csv.Error as e:
        raise ConfigError("is not readable CSV", where=f"{name}:{reader.line_num}", why=str(e)) from None
