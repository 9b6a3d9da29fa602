"""What a site asks of units: converted quantities beside those that were sent, and units that contradict
their code.

In: a mapped message and the `units:` of its site. Out: the same Observations, each asked-for conversion in
the R4 extension `iso21090-PQ-translation` of its quantity, marked with how it was made; and flags. The
sender's own quantity is never touched. Which unit goes with which LOINC property is asked of the loaded
LOINC release, where there is one. FHIR R4 Quantity; LOINC Users' Guide, "Kind of Property".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from engine.kernel.errors import MapError
from engine.kernel.message import Flag
from engine.kernel.yamlfile import Map
from engine.mapping.build import Built
from engine.mapping.links import Node
from engine.terminology import ucum
from engine.terminology.concepts import CodeService
from engine.terminology.damage import LOINC, loinc_valid
from engine.terminology.measures import Measures, Substance
from engine.terminology.translate import Table, Terminology
from engine.terminology.units import DECLARED, HOUSE, UnitTable

__all__ = ["TRANSLATION", "Quantities", "UnitWish", "read_units", "tables_with"]

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation"
NOT_CONVERTED, CONTRADICTS = "unit-not-converted", "unit-contradicts-code"
_KNOWN, _ASK_AGAIN = 8192, 1000


@dataclass(frozen=True, slots=True)
class UnitWish:
    """The `units:` of a site: its own table of units, and LOINC code -> the unit it wants beside the sent."""

    table: str = ""
    convert: Mapping[str, str] = field(default_factory=dict)


class _Verdict(NamedTuple):
    """What is to be done with a quantity of one code in one unit."""

    target: str = ""  # the unit that is wanted
    substance: Substance | None = None
    contradiction: str = ""


_NOTHING = _Verdict()
_EMPTY: dict[str, Any] = {}
_Key = tuple[str, str, str]  # LOINC code, unit, system of the unit


class Quantities:
    """The units of one site; what was found out for a code and unit is remembered."""

    def __init__(
        self, measures: Measures, wishes: Iterable[UnitWish], codes: CodeService | None, base: str
    ) -> None:
        self.convert = {code: unit for wish in wishes for code, unit in wish.convert.items()}
        self.measures, self.codes = measures, codes
        self.mark = f"{base}/id/converted-by"
        self._known: dict[_Key, _Verdict] = {}
        self._unsure: list[_Key] = []  # codes that no release has: it may be loaded yet
        self._messages = 0
        self._idle = not self.convert and codes is None

    def add(self, built: Built) -> None:
        """Convert what the site asks for, and flag units that contradict their code."""
        if not self._messages % _ASK_AGAIN:
            self._look_again()
        self._messages += 1
        if self._idle:
            return
        known = self._known
        for node in built.nodes:
            draft = node.draft
            if draft.type == "Observation":
                body = draft.body
                quantity = body.get("valueQuantity")
                if quantity is not None:
                    key = (_loinc(body), quantity.get("code", ""), quantity.get("system", ""))
                    if known.get(key) is not _NOTHING:
                        self._one(body, key, node, built.flags)
                elif "component" in body:
                    body["component"] = [dict(c) for c in body["component"]]
                    for part in body["component"]:
                        self._part(part, node, built.flags)
                elif "valueRange" in body:
                    self._part(body, node, built.flags)

    def _look_again(self) -> None:
        """Forget what no release had, and see whether there is anything to do at all."""
        for key in self._unsure:
            self._known.pop(key, None)
        self._unsure.clear()
        if not self.convert and self.codes is not None:
            self._idle = all(r.system != LOINC for r in self.codes.releases())

    def _part(self, o: dict[str, Any], node: Node, flags: list[Flag]) -> None:
        bounds = o.get("valueRange", _EMPTY)
        if quantity := o.get("valueQuantity") or bounds.get("low") or bounds.get("high"):
            key = (_loinc(o), quantity.get("code", ""), quantity.get("system", ""))
            self._one(o, key, node, flags)

    def _one(self, o: dict[str, Any], key: _Key, node: Node, flags: list[Flag]) -> None:
        verdict = self._known.get(key) or self._judge(key)
        if verdict.contradiction:
            flags.append(Flag(CONTRADICTS, _unit_of(node), verdict.contradiction, True))
        if not verdict.target:
            return
        if "valueQuantity" in o:
            made, why = self._translated(o["valueQuantity"], verdict)
            o["valueQuantity"] = made or o["valueQuantity"]
        else:
            made, why = self._range(o["valueRange"], verdict)
            o["valueRange"] = made
        if why:
            flags.append(Flag(NOT_CONVERTED, _unit_of(node), f"the site wants {verdict.target}: {why}"))
        elif "referenceRange" in o:
            o["referenceRange"] = [self._range(r, verdict)[0] for r in o["referenceRange"]]

    def _range(self, entry: dict[str, Any], verdict: _Verdict) -> tuple[dict[str, Any], str]:
        """Return a copy with both bounds converted, or the reason why one is not."""
        out, why = dict(entry), ""
        for bound in ("low", "high"):
            if bound in out:
                made, reason = self._translated(out[bound], verdict)
                out[bound], why = made or out[bound], why or reason
        return out, why

    def _translated(self, quantity: dict[str, Any], verdict: _Verdict) -> tuple[dict[str, Any] | None, str]:
        """Return a copy of a quantity with its conversion beside it, or why there is none."""
        if not _is_ucum(quantity):
            return None, "nobody has said what the unit as sent is"
        source, target = str(quantity["code"]), verdict.target
        done = any(e.get("url") == TRANSLATION for e in quantity.get("extension", ()))
        if source == target or done or "value" not in quantity:
            return quantity, ""
        try:
            special = ucum.parse(source).function or ucum.parse(target).function
            if "comparator" in quantity and special and "K" not in dict(ucum.parse(target).dims):
                return None, "a limit on a logarithmic scale may turn round"
            made = self.measures.convert(Decimal(quantity["value"]), source, target, verdict.substance)
        except ucum.UnitError as e:
            return None, e.why or e.what
        converted: dict[str, Any] = {"value": made.value}
        if "comparator" in quantity:
            converted["comparator"] = quantity["comparator"]
        converted |= {"unit": target, "system": ucum.SYSTEM, "code": target}
        converted["extension"] = [{"url": self.mark, "valueString": made.how}]
        extension = {"url": TRANSLATION, "valueQuantity": converted}
        return {**quantity, "extension": [*quantity.get("extension", ()), extension]}, ""

    def _judge(self, key: _Key) -> _Verdict:
        """Say what to do with a code in a unit, and remember it."""
        loinc, unit, system = key
        concept = self.codes.lookup(LOINC, loinc) if self.codes is not None and loinc else None
        says = concept.properties if concept is not None else {}
        property_ = says.get("PROPERTY", "") if system == ucum.SYSTEM else ""
        found = _Verdict(
            self.convert.get(loinc, ""),
            self.measures.substance(loinc, says.get("COMPONENT", "")),
            self.measures.contradiction(property_, unit),
        )
        if not found.target and not found.contradiction:
            found = _NOTHING
        if len(self._known) >= _KNOWN:
            self._known.clear()
            self._unsure.clear()
        self._known[key] = found
        if concept is None and self.codes is not None:
            self._unsure.append(key)
        return found


def _unit_of(node: Node) -> str:
    s = node.segment
    if s is None:
        return str(getattr(node, "where", "OBX-6"))  # FHIR has no segments
    return f"{s.name}[{s.n}]-6"


def _loinc(o: dict[str, Any]) -> str:
    for coding in o.get("code", _EMPTY).get("coding", ()):
        if coding.get("system") == LOINC:
            return str(coding.get("code", ""))
    return ""


def _is_ucum(quantity: Mapping[str, Any]) -> bool:
    return quantity.get("system") == ucum.SYSTEM and "code" in quantity


def tables_with(terminology: Terminology, wishes: Iterable[UnitWish]) -> Mapping[str, Table]:
    """Return the code tables as a site sees them: its own units before everybody's. Raises ConfigError."""
    tables = terminology.tables
    for wish in wishes:
        if wish.table:
            first = terminology.table(wish.table)
            own = {n: t.site(first) for n in (HOUSE, DECLARED) if isinstance(t := tables[n], UnitTable)}
            tables = {**tables, **own}
    return tables


def read_units(value: Any, where: str) -> UnitWish | None:
    """Read the word `units:` of a site: `table`, `convert`. Raises MapError."""
    if value is None:
        return None
    unknown = set(value) - {"table", "convert"} if isinstance(value, Map) else {str(value)}
    if unknown:
        raise MapError(
            f"units: does not know {', '.join(sorted(unknown))}",
            where=where,
            remedy="known here: table: NAME, convert: {LOINC code: UCUM unit}",
        )
    convert = {str(code): str(unit) for code, unit in (value.get("convert") or {}).items()}
    for code, unit in convert.items():
        if not loinc_valid(code):
            raise MapError(f"units: {code} is no LOINC code", where=where, why="its check digit is wrong")
        if not ucum.is_unit(unit):
            raise MapError(
                f"units: {unit} is no UCUM unit", where=where, remedy=f"hub terms unit '{unit}' says more"
            )
    return UnitWish(str(value.get("table") or ""), convert)
