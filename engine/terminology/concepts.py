"""The concepts of code systems, and the one interface through which the engine asks about them.

In: a system (URI), a code, sometimes a version. Out: concepts, releases, matches of a translation. Whoever
answers fits `CodeService`: the embedded code store (`engine.codes.store`) or an external terminology server.
The questions are those of the FHIR terminology service (FHIR R4 terminology-service.html: $lookup,
$validate-code, $subsumes, $translate, $expand with a filter). An empty `version` means the current release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

__all__ = ["CodeService", "Concept", "Match", "Release", "Subsumption"]

Subsumption = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Concept:
    """One code of one release. `properties` holds what the release says of it, by the release's own names;
    several values of one property stand in one text, a line each."""

    system: str
    code: str
    display: str
    active: bool = True
    version: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """One loaded version of a code system. `effective` is YYYY-MM-DD, or empty where the release has none."""

    system: str
    version: str
    effective: str = ""
    source: str = ""
    concepts: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """One answer of a translation. `equivalence` is a code of FHIR R4 concept-map-equivalence; `source`
    names the table or release that says so."""

    system: str
    code: str
    display: str
    equivalence: str
    source: str


class CodeService(Protocol):
    """Answers questions about codes: from the loaded releases, or from a terminology server."""

    def releases(self) -> list[Release]:
        """List what is loaded, the current version of a system first."""
        ...

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        """Return a concept; None when the release has no such code."""
        ...

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> tuple[bool, str]:
        """Tell whether a code is known and active, and what there is to say about it."""
        ...

    def subsumes(self, system: str, a: str, b: str, version: str = "") -> Subsumption | None:
        """Tell how `a` stands to `b` ("subsumes": a is the wider); None when either is not known."""
        ...

    def translate(self, system: str, code: str, target: str, version: str = "") -> list[Match]:
        """Return what the loaded crosswalks say a code is in the system `target`, the best first."""
        ...

    def search(
        self, system: str, text: str, limit: int = 50, offset: int = 0, properties: Mapping[str, str] = _NONE
    ) -> list[Concept]:
        """Find concepts by words of their names; `properties` must all be as given."""
        ...
