"""The linter's rules about sites: do their changes still fit the rows they were written for?

In: one site and the maps below it. Out: findings. `replaces: {PID_Patient: {gender: 1a2b3c}}` in a site
file says which standard row a change was written for; the hash is of what the row says, not of where it
stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from engine.kernel.errors import HubError, MapError
from engine.kernel.yamlfile import Map, line_of
from engine.mapping.checkread import named, unreadable
from engine.mapping.model import MapDef, Place, Row
from engine.mapping.rules import Finding, finding
from engine.mapping.sites import Site

__all__ = ["check_changes", "row_hash"]


def check_changes(site: Site, below: dict[str, MapDef]) -> Iterator[Finding]:
    """Hold a site's changes against the rows they were written for."""
    try:
        replaces = _replaces(site)
    except HubError as e:
        yield unreadable(e, site.file)
        return
    for name, change in (site.change or {}).items():
        base = below[name]
        rows = {r.name: r for r in base.rows}
        for key, value in change.items():
            place = f"{site.file}:{change.key_lines[key]}"
            if key in rows:
                continue
            near = get_close_matches(
                str(key), [n for n in rows if n.split("(")[0] == key.split("(")[0]], 1, 0.85
            )
            if near and value != "skip":
                yield finding(
                    "M23",
                    place,
                    f"{name} has no row {key}, but it has {near[0]}",
                    f"{near[0]}, or another label",
                )
    for name, hashes in replaces.items():
        if name not in below:
            yield named(f"{site.file}:{line_of(hashes, 1)}", f"replaces: there is no map {name}", name, below)
            continue
        rows = {r.name: r for r in below[name].rows}
        for key, written in hashes.items():
            place = f"{site.file}:{hashes.key_lines[key]}"
            row = rows.get(str(key))
            if row is None:
                yield finding(
                    "M11",
                    place,
                    f"{name} no longer has the row {key}",
                    "see whether another row does its work, then take this out",
                )
            elif row_hash(row) != str(written):
                yield finding(
                    "M12", place, f"{name}/{key} is not the row that {written} stands for ({row.place})",
                    f"compare the two rows, then write {row_hash(row)}",
                )  # fmt: skip


def _replaces(site: Site) -> dict[str, Map]:
    block = site.replaces
    if block is None:
        return {}
    if not isinstance(block, Map) or not all(isinstance(v, Map) for v in block.values()):
        raise MapError(
            "replaces: is map: {row: hash}",
            where=f"{site.file}:{line_of(block, 1)}",
            remedy="replaces: {PID_Patient: {gender: 1a2b3c}}",
        )
    return dict(block)


def row_hash(row: Row) -> str:
    """Return six hex digits that change when the row says something else; its place does not count."""
    return hashlib.sha256(repr(_bare(row)).encode()).hexdigest()[:6]


def _bare(value: Any) -> Any:
    if isinstance(value, Place):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *(_bare(getattr(value, f.name)) for f in fields(value)))
    if isinstance(value, tuple):
        return tuple(map(_bare, value))
    return str(value) if isinstance(value, str) else value
