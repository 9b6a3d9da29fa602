"""Which message map a message of HL7 v2 is read by: the one its channel names, the one its profile asks for,
or the one of its type.

In: what the channel's file says behind `map:`, and the raw MSH of a message. Out: the name of a map, empty
for that of the message's type. MSH-21 (HL7 v2.8.2 §2.14.9.21) is a list of entity identifiers: a line of the
choice fits where the number (EI.1) or the universal id (EI.3) of any of them is one of its values, compared
letter by letter. IHE has moved its own from the third component to the first and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.formats.hl7v2.parse import Message
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map

__all__ = ["BY_TYPE", "MapChoice", "head_of", "read_map"]

BY_TYPE = "by type"
_MSH_21 = 21


@dataclass(frozen=True, slots=True)
class MapChoice:
    """The lines of a choice by MSH-21, in the order of the file: the first that fits counts."""

    lines: tuple[tuple[tuple[str, ...], str], ...] = ()  # (values, map); "" = MSH-21 is not valued
    otherwise: str = ""  # "" = by type

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps that it can choose, each once."""
        return tuple(dict.fromkeys(name for name in (*(m for _, m in self.lines), self.otherwise) if name))

    def of(self, fields: Sequence[str], encoding: str) -> str:
        """Return the map for a message: the raw fields of its MSH (`fields[21]` is MSH-21), and MSH-2."""
        raw = fields[_MSH_21] if len(fields) > _MSH_21 else ""
        component, repetition = encoding[:1] or "^", encoding[1:2] or "~"
        said: set[str] = set()
        for one in raw.split(repetition):
            parts = [part.strip() for part in one.split(component)]
            said.update(part for part in (*parts[:1], *parts[2:3]) if part and part != '""')
        for values, name in self.lines:
            if said.intersection(values) or (not said and "" in values):
                return name
        return self.otherwise


def head_of(message: Message) -> tuple[Sequence[str], str]:
    """Return the raw fields of a message's MSH, and MSH-2 as far as a choice needs it."""
    msh, delims = message.segment("MSH"), message.delims
    return msh.fields if msh is not None else (), delims.component + delims.repetition


def read_map(value: Any, where: str) -> str | MapChoice:
    """Read what stands behind `map:`; a name, empty for `by type`, or a choice. Raises ConfigError."""
    if not isinstance(value, Map):
        return "" if value in (None, BY_TYPE) else str(value)
    remedy = "write {by: MSH-21, 1.3.6.1.4.1.19376.1.6.1.1.1: PCD_ORU_R01, else: by type}"
    if value.get("by") != "MSH-21":
        raise ConfigError("map: chooses by MSH-21 only", where=where, remedy=remedy)
    if "else" not in value or len(value) < 3:
        raise ConfigError("map: a choice needs a line for a profile, and else:", where=where, remedy=remedy)
    lines = []
    seen: set[str] = set()
    for key, name in value.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"map: {key}: takes the name of a map, or by type", where=where, remedy=remedy)
        if key in ("by", "else"):
            continue
        values = tuple(one.strip() for one in str(key).split("|"))
        for one in values:
            if one in seen:
                raise ConfigError(f"map: two lines are for {one!r}", where=where)
            seen.add(one)
        lines.append((values, _name(name)))
    return MapChoice(tuple(lines), _name(value["else"]))


def _name(text: str) -> str:
    return "" if text == BY_TYPE else text
