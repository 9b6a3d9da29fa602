"""What the mapping language is for each format: how conditions are read, what the source's types are, what
rows may call.

In: the name of a format. Out: its `Language`; and `read_maps`, which reads the map files of one format. The
rows, targets, tables and words are the same for all (docs/analysts/maps.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map, loads, text_of
from engine.mapping import conditions
from engine.mapping import types as T
from engine.mapping.dicom_values import FUNCTIONS
from engine.mapping.fhir.rules import read_rules
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.read import Parse, read_map
from engine.mapping.readmessage import read_message
from engine.mapping.treeconditions import parse_tree
from engine.mapping.x12types import X12

__all__ = ["LANGUAGES", "Language", "read_file", "read_maps", "read_text"]


@dataclass(frozen=True, slots=True)
class Language:
    """One format's side of the language."""

    format: str
    folder: str  # below mappings/
    tree: bool = False  # locations are paths in a document
    types: T.SourceTypes = T.HL7
    parse: Parse = conditions.parse

    @property
    def functions(self) -> frozenset[str]:
        """What its rows may call besides maps."""
        return frozenset(FUNCTIONS) if self.tree else frozenset()


LANGUAGES = {
    one.format: one
    for one in (
        Language("hl7v2", "hl7v2"),
        Language("x12", "x12", types=X12),
        Language("cda", "cda", tree=True, parse=parse_tree),
        Language("ncpdp", "ncpdp", tree=True, parse=parse_tree),
        Language("dicom", "dicom", tree=True, parse=parse_tree),
        Language("fhir", "fhir", tree=True, parse=parse_tree),
    )
}
"""By format; the format's own names stand in docs/analysts/ways-in.md."""


def read_file(path: Path, shown: str, language: Language) -> MapDef | MessageDef:
    """Read one map file. Raises MapError or ConfigError with file:line."""
    return read_text(text_of(path, shown), shown, language)


@lru_cache(maxsize=2048)
def read_text(text: str, shown: str, language: Language) -> MapDef | MessageDef:
    """Read one map from its text, once: maps never change. Raises MapError or ConfigError with file:line."""
    data = loads(text, shown)
    if not isinstance(data, Map) or "map" not in data:
        raise MapError("is not a map", where=shown, remedy="start the file with map: NAME")
    if language.format == "fhir":
        return read_rules(data, shown)
    if "resources" in data:
        return read_message(data, shown, "standard", language.parse)
    return read_map(data, shown, "standard", T.has_child, language.parse)


def read_maps(root: Path, language: Language) -> tuple[dict[str, MapDef], dict[str, MessageDef]]:
    """Read all maps of a format below the project's root; a format without a folder has none."""
    maps: dict[str, MapDef] = {}
    messages: dict[str, MessageDef] = {}
    for path in sorted((root / "mappings" / language.folder).glob("*/**/*.yaml")):
        shown = path.relative_to(root).as_posix()
        one = read_file(path, shown, language)
        twice: MapDef | MessageDef | None
        if isinstance(one, MessageDef):
            twice = messages.get(one.name)
            messages[one.name] = one
        else:
            twice = maps.get(one.name)
            maps[one.name] = one
        if twice is not None:
            raise MapError(f"map {one.name} exists twice", where=shown, why=f"also in {twice.place.file}")
    return maps, messages
