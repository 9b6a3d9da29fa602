"""Who asks at `/fhir`, `/feed` and `/dicomweb`, and how much of the records they see.

In: the scopes of a caller. Out: for a type and an interaction everything, one patient's resources, or a
refusal (RFC 6750: 403 with `insufficient_scope`, naming what would have been needed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from engine.console.refusals import Refusal
from engine.fhir.compartment import OWNERS, belongs, is_somebodys
from engine.security.scopes import Scopes

__all__ = ["NOBODY", "Caller", "insufficient", "searched", "shows"]

Read = Callable[[str, str], dict[str, Any] | None]


def insufficient(scope: str) -> Refusal:
    """Make the refusal of a caller whose scopes do not suffice."""
    challenge = f'Bearer realm="hub", error="insufficient_scope", scope="{scope}"'
    return Refusal(
        403, f"your token does not have the scope {scope}", headers={"WWW-Authenticate": challenge}
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller. `who` stands in the audit; `patient` is whom `patient/` scopes mean."""

    who: str
    scopes: Scopes = field(default_factory=Scopes)
    patient: str = ""
    channels: tuple[str, ...] = ("*",)

    def limit(self, kind: str, interaction: str) -> str | None:
        """Return the one patient whose resources may be seen; None: everybody's. Raises Refusal."""
        contexts = self.scopes.contexts(kind, interaction)
        if contexts & {"system", "user"}:
            return None
        if "patient" in contexts and self.patient:
            return self.patient
        raise insufficient(f"system/{kind}.{interaction}")

    def needs(self, scope: str, channel: str = "") -> None:
        """Refuse a caller without one of the hub's own scopes, or not on this channel. Raises Refusal."""
        if scope not in self.scopes.own and not (scope == "dicomweb.read" and self._images()):
            raise insufficient(scope)
        if channel and not any(fnmatchcase(channel, one) for one in self.channels):
            raise Refusal(403, f"your key is not for the channel {channel}")

    def _images(self) -> bool:
        """Say whether the scopes are those of SMART Imaging Access."""
        both = self.scopes.contexts("ImagingStudy", "r") & self.scopes.contexts("ImagingStudy", "s")
        return bool(both & {"system", "user"})


def shows(resource: dict[str, Any], patient: str | None, read: Read) -> bool:
    """Say whether who is limited to a patient may see a resource; `read` finds what a Provenance is of."""
    if patient is None:
        return True
    if resource.get("resourceType") != "Provenance":
        return belongs(resource, patient)
    found = [read(*target) for target in _targets(resource)]
    theirs = [one for one in found if one is not None and belongs(one, patient)]
    others = [one for one in found if one is None or (one not in theirs and is_somebodys(one))]
    return bool(theirs) and not others


def searched(kind: str, patient: str) -> tuple[str, str] | None:
    """Return the parameter that keeps a search to a patient; None: no resource of the type is anybody's."""
    if kind == "Patient":
        return ("_id", patient)
    return ("patient", f"Patient/{patient}") if kind in OWNERS else None


def _targets(provenance: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for target in provenance.get("target", ()):
        parts = str(target.get("reference", "")).split("/")
        yield (parts[0], parts[1]) if len(parts) > 1 else ("", "")


NOBODY = Caller("-")
"""Who has no scope at all."""
