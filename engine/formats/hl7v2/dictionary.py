"""The HL7 v2 dictionary, versions 2.1 to 2.8.2: segments, fields, datatypes, tables and message structures.

In: names and numbers. Out: frozen definitions. The data file is compiled from hl7apy by
`tools/hl7v2_dictionary.py`; each version's grammar, structures and tables are unpacked when first asked for.
Follows HL7 v2.x chapters 2A (data types), 2C (tables) and the message chapters. hl7apy holds no maximum
lengths, so `length` is 0 everywhere.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from engine.kernel.errors import FormatError

__all__ = [
    "ComponentDef",
    "FieldDef",
    "GroupDef",
    "SegmentDef",
    "SegmentRef",
    "TableDef",
    "Version",
    "datatype_names",
    "segment_names",
    "structure_id",
    "version",
    "versions",
]

_MAGIC = b"HL7V2-DICTIONARY-1\n"
_USUAL = "2.5.1"  # for a message that does not say its version


@dataclass(frozen=True, slots=True)
class ComponentDef:
    """One component of a datatype; `number` is 1-based, `max` -1 means unbounded."""

    number: int
    name: str
    datatype: str
    table: str
    min: int
    max: int


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field of a segment; `table` as four digits, `max` -1 means unbounded, 0 means withdrawn."""

    number: int
    name: str
    datatype: str
    table: str
    min: int
    max: int
    length: int = 0

    @property
    def repeats(self) -> bool:
        """Tell whether the field may repeat."""
        return self.max not in (0, 1)

    @property
    def withdrawn(self) -> bool:
        """Tell whether this version has withdrawn the field."""
        return self.max == 0


@dataclass(frozen=True, slots=True)
class SegmentDef:
    """A segment and its fields in order; `fields[0]` is field 1."""

    name: str
    fields: tuple[FieldDef, ...]


@dataclass(frozen=True, slots=True)
class TableDef:
    """A table of codes; hl7apy holds no meanings."""

    id: str
    name: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """A segment's place in a message structure."""

    name: str
    min: int
    max: int


@dataclass(frozen=True, slots=True, eq=False)
class GroupDef:
    """A message structure or one of its groups; `choice` means one of the children stands there."""

    name: str
    min: int
    max: int
    children: tuple[GroupDef | SegmentRef, ...]
    choice: bool = False


class Version:
    """The dictionary of one version; ask `version("2.5.1")` for it."""

    def __init__(self, number: str) -> None:
        self.number = number
        self._segments: dict[str, SegmentDef] = {}
        self._components: dict[str, list[ComponentDef]] = {}
        self._structures: dict[str, GroupDef | None] = {}

    def __repr__(self) -> str:
        return f"<Version {self.number}>"

    def segment(self, name: str) -> SegmentDef | None:
        """Give a segment's definition."""
        found = self._segments.get(name)
        if found is None:
            rows = _grammar(self.number)["segments"].get(name)
            if rows is None:
                return None
            pool = _block("pool")
            fields = {
                number: FieldDef(number, *_named(pool[row]), low, high) for number, low, high, row in rows
            }
            blank = {n: FieldDef(n, "", "", "", 0, 0) for n in range(1, max(fields, default=0) + 1)}
            found = SegmentDef(name, tuple((blank | fields).values()))
            self._segments[name] = found
        return found

    def field(self, segment: str, number: int) -> FieldDef | None:
        """Give a field's definition by its number in the segment."""
        found = self.segment(segment)
        if found is None or not 1 <= number <= len(found.fields):
            return None
        return found.fields[number - 1]

    def components(self, datatype: str) -> list[ComponentDef]:
        """Give the components of a datatype; empty for a simple or unknown one."""
        found = self._components.get(datatype)
        if found is None:
            pool = _block("pool")
            rows = _grammar(self.number)["datatypes"].get(datatype, ())
            found = [
                ComponentDef(n, *_named(pool[row]), low, high) for n, (low, high, row) in enumerate(rows, 1)
            ]
            self._components[datatype] = found
        return found

    def structure(self, name: str) -> GroupDef | None:
        """Give a message structure such as `ORU_R01` as a tree of groups."""
        if name not in self._structures:
            rows = _block(f"{self.number}/structures").get(name)
            self._structures[name] = None if rows is None else GroupDef(name, 1, 1, _children(rows))
        return self._structures[name]

    def table(self, number: str) -> TableDef | None:
        """Give a table by its number, four digits."""
        row = _block(f"{self.number}/tables").get(number.zfill(4))
        return None if row is None else TableDef(number.zfill(4), row[0], tuple(row[1]))

    @property
    def segment_names(self) -> list[str]:
        """Name the segments of this version."""
        return list(_grammar(self.number)["segments"])

    @property
    def datatype_names(self) -> list[str]:
        """Name the composite datatypes of this version."""
        return list(_grammar(self.number)["datatypes"])

    @property
    def structure_names(self) -> list[str]:
        """Name the message structures of this version."""
        return list(_block(f"{self.number}/structures"))


@lru_cache(maxsize=256)
def version(number: str) -> Version:
    """Give the dictionary of a version, or of the nearest known one that is not newer."""
    return _exact(_nearest(number))


@lru_cache(maxsize=1)
def versions() -> tuple[str, ...]:
    """Name the versions, oldest first."""
    return tuple(_file()[0]["versions"])


@lru_cache(maxsize=1)
def segment_names() -> frozenset[str]:
    """Name every segment that any version defines."""
    return frozenset(_file()[0]["segments"])


@lru_cache(maxsize=1)
def datatype_names() -> frozenset[str]:
    """Name every datatype that any version defines."""
    return frozenset(_file()[0]["datatypes"])


def structure_id(code: str, event: str, declared: str = "", number: str = "") -> str:
    """Give the message structure of MSH-9 (`ADT`, `A08` -> `ADT_A01`); empty when no version knows one."""
    from engine.formats.hl7v2.structures import identify

    return identify(code, event, declared, number)


@lru_cache(maxsize=32)
def _exact(number: str) -> Version:
    return Version(number)


def _nearest(number: str) -> str:
    known = versions()
    match = re.match(r"\s*v?(\d+(?:\.\d+)*)", number)
    if number in known or match is None:
        return number if number in known else _USUAL
    wanted = tuple(int(part) for part in match.group(1).split("."))
    older = [v for v in known if tuple(int(part) for part in v.split(".")) <= wanted]
    return older[-1] if older else known[0]


@lru_cache(maxsize=1)
def _file() -> tuple[dict[str, Any], bytes]:
    data = (files("engine.formats.hl7v2") / "data" / "dictionary.bin").read_bytes()
    if not data.startswith(_MAGIC):
        raise FormatError("the HL7 dictionary file is not readable", remedy="run tools/hl7v2_dictionary.py")
    start = len(_MAGIC) + 4
    size = int.from_bytes(data[len(_MAGIC) : start], "big")
    return json.loads(data[start : start + size]), data[start + size :]


@lru_cache(maxsize=64)
def _block(name: str) -> Any:
    index, body = _file()
    offset, size = index["blocks"][name]
    return json.loads(zlib.decompress(body[offset : offset + size]))


def _grammar(number: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = _block(f"{number}/grammar")
    return found


def _children(rows: list[list[Any]]) -> tuple[GroupDef | SegmentRef, ...]:
    return tuple(
        SegmentRef(row[0], row[1], row[2])
        if len(row) == 3
        else GroupDef(row[0], row[1], row[2], _children(row[3]), len(row) > 4)
        for row in rows
    )


_KEPT = ("ID", "SSN", "HL7", "DRG", "NDC", "UPC", "UB82", "UB92", "DEA", "ABO", "NPI", "IV")
_SMALL = ("of", "to", "and", "or", "the", "in", "on", "for", "by", "with", "from", "at", "as")
_WORDS = {word: word for word in _KEPT} | {word.upper(): word for word in _SMALL}


def _named(row: list[str]) -> tuple[str, str, str]:
    return _spoken(row[0]), row[1], row[2]


@lru_cache(maxsize=8192)
def _spoken(name: str) -> str:
    """Turn hl7apy's `DATE_TIME_OF_BIRTH` into `Date/Time of Birth`."""
    words = [_WORDS.get(word, word.capitalize()) for word in name.split("_") if word]
    if words and words[0].islower():
        words[0] = words[0].capitalize()
    return " ".join(words).replace("Date Time", "Date/Time").replace(" S ", "'s ")
