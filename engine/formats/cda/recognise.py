"""Is this CDA? Told by the root element, whatever the file is called.

In: bytes. Out: yes or no, for `hub convert`, `hub parse` and the listeners, without parsing the document.
Follows CDA R2 (ClinicalDocument in `urn:hl7-org:v3`); a root of that name that says no namespace counts too.
"""

from __future__ import annotations

from engine.formats.cda.elements import V3
from engine.formats.xml.read import root_name

__all__ = ["is_cda", "is_xml"]


def is_cda(data: bytes) -> bool:
    """Say whether the bytes are a CDA document."""
    root = root_name(data)
    return root is not None and root.local == "ClinicalDocument" and root.namespace in (V3, "")


def is_xml(data: bytes) -> bool:
    """Say whether the bytes begin as XML of any kind, a refused one (DOCTYPE) included."""
    head = data[:200].replace(b"\0", b"").lstrip(b"\xff\xfe\xef\xbb\xbf \t\r\n")
    return head[:1] == b"<"
