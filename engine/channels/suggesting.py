"""Suggestions for codes of the worklist: candidates from the loaded releases, ranked, with reasons.

In: a sighting, the loaded code systems, the project's tables (what was approved before, units) and
abbreviations. Out: candidates, the best first. For codes of a standard system whose crosswalk is loaded (NDC,
CPT, ICD-9-CM) what the crosswalk says comes before what the text says. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.codes.systems import CVX, ICD10CM, LOINC, RXNORM, SNOMED
from engine.store.gaps import Sighting
from engine.terminology.concepts import CodeService
from engine.terminology.localwords import Abbreviations
from engine.terminology.suggest import LocalTerm, Precedent, Suggestion, gather, suggest
from engine.terminology.translate import Terminology

__all__ = ["Suggester", "targets_of"]

_TARGETS = {
    "OBX": (LOINC,),
    "OBR": (LOINC,),
    "DG1": (ICD10CM, SNOMED),
    "PRB": (SNOMED, ICD10CM),
    "PR1": (SNOMED,),
    "RXE": (RXNORM,),
    "RXO": (RXNORM,),
    "RXD": (RXNORM,),
    "RXG": (RXNORM,),
    "RXA": (CVX, RXNORM),
    "AL1": (RXNORM, SNOMED),
    "IAM": (RXNORM, SNOMED),
}


def targets_of(gap: Sighting, terms: Terminology) -> list[str]:
    """Return the systems that a code may be translated into: those of its table, else those of its field."""
    table = terms.tables.get(gap.table)
    if table is not None and any(r.translates for r in table.rows):
        return sorted(table.target_systems)
    return list(_TARGETS.get(gap.field[:3], (LOINC, SNOMED)))


class Suggester:
    """Suggests for one project."""

    def __init__(self, root: Path, terms: Terminology, codes: CodeService) -> None:
        self._terms, self._codes = terms, codes
        path = root / "terminology/abbreviations.csv"
        self._abbreviations = (
            Abbreviations.read(path.read_bytes(), "terminology/abbreviations.csv")
            if path.is_file()
            else Abbreviations()
        )
        self._precedents = {
            system: [
                Precedent(row.source_display, row.target_code, name)
                for name, table in terms.tables.items()
                for row in table.rows
                if row.translates and row.source_display and row.target_system == system
            ]
            for system in {r.system for r in codes.releases()}
        }
        units = terms.tables.get("units")
        self._ucum: Callable[[str], str] = lambda text: (
            hit.code if units is not None and (hit := units.translate(text)) is not None else ""
        )

    def for_gap(self, gap: Sighting, limit: int = 5, values: tuple[str, ...] = ()) -> list[Suggestion]:
        """Return the best candidates for a code; none where no release of a target system is loaded."""
        loaded = {r.system for r in self._codes.releases()}
        term = LocalTerm(
            gap.code,
            gap.text,
            gap.field,
            gap.units[0] if gap.units else "",
            gap.specimens[0] if gap.specimens else "",
            values,
            gap.panels[0] if gap.panels else "",
            gap.sender,
            gap.kinds[0] if gap.kinds else "",
        )
        found: list[Suggestion] = []
        for system in targets_of(gap, self._terms):
            if system not in loaded:
                continue
            said = self._crosswalk(gap, system)
            taken = {s.concept.code for s in said}
            candidates = gather(self._codes, system, term, self._abbreviations, ucum_of=self._ucum)
            precedents = self._precedents.get(system, ())
            ranked = suggest(term, candidates, self._abbreviations, precedents, limit, self._ucum)
            found += said + [s for s in ranked if s.concept.code not in taken]
        return sorted(found, key=lambda s: -s.score)[:limit]

    def _crosswalk(self, gap: Sighting, target: str) -> list[Suggestion]:
        """Return what a loaded crosswalk says of a code whose own system is a standard one."""
        if not gap.uri:
            return []
        made = []
        for match in self._codes.translate(gap.uri, gap.code, target):
            concept = self._codes.lookup(match.system, match.code)
            if concept is not None and concept.active:
                reason = f"{match.source}: {match.equivalence}"
                made.append(Suggestion(concept, 100.0, (reason,)))
        return made
