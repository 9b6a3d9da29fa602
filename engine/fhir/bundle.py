"""Makes the transaction Bundle (FHIR R4 http.html#transaction, bundle.html) of the drafts of one message.

In: drafts, whose references to each other are `urn:uuid:` and the other draft's id. Out: a Bundle whose
entries have absolute, lower-case `urn:uuid:` fullUrls and requests that can be sent again without doubling
anything: a conditional update where the resource carries its business identifier, a conditional create for
what is written once, and else an update at the draft's own id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from engine.fhir import definitions
from engine.kernel.errors import FormatError
from engine.kernel.message import Draft, Identity

__all__ = ["identifier_query", "transaction", "unresolved"]

_ESCAPES = str.maketrans({"\\": "\\\\", ",": "\\,", "$": "\\$", "|": "\\|"})


def identifier_query(system: str, value: str) -> str:
    """Write `identifier=system|value` for a search, escaped as search.html asks and percent-encoded."""
    words = f"{system.translate(_ESCAPES)}|{value.translate(_ESCAPES)}"
    return "identifier=" + quote(words, safe="")


def _carried_key(draft: Draft) -> Identity | None:
    """Return the first key that a server can find the resource by: the body must hold it as an identifier."""
    if not draft.keys or "identifier" not in definitions.search_parameters(draft.type):
        return None
    held = draft.body.get("identifier", ())
    items = held if isinstance(held, (list, tuple)) else (held,)
    carried = {(i.get("system"), i.get("value")) for i in items if isinstance(i, dict)}
    return next((key for key in draft.keys if key in carried), None)


def transaction(
    drafts: Iterable[Draft],
    *,
    bundle_id: str = "",
    timestamp: str = "",
    conditional: bool = True,
    asked: set[int] | None = None,
) -> dict[str, Any]:
    """Return the transaction Bundle of drafts, in their order; `conditional=False` addresses all by id.
    `asked` are the queries (hashed) of the parts before, of a Bundle that is written in parts.

    A key that two drafts share addresses the first only. Raise FormatError when two drafts share an id.
    """
    entries: list[dict[str, Any]] = []
    ids: set[str] = set()
    asked = set() if asked is None else asked
    for draft in drafts:
        if draft.write == "known":  # it changes what a receiver may not have, and makes nothing
            continue
        id = draft.id.lower()
        if id in ids:
            raise FormatError("two resources of one bundle have the same id", where=draft.name)
        ids.add(id)
        key = _carried_key(draft) if conditional else None
        query = identifier_query(*key) if key else ""
        if query and hash((draft.type, query)) in asked:
            query = ""
        if query:
            asked.add(hash((draft.type, query)))
        body = {"resourceType": draft.type}
        if not query:
            body["id"] = id
        body.update((k, v) for k, v in draft.body.items() if k not in ("resourceType", "id"))
        if not query:
            request = {"method": "PUT", "url": f"{draft.type}/{id}"}
        elif draft.write == "create":
            request = {"method": "POST", "url": draft.type, "ifNoneExist": query}
        else:
            request = {"method": "PUT", "url": f"{draft.type}?{query}"}
        entries.append({"fullUrl": f"urn:uuid:{id}", "resource": body, "request": request})
    bundle: dict[str, Any] = {"resourceType": "Bundle"}
    if bundle_id:
        bundle["id"] = bundle_id
    bundle["type"] = "transaction"
    if timestamp:
        bundle["timestamp"] = timestamp
    if entries:
        bundle["entry"] = entries
    return bundle


def unresolved(bundle: Mapping[str, Any]) -> list[str]:
    """Return the paths of references to `urn:` addresses that are the fullUrl of no entry."""
    entries = bundle.get("entry", ())
    known = {e.get("fullUrl") for e in entries}
    found: list[str] = []
    for i, entry in enumerate(entries):
        _loose(entry.get("resource"), f"Bundle.entry[{i}].resource", known, found)
    return found


def _loose(value: Any, path: str, known: set[Any], found: list[str]) -> None:
    if isinstance(value, dict):
        for k, v in value.items():
            if k != "reference" or not isinstance(v, str):
                _loose(v, f"{path}.{k}", known, found)
            elif v.startswith(("urn:uuid:", "urn:oid:")) and v not in known:
                found.append(f"{path}.reference")
    elif isinstance(value, list):
        for i, v in enumerate(value):
            _loose(v, f"{path}[{i}]", known, found)
