"""Audit rows as FHIR R4 AuditEvents (auditevent.html, after ATNA and DICOM PS3.15 A.5).

In: rows of the audit table. Out: AuditEvent resources, one a row, as newline-delimited JSON or as a Bundle.
The id is the row's number, so that what is exported twice is recognised. Details may hold what was asked for:
an export is for whoever may see the audit, and is a row of the audit itself.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from engine import __version__
from engine.fhir import jsonio
from engine.fhir.definitions import resource_types
from engine.kernel.clock import iso
from engine.store.audit import AuditRow

__all__ = ["MEDIA", "audit_event", "bundle", "ndjson"]

MEDIA = "application/fhir+ndjson"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_REST = {
    "fhir:read": "read",
    "fhir:vread": "vread",
    "fhir:history": "history-instance",
    "fhir:search": "search-type",
}
_KINDS = (  # what an action begins with, or holds: code and display of audit-event-type
    (re.compile(r"^fhir:|^feed:"), (_TERMS + "audit-event-type", "rest", "RESTful Operation")),
    (re.compile(r"^audit:"), (_DCM, "110101", "Audit Log Used")),
    (re.compile(r"export|share|download"), (_DCM, "110106", "Export")),
    (re.compile(r"sign|login|logout|session|password|totp|lock"), (_DCM, "110114", "User Authentication")),
    (re.compile(r"^dicom:find|^dicom:query|search|find"), (_DCM, "110112", "Query")),
    (re.compile(r"glass|account|grant|key|setting|backup"), (_DCM, "110113", "Security Alert")),
)
_ELSE = (_DCM, "110110", "Patient Record")
_DOES = (  # the first that fits: C, U, D, R, else E (execute)
    ("C", re.compile(r"store|create|make|import|propose|new")),
    ("D", re.compile(r"delete|remove|keep|revoke|end")),
    ("U", re.compile(r"edit|approve|bind|release|replay|change|reset|assign|snooze|comment|grant|work")),
    (
        "R",
        re.compile(r"read|search|find|open|show|list|view|see|look|history|export|download|query|retrieve"),
    ),
)
_STATUS = re.compile(r"([1-5]\d\d)(?: |$)").match
_FROM = re.compile(r"\bfrom ([0-9a-fA-F:.]{3,45})(?:\b|;|$)").search


def audit_event(row: AuditRow, hub: str, identity_base: str) -> dict[str, Any]:
    """Return a row as an AuditEvent."""
    system, code, display = next((k for pattern, k in _KINDS if pattern.search(row.action)), _ELSE)
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"audit-{row.id}",
        "type": {"system": system, "code": code, "display": display},
        "subtype": [_subtype(row.action, identity_base)],
        "action": next((letter for letter, word in _DOES if word.search(row.action)), "E"),
        "recorded": iso(row.at),
        "outcome": _outcome(row),
        "agent": [_agent(row, identity_base)],
        "source": {
            "site": hub,
            "observer": {"display": f"{hub} (hub {__version__})"},
            "type": [
                {"system": _TERMS + "security-source-type", "code": "4", "display": "Application Server"}
            ],
        },
        "entity": [_entity(row, identity_base)],
    }
    return event


def ndjson(rows: Iterable[AuditRow], hub: str, identity_base: str) -> Iterator[bytes]:
    """Give the rows as lines of newline-delimited JSON."""
    for row in rows:
        yield jsonio.dumps(audit_event(row, hub, identity_base)) + b"\n"


def bundle(rows: Iterable[AuditRow], hub: str, identity_base: str, at: int) -> dict[str, Any]:
    """Return the rows as a Bundle of type collection."""
    entries = [
        {
            "fullUrl": f"{identity_base.rstrip('/')}/AuditEvent/audit-{row.id}"
            if identity_base.startswith("http")
            else f"{identity_base}:AuditEvent:audit-{row.id}",
            "resource": audit_event(row, hub, identity_base),
        }
        for row in rows
    ]
    made: dict[str, Any] = {"resourceType": "Bundle", "type": "collection", "timestamp": iso(at)}
    return made | ({"entry": entries} if entries else {})


def _subtype(action: str, identity_base: str) -> dict[str, str]:
    if action in _REST:
        code = _REST[action]
        return {"system": "http://hl7.org/fhir/restful-interaction", "code": code, "display": code}
    return {
        "system": f"{identity_base}/audit-action",
        "code": re.sub(r"\s+", "-", action.strip()) or "unknown",
    }


def _outcome(row: AuditRow) -> str:
    """Return 0 (done), 4 (refused) or 8 (the hub failed), by the HTTP status that some details begin with."""
    if "refused" in row.action or "failed" in row.action:
        return "4"
    status = _STATUS(row.detail)
    return "8" if status and status[1] >= "500" else "4" if status and status[1] >= "400" else "0"


def _agent(row: AuditRow, identity_base: str) -> dict[str, Any]:
    name = "nobody who is known" if row.who in ("", "-") else row.who
    agent: dict[str, Any] = {"who": {"display": name}, "name": name, "requestor": True}
    if row.who not in ("", "-"):
        agent["who"]["identifier"] = {"system": f"{identity_base}/people", "value": row.who}
    if address := _FROM(row.detail):
        agent["network"] = {"address": address[1], "type": "2"}
    return agent


def _entity(row: AuditRow, identity_base: str) -> dict[str, Any]:
    kind, _, rest = row.what.partition("/")
    entity: dict[str, Any] = {
        "type": {"system": _TERMS + "audit-entity-type", "code": "2", "display": "System Object"},
        "role": {"system": _TERMS + "object-role", "code": "4", "display": "Domain Resource"},
    }
    if kind in resource_types() and rest:
        entity["what"] = {"reference": row.what}
        if kind == "Patient":
            entity["type"] = {"system": _TERMS + "audit-entity-type", "code": "1", "display": "Person"}
            entity["role"] = {"system": _TERMS + "object-role", "code": "1", "display": "Patient"}
    elif rest:
        entity["what"] = {"identifier": {"system": f"{identity_base}/{quote(kind)}", "value": rest}}
    else:
        entity["what"] = {"display": row.what or "hub"}
    if row.detail and row.action.endswith(("search", "find", "query")):
        entity["role"] = {"system": _TERMS + "object-role", "code": "24", "display": "Query"}
        entity["query"] = base64.b64encode(row.detail.encode()).decode()
    elif row.detail:
        entity["detail"] = [{"type": "detail", "valueString": row.detail}]
    return entity
