"""What every sample message becomes is taken by real FHIR servers, with our ids and with theirs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import contract_peers as peers
import pytest
from hub_project import Hub, make_project
from test_contract import skip_where_absent

from engine.channels.delivering.parcels import Parcels
from engine.kernel.delivery import Parcel


def sample_parcels(root: Path) -> dict[str, Parcel]:
    """Return the parcel of every sample message that writes something, after those before it."""
    hub = Hub.open(make_project(root))
    made = Parcels(root, peers.BASE, hub.keyring, hub.journal, hub.store)
    found = {}
    for path in sorted((root / "sample_messages").rglob("*.hl7")):
        name = str(path.relative_to(root / "sample_messages").with_suffix(""))
        entry = hub.take("adt" if name.startswith("adt") else "lab_oru", name)
        written = list(dict.fromkeys((type, id) for type, id, _, _ in hub.store.written_by(entry)))
        held = hub.journal.get(entry)
        assert held is not None
        delivery = SimpleNamespace(id=entry, tries=0)
        parcel = made._state(delivery, held, written, f"sample-{entry}", {})  # type: ignore[arg-type]
        if parcel is not None:
            found[name] = parcel
    hub.store.close()
    hub.journal.close()
    return found


@pytest.mark.soak
@pytest.mark.parametrize("which", ["sekmet", "medplum", "hapi"])
def test_every_sample_is_taken(which: str, tmp_path: Path) -> None:
    skip_where_absent(which)
    parcels = sample_parcels(tmp_path / "project")
    assert len(parcels) > 140
    (tmp_path / "peer").mkdir()
    with getattr(peers, which)(tmp_path / "peer") as peer:
        for ids, more in (("ours", {}), ("theirs", {"find_by": "tag"} if which == "sekmet" else {})):
            to = peer.destination(ids, **more)
            receipts = {name: to.deliver(parcel) for name, parcel in parcels.items()}
            wrong = {n: f"{r.verdict}: {r.why}" for n, r in receipts.items() if r.verdict != "sent"}
            assert not wrong, f"{ids}: {wrong}"
