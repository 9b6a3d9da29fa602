"""`hub map export`: maps into a workbook, one sheet a map and one for every code table they use, or into a
CSV file.

In: names of maps, a site. Out: the file; engine/channels/sheetbook.py makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.channels.sheetbook import book_of, csv_of
from engine.cli.maps import open_program
from engine.kernel.errors import ConfigError

__all__ = ["map_export"]


def map_export(root: Path, names: Sequence[str], out: Path, site: str = "") -> int:
    """Write maps into a workbook or a CSV file; returns the exit code."""
    program = open_program(root, site)
    wanted = list(names) or sorted(program.resolved)
    if out.suffix.lower() == ".csv":
        if len(wanted) != 1:
            raise ConfigError("a CSV file holds one map", remedy="name one map, or write a .xlsx")
        data = csv_of(program, root, wanted[0])
    elif out.suffix.lower() == ".xlsx":
        data = book_of(program, root, wanted)
    else:
        raise ConfigError(f"{out.name}: neither .xlsx nor .csv", remedy="name the file so")
    try:
        out.write_bytes(data)
    except OSError as e:
        raise ConfigError("cannot be written", where=str(out), why=e.strerror or "") from None
    print(f"{len(wanted)} maps in {out}")
    return 0
