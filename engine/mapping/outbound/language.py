"""Outbound map files into typed rows: the reader of every map, with places of the target left of the colon
and FHIR paths right of it.

In: `mappings/outbound/<format>/**/*.yaml`. Out: `OutMap`s. Words: from, when, by, code, unmapped, default,
each, known_by, join, with, as, rows, skip, assumed, `=constant`, `[a, b]`; top of file: map, from, to, rows,
ignore, note. What only inbound rows do (make, split, failed) is refused with the place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from engine.fhir import definitions
from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map
from engine.mapping.conditions import Condition
from engine.mapping.model import Place, Row, Step
from engine.mapping.outbound import conditions
from engine.mapping.read import Reader
from engine.mapping.readtests import known_words

__all__ = ["OutMap", "read_outbound"]

_ONLY_INBOUND = ("make", "split", "failed", "action", "work", "flag")


@dataclass(frozen=True, slots=True)
class OutMap:
    """A map from FHIR types to one place of a format."""

    name: str
    format: str  # the folder: x12, cda, ncpdp, hl7v2
    kinds: tuple[str, ...]
    to: str
    rows: tuple[Row, ...]
    place: Place
    ignore: tuple[str, ...] = ()
    note: str = ""


class OutReader(Reader):
    """Reads rows whose left side is a place of the target, kept as it is written."""

    def target(self, text: str, where: str) -> tuple[Step, ...]:
        """Take the place as one step; the format reads it when the map is compiled."""
        if not text.strip() or (re.search(r"[()]", text) and text.count("(") != text.count(")")):
            raise MapError(
                f"{text!r} is not a place",
                where=where,
                remedy="a comma inside a one-line { } cuts a row in two: write alternatives with |",
            )
        return (Step(text.strip()),)

    def condition(self, value: Any, where: str) -> Condition | None:
        """Read `when:` over FHIR paths."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise MapError(
                "when must be a condition", where=where, remedy="e.g. when: deceased.ofType(boolean) = true"
            )
        return conditions.parse(value, where)

    def long_row(self, target: tuple[Step, ...], m: Map, at: tuple[Step, ...], place: Place) -> Row:
        """Read `{words + places}`; below a row places start anew."""
        for word in _ONLY_INBOUND:
            if word in m:
                raise MapError(
                    f"outbound rows do not know the word {word!r}", where=f"{self.file}:{m.key_lines[word]}"
                )
        return super().long_row(target, m, (), place)


def read_outbound(data: Any, file: str, format: str) -> OutMap:
    """Read one map file. Raises MapError with file:line."""
    m = known_words(data, {"map", "from", "to", "rows", "ignore", "note"}, file)
    for needed in ("map", "from", "to", "rows"):
        if not m.get(needed):
            raise MapError(f"has no {needed}:", where=file)
    kinds = tuple(part.strip() for part in str(m["from"]).removeprefix("FHIR ").split("|"))
    for kind in kinds:
        if kind not in definitions.types() and "." not in kind:
            raise MapError(f"FHIR R4 has no type {kind!r}", where=f"{file}:{m.key_lines['from']}")
    xml = format in ("cda", "ncpdp")
    reader = OutReader(str(m["to"]), file, "standard", lambda root, path, name: xml and name == "value")
    return OutMap(
        str(m["map"]),
        format,
        kinds,
        str(m["to"]),
        reader.rows(m["rows"]),
        Place(file, m.line),
        tuple(str(x) for x in m.get("ignore") or ()),
        str(m.get("note") or ""),
    )
