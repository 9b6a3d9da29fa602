"""FHIR that came in goes out as it came, too."""

from __future__ import annotations

import json
from pathlib import Path

from fhir_gateway import Gateway, bundle, patient, pulse

from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import around, destinations_of
from engine.channels.delivering.sending import Sending
from engine.kernel.clock import now_ms


def test_a_body_goes_out_as_it_came_over_several_lines(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    place = f"{{file: {{path: '{tmp_path}/{{entry}}.json'}}, at_once: 2, body: original}}"
    gateway = Gateway(tmp_path / "p", fhir=f"\ndeliver:\n  copy: {place}\n")
    hub = gateway.hub
    bodies = [bundle(patient(), pulse()), pulse(70)]
    for body in bodies:
        assert gateway.take(body, "partner").status == "done"
    destined = destinations_of(hub.config, hub.channels)["partner.copy"]
    parcels = Parcels(hub.root, "urn:hub:own", hub.keyring, hub.journal, hub.store)
    lines = [destined.make(around(hub.config)) for _ in range(2)]
    sending = Sending(
        *(destined, lines, hub.store.deliveries, parcels.make, now_ms, lambda: 0.0), stale=parcels.stale
    )
    (one, *_) = hub.store.deliveries.pending("partner.copy", 0, 2)
    parcel = parcels.make(one, destined)
    assert parcel is not None and parcel.media == "application/fhir+json"
    while sending.step():
        pass
    assert [json.loads((tmp_path / f"{n}.json").read_bytes()) for n in (1, 2)] == bodies
    found = [d.status for n in (1, 2) for d in hub.store.deliveries.of_entry(n)]
    assert found == ["sent", "sent"]
    sending.close()
    hub.close()
