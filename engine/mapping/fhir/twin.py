"""The twin of the run of FHIR: the same steps on values that remember the place they came from.

In and out: as run.py. Used for lineage, `try` and `convert`, never by the worker.
"""

from __future__ import annotations

from typing import Any

from engine.formats.fhir.posted import Ask, asks_of, name_of
from engine.mapping.fhir.run import FhirRun
from engine.mapping.model import Place
from engine.mapping.traced import sources_of, traced

__all__ = ["TracedFhirRun"]


class TracedFhirRun(FhirRun):
    """The twin that remembers."""

    tracing = True

    def keep(self, value: Any, *sources: Any, place: Place | None = None) -> Any:
        row = -1
        if place is not None:
            self.rows.append(place)
            row = len(self.rows) - 1
        return traced(value, sources_of(sources), row)

    def asks(self) -> tuple[Ask, ...]:
        value = self.arrived.document.value
        return asks_of(_remembering(value, str(value["resourceType"])))


class _Spot(str):
    """A place of a value; a piece of a text is where the text is."""

    __slots__ = ()

    def below(self, index: int) -> _Spot:
        """Return the place of a piece."""
        return self


def _remembering(value: Any, at: str) -> Any:
    if isinstance(value, dict):
        return {k: _remembering(v, f"{at}.{name_of(k, n)}") for n, (k, v) in enumerate(value.items())}
    if isinstance(value, list):
        return [_remembering(v, f"{at}[{n}]") for n, v in enumerate(value)]
    return traced(value, (_Spot(at),), -1)
