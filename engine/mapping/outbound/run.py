"""What rows need while they run: the resources, the code tables, and a list of what could not be written.

A value is put into a draft here and nowhere else, so each one has its source and its row. A leaf counts as
used when it is put, translated, or decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.mapping.outbound.conditions import text
from engine.mapping.outbound.draft import Draft
from engine.mapping.outbound.resources import Node, Resources, child_nodes
from engine.terminology.translate import Table

__all__ = ["Flag", "Running", "value_of"]


class Flag(NamedTuple):
    """Something a person should know: `code`, the FHIR element, the row, and what to do. Never a value."""

    code: str
    where: str
    row: str
    text: str
    refuses: bool = False


@dataclass(slots=True)
class Running:
    """One resource or Bundle being written."""

    resources: Resources
    tables: Mapping[str, Table]
    flags: list[Flag] = field(default_factory=list)
    asked: int = 0  # how many resources the message is made of
    used: set[str] = field(default_factory=set)  # names of the maps that ran
    deciding: str = ""  # place of the value that chose a case of a `by` table: its constants come from there

    def put(self, draft: Draft, value: str, node: Node, row: str) -> bool:
        """Put a value; an empty one, or a second one beside another, is not put."""
        if not value:
            return False
        if draft.value and draft.row != "=":
            if draft.value != value:
                self.flag("second-value", node.place, row, "another row has written here; the first is kept")
                return False
        else:
            source = node.place or self.deciding
            draft.value, draft.dynamic, draft.source, draft.row = value, bool(source), source, row
        if node.place and node.value is not None:
            self.resources.note(node.place)
        return True

    def flag(self, code: str, where: str, row: str, said: str, *, refuses: bool = False) -> None:
        """Remember something that could not be written as it stands."""
        self.flags.append(Flag(code, where, row, said, refuses))

    def translate(self, node: Node, table: Table, unmapped: str, row: str) -> Node | None:
        """Look a code, Coding or CodeableConcept up; gives a Coding of the target, or None."""
        codings = _codings(node)
        for system, code in codings:
            if not text(code):
                continue
            uri = text(system) if system is not None else ""
            hit = table.translate(text(code), uri=uri)
            if hit is None:
                continue
            self.resources.note(code.place)
            if system is not None:
                self.resources.note(system.place)
            if hit.drop:
                return None
            coding = {"code": hit.code, "system": hit.system, "display": hit.display}
            return Node({k: v for k, v in coding.items() if v}, "Coding", code.place)
        if not codings:
            return None
        if unmapped == "keep" and node.kind != "CodeableConcept":
            return node if node.kind == "Coding" else Node({"code": text(node)}, "Coding", node.place)
        self.flag(
            "code-unmapped",
            node.place,
            row,
            f"table {table.name} does not translate this code",
            refuses=unmapped == "hold",
        )
        return None


def value_of(node: Node) -> str:
    """Give a primitive as plain text."""
    return "" if isinstance(node.value, (dict, list)) else text(node).strip()


def _codings(node: Node) -> list[tuple[Node | None, Node]]:
    if node.kind in ("CodeableConcept", "CodeableReference"):
        return [pair for coding in child_nodes(node, "coding") for pair in _codings(coding)]
    if node.kind == "Coding":
        codes, systems = child_nodes(node, "code"), child_nodes(node, "system")
        return [(systems[0] if systems else None, codes[0])] if codes else []
    return [(None, node)] if node.value is not None else []
