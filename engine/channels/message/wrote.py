"""The FHIR that a message wrote, as lines that can be clicked, each version with the one before it.

In: an entry. Out: `Version`s: what each resource says now, which lines of it differ from before, and whether
newer versions stand today. Of a replay that includes what the entries behind it came to: they ran in its
transaction, and the last of them has its name on the version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.channels.message.envelope import Envelope
from engine.channels.message.rehearsing import Changed
from engine.fhir import jsonio
from engine.fhir.diff import diff
from engine.store.sql import SqlStore

__all__ = ["Line", "Version", "Wherefrom", "lines_of", "tried", "value_at", "versions"]

MOST = 200  # versions of one entry
LINES = 400  # lines of one resource
_BEHIND = 500
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a resource. `path` is what lineage calls the element: `name[0].family`."""

    depth: int
    key: str
    value: str  # as JSON; empty where the element has parts
    path: str


@dataclass(frozen=True, slots=True)
class Wherefrom:
    """One difference from the version before."""

    path: str
    kind: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource that a message wrote, or would write."""

    type: str
    id: str
    version: int
    op: str  # create | update | relink | new | changed | deleted
    entry: int  # whose name is on it
    current: int  # the version that stands today
    lines: tuple[Line, ...]
    cut: int  # lines left out
    differences: tuple[Wherefrom, ...]


def versions(about: Envelope, store: SqlStore) -> list[Version]:
    """Return what an entry wrote."""
    behind: list[int] = []
    moment = None
    if about.kind == "replay" and about.worked:
        moment = about.worked
        touched = {
            (k, i)
            for n in (about.entry, about.parent, about.position)
            if n
            for k, i, *_ in store.written_by(n)
        }
        behind = [n for _, n in store.entries_touching(sorted(touched), about.position)][:_BEHIND]
    out = []
    for one in store.wrote(about.entry, *behind, most=MOST, at=moment):
        lines = list(lines_of(one.resource or {}))
        told = _differences(one.before, one.resource)
        made = tuple(lines[:LINES]), max(0, len(lines) - LINES)
        out.append(Version(one.type, one.id, one.version, one.op, one.entry, one.current, *made, told))
    return out


def tried(changes: Sequence[Changed]) -> list[Version]:
    """Return what a dry run would write."""
    out = []
    for one in changes[:MOST]:
        lines = list(lines_of(one.after or {}))
        told = _differences(one.before, one.after) if one.kind == "changed" else ()
        made = tuple(lines[:LINES]), max(0, len(lines) - LINES)
        out.append(Version(one.type, one.id, one.version, one.kind, one.by, one.version, *made, told))
    return out


def _differences(before: dict[str, Any] | None, after: dict[str, Any] | None) -> tuple[Wherefrom, ...]:
    if before is None or after is None:
        return ()
    return tuple(
        Wherefrom(d.path, d.kind, _said(d.left), _said(d.right))
        for d in diff(before, after, ignore=[f"{after.get('resourceType')}.meta.source"])
    )


def _said(value: Any) -> str:
    return "" if value is None else jsonio.dumps(value).decode()[:_LONGEST]


def lines_of(resource: Mapping[str, Any]) -> Iterator[Line]:
    """Give the lines of a resource, in order."""
    for key, value in resource.items():
        yield from _lines(key, value, key, 0)


def _lines(key: str, value: Any, path: str, depth: int) -> Iterator[Line]:
    if isinstance(value, dict):
        yield Line(depth, key, "", path)
        for name, inner in value.items():
            yield from _lines(name, inner, f"{path}.{name}", depth + 1)
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _lines(f"{key}[{n}]" if len(value) > 1 else key, inner, f"{path}[{n}]", depth)
    else:
        yield Line(depth, key, _said(value), path)


def value_at(resource: Mapping[str, Any] | None, path: str) -> str:
    """Return what stands at a path of a resource, as JSON; empty where nothing does."""
    for line in lines_of(resource or {}):
        if line.path == path:
            return line.value
    return ""
