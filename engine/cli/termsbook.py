"""`hub terms export` and `hub terms import`: the worklist as CSV, workbook, Usagi's CSV or FHIR ConceptMap.

In: the worklist, a file whose ending says its form. Out: the file, or drafts made from one; `codebook.py` of
the channels reads and writes the forms.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.channels.codebook import STATES, import_lines, lines_in, written
from engine.channels.worklist import Worklist
from engine.cli.opened import Opened
from engine.kernel.errors import ConfigError
from engine.store.audit import Access

__all__ = ["export_list", "import_list", "print_imported"]


def export_list(hub: Opened, work: Worklist, file: Path, who: str, state: str, sender: str = "") -> int:
    """Write the list; audited. Returns how many codes. Raises ConfigError."""
    if state not in (*STATES, "all"):
        raise ConfigError(f"--state {state}", remedy=f"use one of {', '.join(STATES)}, all")
    states = STATES if state == "all" else (state,)
    found = [s for s in work.sightings(states) if sender.casefold() in s.sender.casefold()]
    hub.store.audit.record(Access(who, "terms:export", "codes", f"{len(found)} to {file.name}"))
    data = written(work, found, file.name, sender)
    try:
        file.write_bytes(data)
    except OSError as e:
        raise ConfigError("cannot be written", where=str(file), why=e.strerror or "") from None
    return len(found)


def import_list(
    hub: Opened, work: Worklist, file: Path, who: str, sender: str, field: str, dry_run: bool
) -> dict[str, Any]:
    """Make drafts of what a file says. Lines that say nothing put codes on the list that are not on it."""
    try:
        data = file.read_bytes()
    except OSError as e:
        raise ConfigError("cannot read this file", where=str(file), why=e.strerror or "") from None
    lines = lines_in(work, data, file.name)
    return asdict(import_lines(work, lines, file.name, who, sender=sender, field=field, dry_run=dry_run))


def print_imported(made: dict[str, Any], dry_run: bool) -> None:
    """Print what an import did."""
    would = "would be " if dry_run else ""
    print(
        f"{made['lines']} lines: {made['draft']} {would}drafts, {made['same']} say what stands, "
        f"{made['new']} codes not seen yet"
    )
    for one in made["refused"]:
        print(f"  {one['code']}: {one['why']}")
