"""What references in FHIR that comes in lead to: resources of the same Bundle, else who is known by a number.

In: a Reference as sent, what the Bundle holds. Out: `Type/id` of what came with it; else type and identifier,
which the core store links as soon as it knows one such resource, and to nothing else. A reference that names
another entry of the Bundle and finds none, or asks for anything but an identifier, holds the body for a
person: a result under a wrong patient harms. FHIR R4 references.html, bundle.html#references,
http.html#trules (conditional references).
"""

from __future__ import annotations

import re
from typing import Any

from engine.fhir import definitions
from engine.formats.fhir.facts import split_query, split_reference
from engine.formats.fhir.posted import Ask
from engine.kernel.message import Draft, Identity
from engine.mapping.fhir.identity import DEVICE_OBSERVATION, Known, joined, numbers_of

__all__ = ["References", "device_key"]

_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch
"""Ids that the hub gives are keyed hashes (engine.fhir.ids): nobody else's have their form by intention."""
_PATIENTS = frozenset({"subject", "patient", "beneficiary", "for"})


def device_key(own: str, *said: str) -> Identity:
    """Return the key of what a device measured; `own`: what the hub's own names begin with."""
    return f"{own}{DEVICE_OBSERVATION}", joined(*said)


class References:
    """What a run asks of references; mixed into it."""

    sender: Any
    base: str
    devices: bool
    reasons: dict[str, tuple[str, str]]

    def __init__(self) -> None:
        self.by_url: dict[str, Draft] = {}
        self.by_id: dict[tuple[str, str, str], Draft] = {}  # server, type, id
        self.by_name: dict[tuple[str, str], dict[str, tuple[str, Draft]]] = {}  # type, id: all there are
        self.by_key: dict[tuple[str, str, str], Draft] = {}
        self.people: dict[str, frozenset[Identity]] = {}  # id of a Patient's draft -> numbers

    def hold(self, code: str, where: str, text: str) -> None:
        """Hold the body for a person."""
        raise NotImplementedError

    def keep(self, value: Any, *sources: Any, place: Any = None) -> Any:
        """Return a value that is made of others."""
        raise NotImplementedError

    def authority_of(self, system: str) -> str:
        """Return the URI of a numbering system as the hub names it."""
        raise NotImplementedError

    def reference(self, kind: str, draft_id: str) -> dict[str, Any]:
        """Write a reference."""
        raise NotImplementedError

    def here(self, ask: Ask, known: Known, draft: Draft) -> None:
        """Remember what the Bundle holds, by all that references call it."""
        first = self.by_url.setdefault(ask.full_url, draft) if ask.full_url else draft
        if known.own is not None:
            place = (known.server or self.base, draft.type, known.own[1])
            if known.own in known.keys and first.id == draft.id:  # ids of POSTs say nothing
                first = self.by_id.setdefault(place, draft)
            self.by_name.setdefault(place[1:], {})[draft.id] = known.server, draft
        if first.id != draft.id:  # whom references mean could not be said
            self.hold("duplicate-key", ask.at, "two entries have one address, and are not the same")
        for system, value in draft.keys:
            self.by_key[draft.type, system, value] = draft
        if draft.type == "Patient":
            self.people[draft.id] = frozenset(
                (*draft.keys, *numbers_of(ask.resource or {}, self.authority_of))
            )

    def refer(self, out: dict[str, Any], at: str, element: str, ask: Ask, known: Known) -> None:
        """Make a Reference, copied already, lead to what the hub knows."""
        said = out.get("reference")
        if isinstance(said, str):
            if said.startswith("#"):
                return
            found = self._found(said, known)
            if found is not None:
                if self._is_another(out.get("identifier"), found):
                    text = "it names one patient, and the identifier beside it another"
                    self.hold("mixed-patients", at, text)
                self._set(out, found, said)
            elif "?" in said:
                self._asked(out, said, f"{at}.reference")
            elif said.startswith(("urn:uuid:", "urn:oid:")):
                text = "it names an entry that the Bundle does not hold"
                self.hold("reference-not-found", f"{at}.reference", text)
            else:
                self._elsewhere(out, said, at, known)
            return
        identifier = out.get("identifier")
        if not isinstance(identifier, dict) or not isinstance(identifier.get("value"), str):
            return
        if "type" not in out and (only := _only_target(element)):
            out["type"] = only
        kind, system = out.get("type"), identifier.get("system")
        if isinstance(kind, str) and isinstance(system, str):
            found = self.by_key.get((kind, system, identifier["value"]))
            if found is not None:
                out.update(self.reference(found.type, found.id))

    def target_of(self, reference: dict[str, Any], known: Known) -> Draft | None:
        """Return what the Bundle holds of a Reference as sent."""
        said = reference.get("reference")
        if isinstance(said, str):
            query = split_query(said)
            if query is not None:
                return self.by_key.get((query[0], self.authority_of(query[1]), query[2]))
            return self._found(said, known)
        return None

    def _found(self, said: str, known: Known) -> Draft | None:
        """Find what the Bundle holds under a reference as written."""
        found = self.by_url.get(said)
        if found is not None:
            return found
        server, kind, own = split_reference(said)
        if not kind:
            return None
        found = self.by_id.get((server or known.server or self.base, kind, own))
        if found is None and not server:  # said without an address, or of what was posted with an id
            every = self.by_name.get((kind, own), {}).values()
            near = [draft for of, draft in every if not known.server or of == known.server]
            found = near[0] if len(near) == 1 else None
        return found

    def _is_another(self, identifier: Any, found: Draft) -> bool:
        """Say whether an identifier, copied already, is another patient's number of the same system."""
        if found.type != "Patient" or not isinstance(identifier, dict):
            return False
        system, value = identifier.get("system"), identifier.get("value")
        said = {number for of, number in self.people.get(found.id, ()) if of == system}
        return bool(said) and value not in said

    def _set(self, out: dict[str, Any], found: Draft, said: str) -> None:
        out.update(self.reference(found.type, found.id))
        out["reference"] = self.keep(out["reference"], said)

    def _asked(self, out: dict[str, Any], said: str, where: str) -> None:
        """Resolve `Type?identifier=system|value`."""
        query = split_query(said)
        if query is None or query[0] not in definitions.resource_types():
            self.hold("condition-not-followed", where, "only Type?identifier=system|value is looked for")
            return
        kind, system, value = query[0], self.authority_of(query[1]), query[2]
        found = self.by_key.get((kind, system, value))
        if found is not None:
            self._set(out, found, said)
            return
        self._by_number(out, kind, (system, value), said)

    def _elsewhere(self, out: dict[str, Any], said: str, at: str, known: Known) -> None:
        """Name what another body may bring by its number at its server."""
        server, kind, own = split_reference(said)
        if not kind:
            return  # an address of something that is no resource: it stays
        if kind not in definitions.resource_types():
            self.hold("reference-not-found", f"{at}.reference", "it is no type of FHIR R4")
            return
        if not server and _OURS(own):
            return  # an id of the hub, as it was read at /fhir
        base = server or known.server or self.base
        if self.devices and kind == "Observation":
            key = device_key(self.sender.own, "id", base, own)
        else:
            key = f"{base}/{kind}", own
        identifier = out.get("identifier")
        if isinstance(identifier, dict) and all(
            isinstance(identifier.get(name), str) for name in ("system", "value")
        ):
            del out["reference"]
            out.setdefault("type", kind)
            why = "the identifier beside it says who is meant"
            self.reasons[f"{at}.reference"] = (why, "no effect")
            return
        self._by_number(out, kind, key, said)

    def _by_number(self, out: dict[str, Any], kind: str, key: Identity, said: str) -> None:
        del out["reference"]
        out["type"] = kind
        out["identifier"] = {"system": key[0], "value": self.keep(key[1], said)}


def _only_target(element: str) -> str:
    """Say of what type a reference is where only one can be meant: a subject is a Patient."""
    owner, _, name = element.rpartition(".")
    found = definitions.element(owner, name) if owner else None
    targets: tuple[str, ...] = found.targets if found is not None else ()
    if len(targets) == 1 and targets[0] != "Resource":
        return targets[0]
    return "Patient" if name in _PATIENTS and "Patient" in targets else ""
