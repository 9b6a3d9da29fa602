"""What differs between two states of the maps as one site sees them, and which message maps that can touch.

In: two compiled views of one site, and the code tables whose rows differ. Out: the rows that differ with
words and places; for a message map, whether anything that differs stands among the maps it uses. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

from engine.mapping.model import MapDef, MessageDef, Row
from engine.mapping.project import SiteProgram
from engine.mapping.sheetdiff import Change, changes
from engine.mapping.sites import Site
from engine.terminology.tables import TableRow
from engine.terminology.translate import Table, Terminology

__all__ = ["SiteDiff", "Tables", "of_named_only", "rows_of", "site_diff", "table_diff"]

_PLACE = re.compile(r"Place\(file='[^']*', line=\d+, layer='[^']*'\)")
_GENERAL = frozenset({"systems", "authorities", "units", "ucum"})  # asked for every message, by no row
_OWN_WORDS = (
    "zone",
    "charset",
    "authority",
    "translated",
    "units",
    "own_systems",
    "segments",
    "match",
    "over",
)


@dataclass(frozen=True, slots=True)
class Tables:
    """Code tables that differ: name -> the sender's codes whose rows do. `everything`: what every map asks
    (systems, units) differs."""

    rows: dict[str, frozenset[tuple[str, str]]]
    everything: tuple[str, ...] = ()


@dataclass(slots=True)
class SiteDiff:
    """How two views of one site differ."""

    live: SiteProgram | None
    draft: SiteProgram | None
    rows: list[Change]
    messages: dict[str, list[str]]  # message map -> what differs in it, in words
    settings: list[str]  # words of the site that differ
    tables: Tables

    @property
    def everything(self) -> bool:
        """Whether any message of the site can come out otherwise."""
        return bool(self.settings or self.tables.everything) or self.live is None or self.draft is None

    @property
    def nothing(self) -> bool:
        """Whether the site's view is the same, as far as maps and tables go."""
        return not (self.rows or self.messages or self.everything or self.tables.rows)

    def touches(self, message: str) -> bool:
        """Say whether messages of a message map can come out otherwise."""
        if self.everything or message in self.messages:
            return True
        changed = {c.map for c in self.rows}
        tables = self.tables.rows.keys()
        for program in (self.live, self.draft):
            if program is not None and message in program.maps.messages:
                used = _used(program, message)
                if used & changed or tables & _asked(program, used):
                    return True
                if tables - _asked(program, program.resolved):  # asked in some other way: it may be here
                    return True
        return False


def table_diff(live: Terminology, draft: Terminology) -> Tables:
    """Return which code tables differ, and in which rows."""
    rows: dict[str, frozenset[tuple[str, str]]] = {}
    for name in sorted(live.tables.keys() | draft.tables.keys()):
        old, new = live.tables.get(name), draft.tables.get(name)
        if old is not None and new is not None and old.version == new.version:
            continue
        before, after = _meanings(old), _meanings(new)
        differ = frozenset(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        if differ or (old is None) != (new is None):
            rows[name] = differ
    asked_by_all = [
        name
        for name in ("code_systems", "measures")
        if repr(getattr(live, name)) != repr(getattr(draft, name))
    ]
    return Tables(rows, (*asked_by_all, *(name for name in rows if name in _GENERAL)))


def site_diff(live: SiteProgram | None, draft: SiteProgram | None, tables: Tables) -> SiteDiff:
    """Compare two views of one site; None: there is none on this side."""
    if live is None or draft is None:
        return SiteDiff(live, draft, [], {}, [], tables)
    old, new = live.resolved, draft.resolved
    rows = [
        c
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
        for c in changes(old.get(name), new.get(name))
    ]
    before, after = live.maps.messages, draft.maps.messages
    messages = {}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name) and (words := _message(before.get(name), after.get(name))):
            messages[name] = words
    settings = sorted(set(_settings(live.layers, draft.layers)))
    return SiteDiff(live, draft, rows, messages, settings, tables)


def _message(old: MessageDef | None, new: MessageDef | None) -> list[str]:
    if old is None or new is None:
        return ["the whole map"]
    out = [
        f.name
        for f in fields(MessageDef)
        if f.name not in ("place", "note", "tests", "resources", "ignore")
        and _bare(getattr(old, f.name)) != _bare(getattr(new, f.name))
    ]
    before = {r.name: _bare(r) for r in old.resources}
    after = {r.name: _bare(r) for r in new.resources}
    out += [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    if not out and [*before] != [*after]:
        out.append("the order of resources")
    return out


def _settings(old: list[Site], new: list[Site]) -> Iterator[str]:
    if [s.name for s in old] != [s.name for s in new]:
        yield "over"
    for a, b in zip(old, new, strict=False):
        for word in _OWN_WORDS:
            if getattr(a, word) != getattr(b, word):
                yield f"{b.name}: {word}"


def _bare(value: object) -> str:
    """Write a value without the places it came from."""
    return _PLACE.sub("", repr(value))


def _meanings(table: Table | None) -> dict[tuple[str, str], list[TableRow]]:
    """Return what a table's rows say that a message can notice."""
    out: dict[tuple[str, str], list[TableRow]] = {}
    for row in table.rows if table is not None else ():
        if row.translates or row.drops:
            plain = replace(row, line=0, by="", on="", note="")
            out.setdefault((row.source_system, row.source_code), []).append(plain)
    return out


def _used(program: SiteProgram, message: str) -> set[str]:
    """Return the maps that a message map uses, itself and through others."""
    return _through(program, program.plan(message).message)


def of_named_only(program: SiteProgram, message: str = "") -> set[str]:
    """Return the maps that serve no message by its type: only channels that name their message map use them.

    `message`: the map that a channel names; what it uses is not among them.
    """
    served: set[str] = set()
    named: set[str] = set()
    for name, one in program.maps.messages.items():
        (served if name == message or (one.triggers and not message) else named).update(
            _through(program, one)
        )
    return named - served


def _through(program: SiteProgram, message: MessageDef) -> set[str]:
    found: set[str] = set()
    todo = [name for r in message.resources for name in r.rows]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += program.program.uses.get(name, ())
    return found


def _asked(program: SiteProgram, used: Iterable[str]) -> set[str]:
    """Return the code tables that maps ask."""
    return {
        r.code for name in used if name in program.resolved for r in rows_of(program.resolved[name]) if r.code
    }


def rows_of(m: MapDef) -> Iterator[Row]:
    """Give every row of a map, those inside others too."""
    todo = [*m.rows, *(r for level in m.levels for r in level.rows)]
    while todo:
        r = todo.pop()
        yield r
        todo += (*r.children, *r.make_rows, *r.default, *r.failed, *(i for c in r.cases for i in c.rows))
