"""The linter's rule about paths in maps of CDA documents: a name that no CDA element has finds nothing, ever.

In: the maps of CDA. Out: findings (M02) with the nearest names. A condition such as `status = final` is one
of these: `status` is a FHIR element, and conditions ask of elements only whether they are `set`. Names are
those of the CDA R2 schema with the sdtc extensions, and of the HL7 v3 datatypes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from engine.formats.dicom.tree import known_names as keywords
from engine.formats.xml.paths import Path, read_path
from engine.kernel.errors import MapError
from engine.mapping.checkbeside import parts_of
from engine.mapping.conditions import locations_of
from engine.mapping.model import Locate, MapDef, Place, Row
from engine.mapping.project import Maps
from engine.mapping.rules import Finding, finding

__all__ = ["check_paths"]

_PARTS = """
low high center width value translation originalText reference qualifier name numerator denominator period
phase event offset given family prefix suffix delimiter streetAddressLine city state postalCode country county
houseNumber houseNumberNumeric streetName streetNameBase streetNameType additionalLocator unitID unitType
deliveryAddressLine postBox precinct direction careOf censusTract useablePeriod validTime thumbnail head table
paragraph list item content caption identifiedBy comp buildingNumberSuffix
relatedPerson associatedPerson scopingOrganization receivedOrganization wholeOrganization asOrganizationPartOf
standardIndustryClassCode relatedSubject parentDocument externalDocument externalObservation externalProcedure
externalAct order consent nonXMLBody signatureCode signatureText expirationTime specialty category subject
associatedEntity relatedEntity legalAuthenticator authorization relatedDocument regionOfInterest
observationMedia precondition criterion preconditionReference lotNumberText approachSiteCode
"""


_PRIVATE = re.compile(r"x[0-9a-f]{8}")
_OF_STUDIES = "Study Series Instance Step Report KeyObjects Object Retrieve Issuers Patient Accession"
_OF_LINKS = "Link State Reason By PatientSystem PatientValue OrderSystem OrderValue Encounter"


@cache
def dicom_names() -> frozenset[str]:
    """Return the keywords of all attributes, and what stands around them in a tree."""
    return keywords() | frozenset(_OF_STUDIES.split()) | frozenset(_OF_LINKS.split())


@cache
def known_names() -> frozenset[str]:
    """Return the names of all elements that a CDA document may hold."""
    text = files("engine.mapping.outbound").joinpath("cda_elements.txt").read_text("ascii")
    words = text.replace(":", " ").split("\n")
    names = {w.rpartition(":")[2] for line in words if not line.startswith("#") for w in line.split()}
    return frozenset(names | set(_PARTS.split()))


def check_paths(maps: Maps) -> Iterator[Finding]:
    """Check the names in every path of every map and message map."""
    names = _NAMES[maps.language.format]
    for m in maps.maps.values():
        for place, text in _places(m):
            yield from _names(place, text, names)
    for message in maps.messages.values():
        for line in message.resources:
            for text in locations_of(line.when):
                yield from _names(line.place, text, names)


def _places(m: MapDef) -> Iterator[tuple[Place, str]]:
    for row, source in parts_of(m.rows):
        if isinstance(source, Locate):
            yield row.place, source.text
    for row in _every(m.rows):
        for text in (*locations_of(row.when), *([row.each] if row.each else [])):
            yield row.place, text


def _every(rows: tuple[Row, ...]) -> Iterator[Row]:
    for row in rows:
        yield row
        inner = (*row.children, *row.make_rows, *row.default, *row.failed)
        yield from _every((*inner, *(r for c in row.cases for r in c.rows)))


_NAMES: dict[str, tuple[str, Callable[[], frozenset[str]]]] = {
    "cda": ("CDA element", known_names),
    "dicom": ("attribute of DICOM", dicom_names),
}
"""What the names in the paths of a format are, and all there are."""


def _names(place: Place, text: str, names: tuple[str, Callable[[], frozenset[str]]]) -> Iterator[Finding]:
    try:
        path = read_path(text)
    except MapError:
        return  # the compiler says so
    for name in dict.fromkeys(_steps(path)):
        plain = name.rpartition(":")[2]
        if plain not in names[1]() and not _PRIVATE.fullmatch(plain):
            near = get_close_matches(plain, sorted(names[1]()), 3, 0.7)
            what = f"{text}: no {names[0]} is called {name}"
            yield finding("M02", place, what, " or ".join(near) or "of an element made: `NAME set`")


def _steps(path: Path) -> Iterator[str]:
    for step in path.steps:
        if step.name not in ("..", ".", "*"):
            yield step.name
        for test in step.tests:
            if test.path is not None:
                yield from _steps(test.path)
