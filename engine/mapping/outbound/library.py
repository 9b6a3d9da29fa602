"""The outbound maps of a project: found, read, compiled where they are first used.

In: `mappings/outbound/<format>/**/*.yaml` and the terminology of the project. Out: `OutMaps`; a map whose
name has no `_` (`837P`, `ccd`) is a whole message for `hub write`, all others are parts of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from engine.kernel.errors import ConfigError, HubError, MapError
from engine.kernel.yamlfile import load
from engine.mapping.outbound import hl7v2, x12, xml
from engine.mapping.outbound.datatypes import WRITERS, Writer
from engine.mapping.outbound.draft import Shape
from engine.mapping.outbound.language import OutMap, read_outbound
from engine.mapping.outbound.program import Compiler, Function, Program
from engine.mapping.outbound.values import FUNCTIONS
from engine.terminology.translate import Table, Terminology

__all__ = ["SHAPES", "OutMaps"]

SHAPES = {"x12": x12.shape_of, "cda": xml.cda_shape, "ncpdp": xml.script_shape, "hl7v2": hl7v2.shape_of}
_OID = re.compile(r"[0-2](\.\d+)+")


class OutMaps:
    """All outbound maps. Raises MapError with file:line for what cannot be read or compiled."""

    def __init__(
        self, maps: Mapping[str, OutMap], terminology: Terminology, identity_base: str = "urn:hub:own"
    ) -> None:
        self.maps, self.terminology = maps, terminology
        self.own = f"{identity_base}/id/"
        tables = [t for n in ("systems", "authorities") if (t := terminology.tables.get(n)) is not None]
        self.oids = {
            r.target_code: r.source_code
            for table in tables
            for r in table.rows
            if r.translates and _OID.fullmatch(r.source_code)
        }
        self.coding_ids = {
            r.target_code: r.source_code
            for r in (tables[0].rows if tables else ())
            if r.translates
            and r.source_system.endswith("v2-0396")
            and r.equivalence != "wider"
            and not r.pattern
        }
        self._programs: dict[tuple[str, Shape], Program] = {}

    @classmethod
    def open(
        cls, root: Path, terminology: Terminology | None = None, identity_base: str = "urn:hub:own"
    ) -> OutMaps:
        """Read the maps below a project's root; the first that cannot be read is raised."""
        made, wrong = cls.read(root, terminology)
        made.own = f"{identity_base}/id/"
        if wrong:
            raise wrong[0]
        return made

    @classmethod
    def read(cls, root: Path, terminology: Terminology | None = None) -> tuple[OutMaps, list[HubError]]:
        """Read the maps that can be read, and say what is wrong with the others."""
        base = root / "mappings" / "outbound"
        maps: dict[str, OutMap] = {}
        wrong: list[HubError] = []
        for path in sorted(base.glob("*/**/*.yaml")):
            shown = path.relative_to(root).as_posix()
            format = path.relative_to(base).parts[0]
            try:
                if format not in SHAPES:
                    there = ", ".join(SHAPES)
                    raise MapError(
                        f"{format} is no format to write", where=shown, remedy=f"there are: {there}"
                    )
                made = read_outbound(load(path, name=shown), shown, format)
                if made.name in maps:
                    why = f"also in {maps[made.name].place}"
                    raise MapError(f"map {made.name} exists twice", where=shown, why=why)
                maps[made.name] = made
            except HubError as e:
                wrong.append(e)
        return cls(maps, terminology or Terminology.open(root / "terminology")), wrong

    def problems(self) -> list[HubError]:
        """Compile every map, used or not, and give the first mistake of each."""
        wrong: list[HubError] = []
        for name, map_ in self.maps.items():
            try:
                self.program(name, SHAPES[map_.format](map_.to, str(map_.place)), "")
            except HubError as e:
                if str(e) not in map(str, wrong):
                    wrong.append(e)
        return wrong

    def entry(self, name: str) -> Program:
        """Give the program of a whole message."""
        if name not in self.maps:
            raise MapError(f"there is no outbound map {name}", remedy=f"there are: {', '.join(self.entries)}")
        map_ = self.maps[name]
        found = self.program(name, SHAPES[map_.format](map_.to, str(map_.place)), "")
        assert found is not None
        return found

    @property
    def entries(self) -> list[str]:
        """Give the names of whole messages: maps that are named as what they write."""
        return sorted(n for n, m in self.maps.items() if "_" not in n)

    def check(self) -> None:
        """Compile every map, used or not; the first mistake is raised."""
        for wrong in self.problems():
            raise wrong

    def program(self, name: str, shape: Shape, where: str) -> Program | None:
        """Find a map, compiled for this place; it may use itself further down."""
        map_ = self.maps.get(name)
        if map_ is None:
            return None
        key = (name, shape)
        if key not in self._programs:
            made = self._programs[key] = Program(map_, [])
            try:
                made.rows += Compiler(self, map_).rows(map_.rows, frozenset(map_.kinds), shape)
            except HubError:
                del self._programs[key]  # half a map must never run
                raise
        return self._programs[key]

    def function(self, name: str) -> Function | None:
        """Find a function."""
        return FUNCTIONS.get(name)

    def writer(self, name: str) -> Writer | None:
        """Find what writes a datatype."""
        return WRITERS.get(name) or hl7v2.V2_WRITERS.get(name)

    def table(self, name: str, where: str) -> Table:
        """Find a code table."""
        try:
            return self.terminology.table(name)
        except ConfigError as e:
            raise MapError(e.what, where=where, remedy=e.remedy) from None

    def coding(self, system: str, code: str) -> dict[str, str] | None:
        """Find a code of a code system; any code of a system whose codes are not at hand."""
        found = self.terminology.code_systems.get(system)
        if found is None:
            near = get_close_matches(system, list(self.terminology.code_systems), 1)
            raise MapError(
                f"there is no code system {system}", remedy=f"did you mean {near[0]}?" if near else ""
            )
        display = found.display(code)
        if display is None:
            return None
        return {"system": found.url, "code": code, **({"display": display} if display else {})}
