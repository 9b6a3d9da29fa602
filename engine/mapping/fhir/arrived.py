"""A body of FHIR as it comes to the mapper, and the report of where its values went.

In: a `Posted`, what its channel says. Out: an `Arrived`, whose `report` names for every populated value the
elements it reached, or why it reached none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from engine.formats.fhir.posted import Posted
from engine.formats.hl7v2.delims import Delims
from engine.mapping.arrived import NO_DELIMS
from engine.mapping.build import Built
from engine.mapping.fhir.identity import Incoming
from engine.mapping.fhir.run import FhirRun
from engine.mapping.fhir.twin import TracedFhirRun
from engine.mapping.lineage import NOWHERE, Mapped, Report, Unmapped, names_of, walk_values
from engine.mapping.model import Place

__all__ = ["FhirArrived", "fhir_arrived"]

_ENVELOPE = (
    (".request.", "says what is asked for", "decides"),
    (".fullUrl", "what references inside the Bundle call it", "key"),
    (".search.", "tells how it was found", "no effect"),
    (".response.", "answers something that the hub did not ask", "no effect"),
    (".link[", "an address of the sender's server", "no effect"),
)
_OF_BUNDLE = {
    "type": ("decides what the Bundle is", "decides"),
    "resourceType": ("decides what the body is", "decides"),
    "id": ("the Bundle's own: it is found by it", "key"),
    "timestamp": ("says which of two is older", "decides"),
    "total": ("of a search", "no effect"),
}
_WHOLE = ("of the Bundle and not of what it holds: the journal has it", "not mapped")


class FhirArrived:
    """One body."""

    format = "fhir"
    run: Any = FhirRun
    traced_run: Any = TracedFhirRun
    delims: Delims = NO_DELIMS
    segments: Sequence[Any] = ()
    repairs: Sequence[Any] = ()
    scope: Any = None
    charset = "UTF-8"

    def __init__(self, document: Posted, incoming: Incoming, authority: str) -> None:
        self.document, self.incoming, self.authority = document, incoming, authority
        self.names: set[str] = set()
        self.kinds = (document.kind,)
        self.type = document.kind
        self.raw = document.raw
        self.headers: Mapping[str, str] = document.headers

    @property
    def stamp(self) -> str:
        """When the sender put the body together."""
        said = self.document.value.get("timestamp") if self.document.is_bundle else ""
        return said if isinstance(said, str) else ""

    def report(self, built: Built, x: Any, rows: Any, maps: Any, message: Any) -> Report:
        """Say of every value where it went."""
        went: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for name, draft in zip(names_of(built.drafts), built.drafts, strict=True):
            for path, value in walk_values(draft.body, name):
                for at in value.src:
                    went[at].append((path, value.row))
        out = Report()
        for leaf in self.document.leaves():
            found = went.get(leaf.place)
            if found:
                out.mapped += [self._mapped(leaf.place, to, row, x.rows) for to, row in dict.fromkeys(found)]
                continue
            why, state = _why(leaf.place, x.reasons, self.document.is_bundle)
            out.unmapped.append(Unmapped(leaf.place, leaf.value, why, state))
        return out

    def _mapped(self, source: str, target: str, row: int, rows: Sequence[Place]) -> Mapped:
        place = rows[row] if 0 <= row < len(rows) else NOWHERE
        return Mapped(source, target, f"rules ({place})" if place is not NOWHERE else "", place)


def _why(place: str, reasons: Mapping[str, tuple[str, str]], bundle: bool) -> tuple[str, str]:
    """Say why a value reached nothing."""
    at = place
    while at:
        if at in reasons:
            return reasons[at]
        at = at[: max(at.rfind("."), at.rfind("["), 0)]
    if bundle and ".resource." not in place:
        for part, why, state in _ENVELOPE:
            if part in place or place.endswith(part):
                return why, state
        if place.startswith("Bundle.meta."):
            return _WHOLE[0], "ignored"
        return _OF_BUNDLE.get(place.removeprefix("Bundle."), _WHOLE)
    name = place.rpartition(".")[2]
    if name == "id":
        return "only part of its identity", "key"
    return "not mapped", "not mapped"


def fhir_arrived(document: Posted, incoming: Incoming = Incoming(), channel: str = "") -> FhirArrived:
    """Arrange a body; ids of a sender whose server nobody has named are private to the channel."""
    who = document.headers.get("endpoint") or document.headers.get("source", "")
    authority = f"urn:hub:sender:fhir:{channel}" if channel else f"urn:hub:sender:fhir|{who}"
    return FhirArrived(document, incoming, authority)
