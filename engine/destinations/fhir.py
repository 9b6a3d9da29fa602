"""Delivers to a FHIR R4 server, as a copy of the core store or as the core store itself.

In: a parcel with a Bundle `collection` of resources as the store has them now. Out: transactions (FHIR R4
http.html#transaction), or a request for each resource; the server's answer read entry by entry; a receipt.
Everything that is sent may be sent again: an update at our id, a conditional update, a conditional create. A
parcel that was cut short is sent again whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from engine.destinations.fhir_addresses import Addresses
from engine.destinations.fhir_client import FhirClient, Unreached
from engine.destinations.fhir_finding import Stopped
from engine.destinations.fhir_pieces import Piece, pieces
from engine.destinations.fhir_sending import Sending
from engine.destinations.fhir_settings import FhirSettings
from engine.destinations.fhir_tokens import Tokens, tokens_for
from engine.destinations.fhir_written import Written
from engine.fhir import jsonio
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt
from engine.kernel.errors import ConfigError, FormatError, HubError

__all__ = ["FHIR", "FhirDestination"]

_PATIENCE = 30.0  # seconds for a resource that another thread has under way

_shared: dict[tuple[str, str, FhirSettings], tuple[Tokens, Written]] = {}
_sharing = threading.Lock()


class FhirDestination:
    """One thread's way to one FHIR server."""

    def __init__(self, settings: FhirSettings, name: str, around: Around) -> None:
        weak = list(settings.weaknesses()) if around.production else []
        if weak:
            raise ConfigError(
                f"the production profile refuses this destination: {weak[0][0]}",
                where=f"destination {name}",
                remedy=weak[0][1],
            )
        with _sharing:
            key = (name, str(around.data), settings)
            if key not in _shared:
                _shared[key] = (tokens_for(settings, around.root, around.data), Written())
            tokens, self._written = _shared[key]
        self._settings, self._where = settings, f"destination {name}"
        self._client = FhirClient(settings, around.root, tokens)
        ours, tags = settings.ids == "ours", settings.find_by == "tag"
        addresses = Addresses(settings.url, around.identity_base, ours, tags)
        self._sending = Sending(self._client, addresses, self._written, settings)

    def deliver(self, parcel: Parcel) -> Receipt:
        """Write what the parcel holds, and delete what is gone."""
        self._client.begin()
        try:
            found = pieces(parcel)
        except FormatError as e:
            return Receipt("park", f"the hub made no Bundle that can be sent: {e}")
        names = [one.name for one in found if not self._is_there(one)] + list(parcel.gone)
        if not self._written.claim(names, _PATIENCE):
            return Receipt("retry", "something in it is still under way to this server", wait=1.0)
        try:
            receipt = self._deliver(found, parcel.gone)
        finally:
            self._written.release(names)
        return replace(receipt, request=bytes(self._client.request), answer=bytes(self._client.answer))

    def _deliver(self, found: Sequence[Piece], gone: Sequence[str]) -> Receipt:
        going, left_out = self._due(found)
        self._sending.finding.relied = False
        try:
            reference = self._sending.write(going)
        except Stopped as stopped:
            if not (left_out or self._sending.finding.relied) or stopped.receipt.verdict != "refuse":
                return stopped.receipt
            # what we believe it has may not be there any more: a server restored from a backup
            guarded = {one.name for one in going if self._settings.changed_there == "park"}
            self._written.forget({name for one in found for name in (one.name, *one.refers)} - guarded)
            try:
                reference = self._sending.write(self._due(found)[0])
            except Stopped as again:
                return again.receipt
        try:
            self._sending.delete(gone)
        except Stopped as stopped:
            return stopped.receipt
        why = "" if going or gone else "the server has all of it already, this or newer"
        return Receipt("sent", why, reference=reference)

    def _due(self, found: Sequence[Piece]) -> tuple[list[Piece], bool]:
        """Return what is to be written, and whether something stays out because the server has it.

        Where ids are the server's own, what others refer to is named even when it is there: it is not
        written again, the server only resolves it.
        """
        going = []
        for one in found:
            there = self._written.of(one.name)
            newer = there is not None and there.version > one.version > 0
            if not newer and not self._is_there(one):
                going.append(one)
            elif self._settings.ids == "theirs" and one.type != "Binary":
                going.append(replace(one, mentioned=True))
        return going, len(going) < len(found)

    def _is_there(self, one: Piece) -> bool:
        """Say whether something that is only mentioned was written before, in this version or a newer one."""
        there = self._written.has(one.name)
        return one.mentioned and there is not None and there.version >= one.version > 0

    def check(self) -> str:
        """Read the server's CapabilityStatement and say what it can do. Raises HubError."""
        self._client.begin()
        try:
            answer = self._client.send("GET", "metadata")
        except Unreached as e:
            raise HubError(e.why, where=self._where) from None
        if answer.status in (401, 403):
            raise HubError(f"answered {answer.status}: it does not let us in", where=self._where)
        try:
            said = jsonio.loads(answer.body)
        except FormatError:
            said = None
        kind = said.get("resourceType") if isinstance(said, dict) else None
        if kind != "CapabilityStatement" or answer.status != 200:
            if kind:
                return f"a FHIR server answers, without a CapabilityStatement ({answer.status})"
            raise HubError(
                "no FHIR server answers at this address",
                where=self._where,
                why=f"status {answer.status}",
                remedy="see that url: is the base, the address that metadata stands below",
            )
        atomic = "" if self._written.atomic else "; NOT atomic: it wrote parts of transactions that failed"
        return capability_line(dict(said or {}), self._settings) + atomic

    def close(self) -> None:
        """Give back connections."""
        self._client.close()


def capability_line(said: dict[str, object], settings: FhirSettings) -> str:
    """Say in one line what a server offers of what these settings need. Raises HubError for another FHIR."""
    version = str(said.get("fhirVersion", ""))
    if not version.startswith("4.0"):
        raise HubError(f"speaks FHIR {version or 'of no version'}, not R4", where=settings.url)
    software = said.get("software")
    name = str(software.get("name", "")) if isinstance(software, dict) else ""
    rests = said.get("rest")
    rest = rests[0] if isinstance(rests, list) and rests and isinstance(rests[0], dict) else {}
    offered = {i.get("code") for i in rest.get("interaction") or () if isinstance(i, dict)}
    patient: dict[str, object] = next(
        (r for r in rest.get("resource") or () if r.get("type") == "Patient"), {}
    )
    lacks = []
    if settings.transactions and "transaction" not in offered:
        lacks.append("transactions (transactions: false does without)")
    if settings.ids == "ours" and not patient.get("updateCreate"):
        lacks.append("updates that create (ids: theirs does without)")
    if settings.ids == "theirs" and not patient.get("conditionalUpdate"):
        lacks.append("conditional updates")
    line = f"FHIR {version}, {name or 'nameless'}"
    return f"{line}; it does not say that it takes {', nor '.join(lacks)}" if lacks else line


FHIR = DestinationKind("fhir", FhirSettings, FhirDestination, bodies=("fhir",), at_once=4)
