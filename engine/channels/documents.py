"""What a document replaces: the older one becomes superseded, whichever of the two comes first.

In: the drafts of a CDA document. Out: for each document it replaces (relatedDocument RPLC) a draft that says
so; where that one never came, a DocumentReference that says only its number and that it is superseded, and
takes its content when it comes late. `status` of a document's own DocumentReference is weak: once superseded
it does not become current again by being sent again. Follows CDA R2 4.2.3.1 (document replacement) and 4.2.2
(relatedDocument: RPLC, APND, XFRM).
"""

from __future__ import annotations

from typing import Any

from engine.kernel.message import Draft
from engine.mapping.run import Identify

__all__ = ["superseding"]

_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}


def superseding(drafts: list[Draft], identify: Identify) -> list[Draft]:
    """Return the drafts of the documents that these replace, and let none become current again."""
    out: dict[str, Draft] = {}
    own = [d for d in drafts if d.type == "DocumentReference" and "masterIdentifier" in d.body]
    for d in own:
        d.weak = tuple(dict.fromkeys((*d.weak, "status")))
        for link in d.body.get("relatesTo") or ():
            key = _key(link.get("target", {}).get("identifier"))
            if link.get("code") == "replaces" and key is not None and key not in d.keys:
                made = _superseded(d, key, link["target"]["identifier"], identify)
                out.setdefault(made.id, made)
    return [made for made in out.values() if all(made.id != d.id for d in own)]


def _key(identifier: Any) -> tuple[str, str] | None:
    if not isinstance(identifier, dict) or not identifier.get("value"):
        return None
    return str(identifier.get("system") or ""), str(identifier["value"])


def _superseded(by: Draft, key: tuple[str, str], identifier: dict[str, Any], identify: Identify) -> Draft:
    body: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "masterIdentifier": identifier,
        "identifier": [identifier],
        "status": "superseded",
        "content": [{"attachment": {"extension": [dict(_ABSENT)]}}],
    }
    if "subject" in by.body:
        body["subject"] = by.body["subject"]
    return Draft(
        "superseded",
        "DocumentReference",
        identify("DocumentReference", *key),
        body,
        (key,),
        labels={"identifier": ("id",), "content": ("document",)},
        map=by.map,
        weak=("masterIdentifier", "identifier", "content", "subject"),
    )
