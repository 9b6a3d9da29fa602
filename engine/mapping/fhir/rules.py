"""The rules by which FHIR that comes in is read: one file under mappings/fhir/rules, as analysts write it.

In: its YAML. Out: `FhirRules`, a message map without lines: FHIR needs none to become FHIR, only to be told
which code tables are asked about which elements, whose measurements the Observations are, and what is left
out. docs/analysts/fhir-in.md has the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.fhir import definitions
from engine.kernel.errors import HubError, MapError
from engine.kernel.yamlfile import Map, line_of
from engine.mapping.model import MessageDef, Place
from engine.mapping.readtests import known_words

__all__ = ["STANDARD", "FhirRules", "check_rules", "read_rules"]

STANDARD = "RESOURCES"
"""The rules of a channel that names none."""
_WORDS = {"map", "from", "to", "for", "observations", "codes", "vital_signs", "leave_out", "note"}
_ELEMENT = re.compile(r"[A-Z][A-Za-z]+(\.[a-z][A-Za-z]*)+")
_CONCEPTS = ("CodeableConcept", "Coding")


@dataclass(frozen=True, slots=True)
class FhirRules(MessageDef):
    """The rules of one file."""

    devices: bool = False  # every Observation is a device's
    codes: tuple[tuple[str, tuple[str, ...], Place], ...] = ()  # element -> tables, the first that knows it
    vital_signs: frozenset[str] = frozenset()  # LOINC codes that make an Observation of a device a vital sign
    leave_out: tuple[tuple[str, Place], ...] = ()  # elements that are not kept

    def tables(self, element: str) -> tuple[tuple[str, ...], Place] | None:
        """Return the tables that are asked about an element such as `Observation.code`."""
        return next(((tables, place) for path, tables, place in self.codes if path == element), None)


def read_rules(m: Map, file: str) -> FhirRules:
    """Read one file. Raises MapError with file:line."""
    m = known_words(m, _WORDS, file)
    name = str(m["map"])
    lines = m.key_lines
    if str(m.get("from") or "") != "fhir":
        raise MapError("from: is fhir here", where=f"{file}:{lines.get('from', 1)}")
    of = str(m.get("observations") or "as sent")
    if of not in ("as sent", "of devices"):
        raise MapError(
            f"observations: {of}",
            where=f"{file}:{lines['observations']}",
            remedy="write as sent, or of devices",
        )
    said = m.get("codes") or {}
    if not isinstance(said, Mapping):
        raise MapError("codes: takes ELEMENT: table", where=f"{file}:{lines['codes']}")
    codes = []
    for element, tables in said.items():
        place = Place(file, getattr(said, "key_lines", {}).get(element, lines["codes"]))
        _is_element(str(element), str(place))
        names = tables if isinstance(tables, list) else [tables]
        codes.append((str(element), tuple(str(t) for t in names), place))
    left = []
    for element in m.get("leave_out") or ():
        place = Place(file, line_of(element, lines["leave_out"]))
        _is_element(str(element), str(place))
        left.append((str(element), place))
    return FhirRules(
        name=name,
        structure="fhir",
        triggers=tuple((str(t), "") for t in m.get("for") or ()),
        resources=(),
        place=Place(file, m.line),
        note=str(m.get("note") or ""),
        devices=of == "of devices",
        codes=tuple(codes),
        vital_signs=frozenset(str(code) for code in m.get("vital_signs") or ()),
        leave_out=tuple(left),
    )


def _is_element(text: str, where: str) -> None:
    if not _ELEMENT.fullmatch(text):
        raise MapError(f"{text} is no element", where=where, remedy="write e.g. Observation.code")


def check_rules(rules: FhirRules, tables: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Give (place, what, remedy) of what a file of rules names and does not exist."""
    for element, names, place in rules.codes:
        try:
            found = definitions.resolve_path(element)
            if found.type not in _CONCEPTS:
                yield str(place), f"codes: {element} is no code with a system", "name a CodeableConcept"
        except HubError as e:
            yield str(place), f"codes: {e.what}", e.remedy
        for name in names:
            if name not in tables:
                yield str(place), f"codes: {element}: there is no table {name}", "terminology/maps has them"
    for element, place in rules.leave_out:
        try:
            if definitions.resolve_path(element).element.min:
                yield str(place), f"leave_out: FHIR demands {element}", "remove the line"
        except HubError as e:
            yield str(place), f"leave_out: {e.what}", e.remedy
