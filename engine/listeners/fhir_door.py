"""The addresses of a port that takes FHIR: what may be asked under its path, and what else is answered.

In: method, target and headers of a request. Out: `Asked`, or a status and a reason. A client may POST a
Bundle or any resource to the path, POST to `/Type`, PUT to `/Type/id`, and GET `/metadata`, which says so. A
condition in a header would be lost, as only the body is kept: it is refused. FHIR R4 http.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.listeners.accepting import Takes

__all__ = ["MEDIA", "TYPES", "Asked", "FhirDoor", "outcome", "written"]

MEDIA = "application/fhir+json"
TYPES = frozenset({"application/fhir+json", "application/json", "application/json+fhir"})
_BELOW = re.compile(r"/([A-Z][A-Za-z]{1,60})(?:/([A-Za-z0-9.\-]{1,64}))?")
_CONDITIONS = (b"if-none-exist", b"if-match", b"if-none-match", b"if-modified-since")
_CODES = {
    400: "not-supported",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    408: "timeout",
    413: "too-long",
    415: "not-supported",
    503: "transient",
}
_WORDS = {
    "content-type": "send JSON: Content-Type application/fhir+json; XML is not read",
    "condition": "conditions in headers are not followed: send a transaction with request.ifNoneExist",
    "query": "no query: nothing of a patient may stand in an address",
    "path": "this address takes POST of a Bundle or a resource, PUT of Type/id, GET of metadata",
    "method": "this address takes POST of a Bundle or a resource, PUT of Type/id, GET of metadata",
    "not-written": "nothing could be written now: send it again",
    "empty": "the body is empty",
}


class Asked(NamedTuple):
    """What the address of a request says of its body."""

    type: str = ""
    id: str = ""
    metadata: bool = False


class FhirDoor:
    """What one port takes."""

    def __init__(self, path: str, takes: tuple[Takes, ...]) -> None:
        self._path = path.rstrip("/")
        self._takes = takes

    def asked(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> Asked | tuple[int, str]:
        """Read what a request asks for; else give the status and the reason of a refusal."""
        text = target.decode("latin-1")
        path, _, query = text.partition("?")
        if path != self._path and not path.startswith(f"{self._path}/"):
            return 404, "path"
        rest = path[len(self._path) :]
        if rest == "/metadata":
            return Asked(metadata=True) if method == b"GET" else (405, "method")
        if query and query not in ("_format=json", "_format=application/fhir+json", "_pretty=true"):
            return 400, "query"
        if any(headers.get(name) for name in _CONDITIONS):
            return 400, "condition"
        if rest in ("", "/", "/$process-message"):
            return Asked() if method == b"POST" else (405, "method")
        found = _BELOW.fullmatch(rest)
        if found is None:
            return 404, "path"
        kind, id_ = found[1], found[2] or ""
        if method != (b"PUT" if id_ else b"POST"):
            return 405, "method"
        return Asked(kind, id_)

    def refusal(self, status: int, reason: str) -> bytes:
        """Write why a request is not taken."""
        return written(outcome("error", _CODES.get(status, "processing"), _WORDS.get(reason, reason)))

    def metadata(self) -> bytes:
        """Write what this port does, as a CapabilityStatement."""
        kinds = [k for t in self._takes for k in t.kinds if k[:1].isupper()]
        every = not all(t.kinds for t in self._takes)
        rest: dict[str, Any] = {
            "mode": "server",
            "documentation": "Everything is kept and worked on later: 202. Nothing is read here.",
        }
        if kinds and not every:
            create = [{"code": "create"}, {"code": "update"}]
            rest["resource"] = [{"type": kind, "interaction": create} for kind in dict.fromkeys(kinds)]
        wanted = {k for t in self._takes for k in t.kinds}
        bundles = [k for k in ("transaction", "batch") if every or k in wanted]
        if bundles:
            rest["interaction"] = [{"code": k} for k in bundles]
        statement = {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-11-22",
            "kind": "instance",
            "implementation": {"description": "A way into the hub for FHIR"},
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "rest": [rest],
        }
        return written(statement)


def written(resource: dict[str, Any]) -> bytes:
    """Write a resource."""
    return json.dumps(resource).encode()


def outcome(severity: str, code: str, text: str) -> dict[str, Any]:
    """Return an OperationOutcome of one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
