"""Puts what was approved into the code tables of the project, and tells the workers.

In: codes with what they mean. Out: rows `approved` with person and day in `terminology/maps/<table>.csv`, all
of them or none, written so that a reader sees the old or the new file and nothing between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from engine.channels.renewal import alone, announce, write_whole
from engine.channels.spreading import spread
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.store.gaps import Proposal, Sighting
from engine.terminology.edit import with_row
from engine.terminology.tables import TableRow, read_table
from engine.terminology.translate import Terminology
from engine.terminology.ucum import is_unit

__all__ = ["usual", "write_rows_of"]

UCUM = "http://unitsofmeasure.org"
_UNITS = ("units", "ucum")
_FILES = {"ucum": "units"}  # both tables of units are made of one file
Meaning = tuple[Sighting, Proposal]


def write_rows_of(config: Config, rows: Sequence[Meaning], change: bool = False) -> dict[str, str]:
    """Write the rows, tell the workers, and return the new versions of the tables. Raises ConfigError.

    `change`: also where a table says something else of a code today.
    """
    folder = config.root / "terminology"
    with alone(config):
        files: dict[Path, bytes] = {}
        new: dict[tuple[Path, str, str], Proposal] = {}
        for gap, made in rows:
            path = folder / "maps" / f"{_FILES.get(made.table, made.table)}.csv"
            shown = f"terminology/maps/{path.name}"
            data = files.get(path) or path.read_bytes()
            before = read_table(data, shown)
            row = _row(gap, made, before)
            said = new.setdefault((path, row.source_system, row.source_code), made)
            if not said.same_meaning(made):
                raise ConfigError(
                    f"{row.source_code} would mean two things in {made.table}",
                    why=f"{said.target_code} and {made.target_code}",
                    remedy="give one of the senders a table of its own",
                )
            if not change:
                _refuse_change(row, before, shown)
            files[path] = with_row(data, row, shown)
        old = {path: path.read_bytes() for path in files}
        for path, data in files.items():
            write_whole(path, data)
        now = Terminology.open(folder)
        announce(config, now.digest)
        spread(config, {f"terminology/maps/{p.name}": (old[p], data) for p, data in files.items()})
    return {made.table: now.table(made.table).version for _, made in rows}


def _refuse_change(row: TableRow, before: Sequence[TableRow], shown: str) -> None:
    """Refuse to give a code another meaning in passing."""
    for old in before:
        same = (old.source_system, old.source_code) == (row.source_system, row.source_code)
        if (
            same
            and old.status == "approved"
            and (old.target_system, old.target_code, old.equivalence)
            != (
                row.target_system,
                row.target_code,
                row.equivalence,
            )
        ):
            raise ConfigError(
                f"{row.source_code} means {old.target_code or old.equivalence} there already",
                where=f"{shown}:{old.line}",
                why=f"approved by {old.by}",
                remedy="say --change if that is wrong; messages translated so far are not run again by it",
            )


def _row(gap: Sighting, made: Proposal, rows: Sequence[TableRow]) -> TableRow:
    if made.table in _UNITS:
        source = UCUM if is_unit(gap.code) else ""
    else:
        source = gap.system or gap.uri or usual([r.source_system for r in rows], "")
    authors = [p.who for p in gap.proposals if p.state == "draft" and p.same_meaning(made)]
    author = _name(authors[-1]) if authors else ""
    by = _name(made.who)
    note = "; ".join(filter(None, (made.comment, f"proposed by {author}" if author not in ("", by) else "")))
    day = datetime.fromtimestamp(made.at / 1000, UTC).strftime("%Y-%m-%d")
    return TableRow(
        source,
        gap.code,
        gap.text,
        made.equivalence,
        made.target_system,
        made.target_code,
        made.target_display,
        "approved",
        by,
        day,
        note,
        0,
    )


def usual(values: Sequence[str], otherwise: str) -> str:
    """Return the most frequent of some texts."""
    return Counter(values).most_common(1)[0][0] if values else otherwise


def _name(who: str) -> str:
    """Return the person of `cli:ann`."""
    return who.partition(":")[2] or who
