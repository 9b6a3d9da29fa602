"""What a FHIR server's answer means for a parcel (FHIR R4 http.html: status codes, transaction-response).

In: a status, headers, a body. Out: a verdict with a line for people. A 200 may hide entries that failed,
and a server may answer fewer or more entries than it was sent: every entry is read. Of an OperationOutcome
only codes and places are told (`issue.code`, its standard details, element paths): its texts may quote
patient data and stay in the sealed evidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.fhir import definitions, jsonio
from engine.kernel.delivery import Verdict
from engine.kernel.errors import FormatError

__all__ = ["CHANGED", "Judged", "Landed", "address_in", "judged_entry", "judged_http", "landed", "told"]

_OUTCOMES = "http://terminology.hl7.org/CodeSystem/operation-outcome"
_CODES = "http://hl7.org/fhir/ValueSet/issue-type"
_DETAIL = re.compile(r"MSG_[A-Z_]{1,60}")
_PLACE = re.compile(r"([A-Z][A-Za-z]{1,40})((?:\.[a-z][A-Za-z]{0,40}(?:\[\d{1,4}\])?){0,12})")
_AT = re.compile(
    r"(?:^|/)(?P<name>(?P<type>[A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64})(?:/_history/(?P<version>[A-Za-z0-9.-]{1,64}))?/?$"
)


class Judged(NamedTuple):
    """A verdict, why, and whether nothing can be delivered there now."""

    verdict: Verdict
    why: str = ""
    down: bool = False


class Landed(NamedTuple):
    """What one entry of a transaction-response says: its status, the address and version it gave."""

    status: int
    address: str = ""  # the server's `Type/id`
    etag: str = ""
    outcome: Any = None


CHANGED = "several resources there carry our identifier, or somebody else has changed this one"

# What a status means, for a whole request and for an entry of one. Not in the table: 4xx refuse, else retry.
_MEANING: Mapping[int, tuple[Verdict, str]] = {
    401: ("retry", "it does not believe who we are"),
    403: ("retry", "it does not allow us this"),
    408: ("retry", "it did not get the request in time"),
    409: ("retry", "in conflict with something else there"),
    412: ("park", CHANGED),
    423: ("retry", "locked there"),
    425: ("retry", "too early"),
    429: ("retry", "it asks us to be slower"),
    501: ("refuse", "it cannot do this"),
}
_DOWN = {401, 403, 429, 502, 503, 504, 507}  # of a whole request: any other parcel would fare the same


def judged_entry(status: int) -> Judged:
    """Judge the status of one entry, or of a request for one resource."""
    if 200 <= status < 300 or status == 304:
        return Judged("sent")
    verdict, why = _MEANING.get(status, ("refuse" if 400 <= status < 500 else "retry", ""))
    return Judged(verdict, why)


def judged_http(status: int, body: bytes) -> Judged:
    """Judge the status of a whole request."""
    judged = judged_entry(status)
    if judged.verdict == "sent" and 200 <= status < 300:
        return judged
    said = told(_outcome(body))
    why = "; ".join(part for part in (f"answered {status}", judged.why, said) if part)
    if status in _DOWN:
        return Judged("retry", why, down=True)
    if 300 <= status < 400:
        return Judged("retry", f"{why}; it wants to be asked elsewhere: see `url`", down=True)
    if status in (404, 405, 406, 415) and _outcome(body) is None:
        # no FHIR server speaks like this of one resource: it is not there, or not what answers
        return Judged("retry", f"{why}; no FHIR server answers at this address", down=True)
    return Judged(judged.verdict, why)


def landed(body: bytes) -> list[Landed] | None:
    """Read a transaction-response entry by entry; None where it is none."""
    try:
        bundle = jsonio.loads(body)
    except FormatError:
        return None
    kinds = ("transaction-response", "batch-response")
    if (
        not isinstance(bundle, dict)
        or bundle.get("resourceType") != "Bundle"
        or bundle.get("type") not in kinds
    ):
        return None
    return [_landed(entry) for entry in bundle.get("entry") or ()]


def _landed(entry: Any) -> Landed:
    if not isinstance(entry, dict):
        return Landed(0)
    response = entry.get("response")
    if not isinstance(response, dict):
        return Landed(0)
    status = str(response.get("status", ""))[:3]
    held = entry.get("resource")
    address, version = address_in(str(response.get("location") or ""))
    meta: dict[str, Any] = {}
    if isinstance(held, dict) and held.get("id"):  # it answers with the resource, whatever it was asked
        address = address or f"{held.get('resourceType')}/{held['id']}"
        meta = held.get("meta") or {}
    etag = str(
        response.get("etag") or version or (f'W/"{meta["versionId"]}"' if meta.get("versionId") else "")
    )
    outcome = response.get("outcome")
    return Landed(int(status) if status.isascii() and status.isdigit() else 0, address, etag, outcome)


def address_in(location: str | None) -> tuple[str, str]:
    """Return the `Type/id` in a Location, and the version in it as an ETag; empty where there is none."""
    found = _AT.search(location or "")
    if found is None:
        return "", ""
    return found["name"], f'W/"{found["version"]}"' if found["version"] else ""


def told(outcome: Any) -> str:
    """Return the codes and places of an OperationOutcome's errors, without a word of its texts."""
    if not isinstance(outcome, dict):
        return ""
    lines: dict[str, None] = {}
    for issue in outcome.get("issue") or ():
        if not isinstance(issue, dict) or issue.get("severity") in ("warning", "information"):
            continue
        words = [code] if (code := issue.get("code")) in definitions.codes(_CODES) else []
        details = issue.get("details")
        for coding in (details.get("coding") or ()) if isinstance(details, dict) else ():
            if isinstance(coding, dict) and coding.get("system") == _OUTCOMES:
                words += [c] if _DETAIL.fullmatch(c := str(coding.get("code") or "")) else []
        places = [p for p in issue.get("expression") or () if isinstance(p, str) and _is_place(p)]
        if words:
            lines[" ".join(words) + (f" at {', '.join(places[:3])}" if places else "")] = None
    return ", ".join(list(lines)[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")


def _is_place(text: str) -> bool:
    """Say whether a text is the path of an element that R4 has, and so no patient's data."""
    found = _PLACE.fullmatch(text)
    if not found or found[1] not in definitions.resource_types():
        return False
    if found[1] == "Bundle":
        return bool(re.fullmatch(r"(\.entry\[\d{1,4}\](\.resource|\.request|\.fullUrl)?)?", found[2]))
    if not found[2]:
        return True
    path = re.sub(r"\[\d+\]", "", text)
    try:
        definitions.resolve_path(path)
    except definitions.UnknownPath:
        return False
    return True


def _outcome(body: bytes) -> Any:
    try:
        read = jsonio.loads(body)
    except FormatError:
        return None
    return read if isinstance(read, dict) and read.get("resourceType") == "OperationOutcome" else None
