"""A CDA document as the named groups that maps are for: the header's parties, sections, clinical statements.

In: a parsed `Document`. Out: a tree of `TreeScope`. A statement stands in the statement or the section around
it, under the kind it is (`problem`, `vital-panel`), else its element (`other-observation`). What has a
nullFlavor of its own, or stands in an entry or link that has one, says that there is nothing: its group is
`null-problem`, so that no line makes something of it. Also who sent a document, for sites and journal.
Follows CDA R2 4.2 (header) and 4.3 (body).
"""

from __future__ import annotations

from engine.formats.cda.document import Document
from engine.formats.cda.elements import Element, attr, child, children, own_text
from engine.formats.cda.none_known import none_known
from engine.formats.cda.pressures import oxygen, pressures
from engine.formats.cda.sections import kind_by
from engine.formats.cda.statements import CLASSES, denials, kind_of
from engine.formats.cda.texts import Texts
from engine.formats.xml.nodes import Node
from engine.mapping.treescope import TreeScope

__all__ = [
    "CLASSES",
    "HEADER",
    "arrange",
    "arrange_entry",
    "authority_of",
    "headers",
    "kind_of_document",
    "type_text",
]

HEADER: dict[str, tuple[str, str]] = {
    "recordTarget": ("patient", ""),
    "author": ("author", ""),
    "dataEnterer": ("data-enterer", ""),
    "informant": ("informant", ""),
    "custodian": ("custodian", ""),
    "informationRecipient": ("information-recipient", ""),
    "legalAuthenticator": ("legal-authenticator", ""),
    "authenticator": ("authenticator", ""),
    "participant": ("participant", ""),
    "inFulfillmentOf": ("order", "order"),
    "documentationOf": ("service-event", "serviceEvent"),
    "relatedDocument": ("parent-document", ""),
    "authorization": ("consent", "consent"),
    "componentOf": ("encounter-of-document", "encompassingEncounter"),
}
"""Elements of the header, the groups they are, and the element inside on which such a group stands."""

_INSIDE = {
    "patient": (("guardian", ("patientRole", "patient", "guardian")),),
    "service-event": (("service-performer", ("performer",)),),
}
_CLASSES = frozenset(CLASSES)
_APART = frozenset({"RSON", "REFR", "SPRT", "GEVL", "XCRPT", "CAUS"})
"""Links to what stands for itself: the reason why something was not done is not denied with it."""
_LINKS = ("entryRelationship", "component")
_OF_RELATIVES = frozenset({"family member", "family condition", "age at onset", "deceased", "cause of death"})
FEW = 500
"""Entries of a section that are always taken together."""


Later = list[tuple[Node, TreeScope]]
"""Entries that are arranged later, with the section they stand in."""


def arrange(document: Document, later: Later | None = None) -> TreeScope:
    """Give the groups of a document, the outermost being `document`; with `later` the entries of sections
    that hold very many are put there."""
    root = Node(document.root)
    root.kind = "document"
    top = TreeScope("document", root)
    for node in root.children:
        if node.prefix:
            continue
        if node.name == "component":
            _body(node, top, later)
        elif found := HEADER.get(node.name):
            name, inner = found
            for at in node.by(inner) if inner else (node,):
                _header(at, name, top)
    return top


def _header(node: Node, name: str, top: TreeScope) -> None:
    node.kind = name
    scope = TreeScope(name, node, top)
    for inner, steps in _INSIDE.get(name, ()):
        at = [node]
        for step in steps:
            at = [c for n in at for c in n.by(step)]
        for n in at:
            n.kind = inner
            TreeScope(inner, n, scope)


def _body(component: Node, top: TreeScope, later: Later | None) -> None:
    for body in component.children:
        if body.name == "nonXMLBody":
            body.kind = "body"
            TreeScope("body", body, top)
        elif body.name == "section":  # a body that forgot to say that it is structured
            _section(body, top, "", later)
        elif body.name == "structuredBody":
            _sections(body, top, "", later)


def _sections(parent: Node, scope: TreeScope, around: str, later: Later | None) -> None:
    for node in parent.children:
        if node.name == "section":
            _section(node, scope, around, later)
        elif node.name == "component":
            for section in node.by("section"):
                _section(section, scope, around, later)


def _section(node: Node, parent: TreeScope, around: str, later: Later | None) -> None:
    """Arrange a section; one of no known kind inside another is of that one's kind."""
    element = node.element
    code = child(element, "code")
    templates = tuple(attr(t, "root") for t in children(element, "templateId"))
    title = own_text(child(element, "title"))
    codes = [attr(code, "code"), *(attr(t, "code") for t in children(code, "translation"))]
    known = (kind_by(c, templates, title) for c in codes if c or len(codes) == 1)
    kind = next((k for k, _ in known if k), around)
    node.kind = kind.replace(" ", "-")
    scope = TreeScope("section", node, parent)
    entries = node.by("entry")
    if later is not None and len(entries) > FEW and kind != "social history":  # which tells of the patient
        later += [(entry, scope) for entry in entries]
    else:
        for entry in entries:
            _entry(entry, scope, kind)
    _sections(node, scope, kind, later)


def of_another(node: Node) -> bool:
    """Say whether a statement, or its section, tells of another person than the patient (its `subject`): of
    a mother, a donor, a fetus. Nothing of the patient may come of it."""
    at: Node | None = node
    while at is not None and at.name not in ("structuredBody", "ClinicalDocument"):
        if any(s.by("relatedSubject") and not s.get("nullFlavor") for s in at.by("subject")):
            return True
        if any(
            p.get("typeCode") == "SBJ" and any(r.get("classCode") == "PRS" for r in p.by("participantRole"))
            for p in at.by("participant")
        ):
            return True
        at = at.parent
    return False


def arrange_entry(entry: Node, section: TreeScope, piece: int = 0) -> None:
    """Arrange the statements of an entry below a section's group, as a piece of a long document."""
    was, section.piece = section.piece, piece
    _entry(entry, section, section.node.kind.replace("-", " "))
    section.piece = was


def _entry(entry: Node, section: TreeScope, kind: str) -> None:
    """Arrange the statements of an entry, each in the one around it."""
    # what says that there is nothing says so of all that stands in it
    nothing = any(n.get("nullFlavor") for n in (entry, section.node, section.node.parent) if n is not None)
    stack = [(s, section, "", nothing, "") for s in reversed(_statements(entry))]
    together: dict[Element, str] = {}  # vital signs that are one Observation with components
    while stack:
        node, scope, inside, null, denied = stack.pop()
        parent = node.parent
        nested = parent is not entry
        templates = tuple(t.get("root") for t in node.by("templateId"))
        link = parent.get("typeCode") if nested and parent is not None else ""
        code = node.by("code")[0].get("code") if nested and node.by("code") else ""
        found = kind_of(node.name, templates, kind, nested, inside, link, code)
        node.kind = found.replace(" ", "-") or f"other-{node.name}"
        node.section = kind.replace(" ", "-")
        own = denials(node.element)
        node.denied = " ".join(dict.fromkeys((*denied.split(), *own))) if own else denied
        denied = " ".join(w for w in node.denied.split() if w != "value")
        if found == "allergy" and node.denied and none_known(node.element, Texts(node.top.element)):
            node.none = "known"
        empty = null = null or bool(node.get("nullFlavor"))
        if kind == "family history":  # what is told there is a relative's, whatever its template says
            empty = empty or found not in _OF_RELATIVES
        elif found != "family member" and of_another(node):
            empty = True
        name = together.get(node.element, node.kind)
        mine = TreeScope(f"null-{name}" if empty else name, node, scope)
        if name == "vital-panel" and not empty and (pair := pressures(node.element)):
            together |= dict.fromkeys(pair, "pressure-part")
            TreeScope("blood-pressure", node, mine)
        if name == "vital-panel" and not empty and (breath := oxygen(node.element)):
            together |= {breath[0]: "oximetry", **dict.fromkeys(breath[1], "oxygen-part")}
        links = [n for name in _LINKS for n in node.by(name)]
        stack.extend(
            (
                *(s, mine, found, null or bool(n.get("nullFlavor"))),
                "" if n.get("typeCode") in _APART else denied,
            )
            for n in reversed(links)
            for s in reversed(_statements(n))
        )


def _statements(node: Node) -> list[Node]:
    return [c for c in node.children if c.name in _CLASSES and not c.prefix]


def headers(document: Document) -> dict[str, str]:
    """Say what sites match on: who keeps the document, who wrote it with which system, what it is."""
    root = document.root
    keeper = child(root, "custodian", "assignedCustodian", "representedCustodianOrganization")
    author = next((a for a in children(root, "author") if child(a, "assignedAuthor") is not None), None)
    role = child(author, "assignedAuthor")
    organization = child(role, "representedOrganization")
    device = child(role, "assignedAuthoringDevice")
    return {
        "custodian-id": attr(child(keeper, "id"), "root"),
        "custodian-name": own_text(child(keeper, "name")),
        "author-organization": own_text(child(organization, "name")),
        "author-organization-id": attr(child(organization, "id"), "root"),
        "author-system": own_text(child(device, "softwareName"))
        or own_text(child(device, "manufacturerModelName")),
        "code": document.code.code,
        "guide": document.guide,
    }


def authority_of(said: dict[str, str]) -> str:
    """Return the name space private to the sender of a document, by its `headers`."""
    keeper = said["custodian-id"] or said["custodian-name"]
    writer = said["author-organization-id"] or said["author-organization"]
    return f"urn:hub:sender:cda|{keeper}|{writer if not keeper else ''}"


def kind_of_document(document: Document) -> str:
    """Say which message map serves a document: `unstructured`, or the guide it follows."""
    return "unstructured" if document.body is None else document.guide.split(" R")[0]


def type_text(document: Document) -> str:
    """Say in the journal what kind of document it is: its code, else its title."""
    return document.code.code or document.title or "CDA"
