"""Documents that come with their bytes beside them: IHE MHD ITI-65 (Provide Document Bundle), and any
DocumentReference like it.

In: the entries of a Bundle, attachments as sent. Out: which Binaries are content of which attachment, and the
attachment with its bytes in it, held against the size and the hash that the metadata say. A document that
was changed or cut off on its way waits for a person. Follows IHE MHD 4.2.4, ITI TF-2 3.65, FHIR R4 datatypes,
Attachment (hash: SHA-1 of the bytes; size: their number).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.formats.fhir.posted import Ask
from engine.mapping.fhir.identity import Problem

__all__ = ["attachments", "binaries_of", "bytes_of", "checked", "named_binaries"]

_ABSENT = ("", None)


def named_binaries(asks: Iterable[Ask]) -> frozenset[str]:
    """Return the addresses that attachments of the Bundle's DocumentReferences name."""
    return frozenset(
        str(url)
        for ask in asks
        if ask.type == "DocumentReference" and ask.resource is not None
        for _, attachment in attachments(ask.resource)
        if isinstance(url := attachment.get("url"), str)
    )


def attachments(reference: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the attachments of a DocumentReference with the place of their content."""
    contents = reference.get("content")
    for n, content in enumerate(contents if isinstance(contents, list) else ()):
        attachment = content.get("attachment") if isinstance(content, dict) else None
        if isinstance(attachment, dict):
            yield n, attachment


def binaries_of(asks: Iterable[Ask]) -> dict[str, Ask]:
    """Return the Binaries of a Bundle by what attachments call them."""
    out: dict[str, Ask] = {}
    for ask in asks:
        if ask.type == "Binary" and ask.resource is not None:
            if ask.full_url:
                out[ask.full_url] = ask
            if isinstance(own := ask.resource.get("id"), str):
                out.setdefault(f"Binary/{own}", ask)
    return out


def bytes_of(data: Any) -> bytes | None:
    """Decode base64 as FHIR has it; None where it is none."""
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def checked(attachment: dict[str, Any], at: str) -> Problem | None:
    """Hold the bytes of an attachment against its size and hash, and say both where nobody did."""
    if "data" not in attachment:
        return None
    data = bytes_of(attachment["data"])
    if data is None:
        return Problem("document-damaged", f"{at}.data", "it is no base64: the document is damaged")
    size, digest = attachment.get("size"), attachment.get("hash")
    if size is not None and size != len(data):
        text = "the document has another size than its metadata say"
        return Problem("document-size", f"{at}.size", text)
    found = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
    if digest not in _ABSENT and digest != found:
        text = "the document has another hash than its metadata say: it was changed on its way"
        return Problem("document-hash", f"{at}.hash", text)
    attachment.setdefault("size", len(data))
    attachment.setdefault("hash", found)
    return None
