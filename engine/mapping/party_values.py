"""Who, where and by which number in a document, as functions of maps: identifiers, names, uses, telecoms.

In: an element (II, EN, AD, TEL) and the run. Out: FHIR values. A number says whose it is only with its root;
a root that is an OID alone is a numbering without its number. Follows HL7 v3 Data Types R1, C-CDA on FHIR.
"""

from __future__ import annotations

import re
from typing import Any

from engine.formats.xml.nodes import Node
from engine.mapping.tree_values import FUNCTIONS, named, said_by_us, uri_of

__all__ = ["FUNCTIONS"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.S)
_URI = "2.16.840.1.113883.4.873"  # a root that says: the extension is a URI itself
_SSN = "2.16.840.1.113883.4.1"


@named
def identifier_system(node: Node, x: Any) -> Any:
    """Give the URI of an identifier's root; without an extension the root is the value of a URI."""
    root = node.get("root")
    if root == _URI or not (node.get("extension") or node.get("nullFlavor")):
        return x.from_("urn:ietf:rfc:3986", node, "@root") if uri_of(root) else None
    uri = x.sender.authority_uri(root.removeprefix("urn:oid:")) or uri_of(root)
    if not uri:
        if root:
            x.fail("no-system", x.from_(root, node, "@root"))
        return None
    return x.from_(uri, node, "@root")


@named
def identifier_value(node: Node, x: Any) -> Any:
    """Give the extension of an identifier, or its root as a URI where that is all there is."""
    if extension := node.get("extension"):
        return x.from_(extension, node, "@extension")
    root = node.get("root")
    return x.from_(uri_of(root) or root, node, "@root") if root else None


def _numbers(node: Node) -> str:
    """Say what an `id` is to a person: `number`, `uuid`, or nothing that tells one apart."""
    if node.get("nullFlavor"):
        return ""
    uri = uri_of(node.get("root"))
    if node.get("extension"):
        return "number" if uri else ""
    return "uuid" if uri.startswith("urn:uuid:") else ""


@named
def deciding_Identifier(node: Node, x: Any) -> Any:
    """Give the first id of a role that tells its person from all others: a number whose root says whose it is
    and that is no social security number, else a UUID. An OID alone is a numbering without its number."""
    ids = [n for n in node.by("id") if n.get("root") != _SSN]
    found = next((n for kind in ("number", "uuid") for n in ids if _numbers(n) == kind), None)
    if found is None:
        return None
    out = {"system": identifier_system(found, x), "value": identifier_value(found, x)}
    return out if all(out.values()) else None


@named
def bare_Identifier(node: Node, x: Any) -> Any:
    """Give an id without extension of a person: a UUID, else the numbering, its number missing."""
    if _numbers(node) == "uuid":
        return {"system": identifier_system(node, x), "value": identifier_value(node, x)}
    root = node.get("root")
    uri = x.sender.authority_uri(root.removeprefix("urn:oid:")) or uri_of(root)
    if not uri:
        return None
    null = node.get("nullFlavor")
    hit = x.tables["cda_NullFlavor"].translate(null) if null else None
    why = x.from_(hit.code, node, "@nullFlavor") if hit else said_by_us("unknown", node, x)
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": why}
    return {"system": x.from_(uri, node, "@root"), "_value": {"extension": [absent]}}


@named
def EN_string(node: Node, x: Any) -> Any:
    """Give a name as one text, its parts in the order written."""
    parts = [c.words for c in node.children if c.name not in ("validTime", "delimiter") and c.words]
    return x.from_(" ".join(parts) or node.words, node) or None


@named
def ON_string(node: Node, x: Any) -> Any:
    """Give the name of an organization as one text."""
    return EN_string(node, x)


def _use(node: Node, x: Any, table: str) -> Any:
    """Give the first of the uses that FHIR has a word for."""
    for word in node.get("use").split():
        if hit := x.tables[table].translate(word):
            if not hit.drop:
                return x.from_(hit.code, node, "@use")
    return None


@named
def address_use(node: Node, x: Any) -> Any:
    """Give `use` of an address."""
    return _use(node, x, "cda_AddressUse")


@named
def address_use_of_organization(node: Node, x: Any) -> Any:
    """Give `use` of an organization's address: it has no home (FHIR R4 org-2)."""
    use = _use(node, x, "cda_AddressUse")
    return None if use == "home" else use


@named
def telecom_use_of_organization(node: Node, x: Any) -> Any:
    """Give `use` of an organization's number: it has no home (FHIR R4 org-3)."""
    use = _use(node, x, "cda_TelecomUse")
    return None if use == "home" else use


@named
def address_type(node: Node, x: Any) -> Any:
    """Give `type` of an address: PST and PHYS stand among the uses."""
    return _use(node, x, "cda_AddressType")


@named
def name_use(node: Node, x: Any) -> Any:
    """Give `use` of a name; one part that is what the person is called by makes it a nickname."""
    if any(c.get("qualifier") == "CL" for c in node.children):
        return x.from_("nickname", node, "@use")
    return _use(node, x, "cda_NameUse")


@named
def telecom_use(node: Node, x: Any) -> Any:
    """Give `use` of a telecommunication address."""
    return _use(node, x, "cda_TelecomUse")


def _scheme(node: Node) -> tuple[str, str]:
    found = _SCHEME.fullmatch(node.get("value"))
    return (found[1].lower(), found[2].strip()) if found else ("", node.get("value"))


@named
def telecom_system(node: Node, x: Any) -> Any:
    """Give `system`: by the scheme, by what it looks like where there is none; a pager is told by its use."""
    scheme, rest = _scheme(node)
    if not rest or node.get("nullFlavor"):
        return None
    if scheme in ("", "tel") and "PG" in node.get("use").split():
        return x.from_("pager", node, "@value")
    if not scheme:
        return x.from_("email" if "@" in rest else "phone", node, "@value")
    hit = x.tables["cda_TelecomScheme"].translate(scheme)
    return x.from_(hit.code if hit else "other", node, "@value")


@named
def telecom_value(node: Node, x: Any) -> Any:
    """Give `value`: a number or mail address without its scheme, a link with it."""
    rest = _scheme(node)[1]
    if not rest or node.get("nullFlavor"):
        return None
    return x.from_(node.get("value") if rest.startswith("//") else rest, node, "@value")
