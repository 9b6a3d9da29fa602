"""CDA datatypes that need to know more than one path: codes and numbers of systems that have an OID or none.

Each writer takes a node and the element it fills. A code whose system has no OID cannot stand in CDA: the
next coding that can is written, the others that can become translations, and what is left is nullFlavor OTH
with the words. A data-absent-reason becomes its nullFlavor. `value` says its type. HL7 v3 Data Types R1 (CD,
II, PQ, IVL, RTO, TS).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from engine.mapping.outbound.conditions import text
from engine.mapping.outbound.draft import Draft, Part
from engine.mapping.outbound.resources import Node, child_nodes
from engine.mapping.outbound.run import Running
from engine.mapping.outbound.values import oid, stamp

__all__ = ["WRITERS", "Writer"]

Writer = Callable[[Node, Draft, Running, str], bool]
_TABLE = re.compile(r"http://terminology\.hl7\.org/CodeSystem/v2-(\d{4})")  # HL7 has one OID for each table
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def coded(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a CodeableConcept or Coding as CD."""
    codings = child_nodes(node, "coding") if node.kind == "CodeableConcept" else [node]
    wrote = False
    for coding in codings:
        system, code = _first(coding, "system"), _first(coding, "code")
        number = _oid(system, running) if system is not None else ""
        if code is None or not number or system is None:
            continue
        place = draft.at((Part("translation", str(len(draft.parts))),)) if wrote else draft
        _typed(draft, "CD")
        running.put(_part(place, "@code"), text(code), code, row)
        running.put(_part(place, "@codeSystem"), number, system, row)
        name = _first(coding, "display")
        if name is not None:
            running.put(_part(place, "@displayName"), text(name), name, row)
        wrote = True
    words = _first(node, "text") if node.kind == "CodeableConcept" else None
    if wrote:
        if words is not None:
            running.put(draft.at((Part("originalText"),)), text(words), words, row)
        return True
    said = words or next((d for c in codings if (d := _first(c, "display")) is not None), None)
    if said is not None or codings:
        found = said or codings[0]
        _typed(draft, "CD")
        running.put(_part(draft, "@nullFlavor"), "OTH", Node(None, "code", found.place), row)
        if said is not None:
            running.put(draft.at((Part("originalText"),)), text(said), said, row)
        return True
    return absent(node, draft, running, row)


def identified(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write an Identifier as II: its system's OID and its value; a URN alone as root."""
    system, value = _first(node, "system"), _first(node, "value")
    if value is None:
        return absent(node, draft, running, row)
    if system is not None and text(system) == "urn:ietf:rfc:3986":
        root = oid(value, running.resources)
        if root:
            running.resources.note(system.place)
        return bool(root) and running.put(_part(draft, "@root"), root, value, row)
    number = _oid(system, running) if system is not None else ""
    if not number or system is None:
        running.flag("no-oid", node.place, row, "the system of this number has no OID: CDA cannot hold it")
        return False
    running.put(_part(draft, "@root"), number, system, row)
    return running.put(_part(draft, "@extension"), text(value), value, row)


def quantity(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a Quantity as PQ: UCUM units only; one with a comparator as an interval."""
    value, code = _first(node, "value"), _first(node, "code")
    if value is None:
        return absent(node, draft, running, row)
    comparator = _first(node, "comparator")
    place = draft
    if comparator is not None:
        _typed(draft, "IVL_PQ")
        sign = text(comparator)
        place = draft.at((Part("high" if sign.startswith("<") else "low"),))
        inclusive = "true" if sign.endswith("=") else "false"
        running.put(_part(place, "@inclusive"), inclusive, comparator, row)
    else:
        _typed(draft, "PQ")
    wrote = running.put(_part(place, "@value"), text(value), value, row)
    system, unit = _first(node, "system"), _first(node, "unit")
    if code is not None and system is not None and text(system) == "http://unitsofmeasure.org":
        running.resources.note(system.place)
        if unit is not None and text(unit) == text(code):
            running.resources.note(unit.place)
        running.put(_part(place, "@unit"), text(code), code, row)
    elif unit is not None:  # words that are no UCUM unit
        translation = place.at((Part("translation"),))
        running.put(_part(translation, "@value"), text(value), value, row)
        running.put(translation.at((Part("originalText"),)), text(unit), unit, row)
    return wrote


def quantities(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a Range as IVL_PQ."""
    wrote = False
    _typed(draft, "IVL_PQ")
    for name in ("low", "high"):
        end = _first(node, name)
        if end is not None:
            place = draft.at((Part(name),))
            wrote = quantity(end, place, running, row) or wrote
            place.parts = [p for p in place.parts if p.name != "@xsi:type"]
    return wrote


def ratio(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a Ratio as RTO_PQ_PQ."""
    wrote = False
    _typed(draft, "RTO_PQ_PQ")
    for name in ("numerator", "denominator"):
        part = _first(node, name)
        if part is not None:
            wrote = quantity(part, draft.at((Part(name),)), running, row) or wrote
    return wrote


def point(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a date or time as TS, as precise as it is."""
    said = stamp(node, running.resources)
    if not said:
        return absent(node, draft, running, row)
    _typed(draft, "TS")
    return running.put(_part(draft, "@value"), said, node, row)


def number(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a number: INT, REAL for a decimal."""
    _typed(draft, "REAL" if node.kind == "decimal" else "INT")
    return running.put(_part(draft, "@value"), text(node), node, row)


def truth(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a boolean as BL."""
    _typed(draft, "BL")
    return running.put(_part(draft, "@value"), text(node), node, row)


def words(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write text as ST, where `value` must say so."""
    _typed(draft, "ST")
    return running.put(draft, text(node), node, row)


def absent(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write why there is no value: data-absent-reason as nullFlavor."""
    for extension in child_nodes(node, "extension"):
        if extension.value.get("url") == ABSENT:
            for reason in child_nodes(extension, "value"):
                found = running.translate(reason, running.tables["out_cda_NullFlavor"], "drop", row)
                if found is not None:
                    running.resources.note(f"{extension.place}.url")
                    return running.put(_part(draft, "@nullFlavor"), found.value["code"], found, row)
    return False


def _first(node: Node, name: str) -> Node | None:
    found = [n for n in child_nodes(node, name) if n.value is not None]
    return found[0] if found else None


def _part(draft: Draft, name: str) -> Draft:
    return draft.at((Part(name),))


def _typed(draft: Draft, name: str) -> None:
    """Say the type of an element whose type is open."""
    if draft.name == "value" and not draft.label.startswith("@xsi:type"):
        said = _part(draft, "@xsi:type")
        if not said.value:
            said.value, said.row = name, "="


def _oid(system: Node, running: Running) -> str:
    table = _TABLE.fullmatch(text(system))
    if table:
        return f"2.16.840.1.113883.12.{int(table[1])}"
    return running.resources.oids.get(text(system), "") or oid(system, running.resources)


WRITERS: Mapping[str, Writer] = {
    f.__name__: f
    for f in (coded, identified, quantity, quantities, ratio, point, number, truth, words, absent)
}
