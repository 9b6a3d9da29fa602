"""A document as it comes to the mapper: CDA by its sections and statements, SCRIPT by its parties and drugs,
DICOM by studies, steps and reports.

In: a parsed document. Out: an `Arrived`; see from_cda.py, from_ncpdp.py and from_dicom.py for its groups.
Follows CDA R2, NCPDP SCRIPT, DICOM PS3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.formats.cda.document import Document
from engine.formats.dicom.document import Dicom, study_of
from engine.formats.hl7v2.delims import Delims, Repair
from engine.formats.ncpdp.message import Script
from engine.mapping import from_cda, from_dicom, from_ncpdp
from engine.mapping.arrived import NO_DELIMS
from engine.mapping.build import Built
from engine.mapping.lineage import Report
from engine.mapping.model import MapDef, MessageDef, Row
from engine.mapping.treereport import tree_report
from engine.mapping.treerun import TracedTreeRun, TreeRun
from engine.mapping.treescope import TreeScope

__all__ = ["TreeArrived", "cda_arrived", "dicom_arrived", "script_arrived"]


class TreeArrived:
    """One document, arranged. `document` is what the format room read."""

    run = TreeRun
    traced_run = TracedTreeRun
    delims: Delims = NO_DELIMS
    segments: Sequence[Any] = ()
    several = False  # it names more than one patient

    def __init__(
        self,
        format: str,
        document: Any,
        scope: TreeScope,
        kinds: tuple[str, ...],
        type: str,
        headers: Mapping[str, str],
        authority: str,
    ) -> None:
        self.format, self.document, self.scope = format, document, scope
        self.kinds, self.type, self.headers, self.authority = kinds, type, headers, authority
        self.names = scope.names
        self.raw: bytes = document.raw
        self.charset: str = document.charset
        self.repairs: list[Any] = [Repair(r.code, "/", r.text) for r in document.repairs]

    def report(
        self,
        built: Built,
        x: Any,
        rows: list[Row],
        maps: Mapping[str, MapDef],
        message: MessageDef,
    ) -> Report:
        """Say of every attribute and text where it went."""
        return tree_report([self.scope.node], built, x, rows, maps, message)


def cda_arrived(document: Document, later: from_cda.Later | None = None) -> TreeArrived:
    """Arrange a CDA document; with `later`, but for the entries of sections of very many."""
    said = from_cda.headers(document)
    scope = from_cda.arrange(document, later)
    arrived = TreeArrived(
        "cda",
        document,
        scope,
        (from_cda.kind_of_document(document), "CDA"),
        from_cda.type_text(document),
        said,
        from_cda.authority_of(said),
    )
    arrived.several = len(scope.at(("patient",))) > 1
    for group in scope.walk():
        node = group.node
        if not group.name.startswith("null-"):
            continue
        if from_cda.of_another(node):
            text = "tells of another person than the patient (subject): nothing was made of it"
            arrived.repairs.append(Repair("another-person", node.place, text))
        elif not node.get("nullFlavor") and any(c.valued for c in (*node.by("code"), *node.by("value"))):
            text = "stands in what says that there is nothing (nullFlavor): nothing was made of it"
            arrived.repairs.append(Repair("in-nothing", node.place, text))
    return arrived


def script_arrived(script: Script) -> TreeArrived:
    """Arrange a SCRIPT message."""
    said = script.headers
    return TreeArrived(
        "ncpdp",
        script,
        from_ncpdp.arrange(script),
        from_ncpdp.kinds_of(script),
        script.transaction,
        said,
        from_ncpdp.authority_of(said),
    )


def dicom_arrived(document: Dicom) -> TreeArrived:
    """Arrange a study, a step, a report or a selection; a single object as the study that it is part of."""
    told = study_of([document]) if document.kind == "instance" else document
    return TreeArrived(
        "dicom",
        told,
        from_dicom.arrange(told),
        from_dicom.kinds_of(document),
        document.type,
        document.headers,
        from_dicom.authority_of(document),
    )
