"""The proof that a text says what a sheet says: read, compiled and linted before anybody takes it in.

In: the maps as they are, edited sheets, the texts made of them. Out: nothing, or a MapError with the address
of the cell at fault.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from engine.channels.sheetrows import Sheet
from engine.formats.hl7v2 import dictionary
from engine.kernel.errors import HubError, MapError
from engine.mapping.check import check_file, check_maps
from engine.mapping.derived import derived
from engine.mapping.entries import entries
from engine.mapping.project import Maps
from engine.mapping.rules import Finding

__all__ = ["proved"]


def proved(root: Path, before: Maps, sheets: list[Sheet], texts: Mapping[str, str], site: str) -> None:
    """Open, compile and lint the maps with these texts. Raises MapError with the address of a cell."""
    tables = any(path.startswith("terminology/") for path in texts)
    with tempfile.TemporaryDirectory() as temporary:
        if tables:
            shutil.copytree(root / "terminology", Path(temporary) / "terminology")
            for path, text in texts.items():
                if path.startswith("terminology/"):
                    (Path(temporary) / path).write_text(text, "utf-8")
        try:
            made = derived(before, texts, Path(temporary) if tables else root)
            program = made.program(site)
        except HubError as fault:
            raise _at_cell(fault, texts, sheets) from None
        for s in sheets:
            if not s.changed():
                continue
            said = {e.key: e.said for e in entries(program.resolved[s.name])}
            for e in s.now:
                gone = e.key not in said and "skip" in e.words
                if not gone and said.get(e.key) != e.said:
                    raise s.cells[id(e)]["element"].refused(
                        f"{e.key} cannot be written so that it says exactly this", "edit the file itself"
                    )
            try:
                m = program.resolved[s.name]
                segment = m.source in dictionary.segment_names() or m.source in program.library.z_segments
                program.program.segment(s.name) if segment else program.program.datatype(s.name)
            except HubError as fault:
                raise _at_cell(fault, texts, sheets) from None
        known = {_said(f) for f in _found(before, texts, tables)}
        for f in _found(made, texts, tables):
            if _said(f) not in known and f.place.rpartition(":")[0] in texts:
                wrong = MapError(f.what, where=f.place, why=f.why, remedy=f.try_)
                raise _at_cell(wrong, texts, sheets)


def _found(maps: Maps, texts: Mapping[str, str], tables: bool) -> list[Finding]:
    """Return the errors of the files that change; a table is held against all maps."""
    found = check_maps(maps) if tables else [f for path in texts for f in check_file(maps, path)]
    return [f for f in found if f.level == "error"]


def _said(f: Finding) -> str:
    return str(f).split(": ", 1)[-1]


def _at_cell(e: HubError, texts: Mapping[str, str], sheets: list[Sheet]) -> MapError:
    """Put the address of the cell in place of the line that was written from it."""
    file, _, line = e.where.rpartition(":")
    where = e.where
    if line.isdigit() and file in texts:
        for text in reversed(texts[file].splitlines()[: int(line)]):
            named = re.match(r"\s*[\"']?([a-z][\w\[\]]*(?:\([^)]*\))?(?:\.[\w\[\]().-]+)*)[\"']?:", text)
            hit = next((s for s in sheets if named and named[1] in s.changed()), None)
            if hit is not None and named is not None:
                where = hit.address(named[1])
                break
    return MapError(e.what, where=where, why=e.why, remedy=e.remedy)
