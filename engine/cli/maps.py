"""`hub test`, `hub map show` and `hub map python`: what an analyst asks of the maps from the command line.

In: the project's folder and names of maps, channels and sites. Out: text on stdout (or JSON), files for
editors; exit codes: 0 well, 1 a test failed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.channels.checking import project_tests
from engine.channels.sheetbook import the_map
from engine.cli.printing import print_json
from engine.formats.hl7v2 import dictionary
from engine.kernel.config import load_config
from engine.kernel.errors import MapError
from engine.mapping.model import MessageDef
from engine.mapping.project import Maps, SiteProgram
from engine.mapping.sheet import Line, condition_text, sheet, source_text

__all__ = ["map_python", "map_show", "open_program", "print_table", "run_tests", "set_by"]


def run_tests(root: Path, name: str = "", accept: bool = False, as_json: bool = False) -> int:
    """Run the tests of a channel, a map or a site, or all of them; returns the exit code."""
    rows: list[dict[str, Any]] = []
    row: dict[str, Any]
    for t in project_tests(root, load_config(root).identity_base, name, accept):
        row = {"of": t.of, "name": t.name, "place": t.place, "differences": list(t.differences)}
        rows.append({**row, "accepted": t.accepted} if t.accepted else row)
    failed = [r for r in rows if r["differences"]]
    if as_json:
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return 1 if failed else 0
    for row in failed:
        print(f"{row['place']}: {row['of']}: {row['name']}")
        for d in row["differences"]:
            print(f"    {d}")
    for row in rows:
        if "accepted" in row:
            print(f"{row['place']}: written anew: {row['accepted']}")
    print(f"{len(rows) - len(failed)} of {len(rows)} tests pass")
    return 1 if failed else 0


def open_program(root: Path, site: str) -> SiteProgram:
    """Open the maps as one site sees them. Raises MapError."""
    maps = Maps.open(root, load_config(root).identity_base)
    if site and site not in maps.sites and site != "standard":
        raise MapError(f"there is no site {site}", remedy=f"sites are: {', '.join(maps.sites) or 'none'}")
    return maps.program(site or "standard")


def map_show(root: Path, name: str, site: str = "", as_json: bool = False) -> int:
    """Print a map as a sheet: element, source, how, when, and which layer set it where."""
    program = open_program(root, site)
    message = program.maps.messages.get(name)
    if message is not None:
        _show_message(message, as_json)
        return 0
    m = the_map(program, name)
    lines = list(sheet(m))
    if as_json:
        print_json([asdict(x) for x in lines])
        return 0
    print(f"{m.name}: {m.source} -> {m.to}   as {program.name}, revision {program.revision}")
    if m.key_text:
        print(f"key: {' | '.join(source_text(k) for k in m.key)}")
    print_table(("element", "comes from", "how", "when", "set by"), [_cells(x) for x in lines])
    if m.ignore:
        print(f"ignored: {', '.join(m.ignore)}")
    if m.note:
        print(f"note: {m.note.strip()}")
    return 0


def _cells(x: Line) -> tuple[str, ...]:
    return ("  " * x.depth + x.element, x.source, x.how, x.when, set_by(x))


def set_by(x: Line) -> str:
    """Return who set a line, and where: `acme_lab acme_lab.yaml:19`."""
    return f"{x.set_by} {x.place.rsplit('/', 1)[-1]}"


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print columns that fit the terminal, long cells over several lines; a pipe gets one line a row."""
    narrow = sys.stdout.isatty()
    table = Table(*head, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out = Console(highlight=False, width=None if narrow else 4000, emoji=False)
    with out.capture() as printed:
        out.print(table)
    for line in printed.get().splitlines():
        print(line.rstrip())


def _show_message(m: MessageDef, as_json: bool) -> None:
    served = ["^".join(t for t in trigger if t) for trigger in m.triggers]
    rows = [
        (
            r.name,
            "/".join(r.per) or "message",
            ", ".join(r.rows),
            condition_text(r.when),
            ", ".join(f"{'.'.join(path)}: {to}" for path, to in r.links),
            f"{r.place.layer} {str(r.place).rsplit('/', 1)[-1]}",
        )
        for r in m.resources
    ]
    head = ("resource", "once for every", "maps", "when", "links", "set by")
    if as_json:
        keys = ("resource", "per", "maps", "when", "links", "set_by")
        print_json(
            {
                "map": m.name,
                "structure": m.structure,
                "for": served,
                "resources": [dict(zip(keys, row, strict=True)) for row in rows],
                "mend": [text for text, _ in m.mend],
                "refuse": [text for text, _ in m.refuse],
            }
        )
        return
    print(f"{m.name}: {m.structure}, for {', '.join(served)}")
    print_table(head, rows)
    for word, rules in (("mend", m.mend), ("refuse", m.refuse)):
        for text, _ in rules:
            print(f"{word}: {text}")


def map_python(root: Path, name: str, site: str = "", traced: bool = False) -> int:
    """Print the Python that a map is compiled to, with that of the datatype maps it calls left out."""
    program = open_program(root, site)
    if traced:
        program = program.maps.program(program.name, trace=True)
    if name in program.maps.messages:
        program.plan(name)
        for key, text in program.program.sources.items():
            if key.startswith((f"W_{name}_", f"WRITE_{name}_")):
                print(text)
        return 0
    m = the_map(program, name)
    if m.source in dictionary.segment_names() or m.source in program.library.z_segments:
        program.program.segment(name)
        print(program.program.sources[name], end="")
    else:
        program.program.datatype(name, "c")
        print(program.program.sources[f"{name}_c"], end="")
    return 0
