"""The edits of a sheet that somebody changed: cell by cell what differs from the map, and the text it makes.

In: the grids of a workbook that `sheetbook` wrote and somebody edited, or one cell of the console's grid.
Out: `Edits`: what changed, and the texts of the site's file, the maps' own and the code tables, written anew
where they differ and untouched everywhere else, comments kept. What does not say exactly what the sheet says
is refused with the cell's address (sheetproof.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from engine.channels.sheetbook import the_map
from engine.channels.sheetcells import Grid, comments, entries_of, said_hash
from engine.channels.sheetproof import proved
from engine.channels.sheetrows import Edit, Sheet, same
from engine.channels.sheettables import table_edits
from engine.kernel.errors import ConfigError, MapError
from engine.mapping.entries import entries
from engine.mapping.project import Maps
from engine.mapping.rowtext import change_rows, site_change

__all__ = ["Edits", "edits_of", "texts_of"]


@dataclass(slots=True)
class Edits:
    """What a workbook changes. `nowhere`: nothing says which site, or the standard, takes it."""

    edits: list[Edit]
    sheets: list[Sheet]
    site: str
    over: str
    nowhere: bool
    tables: dict[str, str] = field(default_factory=dict)

    def texts(self, root: Path, maps: Maps) -> dict[str, str]:
        """Return the new text of every file that changes, tried. Raises MapError with a cell's address."""
        return texts_of(root, maps, self.sheets, self.site, self.over, self.tables)


def edits_of(
    root: Path, maps: Maps, grids: list[Grid], name: str, site: str = "", standard: bool = False
) -> Edits:
    """Hold a workbook of this name against the maps as they are. Raises MapError, ConfigError."""
    exported = {str(g.head["as"].value) for g in grids if "as" in g.head}
    if len(exported) > 1:
        raise MapError("the sheets come from several sites", where=name, remedy="import one site's at a time")
    of = exported.pop() if exported else "standard"
    if not site and not standard and of != "standard":
        site = of
    over = _layer(maps, of, site, standard, name)
    sheets = [_sheet(root, maps, of, g) for g in grids if "map" in g.head]
    edits = [edit for s in sheets for edit in s.edits()]
    tables = {str(g.head["table"].value): g for g in grids if "table" in g.head}
    texts, more = table_edits(root, maps, tables, bool(site))
    edits += more
    return Edits(edits, sheets, site, over, bool(edits) and not site and not standard, texts)


def _layer(maps: Maps, of: str, site: str, standard: bool, file: str) -> str:
    """Return the layer that the edited site lies over; what was exported must be what is edited."""
    if standard and of != "standard":
        raise MapError(
            f"{file} shows the maps as {of} sees them",
            remedy="export them without --as to edit the standard",
        )
    if of != "standard" and of not in maps.sites:
        raise MapError(f"there is no site {of}", where=file)
    if site and site not in maps.sites:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", site):
            raise ConfigError(f"site {site!r}: use small letters, digits and _", where="--to")
        return of
    if site and site != of:
        raise MapError(
            f"{file} shows the maps as {of} sees them, not as {site}",
            remedy=f"export them with --as {site}",
        )
    return maps.sites[site].over if site else "standard"


def _sheet(root: Path, maps: Maps, of: str, grid: Grid) -> Sheet:
    program = maps.program(of)
    m = the_map(program, grid.head["map"].text())
    was = list(entries(m))
    if "rows" not in grid.head or grid.head["rows"].value != said_hash(was):
        raise MapError(
            f"{m.name} has changed since this sheet was written",
            where=grid.title,
            remedy="export it again, edit that",
        )
    for word, text in (
        ("key", m.key_text),
        ("ignore", ", ".join(m.ignore)),
        ("note", " ".join(m.note.split())),
    ):
        cell = grid.head.get(word)
        if cell is not None and cell.text(free=True) != " ".join(text.split()):
            raise cell.refused(f"{word} cannot be edited here", f"edit {m.place.file}")
    comments(root, was)
    now, cells = entries_of(grid)
    seen: set[str] = set()
    for e in now:
        if e.key in seen:
            raise cells[id(e)]["element"].refused(
                f"{e.key} stands here twice", "give each row a label of its own"
            )
        seen.add(e.key)
        if e.kind not in ("element", "level"):
            raise cells[id(e)]["depth"].refused(f"{e.kind} hangs below no row", "write its depth")
        old = next((x for x in was if x.key == e.key), None)
        if "level" in (e.kind, old.kind if old else "") and (old is None or not same(old, e)):
            raise cells[id(e)]["element"].refused("levels cannot be edited here", f"edit {m.place.file}")
    return Sheet(m.name, now, was, cells)


def texts_of(
    root: Path, maps: Maps, sheets: list[Sheet], site: str, over: str, tables: dict[str, str] | None = None
) -> dict[str, str]:
    """Return the text of every file that sheets change, for a site or (no site) the maps themselves. Raises
    MapError with a cell's address where it cannot be written so that it says what the sheet says."""
    texts = dict(tables or {})
    if site:
        file = maps.sites[site].file if site in maps.sites else f"mappings/sites/{site}.yaml"
        old = (root / file).read_text("utf-8") if (root / file).is_file() else f"site: {site}\nover: {over}\n"
        below = maps.program(over or "standard").resolved
        for s in sheets:
            if s.changed():
                rows = {e.key: e for e in entries(below[s.name])}
                old = site_change(old, s.name, s.changed(), rows)
        if any(s.changed() for s in sheets):
            texts[file] = old
    else:
        for s in sheets:
            if s.changed():
                file = maps.maps[s.name].place.file
                texts[file] = change_rows((root / file).read_text("utf-8"), ("rows",), s.changed())
    proved(root, maps, sheets, texts, site or "standard")
    return texts
