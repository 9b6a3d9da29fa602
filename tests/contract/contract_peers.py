"""FHIR servers that the contract is held against: sekmet-fhir, Medplum's router, HAPI FHIR, this hub's own
endpoint, or the one that FHIR_PEER_URL names. Each is a process (or a thread) of its own, spoken to over HTTP
alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import uvicorn
import yaml
from fhirpy import SyncFHIRClient
from hub_project import TOKEN, Hub, free_ports, make_project

from engine.console.app import create_app
from engine.console.figures import Gauge
from engine.destinations.fhir import FhirDestination
from engine.destinations.fhir_settings import FhirSettings
from engine.destinations.fhir_tokens import tokens_for
from engine.fhir import jsonio
from engine.kernel.delivery import Around, Parcel
from engine.security.signing import FILE, SigningKeys

HERE = Path(__file__).resolve().parent
BASE = "https://hub.mercy.example"
SYSTEM = f"{BASE}/id/resource"


class AsDestination(httpx.Auth):
    """What reads back proves itself as the destination does: a token of its own, or signed requests."""

    requires_request_body = True

    def __init__(self, url: str, folder: Path, settings: dict[str, Any]) -> None:
        self._tokens = tokens_for(FhirSettings(url=url, **settings), folder, folder / "var")
        self._client = httpx.Client(timeout=60)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if proof := self._tokens.header(self._client):
            request.headers["Authorization"] = proof
        self._tokens.sign(request)
        yield request

    def headers(self) -> dict[str, str]:
        """Return what other clients can send, too: nothing where requests are signed."""
        proof = self._tokens.header(self._client)
        return {"Authorization": proof} if proof else {}


@dataclass
class Peer:
    """A FHIR server, what it needs of a destination, and what it is known to do otherwise."""

    name: str
    url: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    offers: tuple[str, ...] = ("read", "ours", "theirs")
    quirks: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    auth: httpx.Auth | None = None

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            headers={"Accept": "application/fhir+json", "Cache-Control": "no-cache", **self.headers},
            auth=self.auth,
            timeout=60,
        )

    def destination(self, ids: str, fresh: bool = True, **more: Any) -> FhirDestination:
        """Make a destination; a fresh one knows nothing of what others wrote, as after a restart."""
        name = f"copy-{uuid.uuid4()}" if fresh else "copy"
        around = Around(self.folder, self.folder / "var", "Hub", BASE)
        return FhirDestination(FhirSettings(url=self.url, ids=ids, **{**self.settings, **more}), name, around)  # type: ignore[arg-type]

    def get(self, path: str) -> httpx.Response:
        """Ask for anything below the base."""
        return self.http.get(f"{self.url}/{path}")

    def read(self, path: str) -> dict[str, Any]:
        """Read a resource or a Bundle that must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return dict(jsonio.loads(answer.content))

    def found(self, kind: str, **query: str) -> list[dict[str, Any]]:
        """Search, and return what matches."""
        answer = self.http.get(f"{self.url}/{kind}", params=query)
        assert answer.status_code == 200, answer.text
        return [e["resource"] for e in jsonio.loads(answer.content).get("entry", ())]

    def ours(self, kind: str, id_: str) -> list[dict[str, Any]]:
        """Search for what we wrote under ids of its own."""
        word = "_tag" if kind in ("Provenance", "Composition") else "identifier"
        return self.found(kind, **{word: f"{SYSTEM}|{id_}"})

    def put(self, resource: dict[str, Any]) -> httpx.Response:
        """Change something as somebody else would."""
        content = jsonio.dumps(resource)
        address = f"{self.url}/{resource['resourceType']}/{resource['id']}"
        return self.http.put(address, content=content, headers={"Content-Type": "application/fhir+json"})

    def post(self, resource: dict[str, Any]) -> httpx.Response:
        """Create something as somebody else would."""
        content = jsonio.dumps(resource)
        address = f"{self.url}/{resource['resourceType']}"
        return self.http.post(address, content=content, headers={"Content-Type": "application/fhir+json"})

    def fhirpy(self) -> SyncFHIRClient:
        """Return an independent client."""
        return SyncFHIRClient(self.url, authorization=self.headers.get("Authorization"))


def known(name: str) -> dict[str, Any]:
    """Return what quirks.yaml says of a server."""
    return dict(yaml.safe_load((HERE / "quirks.yaml").read_text()).get(name) or {})


def about(name: str) -> dict[str, Any]:
    """Return the fields of a Peer that quirks.yaml holds."""
    found = known(name)
    return {
        "settings": dict(found.get("settings") or {}),
        "offers": tuple(found.get("offers") or ("read", "ours", "theirs")),
        "quirks": dict(found.get("quirks") or {}),
    }


def parcel(*resources: dict[str, Any], mentioned: tuple[str, ...] = (), gone: tuple[str, ...] = ()) -> Parcel:
    """Make a parcel as the hub does."""
    body = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}
    key = f"contract-{uuid.uuid4()}"
    return Parcel(key, 1, "contract", jsonio.dumps(body), "application/fhir+json", {}, mentioned, gone)


@contextmanager
def process(command: list[str], ready: str, folder: Path, seconds: float = 120) -> Iterator[re.Match[str]]:
    """Run a server until it says it is ready; end it afterwards, and only it."""
    log = folder / "server.log"
    with log.open("wb") as out:
        running = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    try:
        for _ in range(int(seconds * 20)):
            if said := re.search(ready, log.read_text(errors="replace")):
                break
            assert running.poll() is None, log.read_text(errors="replace")[-2000:]
            threading.Event().wait(0.05)
        else:
            raise AssertionError(f"not ready: {log.read_text(errors='replace')[-2000:]}")
        yield said
    finally:
        running.kill()
        running.wait()


def sekmet_command() -> list[str]:
    """Return the command of sekmet-fhir, or nothing where it is not installed."""
    path = HERE / ".sekmet/bin/sekmet"
    return [str(path)] if path.exists() else []


@contextmanager
def sekmet(folder: Path, **more: Any) -> Iterator[Peer]:
    """sekmet-fhir 0.1.1 (PyPI, Apache-2.0) with a store of its own."""
    (port,) = free_ports(1)
    settings = {
        "base_url": f"http://127.0.0.1:{port}/fhir",
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder / "data"),
        "log_inbound": False,
        "simulator": {"enabled": False},
        **more,
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    command = [*sekmet_command(), "serve", "--config", str(folder / "settings.yaml")]
    with process(command, r"Uvicorn running on|Application startup complete", folder):
        yield Peer("sekmet", settings["base_url"], folder, **about("sekmet"))


def hapi_there() -> bool:
    """Say whether HAPI FHIR is installed."""
    return (HERE / ".hapi/classes/Peer.class").exists()


@contextmanager
def hapi(folder: Path) -> Iterator[Peer]:
    """HAPI FHIR 8.8.0 (Maven Central, Apache-2.0), its JPA server over H2."""
    with process([str(HERE / "hapi/run"), "0", str(folder)], r"(?m)^ready (\d+)", folder, 300) as said:
        yield Peer("hapi", f"http://127.0.0.1:{said[1]}/fhir", folder, **about("hapi"))


def medplum_there() -> bool:
    """Say whether Node and Medplum's router are installed."""
    return bool(shutil.which("node")) and (HERE.parent / "node/node_modules/@medplum/fhir-router").exists()


@contextmanager
def medplum(folder: Path) -> Iterator[Peer]:
    """Medplum's FHIR router 4.5.2 (npm, Apache-2.0) over its repository in memory."""
    with process(["node", str(HERE / "medplum.mjs"), "0"], r"ready (\d+)", folder) as said:
        yield Peer("medplum", f"http://127.0.0.1:{said[1]}/fhir/R4", folder, **about("medplum"))


@contextmanager
def own_hub(folder: Path) -> Iterator[tuple[Peer, Hub]]:
    """This hub's own endpoint: its web side in a thread, over its stores."""
    hub = Hub.open(make_project(folder / "project"))
    (port,) = free_ports(1)
    gauge = Gauge(hub.channels, hub.journal, hub.config.core_url)
    app = create_app(hub.config, hub.keyring, hub.store, gauge, hub.config.token_file.read_text())
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(1200):
        if server.started:
            break
        threading.Event().wait(0.05)
    try:
        found = about("hub")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        found["settings"]["auth"] = {"bearer": TOKEN}
        yield Peer("hub", f"http://127.0.0.1:{port}/fhir", folder, headers=headers, **found), hub
    finally:
        server.should_exit = True
        thread.join(20)
        hub.store.close()
        hub.journal.close()


def named(folder: Path) -> Peer:
    """The server that FHIR_PEER_URL names; FHIR_PEER_QUIRKS is its word in quirks.yaml, if it has one."""
    token, words = os.environ.get("FHIR_PEER_TOKEN", ""), os.environ.get("FHIR_PEER_SETTINGS", "")
    found = about(os.environ.get("FHIR_PEER_QUIRKS", "other"))
    found["settings"] |= {"auth": {"bearer": token}} if token else {}
    found["settings"] |= orjson.loads(words) if words else {}
    url = os.environ["FHIR_PEER_URL"].rstrip("/")
    auth = AsDestination(url, folder, found["settings"])
    return Peer("named", url, folder, headers=auth.headers(), auth=auth, **found)


def smart_clients(project: Path, jwks: str) -> dict[str, Any]:
    """Settings with which sekmet believes the keys that an address serves, and nothing else.

    It tries every key whatever its kind, and an RSA key fails it for ES384: that client has EC keys alone.
    """
    curves = [key for key in SigningKeys(project / "var" / FILE).public()["keys"] if key["kty"] == "EC"]
    clients = [
        {"client_id": "mercy-hub", "jwks_url": jwks, "scopes": "system/*.cruds"},
        {"client_id": "mercy-hub-es", "jwks": {"keys": curves}, "scopes": "system/*.cruds"},
    ]
    return {"server_auth": {"types": ["smart"], "smart_clients": clients, "token_lifetime": 3600}}


def rotated(project: Path) -> Path:
    """Make the signing keys of the hub in a project; return their file."""
    path = project / "var" / FILE
    SigningKeys(path).rotate()
    return path
