"""A CDA document: what its header says of it, its body, and the bytes it came in.

In: bytes. Out: `Document`; `emit` gives the very bytes back, for a signed or attested document is never
written anew. Anything that is no ClinicalDocument is refused, anything that is one is read: without
templateIds, of CCD 1.0, C32 or no guide at all. Follows CDA R2 4.2 (header).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from engine.formats.cda.attachments import Attachment, read_attachment
from engine.formats.cda.codes import Coded, read_code
from engine.formats.cda.elements import V3, Element, attr, child, children, own_text
from engine.formats.cda.parties import Identifier, read_identifier
from engine.formats.cda.texts import Texts
from engine.formats.cda.times import Moment, read_moment
from engine.formats.xml.encoding import Repair
from engine.formats.xml.places import Leaf, Places, leaves
from engine.formats.xml.read import Limits, read_xml
from engine.kernel.errors import FormatError

__all__ = ["Document", "Related", "emit", "parse"]

_US = "2.16.840.1.113883.10.20.22.1."
_GUIDES = (
    ("2.16.840.1.113883.10.20.24.1.", "QRDA"),
    ("2.16.840.1.113883.10.20.15.2", "eICR"),
    ("2.16.840.1.113883.3.88.11.32.", "C32"),
    ("2.16.840.1.113883.3.88.11.62.", "C62"),
    (_US, "C-CDA"),
    ("2.16.840.1.113883.10.20.1", "CCD 1.0"),
    ("1.3.6.1.4.1.19376.1.3.3", "XD-LAB"),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.", "IHE PCC"),
)


class Related(NamedTuple):
    """Another document that this one replaces (RPLC), adds to (APND) or is made from (XFRM)."""

    type: str
    ids: tuple[Identifier, ...]
    set_id: Identifier | None
    version: str


@dataclass(frozen=True)
class Document:
    """One document, read; its elements are found by `root`, their addresses by `places`."""

    raw: bytes
    root: Element
    charset: str
    repairs: tuple[Repair, ...]
    texts: Texts = field(repr=False)
    places: Places = field(repr=False)

    @cached_property
    def templates(self) -> tuple[str, ...]:
        """The templateIds of the document, `root` or `root:extension`."""
        return tuple(
            ":".join(p for p in (attr(t, "root"), attr(t, "extension")) if p)
            for t in children(self.root, "templateId")
        )

    @cached_property
    def guide(self) -> str:
        """The guide the document says it follows: C-CDA R2.1, C-CDA R1.1, CCD 1.0, C32 ...; CDA for none."""
        for start, name in _GUIDES:
            said = [t for t in self.templates if t.startswith(start)]
            if said and name == "C-CDA":
                return "C-CDA R2.1" if any(":2015" in t for t in said) else "C-CDA R1.1/R2.0"
            if said:
                return name
        return "CDA"

    @property
    def id(self) -> Identifier | None:
        """The number of this document."""
        return read_identifier(child(self.root, "id"))

    @property
    def set_id(self) -> Identifier | None:
        """The number that all versions of it share."""
        return read_identifier(child(self.root, "setId"))

    @property
    def version(self) -> str:
        """Which version of its set it is."""
        return attr(child(self.root, "versionNumber"), "value")

    @cached_property
    def code(self) -> Coded:
        """What kind of document it is."""
        return read_code(child(self.root, "code"), self.texts) or Coded()

    @property
    def title(self) -> str:
        """The title as written."""
        return own_text(child(self.root, "title"))

    @property
    def time(self) -> Moment | None:
        """When it was made."""
        return read_moment(child(self.root, "effectiveTime"))

    @property
    def confidentiality(self) -> Coded | None:
        """How confidential it is (N, R, V)."""
        return read_code(child(self.root, "confidentialityCode"))

    @property
    def language(self) -> str:
        """The language it is written in."""
        return attr(child(self.root, "languageCode"), "code")

    @property
    def related(self) -> tuple[Related, ...]:
        """The documents it replaces, adds to or is made from."""
        out = []
        for link in children(self.root, "relatedDocument"):
            parent = child(link, "parentDocument")
            ids = tuple(i for e in children(parent, "id") if (i := read_identifier(e)) is not None)
            set_id = read_identifier(child(parent, "setId"))
            version = attr(child(parent, "versionNumber"), "value")
            out.append(Related(attr(link, "typeCode"), ids, set_id, version))
        return tuple(out)

    @cached_property
    def body(self) -> Element | None:
        """The structured body, None for an unstructured document."""
        return child(self.root, "component", "structuredBody")

    @property
    def unstructured(self) -> Attachment | None:
        """The content of an unstructured document (nonXMLBody)."""
        return read_attachment(child(self.root, "component", "nonXMLBody", "text"))

    def leaves(self) -> list[Leaf]:
        """Every attribute and text that is populated, with its XPath."""
        return list(leaves(self.root))


def parse(data: bytes, limits: Limits | None = None) -> Document:
    """Read a document; a `FormatError` where it is no CDA or cannot be read."""
    xml = read_xml(data, limits, {"ClinicalDocument": V3})
    if xml.root.tag != f"{{{V3}}}ClinicalDocument":
        raise FormatError(
            "no CDA document",
            where="1:1",
            why="the root is not ClinicalDocument of urn:hl7-org:v3",
            remedy="send a CDA R2 document",
        )
    return Document(xml.raw, xml.root, xml.charset, xml.repairs, Texts(xml.root), Places(xml.root))


def emit(document: Document) -> bytes:
    """Give the document as it came in, byte for byte."""
    return document.raw
