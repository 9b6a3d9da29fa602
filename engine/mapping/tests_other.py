"""Inline tests of maps that read documents: an XML fragment in, elements out.

In: a map for an element (or a datatype) and the fragment of a test, written without namespaces: `sdtc:` and
`xsi:` are known. A fragment of an entry has its statements' kinds; a message test's `in:` is a whole
document. Out: what the run made, for `tests_inline`.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from engine.formats.cda.document import Document
from engine.formats.cda.texts import Texts
from engine.formats.dicom.document import parse_tree
from engine.formats.xml.nodes import Node
from engine.formats.xml.places import Places
from engine.formats.xml.read import read_xml
from engine.kernel.errors import HubError
from engine.mapping import from_cda
from engine.mapping.arrived import Arrived
from engine.mapping.build import MessagePlan
from engine.mapping.convert import _plan, unkeyed
from engine.mapping.model import MapDef, TestDef
from engine.mapping.project import SiteProgram
from engine.mapping.treearrived import TreeArrived, cda_arrived, dicom_arrived, script_arrived
from engine.mapping.treescope import TreeScope

__all__ = ["run_document", "run_element"]

_NAMESPACES = 'xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_HOME = {"cda": ' xmlns="urn:hl7-org:v3"', "ncpdp": "", "dicom": ""}


def _document(data: bytes) -> Document:
    read = read_xml(data)
    return Document(read.raw, read.root, read.charset, read.repairs, Texts(read.root), Places(read.root))


def run_element(program: SiteProgram, m: MapDef, test: TestDef, trace: bool) -> tuple[Any, Any, Any]:
    """Run a map over the first element of a fragment: (run, value or elements, labels)."""
    format = program.maps.language.format
    text = f"<section{_HOME[format]} {_NAMESPACES}><entry>{test.source.strip()}</entry></section>"
    try:
        document = _document(text.encode())
    except HubError as e:
        raise HubError("in: is no XML", where=str(test.place), why=e.why, remedy=e.remedy) from None
    top = Node(document.root)
    entry = top.children[0]
    if not entry.children:
        raise HubError("the test's in: has no element", where=str(test.place), remedy="write an element")
    node = entry.children[0]
    scope = TreeScope("section", top)
    if format == "cda" and node.name in from_cda.CLASSES:
        from_cda.arrange_entry(entry, scope)
        found = [s for s in scope.walk() if s.node is node]
        scope = found[0] if found else scope
    elif not node.kind:
        node.kind = m.source
    arrived = TreeArrived(format, document, scope, (m.source,), m.source, {}, "urn:hub:sender:test")
    x = (arrived.traced_run if trace else arrived.run)(
        arrived, program.sender(arrived.authority), program.tables, {}, unkeyed
    )
    o: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    if "." not in m.to and m.to[:1].isupper() and program.program.makes_resource(m):
        program.program.segment(m.name)(node, scope, x, o, labels)
        if x.contained:
            o["contained"] = x.contained
        return x, o, labels
    return x, program.program.datatype(m.name, "n")(node, x), labels


def run_document(program: SiteProgram, test: TestDef, trace: bool) -> tuple[Any, Any]:
    """Run a message map over a whole document: (run, what was built)."""
    data = test.source.strip().encode()
    arrived: Arrived
    if program.maps.language.format == "cda":
        arrived = cda_arrived(_cda(data, test))
    elif program.maps.language.format == "dicom":
        arrived = dicom_arrived(parse_tree(read_xml(data).root, data))
    else:
        from engine.formats.ncpdp.message import parse

        arrived = script_arrived(parse(data))
    plan = _plan(arrived, program, test.map if test.map in program.maps.messages else "")
    kind = arrived.traced_run if trace else arrived.run
    x = kind(arrived, program.sender(arrived.authority), program.tables, {}, unkeyed)
    assert isinstance(plan, MessagePlan)
    return x, plan.build(arrived.scope, x, "test")


def _cda(data: bytes, test: TestDef) -> Document:
    root = etree.QName(read_xml(data).root).localname
    if root != "ClinicalDocument":
        raise HubError("the test's in: is no ClinicalDocument", where=str(test.place))
    return _document(data)
