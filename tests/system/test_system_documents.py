"""A whole hub with documents, claims and prescriptions, posted and from a folder, killed in between."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hub_process import ROOT, Hub, free_ports, wait_for

CCD = (ROOT / "sample_messages/cda/ccd.xml").read_bytes()
CLAIMS = (ROOT / "sample_messages/x12/837P_professional_claim.x12").read_bytes()
MONITOR = (ROOT / "sample_messages/fhir/monitor_transaction.json").read_bytes()
NEWRX = (ROOT / "sample_messages/ncpdp/newrx_2017071.xml").read_bytes()


def prepared(hub: Hub) -> dict[str, int]:
    """Give a hub the shipped channels on ports of their own, and a folder of claims; returns the ports."""
    ports = dict(zip(("documents", "prescriptions", "wearables"), free_ports(3), strict=True))
    for name, port in ports.items():
        text = (ROOT / f"channels/{name}.yaml").read_text()
        shipped = text.split("{port: ")[1].split(",")[0]
        (hub.root / f"channels/{name}.yaml").write_text(text.replace(f"port: {shipped}", f"port: {port}"))
    (hub.root / "inbox").mkdir()
    (hub.root / "channels/claim_files.yaml").write_text(
        "channel: claim_files\npurpose: Claims from a folder.\naccept: [x12]\nprocessing_id: [P, T]\n"
        "receive: {folder: {path: inbox, pattern: '*.x12', stable_for: 0.2, poll: 0.05}}\n"
    )
    return ports


def post(port: int, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
    """Post a body as a sender does that sends it again until it is answered."""
    until = time.monotonic() + 60
    while True:
        try:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            client.request("POST", path, body, {"Content-Type": kind})
            answer = client.getresponse()
            if answer.status != 503:
                return answer.status, answer.read()
        except OSError:
            assert time.monotonic() < until, "nobody listens"
        time.sleep(0.1)


def read(hub: Hub, web: int, query: str) -> dict[str, Any]:
    """Ask the FHIR endpoint."""
    token = (hub.root / "var/token").read_text().strip()
    client = http.client.HTTPConnection("127.0.0.1", web, timeout=20)
    client.request("GET", f"/fhir/{query}", headers={"Authorization": f"Bearer {token}"})
    answer = client.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, found
    return found


def answers(hub: Hub) -> list[Path]:
    """Return the acknowledgements that were written."""
    folder = hub.root / "inbox/answers"
    return sorted(p for p in folder.iterdir() if p.suffix == ".x12") if folder.is_dir() else []


def test_documents_claims_and_prescriptions_over_a_crash(make_hub: Callable[..., Hub]) -> None:
    (web,) = free_ports(1)
    hub = make_hub(parts="listeners,workers,console", console=f"{{listen: '127.0.0.1:{web}'}}")
    ports = prepared(hub)
    hub.start()
    status, said = post(ports["documents"], "/documents", CCD, "application/xml")
    assert status == 200 and said.startswith(b"kept as entry ")
    os.kill(hub.children()["worker-0"], signal.SIGKILL)
    status, said = post(ports["prescriptions"], "/script", NEWRX, "application/xml")
    assert status == 200 and b"<Status>" in said and b"<Code>010</Code>" in said
    status, said = post(ports["wearables"], "/fhir", MONITOR, "application/fhir+json")
    assert status == 200 and said.count(b"202 Accepted") == 4
    (hub.root / "inbox/TREMBLAY.tmp").write_bytes(CLAIMS)
    (hub.root / "inbox/TREMBLAY.tmp").rename(hub.root / "inbox/TREMBLAY.x12")
    wait_for(
        lambda: list((hub.root / "inbox/.in-progress").glob("*.x12")) or answers(hub), "nothing is taken"
    )
    hub.kill()
    hub.start()
    status, again = post(ports["documents"], "/documents", CCD, "application/xml")
    assert (status, again) == (200, b"kept as entry 1\n"), "the same document is one entry, whenever it comes"
    wait_for(lambda: (hub.root / "inbox/done/TREMBLAY.x12").exists(), "the file is not taken after a crash")
    hub.drained()
    (answer,) = answers(hub)
    assert b"AK2*837*0001" in answer.read_bytes() and b"AK9*A*1*1*1" in answer.read_bytes()
    with hub.inside() as (journal, store):
        entries = journal.read(0, 100)
        assert sorted(e.message_type for e in entries) == [
            "cda 34133-9",
            "fhir transaction",
            "ncpdp NewRx",
            "x12 837P",
            "x12 837P",
        ]
        for entry in entries:
            outcome = store.outcome(entry.id)
            assert outcome is not None and outcome.status == "done", (entry.message_type, outcome)
        made = {kind for e in entries for kind, *_ in store.written_by(e.id)}
        assert {"Composition", "DocumentReference", "Condition", "Claim", "MedicationRequest"} <= made
        claims = [id_ for e in entries for kind, id_, _, _ in store.written_by(e.id) if kind == "Claim"]
        found = [store.read("Claim", one) for one in claims]
        assert sorted(str(c["total"]["value"]) for c in found if c) == ["120", "265"]
        assert store.find("claim", "NB-77002", 10) == [entries[-1].id]
        (script,) = [e for e in entries if e.message_type == "ncpdp NewRx"]
        assert store.find("patient", "H-40271", 10) and store.find("control", script.control_id, 10)
    patient = read(hub, web, "Patient?identifier=H-40271")["entry"][0]["resource"]
    problems = read(hub, web, f"Condition?patient={patient['id']}")
    assert problems["entry"] and patient["name"][0]["family"] == "Sample"
    wearer = read(hub, web, "Patient?identifier=4711")["entry"][0]["resource"]
    measured = read(hub, web, f"Observation?patient={wearer['id']}")
    assert len(measured["entry"]) == 2
    assert hub.stop() == 0
    log = hub.log.read_text()
    words = ("TREMBLAY", "ABERNATHY", "NB-77001", "H-40271", "Wren", "Okafor", "ACDE480000001001")
    assert not [w for w in words if w in log] and "Traceback" not in log
    written = [p.name for p in (hub.root / "inbox/answers").iterdir()]
    metrics = "".join(p.read_text() for p in hub.config.metrics_dir.glob("*.prom"))
    assert not [w for w in words for text in (*written, metrics) if w in text]
