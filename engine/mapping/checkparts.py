"""What the linter knows of HL7 and FHIR names: does a location exist in any version, does a field repeat.

Also the two records its rules pass around: `Check`, one map and what is found in it, and `Spot`, where a
row stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache

from engine.formats.hl7v2 import dictionary
from engine.mapping import types as T
from engine.mapping.conditions import And, Condition
from engine.mapping.emit import Library
from engine.mapping.locate import Location
from engine.mapping.logic import ALWAYS
from engine.mapping.model import MapDef, Place
from engine.mapping.rules import Finding, finding

__all__ = ["Check", "Spot", "both", "missing", "near", "repeats_now"]

LATER = {"OBX": 33, "ORC": 38, "PRT": 24, "SPM": 35, "OBR": 55, "IN1": 55}
"""Fields of HL7 v2.9, which the dictionary does not hold."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a row stands: the type around it, what is bound, under which conditions it is reached."""

    type: str
    root: str
    many: bool = False  # its value goes into a list
    target: T.Target | None = None  # what an unnamed row (a case, a default) gives
    bound: frozenset[tuple[str, int]] = frozenset()
    under: Condition = ALWAYS
    varies: str = ""
    cased: bool = False
    assumed: bool = False
    path: tuple[str, ...] = ()


@dataclass(slots=True)
class Check:
    m: MapDef
    library: Library
    found: list[Finding] = field(default_factory=list)

    def say(self, rule: str, place: Place, what: str, try_: str = "", why: str = "", level: str = "") -> None:
        self.found.append(finding(rule, place, what, try_, why=why, level=level))


def near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(names), 3, 0.5)
    return " or ".join(near)


@cache
def repeats_now(segment: str, number: int) -> bool:
    """Say whether the newest version that has the field lets it repeat."""
    for v in T.VERSIONS:
        found = dictionary.version(v).field(segment, number)
        if found is not None and not found.withdrawn:
            return found.repeats
    return False


def missing(loc: Location, varies: str, local: dict[str, tuple[tuple[str, str], ...]]) -> str:
    """Say what of a location no version of HL7 knows; "" = it is known."""
    if loc.name in dictionary.datatype_names() and loc.name not in dictionary.segment_names():
        most = _components(loc.name)
        if loc.field > max(most, 1):
            return f"{loc.name} has {most} components"
        most = max(map(_components, _part_kinds(loc.name, loc.field)), default=0)
        if loc.component > max(most, 1):
            return f"component {loc.field} of {loc.name} has {max(most, 1)} parts"
        return ""
    if loc.name in local:
        return (
            "" if loc.field <= len(local[loc.name]) else f"{loc.name} has {len(local[loc.name])} fields here"
        )
    if loc.name not in dictionary.segment_names():
        return f"there is no segment {loc.name}" + (
            "; a segment of your own needs segments: in the site file" if loc.name.startswith("Z") else ""
        )
    if not loc.field:
        return ""
    last = _fields(loc.name)
    if loc.field > last and loc.name not in ("MSH", "BHS", "FHS"):
        return f"{loc.name} has {last} fields in the newest version"
    kind = varies if (loc.name, loc.field) == ("OBX", 5) else ""
    if (loc.name, loc.field) == ("OBX", 5) and not kind:
        return ""
    kinds = {kind} if kind else _kinds(loc.name, loc.field)
    if loc.component and kinds and all(loc.component > max(_components(k), 1) for k in kinds):
        return f"{' or '.join(sorted(kinds))} has {max(_components(k) for k in kinds)} components"
    return ""


@cache
def _part_kinds(datatype: str, number: int) -> frozenset[str]:
    names = {datatype, T.SAME.get(datatype, datatype)}
    parts = [dictionary.version(v).components(n) for v in dictionary.versions() for n in names]
    return frozenset(p[number - 1].datatype for p in parts if 0 < number <= len(p))


@cache
def _components(datatype: str) -> int:
    names = {datatype, T.SAME.get(datatype, datatype)}
    return max(len(dictionary.version(v).components(n)) for v in dictionary.versions() for n in names)


@cache
def _fields(segment: str) -> int:
    found = [dictionary.version(v).segment(segment) for v in dictionary.versions()]
    return max([LATER.get(segment, 0), *(len(s.fields) for s in found if s is not None)])


@cache
def _kinds(segment: str, number: int) -> frozenset[str]:
    found = [dictionary.version(v).field(segment, number) for v in dictionary.versions()]
    return frozenset(f.datatype for f in found if f is not None and f.datatype not in ("", "WD"))


def both(*parts: Condition | None) -> Condition:
    kept = tuple(p for p in parts if p is not None and p != ALWAYS)
    return kept[0] if len(kept) == 1 else And(kept)
