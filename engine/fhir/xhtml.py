"""Checks the XHTML of a narrative against what FHIR R4 allows (narrative.html, invariants txt-1 and txt-2).

In: the text of `Narrative.div`. Out: what is refused, in words, or an empty string. Elements and attributes
are an allow-list: no scripts, forms, frames, styles sheets or event attributes, links only to places that
run nothing. The XML is read without network, DTD or entities.
"""

from __future__ import annotations

import re

from lxml import etree

__all__ = ["refusal"]

_XHTML = "{http://www.w3.org/1999/xhtml}"
_ELEMENTS = frozenset(
    """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6
    hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var kbd ins
    del bdo
    """.split()  # noqa: SIM905
)
_ATTRIBUTES = frozenset(
    """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff
    cite class colspan dir frame headers height href hreflang id lang longdesc name nowrap rel rev rowspan
    rules scope span src start style summary tabindex title type valign value width
    {http://www.w3.org/XML/1998/namespace}lang
    """.split()  # noqa: SIM905
)
_LINK = re.compile(
    r"(?:https?:|mailto:|tel:|cid:|urn:|data:image/(?:png|gif|jpeg);|#|/|[\w.\-]+(?:[/?#]|$))", re.I
).match
_STYLE = re.compile(r"expression|javascript|url\s*\(|@import|behavior|-moz-binding", re.I).search


def refusal(text: str) -> str:
    """Say why a narrative is refused, or return an empty string."""
    if "<!" in text and ("<!DOCTYPE" in text or "<!ENTITY" in text):
        return "must not declare a document type or entities"
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError, ValueError):
        return "must be well-formed XHTML"
    if root.tag != _XHTML + "div":
        return "must be a div in the namespace http://www.w3.org/1999/xhtml"
    content = False
    for node in root.iter():
        if not isinstance(node.tag, str):
            if isinstance(node, etree._ProcessingInstruction):
                return "must not hold processing instructions"
            continue
        name = node.tag.removeprefix(_XHTML)
        if name not in _ELEMENTS:
            return "holds an element that narratives do not allow"
        for attribute, value in node.attrib.items():
            if str(attribute) not in _ATTRIBUTES:
                return "holds an attribute that narratives do not allow"
            if attribute in ("href", "src", "cite", "longdesc") and not _LINK(str(value).strip()):
                return "holds a link that narratives do not allow"
            if attribute == "style" and _STYLE(str(value)):
                return "holds a style that narratives do not allow"
        content = content or name == "img" or bool((node.text or "").strip())
        content = content or (node is not root and bool((node.tail or "").strip()))
    return "" if content else "must not be blank"
