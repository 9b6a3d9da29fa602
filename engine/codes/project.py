"""All that one project knows of codes, behind one Protocol: the loaded releases, then its own code systems
and code tables.

In: the embedded store, the project's terminology folder. Out: answers of `CodeService`. A code table is a
crosswalk here: what a person approved in it comes before what a release says.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.codes.store import CodeStore
from engine.terminology import ucum
from engine.terminology.concepts import Concept, Match, Release, Subsumption
from engine.terminology.folder import TerminologyFolder
from engine.terminology.translate import Table

__all__ = ["ProjectCodes"]

_NONE: Mapping[str, str] = {}


class ProjectCodes:
    """Releases, code systems and tables of one project."""

    def __init__(self, store: CodeStore, folder: TerminologyFolder) -> None:
        self.store, self.folder = store, folder

    def releases(self) -> list[Release]:
        """List the loaded releases, then the code systems that ship with the project."""
        loaded = self.store.releases()
        known = {r.system for r in loaded}
        terms = self.folder.now()
        own = [
            Release(s.url, "", "", f"systems/{s.name}.csv", len(s.displays))
            for s in terms.code_systems.values()
            if s.url not in known
        ]
        return [*loaded, *own, *([] if ucum.SYSTEM in known else [Release(ucum.SYSTEM, "", "", "grammar")])]

    def _loaded(self, system: str) -> bool:
        return self.store.in_force(system) is not None

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        """Return a concept; None when nobody has such a code."""
        if self._loaded(system) or version:
            return self.store.lookup(system, code, version)
        if system == ucum.SYSTEM:  # a grammar, not a list
            return Concept(system, code, code) if ucum.is_unit(code) else None
        own = self.folder.now().by_url.get(system)
        display = own.display(code) if own is not None else None
        return None if display is None else Concept(system, code, display)

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> tuple[bool, str]:
        """Tell whether a code is known and active, and what there is to say about it."""
        if self._loaded(system) or version:
            return self.store.validate(system, code, display, version)
        if system == ucum.SYSTEM:
            try:
                ucum.parse(code)
            except ucum.UnitError as e:
                return False, f"{code!r} is no unit of UCUM: {e.why}"
            return True, ""
        own = self.folder.now().by_url.get(system)
        if own is None:
            return False, f"no release of {system} is loaded"
        name = own.display(code)
        if name is None:
            return False, f"{code!r} is not in {system}"
        if display and name.casefold() != display.casefold().strip():
            return True, f"the name of {code!r} in {system} is {name!r}"
        return True, ""

    def subsumes(self, system: str, a: str, b: str, version: str = "") -> Subsumption | None:
        """Tell how `a` stands to `b`; the project's own systems are flat lists."""
        if self._loaded(system) or version:
            return self.store.subsumes(system, a, b, version)
        if self.lookup(system, a) is None or self.lookup(system, b) is None:
            return None
        return "equivalent" if a == b else "not-subsumed"

    def translate(self, system: str, code: str, target: str, version: str = "") -> list[Match]:
        """Return what the tables and the loaded crosswalks say a code is in `target` (empty: anywhere)."""
        found: list[Match] = []
        if not version:
            for name, table in sorted(self.folder.now().tables.items()):
                match = self.by_table(name, table, system, code)
                if match is not None and (not target or match.system == target):
                    found.append(match)
        targets = [target] if target else self.store.targets(system)
        for one in targets:
            found += self.store.translate(system, code, one, version)
        return list({(m.system, m.code): m for m in reversed(found)}.values())[::-1]

    def by_table(self, name: str, table: Table, system: str, code: str) -> Match | None:
        """Return what one table says; only rows of the very system are asked, never one for any system."""
        hit = table.translate(code, system, system) if system else table.translate(code)
        if hit is None or hit.drop or not hit.code or (system and not hit.source):
            return None
        return Match(hit.system, hit.code, hit.display, hit.equivalence, f"{name}@{table.version}")

    def search(
        self, system: str, text: str, limit: int = 50, offset: int = 0, properties: Mapping[str, str] = _NONE
    ) -> list[Concept]:
        """Find concepts by words of their names."""
        if self._loaded(system):
            return self.store.search(system, text, limit, offset, properties)
        own = self.folder.now().by_url.get(system)
        if own is None or properties:
            return []
        words = text.casefold().split()
        found = [
            Concept(system, code, display)
            for code, display in sorted(own.displays.items())
            if code == text or all(any(p.startswith(w) for p in display.casefold().split()) for w in words)
        ]
        return found[offset : offset + limit]
