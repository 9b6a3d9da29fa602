"""The parsed document as plain data, for `hub parse` and the console: header, sections, statements, leaves.

In: a `Document`. Out: a dict that JSON can hold; every populated leaf with its XPath and line, every section
with its kind and what told it, every statement with its kind, negation and nullFlavor. For people; nothing on
the hot path.
"""

from __future__ import annotations

from typing import Any

from engine.formats.cda.document import Document
from engine.formats.cda.elements import child
from engine.formats.cda.parties import Identifier
from engine.formats.cda.sections import Section, sections
from engine.formats.cda.statements import Statement, statements

__all__ = ["to_json"]


def to_json(document: Document) -> dict[str, Any]:
    """Give the tree of a document."""
    made = document.time
    body = document.unstructured
    nonxml = child(document.root, "component", "nonXMLBody")
    tree: dict[str, Any] = {
        "format": "cda",
        "document_type": document.code.code,
        "guide": document.guide,
        "id": _identifier(document.id),
        "set_id": _identifier(document.set_id),
        "version": document.version,
        "title": document.title,
        "time": made.fhir if made else "",
        "language": document.language,
        "confidentiality": document.confidentiality.code if document.confidentiality else "",
        "replaces": [
            {"type": r.type, "ids": [_identifier(i) for i in r.ids], "version": r.version}
            for r in document.related
        ],
        "templates": list(document.templates),
        "charset": document.charset,
        "bytes": len(document.raw),
        "repairs": [repair._asdict() for repair in document.repairs],
        "body": "structured"
        if document.body is not None
        else "unstructured"
        if nonxml is not None
        else "none",
        "sections": [_section(document, section) for section in sections(document)],
        "leaves": [leaf._asdict() for leaf in document.leaves()],
    }
    if body is not None:
        tree["content"] = {
            "media_type": body.media_type,
            "bytes": len(body.data) if body.data is not None else 0,
            "text": len(body.text),
            "url": body.url,
            "compression": body.compression,
            "problem": body.problem,
        }
    return tree


def _identifier(identifier: Identifier | None) -> str:
    if identifier is None:
        return ""
    return "^".join(part for part in (identifier.root, identifier.extension) if part) or identifier.null


def _section(document: Document, section: Section) -> dict[str, Any]:
    return {
        "place": section.place,
        "kind": section.kind,
        "known_by": section.known_by,
        "code": section.code.code,
        "title": section.title,
        "null": section.null,
        "depth": section.depth,
        "narrative": section.text is not None,
        "statements": [
            _statement(document, depth, statement)
            for entry in section.entries()
            for depth, statement in statements(entry, section.kind)
        ],
    }


def _statement(document: Document, depth: int, statement: Statement) -> dict[str, Any]:
    return {
        "place": document.places.of(statement.element),
        "depth": depth,
        "class": statement.name,
        "kind": statement.kind,
        "mood": statement.mood,
        "link": statement.link,
        "status": statement.status,
        "null": statement.null,
        "negated": sorted({n.of for n in statement.negations}),
    }
