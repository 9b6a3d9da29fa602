"""What a delivery carries: the message as it came, what the core store says now, an event, another format.

In: a delivery, its rule, the journal and the core store. Out: a parcel, or None where there is nothing to
deliver: the entry wrote nothing. Raises HubError for what a person has to look at, StoreUnavailable for what
is tried again. What a map writes is written once and kept: another try sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.channels.delivering.events import EVENT_MEDIA, event_body, happened
from engine.channels.delivering.places import Destined
from engine.channels.delivering.rules import Rule
from engine.channels.sides import JournalSide, StoreSide
from engine.channels.writing import NothingToWrite, given_for, render, written_for
from engine.fhir import jsonio
from engine.formats.content import recognise
from engine.kernel.clock import iso
from engine.kernel.delivery import Parcel
from engine.kernel.errors import HubError
from engine.kernel.message import Entry
from engine.mapping.outbound.library import OutMaps
from engine.security.keys import Keyring
from engine.store.deliveries import Delivery
from engine.store.references import named_here

__all__ = ["Parcels"]

_MEDIA = {
    "hl7v2": "application/hl7-v2",
    "": "application/hl7-v2",
    "x12": "application/edi-x12",
    "cda": "application/xml",
    "ncpdp": "application/xml",
    "xdm": "application/zip",
    "dicom": "application/dicom",
    "fhir": "application/fhir+json",
}
_MOST = 2000  # resources in one bundle


class Parcels:
    """Makes parcels for one hub."""

    def __init__(
        self, root: Path, identity_base: str, keyring: Keyring, journal: JournalSide, store: StoreSide
    ) -> None:
        self._root, self._base = root, identity_base
        self._journal, self._store = journal, store
        self._keyring = keyring
        self._maps: OutMaps | None = None

    def make(self, delivery: Delivery, place: Destined) -> Parcel | None:
        """Make the parcel of a delivery."""
        entry = self._journal.get(delivery.entry)
        if entry is None:
            raise HubError("the entry is not in the journal", where=f"entry {delivery.entry}")
        rule = place.rules.get(entry.channel)
        if rule is None:
            raise HubError(
                f"channel {entry.channel} delivers nothing to {place.name} any more",
                where=f"delivery {delivery.id}",
                remedy="bring the line under deliver: back, or skip what waits",
            )
        key = self.key(delivery, entry)
        facts = _facts(entry, key)
        if rule.body == "original":
            media = _MEDIA.get(recognise(entry.body), "application/octet-stream")
            return Parcel(key, entry.id, entry.channel, entry.body, media, facts, tries=delivery.tries)
        written = list(dict.fromkeys((type, id) for type, id, _, _ in self._store.written_by(entry.id)))
        if rule.body == "fhir":
            return self._state(delivery, entry, written, key, facts)
        kept = self._store.deliveries.body(delivery.id)
        if kept is None:
            made = self._written(delivery, entry, rule, written, key, facts)
            if made is None:
                return None
            kept = self._store.deliveries.keep_body(delivery, made)
            if kept is None:  # whatever is said of this try counts for nothing: it is of an older round
                raise HubError("somebody took it up anew during this try", where=f"delivery {delivery.id}")
        written_as, _, body = kept.partition(b"\n")
        if rule.body == "event":
            facts = {**facts, "happened": happened(body)}
        return Parcel(key, entry.id, entry.channel, body, written_as.decode(), facts, tries=delivery.tries)

    def stale(self, parcel: Parcel) -> bool:
        """Say whether the core store says something newer by now than a bundle that was just taken.

        Where several bundles are under way at once, the older of two may have arrived last: it is put right.
        """
        if parcel.media != "application/fhir+json":
            return False
        bundle = jsonio.loads(parcel.body)
        for entry in bundle["entry"]:
            resource = entry["resource"]
            name = f"{resource['resourceType']}/{resource['id']}"
            if name in parcel.mentioned:
                continue
            now = self._store.read(resource["resourceType"], resource["id"])
            if now is None or now["meta"]["versionId"] != resource["meta"]["versionId"]:
                return True
        return False

    def key(self, delivery: Delivery, entry: Entry) -> str:
        """Return the parcel's key: the same until a person sends it as new.

        After a restore the numbers of lost entries are given out again: when it came in is part of the key,
        so that no destination takes a new message for one that it had.
        """
        own = self._keyring.mac16("hub", f"deliveries {entry.received}").hex()[:8]
        anew = f"-n{delivery.anew}" if delivery.anew else ""
        return f"{own}-{delivery.position}-{delivery.id & 0xFFF}{anew}"

    def _written(
        self,
        delivery: Delivery,
        entry: Entry,
        rule: Rule,
        written: list[tuple[str, str]],
        key: str,
        facts: Mapping[str, str],
    ) -> bytes | None:
        """Write an event or a message of another format; its media type stands in the first line."""
        if rule.body == "event":
            found = [self._store.read(type, id) for type, id in written]
            gone = [f"{t}/{i}" for (t, i), one in zip(written, found, strict=True) if one is None]
            there = [one for one in found if one is not None]
            if not written:
                return None
            outcome = self._store.outcome(entry.id)
            return f"{EVENT_MEDIA}\n".encode() + event_body(entry, there, outcome, rule.content, gone)
        if self._maps is None:
            self._maps = OutMaps.open(self._root, identity_base=self._base)
        names = [f"{type}/{id}" for type, id in written]
        resources = written_for(self._maps, rule.body, names, self._store)
        number = delivery.position << 4 | delivery.anew  # at most 15; ISA13 has nine digits
        try:
            made = render(self._maps, rule.body, resources, given_for(key, number, facts, rule.given))
        except NothingToWrite:
            return None
        return made.media.encode() + b"\n" + made.body

    def _state(
        self,
        delivery: Delivery,
        entry: Entry,
        written: list[tuple[str, str]],
        key: str,
        facts: Mapping[str, str],
    ) -> Parcel | None:
        """Put what an entry wrote into a bundle as the store says it now, with what that refers to."""
        found: dict[str, dict[str, Any]] = {}
        gone: list[str] = []
        for type, id in written:
            resource = self._store.read(type, id)
            if resource is None:
                gone.append(f"{type}/{id}")
            else:
                found[f"{type}/{id}"] = resource
        if not found and not gone:
            return None
        about = len(found)
        step = list(found.values())
        while step and len(found) < _MOST:  # a server that checks references wants them to the end
            wanted = {name for one in step for name in named_here(one)} - set(found) - set(gone)
            step = []
            for name in sorted(wanted):
                type, _, id = name.partition("/")
                resource = self._store.read(type, id)
                if resource is not None and len(found) < _MOST:
                    found[name] = resource
                    step.append(resource)
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": f"{self._base}/{name}", "resource": one} for name, one in found.items()],
        }
        return Parcel(
            *(key, entry.id, entry.channel, jsonio.dumps(bundle), "application/fhir+json", facts),
            mentioned=tuple(list(found)[about:]),
            gone=tuple(gone),
            tries=delivery.tries,
        )


def _facts(entry: Entry, key: str) -> dict[str, str]:
    kind, _, event = entry.message_type.partition("^")
    return {
        "key": key,
        "channel": entry.channel,
        "entry": str(entry.id),
        "type": kind,
        "event": event.partition("^")[0],
        "control_id": entry.control_id,
        "sender": entry.sender,
        "received": iso(entry.received),
    }
