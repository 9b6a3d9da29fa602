"""What the FHIR endpoint can do, as a CapabilityStatement (FHIR R4 capabilitystatement.html) made from what
answers.

In: the name and version of the hub. Out: a resource that lists exactly the types, interactions and search
parameters that `endpoint.py` follows; both read the same table.
"""

from __future__ import annotations

from typing import Any

from engine import __version__
from engine.console.parameters import FORMATS, parameters, searchable
from engine.console.subscriptions import INTERACTIONS as SUBSCRIBING
from engine.console.terminology import operations_of
from engine.kernel.clock import iso

__all__ = ["INTERACTIONS", "capability"]

INTERACTIONS = ("read", "vread", "history-instance", "search-type")
_SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_PROVENANCE = ("read", "search-type")


def capability(
    hub: str, base: str, started: int, issued: bool = False, subscribed: bool = False
) -> dict[str, Any]:
    """Return the CapabilityStatement; `started` is when this process began, ms since the epoch.

    `issued`: whether the tokens of an issuer are believed (SMART App Launch); `subscribed`: whether there may
    be subscriptions.
    """
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": iso(started),
        "kind": "instance",
        "software": {"name": "hub", "version": __version__},
        "implementation": {"description": hub, "url": base},
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "rest": [
            {
                "mode": "server",
                "documentation": (
                    "Read-only: resources are written by the messages that come in. Search also by POST to "
                    "[type]/_search, which keeps identifiers out of URLs. Unknown parameters are refused, "
                    "unless the header says Prefer: handling=lenient. Every access is recorded. Code systems "
                    "and value sets are not stored as resources: their operations ask the releases and "
                    "tables of this hub, which metadata?mode=terminology lists."
                ),
                "security": _security(base, issued),
                "resource": [
                    _subscription() if subscribed and kind == "Subscription" else _resource(kind)
                    for kind in searchable()
                ],
            }
        ],
    }


def _security(base: str, issued: bool) -> dict[str, Any]:
    text = "Authorization: Bearer <token>; this statement alone needs none"
    if not issued:
        return {"cors": False, "description": text}
    return {
        "cors": False,
        "service": [{"coding": [{"system": _SERVICES, "code": "SMART-on-FHIR"}], "text": "SMART App Launch"}],
        "description": f"{text}. Access tokens and scopes: {base}/.well-known/smart-configuration",
    }


def _resource(kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": kind,
        "interaction": [{"code": code} for code in (_PROVENANCE if kind == "Provenance" else INTERACTIONS)],
        "versioning": "no-version" if kind == "Provenance" else "versioned",
        "readHistory": kind != "Provenance",
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalRead": "full-support",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [
            {"name": p.name, "type": p.type, **({"documentation": p.remark} if p.remark else {})}
            for p in parameters(kind).values()
        ],
    }
    if operations := operations_of(kind):
        made["operation"] = operations
    return made


def _subscription() -> dict[str, Any]:
    return {
        "type": "Subscription",
        "documentation": (
            "A caller's own, channel rest-hook. With a payload: PUT [endpoint]/[type]/[id] with the resource "
            "as it is then; without: POST [endpoint]. Endpoints are on hosts that the hub's operators name."
        ),
        "interaction": [{"code": code} for code in SUBSCRIBING],
        "versioning": "versioned-update",
        "updateCreate": False,
        "conditionalDelete": "not-supported",
    }
