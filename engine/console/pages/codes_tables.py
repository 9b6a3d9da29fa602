"""The tables of codes: browsed, searched, tried; the loaded code systems, and what they say of a code.

In: the project's tables as they are on disk, the loaded releases, words of forms. Out: pages and files. Rows
are what people approved, not what messages hold; a code that somebody types to try it may be a message's, so
it is sent by a form and never stands in an address.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from engine.channels.codebook import book
from engine.channels.tablehistory import changes_of
from engine.codes.systems import SHORT, full, short
from engine.console.answers import Answer, Download, Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.terminology.concepts import Concept
from engine.terminology.tables import COLUMNS, TableRow
from engine.terminology.translate import Table

__all__ = ["add"]

_PAGE = 100
_FOUND = 25


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/codes/tables", needs="see.maps")
    def tables(visit: Visit) -> Page:
        """List the tables."""
        found = visit.hub.worklist().terms().tables
        facts = [
            {
                "name": name,
                "version": table.version,
                "rows": len(table.rows),
                "approved": sum(r.status == "approved" for r in table.rows),
                "targets": sorted({r.target_system for r in table.rows if r.target_system}),
            }
            for name, table in sorted(found.items())
        ]
        return Page("codes_tables.html", {"tables": facts, "tried": None, "asked": {}}, "Tables")

    @door.post("/codes/tables/try", needs="see.maps")
    def try_(visit: Visit) -> Page:
        """Say what a table makes of a code."""
        table = _table(visit, visit.form.get("table", ""))
        code, system = visit.form.get("code", "").strip(), visit.form.get("system", "").strip()
        terms = visit.hub.worklist().terms()
        hit = table.translate(code, system, terms.systems()(system)) if code else None
        asked = {"table": table.name, "code": code, "system": system}
        facts: dict[str, Any] = {"tables": [], "tried": hit, "asked": asked}
        return Page("codes_tables.html", facts, "Tables", fragment="codes_tried.html")

    @door.get("/codes/tables/{name}", needs="see.maps")
    def table(visit: Visit) -> Page:
        """Show the rows of a table, a page at a time."""
        return Page("codes_table.html", _rows(visit), visit.path["name"])

    @door.get("/codes/tables/{name}/file", needs="export", twin=False)
    def file(visit: Visit) -> Answer:
        """Give a table as a file: as it is, or as a workbook whose cells are text."""
        found = _table(visit, visit.path["name"])
        visit.saw("codes:table", f"table/{found.name}")
        if visit.query.get("form") == "xlsx":
            rows = [[str(c) for c in astuple(r)[: len(COLUMNS)]] for r in found.rows]
            kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
            return Download(book(found.name[:31], COLUMNS, rows), kind, f"{found.name}.xlsx")
        path = visit.hub.config.root / "terminology/maps" / f"{found.name}.csv"
        if not path.is_file():
            raise Refused(404, f"{found.name} has no file of its own.", "Take it as a workbook.")
        return Download(path.read_bytes(), "text/csv; charset=utf-8", path.name)

    @door.get("/codes/systems", needs="see.maps")
    def systems(visit: Visit) -> Page:
        """List the loaded releases, and look a code or words up."""
        return Page("codes_systems.html", _systems(visit), "Code systems")


def _table(visit: Visit, name: str) -> Table:
    found = visit.hub.worklist().terms().tables.get(name)
    if found is None:
        raise Refused(404, "There is no such table.", "What there is: /codes/tables.")
    return found


def _rows(visit: Visit) -> dict[str, Any]:
    table = _table(visit, visit.path["name"])
    words = visit.query.get("q", "").casefold().split()
    after = visit.query.get("after", "")
    found = [r for r in table.rows if all(word in _text(r) for word in words)]
    rest = [r for r in found if r.line > int(after)] if after.isdecimal() else found
    page = rest[:_PAGE]
    return {
        "name": table.name,
        "version": table.version,
        "count": len(found),
        "all": len(table.rows),
        "q": visit.query.get("q", ""),
        "rows": page,
        "more": page[-1].line if len(rest) > _PAGE else None,
        "changes": changes_of(visit.hub.config.root, f"terminology/maps/{table.name}.csv"),
    }


def _text(row: TableRow) -> str:
    parts = (row.source_system, row.source_code, row.source_display, row.target_code, row.target_display)
    return " ".join((*parts, row.by, row.note)).casefold()


def _systems(visit: Visit) -> dict[str, Any]:
    codes = visit.hub.worklist().codes
    assert codes is not None
    releases = codes.releases()
    system = full(visit.query.get("system", "").strip()) if visit.query.get("system", "").strip() else ""
    words = visit.query.get("q", "").strip()
    found: list[Concept] = []
    if words and any(r.system == system for r in releases):
        one = codes.lookup(system, words)
        found = [one] if one is not None else list(codes.search(system, words, _FOUND))
    return {
        "releases": releases,
        "choices": [(r.system, f"{short(r.system)} {r.version}") for r in releases],
        "system": system,
        "q": words,
        "found": [
            {
                "code": c.code,
                "display": c.display,
                "active": c.active,
                "version": c.version,
                "properties": dict(c.properties),
                "parents": list(c.parents),
            }
            for c in found
        ],
        "asked": bool(words),
        "short": sorted(SHORT),
    }
