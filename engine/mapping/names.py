"""The names that rows are written with: elements of FHIR types and fields of segments, each with its words.

In: a FHIR type, a segment or a datatype. Out: path -> one-line definition, location -> name, type and table.
Editors complete from them: by the schemas of `hub schema`, and as one types on the bench.
"""

from __future__ import annotations

import re
from typing import Any

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.mapping import types as T
from engine.mapping.project import Maps

__all__ = ["components_of", "element_paths", "field_name", "fields_of"]


def element_paths(kind: str, depth: int = 2) -> dict[str, str]:
    """Return element path -> one-line definition, two levels down; datatypes are not opened further."""
    out: dict[str, str] = {}
    if kind not in definitions.types():
        return out
    for name, e in definitions.elements(kind).items():
        if name in ("id", "implicitRules"):
            continue
        names = [name] if not e.choice else [name, *(definitions.concrete_name(name, k) for k in e.types)]
        for n in names:
            out[n] = f"{e.short} ({e.min}..{'*' if e.repeats else e.max})"
        target = T.child_of(kind, name)
        if depth > 1 and target is not None and target.type and not target.primitive and not e.choice:
            if (
                target.type in ("Extension", "Meta", "Narrative", "Reference")
                or target.type in definitions.resource_types()
            ):
                continue
            out.update({f"{name}.{k}": v for k, v in element_paths(target.type, depth - 1).items()})
    return out


def fields_of(maps: Maps, source: str) -> dict[str, str]:
    """Return location -> `Administrative Sex, IS, table 0001` for every field or component of a source."""
    for site in maps.sites.values():
        if source in site.segments:
            return {f"{source}-{i}": f"{n}, {t}" for i, (n, t) in enumerate(site.segments[source], 1)}
    out: dict[str, str] = {}
    for v in T.VERSIONS:
        segment = dictionary.version(v).segment(source)
        parts: Any = segment.fields if segment is not None else dictionary.version(v).components(source)
        mark = "-" if segment is not None else "."
        for p in parts:
            if getattr(p, "withdrawn", False) or p.datatype == "WD":
                continue
            table = f", table {p.table}" if p.table else ""
            out.setdefault(f"{source}{mark}{p.number}", f"{p.name}, {p.datatype}{table}")
    return out


def components_of(datatype: str, before: str) -> dict[str, str]:
    """Return `before` + number -> name, type and table for every component of a datatype."""
    out: dict[str, str] = {}
    for v in T.VERSIONS:
        for p in dictionary.version(v).components(datatype):
            if p.datatype != "WD":
                table = f", table {p.table}" if p.table else ""
                out.setdefault(f"{before}{p.number}", f"{p.name}, {p.datatype}{table}")
    return out


def field_name(maps: Maps, text: str) -> str:
    """Return how the dictionary calls the first field or component that a source names; "" where none."""
    m = re.search(r"\b([A-Z][A-Z0-9]{1,2})([-.])(\d+)(?:\([^)]*\))?(?:\.(\d+))?", text)
    if m is None or text.startswith("="):
        return ""
    said = fields_of(maps, m[1]).get(f"{m[1]}{m[2]}{m[3]}", "")
    if not m[4] or not said:
        return said
    kind = T.field_type(m[1], int(m[3])) if m[2] == "-" else T.component_type(m[1], int(m[3]))
    part = components_of(kind, "").get(m[4], "")
    return f"{said.split(',')[0]}: {part}" if part else said
