"""What arrives of DICOM as the named groups that maps are for: study, step, report with its measurements,
selection.

In: a parsed `Dicom`. Out: a tree of `TreeScope`s, and which message maps may serve. In a report (PS3.3
C.17.3) `group` is a container of measurements, `measurement` a number with its unit, `finding` a code that
says how something is; what describes images (the image library) is none of these. Follows PS3.16 TID 1500 and
TID 5000 ff.
"""

from __future__ import annotations

from engine.formats.dicom.document import Dicom
from engine.formats.xml.nodes import Node
from engine.mapping.treescope import TreeScope

__all__ = ["arrange", "authority_of", "code_of", "kinds_of"]

MEASUREMENTS = "125007"  # Measurement Group
_QUALITIES = frozenset({"C0034375"})  # Qualitative Evaluations
_APART = frozenset({"111028", "126200"})  # Image Library, Image Library Group: they tell of images
_FINDING = "121071"
_MEASURED = frozenset({"1500", "1501", "5000", "5100", "5200", "5220", "5300"})


def arrange(document: Dicom) -> TreeScope:
    """Give the groups of what arrived."""
    root = Node(document.root)
    root.kind = document.kind
    top = TreeScope(document.kind, root)
    for name in ("Retrieve",):
        for node in root.by(name):
            node.kind = name
            TreeScope(name, node, top)
    if document.kind == "sr":
        _content(root, top)
    return top


def _content(root: Node, top: TreeScope) -> None:
    subject = _subject(root, "")
    stack = [(item, top, subject) for item in reversed(root.by("ContentSequence"))]
    while stack:
        item, scope, subject = stack.pop()
        subject = item.section = _subject(item, subject)
        concept = code_of(item, "ConceptNameCodeSequence")
        kind, relation = _said(item, "ValueType"), _said(item, "RelationshipType")
        if concept in _APART or subject == "other":
            continue
        inner = scope
        if kind == "CONTAINER" and (concept == MEASUREMENTS or _measures(item)):
            inner = _group("group", item, scope)
        elif kind == "NUM" and relation in ("CONTAINS", "INFERRED FROM"):
            inner = _group("measurement", item, scope)
        elif kind == "CODE" and relation == "CONTAINS" and _is_finding(item, concept, scope):
            _group("finding", item, scope)
        stack.extend((c, inner, subject) for c in reversed(item.by("ContentSequence")))


def _subject(node: Node, around: str) -> str:
    """Say of whom an item tells (PS3.16 TID 1006): nothing for the patient, `fetus`, or `other`."""
    for item in node.by("ContentSequence"):
        if code_of(item, "ConceptNameCodeSequence") == "121024":
            said = code_of(item, "ConceptCodeSequence")
            return {"121025": "", "121026": "fetus"}.get(said, "other")
    return around


def _measures(item: Node) -> bool:
    """Say whether numbers stand directly in a container: a group of them, whatever it is called."""
    return any(
        _said(c, "ValueType") == "NUM" and _said(c, "RelationshipType") == "CONTAINS"
        for c in item.by("ContentSequence")
    )


def _is_finding(item: Node, concept: str, scope: TreeScope) -> bool:
    around = item.parent
    if around is None or (scope.name == "group" and around is scope.node and concept == _FINDING):
        return False  # what the group measures is said by the group
    return scope.name == "group" or code_of(around, "ConceptNameCodeSequence") in _QUALITIES


def _group(name: str, node: Node, parent: TreeScope) -> TreeScope:
    node.kind = name
    return TreeScope(name, node, parent)


def _said(node: Node, name: str) -> str:
    return next((c.text for c in node.by(name)), "")


def code_of(node: Node, name: str) -> str:
    """Return the code of a code sequence."""
    return next((_said(c, "CodeValue") for c in node.by(name)), "")


def kinds_of(document: Dicom) -> tuple[str, ...]:
    """Say which message maps may serve: of a report by its template, or by the measurements in it."""
    if document.kind == "instance":
        return ("study",)
    if document.kind != "sr":
        return (document.kind,)
    names = [f"sr {document.template}"] if document.template else []
    if document.template in _MEASURED or (not document.template and _has_group(document)):
        names.append("sr measurements")
    return (*names, "sr")


def _has_group(document: Dicom) -> bool:
    path = "ContentSequence/ConceptNameCodeSequence/CodeValue"
    return any((e.text or "").strip() == MEASUREMENTS for e in document.root.iterfind(f".//{path}"))


def authority_of(document: Dicom) -> str:
    """Return the name space private to the sender."""
    return f"urn:hub:sender:dicom|{document.sender}"
