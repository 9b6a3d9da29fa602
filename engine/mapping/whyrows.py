"""Which rows of which layer set an element, and which read a field.

In: the maps as a site sees them, an element (`Patient.name.use`) or a location (`PID-18`). Out: rows with
what they say, who set them and where; maps that ignore the field on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.mapping.locate import locate
from engine.mapping.project import SiteProgram
from engine.mapping.readings import readings
from engine.mapping.sheet import Line, sheet

__all__ = ["LEAF", "why_rows"]

LEAF = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?[-.](\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?")
"""A location of HL7 v2 as people and reports write it: segment, its number, field, repetition, parts."""


def why_rows(program: SiteProgram, what: str) -> list[dict[str, Any]]:
    """Return the rows that set an element or read a location."""
    return list(_reads(program, what) if LEAF.fullmatch(what) else _sets(program, what))


def _sets(program: SiteProgram, path: str) -> Iterator[dict[str, Any]]:
    """Give the rows that can set an element."""
    kind, _, element = path.partition(".")
    wanted = [re.sub(r"\(.*?\)|\[\d+\]", "", s) for s in element.split(".") if s]
    for m in program.resolved.values():
        if m.to != kind:
            continue
        for line in sheet(m):
            names = [s.split("(")[0] for s in line.path]
            short = min(len(names), len(wanted))
            if not (line.source or line.how) or names[:short] != wanted[:short] or not names:
                continue
            through = "(through its datatype map)" if len(names) < len(wanted) else ""
            yield _row(m.name, line, through)


def _row(name: str, line: Line, why: str) -> dict[str, Any]:
    said = "; ".join(filter(None, (line.source, line.how, f"when {line.when}" if line.when else "")))
    return {
        "map": name,
        "element": line.element,
        "said": said,
        "why": why,
        "set_by": line.set_by,
        "place": line.place,
    }


def _reads(program: SiteProgram, what: str) -> Iterator[dict[str, Any]]:
    """Give the rows that read a field, and the maps that ignore it on purpose."""
    m = LEAF.fullmatch(what)
    assert m is not None
    segment, field, component = m[1], int(m[3]), int(m[5] or 0)
    for found in program.resolved.values():
        for text in found.ignore:
            at = locate(text)
            if at is not None and (at.name, at.field) == (segment, field):
                yield {
                    "map": found.name,
                    "element": "ignore",
                    "said": text,
                    "why": "ignored on purpose",
                    "set_by": found.place.layer,
                    "place": found.place.file,
                }
        for r in readings(found, frozenset(program.resolved)):
            at = r.location
            if (at.name, at.field) != (segment, field):
                continue
            if component and at.component and at.component != component:
                continue
            role = {"chooses": "chooses a case", "condition": "in a condition", "key": "in the key"}
            when = f"when {' and '.join(r.conditions)}" if r.conditions else ""
            yield {
                "map": r.map,
                "element": r.row,
                "said": "; ".join(filter(None, (what, f"through {r.through}" if r.through else "", when))),
                "why": role.get(r.role, ""),
                "set_by": r.place.layer,
                "place": str(r.place),
            }
