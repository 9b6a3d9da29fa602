"""Clients of FHIR that nobody here wrote post to a real port: fhirpy and fhirclient; and a hub to a hub."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from fhirclient.models.bundle import Bundle
from fhirclient.models.observation import Observation
from fhirclient.server import FHIRServer
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome
from sharing_samples import FULL
from test_listener_network import running

from engine.destinations.mhd import Mhd
from engine.destinations.mhd_settings import MhdSettings
from engine.fhir.validate import validate
from engine.formats.fhir.posted import parse
from engine.kernel.delivery import Around, Parcel
from engine.mapping.convert import map_arrived, unkeyed
from engine.mapping.fhir.arrived import fhir_arrived
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages/fhir"
SECRET = "s3cret-of-gateway-0001"


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return found


def test_fhirpy_and_fhirclient_post_what_they_have(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"gateway {SECRET}\n")
    tokens.chmod(0o600)
    channel = {
        "channel": "wearables",
        "http": {"port": 0, "path": "/fhir", "auth": {"token": str(tokens)}},
        "rules": {
            "others": [{"format": "fhir"}],
            "v2": False,
            "fhir": {"base": "https://gateway.example/fhir"},
        },
    }
    pulse, monitor = sample("wearable_observation"), sample("monitor_transaction")
    with running(tmp_path, channel) as process:
        base = process.urls[0]
        client = SyncFHIRClient(base, authorization=f"Bearer {SECRET}")
        new = {name: value for name, value in pulse.items() if name != "id"}
        for body in (pulse, new, monitor):  # PUT of what has an id, POST, POST of a Bundle
            client.resource(
                body["resourceType"], **{k: v for k, v in body.items() if k != "resourceType"}
            ).save()
        with pytest.raises(OperationOutcome, match="no type of FHIR R4"):
            client.resource("Obversation", status="final").save()
        with pytest.raises(OperationOutcome, match="no query"):
            client.resource("Observation", status="final").create(identifier="a|1")

        server = FHIRServer(None, base)
        server.session.headers["Authorization"] = f"Bearer {SECRET}"
        told = Observation(sample("wearable_observation")).update(server)
        assert told["resourceType"] == "OperationOutcome"
        told = Observation(new).create(server)
        assert told["issue"][0]["severity"] == "information"
        told = server.post_json("", Bundle(monitor).as_json()).json()
        assert told["type"] == "transaction-response" and len(told["entry"]) == 4
        assert server.capabilityStatement.fhirVersion == "4.0.1"
        assert requests.get(f"{base}/metadata", timeout=10).status_code == 401
        process.closed()
        assert process.stop() == 0
        kept = process.journal()
        log = (tmp_path / "log").read_text()
    assert len(kept) >= 4 and SECRET not in log and "4711" not in log and "Traceback" not in log


def test_what_one_hub_provides_another_takes(tmp_path: Path) -> None:
    channel = {
        "channel": "shared_documents",
        "http": {"port": 0, "path": "/mhd"},
        "rules": {"others": [{"format": "fhir"}], "v2": False},
    }
    words = {
        "patient": "number",
        "sharing": {"source": "2.999.1.7", "domain": "2.999.3", "organization": "Mercy Hospital"},
    }
    (tmp_path / "hub").mkdir()
    with running(tmp_path / "hub", channel) as process:
        settings = MhdSettings(url=process.urls[0], **words)
        there = Mhd(settings, "hie", Around(tmp_path, tmp_path / "data", "Mercy", "https://hub.example/id"))
        facts = {"received": "2026-05-02T11:45:00+00:00", "control_id": "D1"}
        receipt = there.deliver(Parcel("cda_in-1-hie-1", 1, "cda_in", FULL, "text/xml", facts))
        there.close()
        process.closed()
        assert process.stop() == 0
        ((kind, _, body),) = process.journal()
    assert (receipt.verdict, kind) == ("sent", "message"), receipt.why
    built = map_arrived(
        fhir_arrived(parse(body)), Maps.open(ROOT).of("fhir").program("standard"), unkeyed, "entry"
    )
    assert built.held is None and {d.type for d in built.drafts} >= {"List", "DocumentReference"}
    (reference,) = [d.body for d in built.drafts if d.type == "DocumentReference"]
    assert base64.b64decode(reference["content"][0]["attachment"]["data"]) == FULL
    assert not [p for d in built.drafts for p in validate(d.body)]
