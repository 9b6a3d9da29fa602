"""`hub map import`: the edits of a workbook, row by row, into a site's file or the maps themselves.

In: a workbook that `hub map export` wrote and somebody edited. Out: what changed, cell by cell; then the
site's `change:` block or the maps' own rows, and the code tables, written anew where they differ and
untouched everywhere else, comments kept. Everything is tried on a copy of the project first: what cannot
be read, compiled or is an error to `hub check`, and what does not say exactly what the sheet says, is
refused with the cell's address and nothing is written.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.cli.mapbook import read_book
from engine.cli.mapcells import Cell, Grid, comments, entries_of, said_hash
from engine.cli.maps import the_map
from engine.cli.maptext import change_rows, site_change
from engine.cli.printing import print_json
from engine.formats.hl7v2 import dictionary
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError, HubError, MapError
from engine.mapping.check import check_maps
from engine.mapping.entries import Entry, entries
from engine.mapping.project import Maps
from engine.terminology.tables import COLUMNS as TABLE_COLUMNS

__all__ = ["Edit", "map_import"]


_FREE = ("source_display", "target_display", "by", "note")
"""Columns of a code table that hold words for people."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One cell that says something else than the map, or a row that came or went."""

    map: str
    element: str
    cell: str
    word: str
    was: str
    now: str

    def __str__(self) -> str:
        if self.word in ("added", "removed"):
            return f"{self.cell}: {self.map} {self.element}: {self.word}"
        said = f"{self.word}: was {self.was or '(empty)'}, is {self.now or '(empty)'}"
        return f"{self.cell}: {self.map} {self.element}: {said}"


@dataclass(slots=True)
class _Sheet:
    """One map's sheet against the map as it is."""

    name: str
    now: list[Entry]
    was: list[Entry]
    cells: dict[int, dict[str, Cell]]

    def changed(self) -> dict[str, Entry | None]:
        """Return the rows that differ, by element; None = gone."""
        before = {e.key: e for e in self.was}
        after = {e.key: e for e in self.now}
        out: dict[str, Entry | None] = {
            key: e for key, e in after.items() if key not in before or not _same(before[key], e)
        }
        return {**out, **dict.fromkeys(before.keys() - after.keys())}

    def address(self, key: str) -> str:
        for e in self.now:
            if e.key == key:
                return self.cells[id(e)]["element"].address
        return self.name


def _same(a: Entry, b: Entry) -> bool:
    return a.said == b.said and _comments(a) == _comments(b)


def _comments(e: Entry) -> list[str]:
    return [e.comment, *(c for i in e.inside for c in _comments(i))]


def map_import(
    root: Path,
    file: Path,
    site: str = "",
    standard: bool = False,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Take in a workbook; returns 1 where nothing says where its edits should go, else 0."""
    grids = read_book(file)
    exported = {str(g.head["as"].value) for g in grids if "as" in g.head}
    if len(exported) > 1:
        raise MapError(
            "the sheets come from several sites", where=file.name, remedy="import one site's at a time"
        )
    of = exported.pop() if exported else "standard"
    if not site and not standard and of != "standard":
        site = of
    maps = Maps.open(root, load_config(root).identity_base)
    over = _layer(maps, of, site, standard, file)
    sheets = [_sheet(root, maps, of, g) for g in grids if "map" in g.head]
    edits = [edit for s in sheets for edit in _edits(s)]
    tables = {str(g.head["table"].value): g for g in grids if "table" in g.head}
    texts, table_edits = _tables(root, maps, tables, bool(site))
    edits += table_edits
    print_json([asdict(e) for e in edits]) if as_json else [print(e) for e in edits]
    nowhere = bool(edits) and not site and not standard
    if edits and not dry_run and not nowhere:
        written = _write(root, maps, sheets, texts, site, over)
        if not as_json:
            print(f"{len(edits)} edits in {', '.join(written)}")
    elif not as_json:
        where = "; say where they go: --to SITE or --standard" if nowhere else ""
        print(f"{len(edits)} edits{', nothing written' if edits else ''}{where}")
    return 1 if nowhere and not dry_run else 0


def _layer(maps: Maps, of: str, site: str, standard: bool, file: Path) -> str:
    """Return the layer that the edited site lies over; what was exported must be what is edited."""
    if standard and of != "standard":
        raise MapError(
            f"{file.name} shows the maps as {of} sees them",
            remedy="export them without --as to edit the standard",
        )
    if of != "standard" and of not in maps.sites:
        raise MapError(f"there is no site {of}", where=file.name)
    if site and site not in maps.sites:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", site):
            raise ConfigError(f"site {site!r}: use small letters, digits and _", where="--to")
        return of
    if site and site != of:
        raise MapError(
            f"{file.name} shows the maps as {of} sees them, not as {site}",
            remedy=f"export them with --as {site}",
        )
    return maps.sites[site].over if site else "standard"


def _sheet(root: Path, maps: Maps, of: str, grid: Grid) -> _Sheet:
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
        if "level" in (e.kind, old.kind if old else "") and (old is None or not _same(old, e)):
            raise cells[id(e)]["element"].refused("levels cannot be edited here", f"edit {m.place.file}")
    return _Sheet(m.name, now, was, cells)


def _edits(s: _Sheet) -> Iterator[Edit]:
    """Give every cell that differs."""

    def pairs(was: list[Entry], now: list[Entry], path: str) -> Iterator[Edit]:
        left = list(was)
        for e in now:
            here = f"{path} / {e.key}" if path else e.key
            cells = s.cells[id(e)]
            old = next((x for x in left if (x.kind, x.key) == (e.kind, e.key)), None)
            if old is None:
                yield Edit(s.name, here, cells["element"].address, "added", "", "")
                continue
            left.remove(old)
            for word in dict.fromkeys([*old.words, *e.words]):
                a, b = old.words.get(word, ""), e.words.get(word, "")
                if a != b:
                    yield Edit(s.name, here, cells[word].address, word, a, b)
            if old.comment != e.comment:
                yield Edit(s.name, here, cells["comment"].address, "comment", old.comment, e.comment)
            yield from pairs(old.inside, e.inside, here)
        for gone in left:
            yield Edit(s.name, f"{path} / {gone.key}" if path else gone.key, s.name, "removed", "", "")

    yield from pairs(s.was, s.now, "")


# -- code tables -----------------------------------------------------------------------------------


def _tables(
    root: Path, maps: Maps, grids: dict[str, Grid], to_site: bool
) -> tuple[dict[str, str], list[Edit]]:
    """Return the text of every table that differs, and its edits. A site may not change what others use."""
    shared = {
        e.words["code"] for m in maps.maps.values() for e in _all(list(entries(m))) if "code" in e.words
    }
    texts: dict[str, str] = {}
    edits: list[Edit] = []
    for name, grid in grids.items():
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise MapError(f"{name!r} is no name of a table", where=grid.title)
        path = root / f"terminology/maps/{name}.csv"
        old = list(csv.reader(io.StringIO(path.read_text("utf-8"))))[1:] if path.is_file() else []
        rows = [
            [line[c].text(free=c in _FREE) if c in line else "" for c in TABLE_COLUMNS] for line in grid.lines
        ]
        kept = [(row, line) for row, line in zip(rows, grid.lines, strict=True) if any(row)]
        was = {tuple(r[:2]): r for r in ([c[2:-1] if c.startswith('="') else c for c in o] for o in old) if r}
        found: list[Edit] = []
        for row, line in kept:
            before = was.pop((row[0], row[1]), None)
            where = line["source_code"].address
            if before is None:
                found.append(Edit(name, row[1], where, "added", "", ""))
                continue
            found += [
                Edit(name, row[1], line[c].address if c in line else where, c, a, b)
                for c, a, b in zip(TABLE_COLUMNS, before, row, strict=False)
                if a != b
            ]
        found += [Edit(name, key[1], grid.title, "removed", "", "") for key in was]
        if found and to_site and name in shared:
            raise MapError(
                f"table {name} belongs to all senders", where=found[0].cell,
                remedy="import it with --standard, or copy the table under a name of the sender's own",
            )  # fmt: skip
        if found:
            made = io.StringIO()
            csv.writer(made, lineterminator="\n").writerows(
                [TABLE_COLUMNS, *(_guarded(row) for row, _ in kept)]
            )
            texts[f"terminology/maps/{name}.csv"] = made.getvalue()
            edits += found
    return texts, edits


def _guarded(row: list[str]) -> list[str]:
    """Write a code that looks like a spreadsheet's number as the tables' reader wants it: `="1E5"`."""
    return [f'="{c}"' if re.fullmatch(r"\d+[Ee]\d+", c) else c for c in row]


def _all(rows: list[Entry]) -> Iterator[Entry]:
    for e in rows:
        yield e
        yield from _all(e.inside)


# -- writing ---------------------------------------------------------------------------------------


def _write(
    root: Path, maps: Maps, sheets: list[_Sheet], texts: dict[str, str], site: str, over: str
) -> list[str]:
    """Try the edits on a copy of the project, then write the files; returns their names."""
    texts = dict(texts)
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
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary)
        for folder in ("mappings", "terminology"):
            shutil.copytree(root / folder, copy / folder)
        for file, text in texts.items():
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).write_text(text, "utf-8")
        _tried(copy, maps, sheets, site or "standard", set(texts))
    for file, text in texts.items():
        whole = root / file
        beside = whole.with_suffix(".import")
        beside.write_text(text, "utf-8")
        beside.replace(whole)
    return sorted(texts)


def _tried(copy: Path, before: Maps, sheets: list[_Sheet], site: str, files: set[str]) -> None:
    """Open, compile and lint the copy. Raises MapError with the address of the cell at fault."""
    try:
        made = Maps.open(copy, before.identity_base)
        program = made.program(site)
    except HubError as fault:
        raise _at_cell(fault, copy, sheets) from None
    for s in sheets:
        if not s.changed():
            continue
        said = {e.key: e.said for e in entries(program.resolved[s.name])}
        for e in s.now:
            gone = e.key not in said and "skip" in e.words
            if not gone and said.get(e.key) != e.said:
                raise s.cells[id(e)]["element"].refused(
                    f"{e.key} cannot be written so that it says exactly this", "edit the file itself"
                )
        try:
            m = program.resolved[s.name]
            segment = m.source in dictionary.segment_names() or m.source in program.library.z_segments
            program.program.segment(s.name) if segment else program.program.datatype(s.name)
        except HubError as fault:
            raise _at_cell(fault, copy, sheets) from None
    known = {str(f).split(": ", 1)[-1] for f in check_maps(before) if f.level == "error"}
    for finding in check_maps(made):
        new = str(finding).split(": ", 1)[-1] not in known
        if finding.level == "error" and new and finding.place.rpartition(":")[0] in files:
            wrong = MapError(finding.what, where=finding.place, why=finding.why, remedy=finding.try_)
            raise _at_cell(wrong, copy, sheets)


def _at_cell(e: HubError, copy: Path, sheets: list[_Sheet]) -> MapError:
    """Put the address of the cell in place of the line that was written from it."""
    file, _, line = e.where.rpartition(":")
    where = e.where
    if line.isdigit() and (copy / file).is_file():
        lines = (copy / file).read_text("utf-8").splitlines()[: int(line)]
        for text in reversed(lines):
            named = re.match(r"\s*[\"']?([a-z][\w\[\]]*(?:\([^)]*\))?(?:\.[\w\[\]().-]+)*)[\"']?:", text)
            hit = next((s for s in sheets if named and named[1] in s.changed()), None)
            if hit is not None and named is not None:
                where = hit.address(named[1])
                break
    return MapError(e.what, where=where, why=e.why, remedy=e.remedy)
