"""Documents provided to FHIR servers that nobody here wrote, as IHE MHD says (ITI-65): they take the
transaction, find what was provided, and a second try doubles nothing.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import contract_peers as peers
import pytest
from contract_peers import BASE, Peer
from sharing_samples import FULL
from test_contract import skip_where_absent

from engine.destinations.mhd import Mhd
from engine.destinations.mhd_settings import MhdSettings
from engine.kernel.delivery import Around, Parcel, Receipt

PATIENTS = "urn:hie:patients"
NUMBER = {"system": "urn:oid:2.999.7.1", "value": "D42"}


def provided(peer: Peer, key: str = "cda_in-1-hie-1", **more: Any) -> Receipt:
    """Deliver the sample with a destination that knows nothing of what was sent before."""
    sharing = {"source": "2.999.1", "domain": "2.999.3", "organization": "Mercy"}
    words = {"url": peer.url, "patient_system": PATIENTS, "sharing": sharing, **more}
    there = Mhd(
        MhdSettings.model_validate(words), "hie", Around(peer.folder, peer.folder / "var", "Hub", BASE)
    )
    try:
        facts = {"received": "2026-05-02T11:45:00+00:00"}
        return there.deliver(Parcel(key, 1, "cda_in", FULL, "text/xml", facts))
    finally:
        there.close()


@pytest.mark.parametrize("which", ["sekmet", "medplum", "hapi"])
def test_documents_are_provided(which: str, tmp_path: Path) -> None:
    skip_where_absent(which)
    with getattr(peers, which)(tmp_path) as peer:
        assert "nobody there has" in provided(peer).why
        person = {"resourceType": "Patient", "identifier": [{"system": PATIENTS, "value": "77"}]}
        assert peer.post(person).status_code == 201
        (known,) = peer.found("Patient", identifier=f"{PATIENTS}|77")

        first = provided(peer)
        assert first.verdict == "sent", first.why
        listed = peer.read(first.reference)
        again = provided(peer)
        assert (again.verdict, again.why) == ("sent", "the exchange has it already")
        (reference,) = peer.found("DocumentReference")
        assert reference["masterIdentifier"] == {"use": "usual", **NUMBER}
        assert reference["subject"]["reference"] == f"Patient/{known['id']}"
        assert [e["item"]["reference"] for e in listed["entry"]] == [f"DocumentReference/{reference['id']}"]
        assert reference["contained"] and reference["content"][0]["attachment"]["title"] == "Summary & plan"

        other = provided(
            peer, key="cda_in-2-hie-1"
        )  # the same document, submitted anew: one reference, two sets
        assert other.verdict == "sent" and other.reference != first.reference
        # sekmet 0.1.1 searches `identifier` alone, R4's parameter of that name masterIdentifier, too
        assert len(peer.found("DocumentReference")) == (2 if peer.name == "sekmet" else 1)
        retrieved(peer, reference["content"][0]["attachment"]["url"])


def retrieved(peer: Peer, url: str) -> None:
    """Follow the address of the document. Not every server puts the Binary's own address in its place, as R4
    http.html#trules asks for elements of type url, too."""
    if peer.name == "sekmet":  # 0.1.1 resolves references alone
        assert url.startswith("urn:uuid:")
        return
    answer = peer.http.get(url if "://" in url else f"{peer.url}/{url}")
    assert answer.status_code == 200 and base64.b64decode(answer.json()["data"]) == FULL
