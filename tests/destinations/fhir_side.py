"""A FHIR server for tests that says what it is told to: a real socket, and what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from engine.destinations.fhir import FhirDestination
from engine.destinations.fhir_settings import FhirSettings
from engine.kernel.delivery import Around, Parcel

PATIENT = {
    "resourceType": "Patient",
    "id": "0a000000-0000-4000-8000-000000000001",
    "meta": {"versionId": "3", "lastUpdated": "2026-05-01T14:10:00Z"},
    "name": [{"family": "SECRETNAME"}],
}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "0a000000-0000-4000-8000-000000000002",
    "meta": {"versionId": "1"},
    "status": "final",
    "code": {"text": "Potassium"},
    "subject": {"reference": f"Patient/{PATIENT['id']}"},
}
P, O = f"Patient/{PATIENT['id']}", f"Observation/{OBSERVATION['id']}"


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The entries of the transaction it brought."""
        return list(json.loads(self.body)["entry"])


Reply = tuple[int, dict[str, str], bytes]
Say = Callable[[Asked], Reply | None]  # None: close the connection without an answer


class Server:
    """Its address, what it was asked, and what it says next."""

    def __init__(self, say: Say, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.say = say
        self.asked: list[Asked] = []
        self._open: list[socket.socket] = []
        side = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                side._open.append(self.request)
                super().setup()

            def _any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                headers = {k.lower(): v for k, v in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(length))
                side.asked.append(asked)
                reply = side.say(asked)
                if reply is None:
                    self.close_connection = True
                    return
                status, more, body = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = _any

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}/fhir"
        if tls is not None:
            self._http.socket = tls.wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )
            self.url = f"https://localhost:{self.port}/fhir"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(say: Say, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(say, tls=tls)
    try:
        yield server
    finally:
        server.close()


def done(asked: Asked, status: str = "200 OK") -> Reply:
    """Answer as a server that took it all, and gave ids of its own where it was not told one."""
    made = []
    for i, entry in enumerate(asked.entries):
        name = entry["request"]["url"]
        if "?" in name or "/" not in name:
            name = f"{entry['resource']['resourceType']}/there-{i}"
        where = {"location": f"{name}/_history/7", "etag": 'W/"7"'}
        made.append({"response": {"status": status, **where}})
    return response(made)


def response(entries: list[dict[str, Any]]) -> Reply:
    """Make a transaction-response."""
    body = {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    return 200, {}, json.dumps(body).encode()


def outcome(code: str, text: str = "", expression: tuple[str, ...] = ()) -> bytes:
    """Make an OperationOutcome whose text quotes the patient."""
    issue = {"severity": "error", "code": code, "diagnostics": text or "SECRETNAME is no good"}
    return json.dumps(
        {"resourceType": "OperationOutcome", "issue": [{**issue, "expression": list(expression)}]}
    ).encode()


def destination(folder: Path, url: str, *, production: bool = False, **settings: Any) -> FhirDestination:
    """Make one as the hub does."""
    around = Around(folder, folder / "var", "Hub", "https://hub.example", production)
    return FhirDestination(FhirSettings(url=url, **settings), "copy", around)


def parcel(*resources: dict[str, Any], key: str = "k1", **more: Any) -> Parcel:
    """Make a parcel of resources."""
    body = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in resources]}
    return Parcel(key, 1, "lab", json.dumps(body).encode(), "application/fhir+json", **more)
