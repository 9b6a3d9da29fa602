"""Documents by an address of their own: what a DocumentReference holds as data, as its bytes.

In: DocumentReferences as the core store holds them. Out: the same with the address of each document beside
its data (`content.attachment.url`), and at that address, `Binary/<id of the reference>.<number of the
content>`, the document: its bytes under its own media type, or a Binary where the asker wants FHIR. Who may
not see the reference does not see the document. A document is for a program or a disk, never shown by this
site. Follows IHE MHD 4.2.4, 2:3.68 (Retrieve Document, ITI-68), and FHIR R4 binary.html#rest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from engine.console.exchange import Ask, Reply
from engine.console.negotiation import negotiate
from engine.console.refusals import Refusal
from engine.fhir import jsonio

__all__ = ["document_asked", "retrieved", "with_addresses"]

_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,3})").fullmatch
_MEDIA = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}").fullmatch
_FHIR = "application/fhir+json; charset=utf-8"
_SAFE = {"Content-Security-Policy": "sandbox; default-src 'none'"}


def document_asked(ask: Ask) -> tuple[str, int] | None:
    """Return the DocumentReference and the content that a request is for; None for any other request."""
    if len(ask.path) == 2 and ask.path[0] == "Binary" and ask.method in ("GET", "HEAD"):
        if (found := _NAME(ask.path[1])) is not None:
            return found[1], int(found[2])
    return None


def with_addresses(resource: dict[str, Any], base: str) -> dict[str, Any]:
    """Return a resource; of a DocumentReference each document that is held as data has an address, too."""
    if resource.get("resourceType") != "DocumentReference" or not resource.get("content"):
        return resource
    contents = []
    for n, content in enumerate(resource["content"], 1):
        attachment = content.get("attachment") or {}
        if attachment.get("data") and not attachment.get("url"):
            address = f"{base}/Binary/{resource['id']}.{n}"
            content = {**content, "attachment": {**attachment, "url": address}}
        contents.append(content)
    return {**resource, "content": contents}


def retrieved(ask: Ask, id_: str, number: int, read: Callable[[str, str], dict[str, Any] | None]) -> Reply:
    """Answer with a document. `read` gives what the asker may see. Raises Refusal."""
    found = read("DocumentReference", id_) or {}
    contents = found.get("content") or []
    attachment = contents[number - 1].get("attachment") or {} if number <= len(contents) else {}
    what = f"DocumentReference/{id_}"
    if not attachment.get("data"):
        raise Refusal(404, "there is no document with this address", what=what)
    try:
        data = base64.b64decode(attachment["data"], validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(404, "the document cannot be read: its data is no base64", what=what) from None
    detail = f"content {number}"
    media = str(attachment.get("contentType") or "")
    media = (
        media
        if _MEDIA(media.partition(";")[0].strip()) and media.isprintable()
        else "application/octet-stream"
    )
    if _wants_fhir(ask):
        body = {"resourceType": "Binary", "id": ask.path[1], "contentType": media, "data": attachment["data"]}
        pretty = negotiate(ask)
        text = jsonio.dumps_pretty(body) if pretty else jsonio.dumps(body)
        return Reply(200, text, _FHIR, {}, "read", what, detail)
    if not _accepted(ask.headers.get("accept", "*/*"), media):
        raise Refusal(406, f"this document is {media}, or application/fhir+json", what=what)
    headers = {**_SAFE, "Content-Disposition": "attachment"}
    return Reply(200, data, media, headers, "read", what, detail)


def _wants_fhir(ask: Ask) -> bool:
    """Say whether a Binary is asked for (R4 binary.html: by a FHIR media type)."""
    if any(name == "_format" for name, _ in ask.query):
        return True
    accept = ask.headers.get("accept", "")
    return "application/fhir+json" in accept.lower() and "*/*" not in accept


def _accepted(accept: str, media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    wanted = [one.partition(";")[0].strip().lower() for one in accept.split(",")]
    return not accept.strip() or any(one in (kind, kind.partition("/")[0] + "/*", "*/*") for one in wanted)
