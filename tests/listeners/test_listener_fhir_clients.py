"""Clients of FHIR that nobody here wrote post to a real port: fhirpy and fhirclient."""

from __future__ import annotations

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
from test_listener_network import running

SAMPLES = Path(__file__).parents[2] / "sample_messages/fhir"
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
