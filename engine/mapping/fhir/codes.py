"""Codes and units of FHIR that comes in: translated by the tables that people own, what was sent kept beside.

In: a CodeableConcept or a Quantity as sent. Out: the same with a coding, or a UCUM unit, that a table gives;
and what each value became. A coding is added and none taken away. A unit is UCUM only where it is one: what
is said to be and is not stays in words, with the coding as sent in an extension. What no table knows is noted
for the list of codes. FHIR R4 datatypes.html (Quantity, CodeableConcept); UCUM.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.kernel.message import Flag, Gap
from engine.mapping.model import Place
from engine.terminology import ucum
from engine.terminology.units import DECLARED, HOUSE

__all__ = ["Codes", "is_coding", "is_identifier", "is_quantity"]

MDC = "urn:iso:std:iso:11073:10101"
MDC_UNITS = "mdc_units"
AS_SENT = "unit-as-sent"
_CONTACTS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})


def is_coding(value: Mapping[str, Any]) -> bool:
    """Say whether an object is a Coding with a system."""
    return (
        isinstance(value.get("system"), str) and isinstance(value.get("code"), str) and "value" not in value
    )


def is_quantity(value: Mapping[str, Any]) -> bool:
    """Say whether an object is a Quantity with a unit."""
    return (
        "value" in value
        and isinstance(value["value"], (int, Decimal))
        and not isinstance(value["value"], bool)
        and any(isinstance(value.get(name), str) for name in ("unit", "code"))
    )


def is_identifier(value: Mapping[str, Any]) -> bool:
    """Say whether an object is an Identifier with a system."""
    system, number = value.get("system"), value.get("value")
    return (
        isinstance(system, str)
        and isinstance(number, str)
        and system not in _CONTACTS
        and "code" not in value
    )


class Codes:
    """What a run asks of code tables; mixed into it."""

    sender: Any
    tables: Mapping[str, Any]
    flags: list[Flag]
    gaps: list[Gap]

    def keep(self, value: Any, *sources: Any, place: Place | None = None) -> Any:
        """Return a value that is made of others; the traced twin remembers of which."""
        return value

    def system_of(self, system: str) -> str:
        """Return the URI of a coding system as the hub names it."""
        known = self.sender.system(system)
        if system.startswith("urn:oid:") and known in ("", system):
            known = self.sender.system(system[8:])
        return known or system

    def authority_of(self, system: str) -> str:
        """Return the URI of a numbering system as the hub names it."""
        return self.sender.authority_uri(system) or system

    def concept(self, out: dict[str, Any], names: tuple[str, ...], place: Place, where: str) -> None:
        """Add to a concept, copied already, the coding that the first table that knows one of its codes
        gives."""
        every = out.get("coding")
        codings = [c for c in every if isinstance(c, dict)] if isinstance(every, list) else []
        coded = [c for c in codings if isinstance(c.get("code"), str)]
        tables = [(name, self.tables[name]) for name in names]
        if (
            not coded
            or not tables
            or any(str(c.get("system")) in t.target_systems for c in coded for _, t in tables)
        ):
            return  # there is none, or the sender has said it in these words
        for _, table in tables:
            for coding in coded:
                code, system = coding["code"], str(coding.get("system") or "")
                hit = table.translate(code, system, system)
                if hit is None or hit.drop:
                    continue
                made = {"system": hit.system, "code": self.keep(hit.code, code, place=place)}
                if hit.display:
                    made["display"] = hit.display
                first = self.sender.translated != "second"
                out["coding"] = [made, *codings] if first else [*codings, made]
                return
        name, table = tables[0]
        if table.rows:
            coding = coded[0]
            words = str(coding.get("display") or out.get("text") or "")
            self.missed(where, name, str(coding["code"]), str(coding.get("system") or ""), words)

    def missed(self, where: str, table: str, code: str, system: str, words: str, unit: str = "") -> None:
        """Put a code that no table knows on the list of codes."""
        self.gaps.append(Gap(where, table, "keep", code, system, system, words, unit))
        self.flags.append(Flag("unmapped-code", where, f"the code is not in table {table}"))

    def quantity(self, out: dict[str, Any], where: str) -> None:
        """Say the unit of a quantity, copied already, by UCUM where a table or UCUM itself knows it."""
        system, code, unit = out.get("system"), out.get("code"), out.get("unit")
        if isinstance(code, str) and isinstance(system, str):
            if system == ucum.SYSTEM:
                self._ucum(out, where, code)
            elif system == MDC and MDC_UNITS in self.tables:
                hit = self.tables[MDC_UNITS].translate(code, MDC, MDC)
                if hit is None or hit.drop:
                    self.missed(where, MDC_UNITS, str(code), MDC, str(unit or ""))
                else:
                    self._instead(out, hit.code)
        elif isinstance(unit, str) and code is None and system is None and HOUSE in self.tables:
            hit = self.tables[HOUSE].translate(unit)
            if hit is not None and not hit.drop:
                out["system"], out["code"] = ucum.SYSTEM, self.keep(hit.code, unit)
            else:
                self.missed(where, HOUSE, str(unit), "", str(unit))

    def _ucum(self, out: dict[str, Any], where: str, code: str) -> None:
        table = self.tables.get(DECLARED)
        hit = table.translate(code, ucum.SYSTEM, ucum.SYSTEM) if table is not None else None
        if hit is not None and hit.code == code:
            return
        if hit is not None and not hit.drop:
            self._instead(out, hit.code)
            return
        self.flags.append(Flag("not-a-unit", where, "it says UCUM, and UCUM has no such unit", True))
        self.missed(where, DECLARED, str(code), ucum.SYSTEM, str(out.get("unit") or ""))
        self._instead(out, "")

    def _instead(self, out: dict[str, Any], code: str) -> None:
        """Put another unit in place of the coded one, which is kept in an extension."""
        sent = {"system": out.pop("system"), "code": out.pop("code")}
        held = out.get("extension")
        more = {"url": f"{self.sender.own}{AS_SENT}", "valueCoding": sent}
        out["extension"] = [*(held if isinstance(held, list) else ()), more]
        out.setdefault("unit", sent["code"])
        if code:
            out["system"], out["code"] = ucum.SYSTEM, self.keep(code, sent["code"])
