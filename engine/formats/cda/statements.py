"""The clinical statements of a section: what class each is, what kind, and whether it is denied.

In: an `entry` or any statement. Out: `Statement` records, nested by entryRelationship and component. The kind
comes from the templateId, corrected by the section (a CVX code given in "immunizations" is an immunization
under whatever template), else from section and element name. Negation is a fact of its own: of the statement,
of its value, of its action, of the link to it, or of any statement around it. Tables: `data/entries.csv`,
`data/by_section.csv`. Follows CDA R2 4.3.8 (entries), the R-MIM attributes negationInd and inversionInd.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from engine.formats.cda.elements import SDTC, V3, Element, attr, child, children, flag, local, null_flavor
from engine.formats.cda.parties import Identifier, read_identifier

__all__ = [
    "CLASSES",
    "Negation",
    "Statement",
    "denials",
    "kind_of",
    "negations",
    "read_statement",
    "statements",
]

CLASSES = (
    "act",
    "encounter",
    "observation",
    "observationMedia",
    "organizer",
    "procedure",
    "regionOfInterest",
    "substanceAdministration",
    "supply",
)
_LINKS = {"entry", "entryRelationship", "component"}
_TAGS = tuple(f"{{{V3}}}{name}" for name in CLASSES)


class Negation(NamedTuple):
    """What is denied: `statement`, `value`, `action` or `link`; `above` says that it is said further out."""

    of: str
    element: Element
    above: bool = False


class Statement(NamedTuple):
    """One clinical statement as it stands; values are read from its element when they are wanted."""

    element: Element
    name: str  # act, observation ...
    kind: str  # problem, allergy ...; empty for one that is not known
    class_code: str
    mood: str
    templates: tuple[str, ...]
    ids: tuple[Identifier, ...]
    status: str
    link: str  # typeCode of the entryRelationship it stands in
    inverted: bool
    null: str
    negations: tuple[Negation, ...]

    @property
    def negated(self) -> bool:
        """Whether anything here is denied, so that it must not be told as if it were so."""
        return bool(self.negations)


@cache
def _tables() -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    folder = files("engine.formats.cda").joinpath("data")
    entries = folder.joinpath("entries.csv").read_text(encoding="utf-8").splitlines()
    fallback = folder.joinpath("by_section.csv").read_text(encoding="utf-8").splitlines()
    by_template = {row["template"]: row["kind"] for row in csv.DictReader(entries)}
    by_section = {(row["section"], row["element"]): row["kind"] for row in csv.DictReader(fallback)}
    return by_template, by_section


_CORRECTED = {
    ("medication", "immunizations"): "immunization",
    ("result", "vital signs"): "vital",
    ("result panel", "vital signs"): "vital panel",
    ("concern", "allergies"): "allergy concern",
    ("concern", "problems"): "problem concern",
}


_BY_CODE = {
    ("act", "29308-4"): "encounter diagnosis",
    ("act", "48767-8"): "comment",
    ("observation", "445518008"): "age at onset",
    ("observation", "11323-3"): "health status",
    ("observation", "82606-5"): "criticality",
    ("observation", "SEV"): "severity",
    ("substanceAdministration", "76662-6"): "free text sig",
}
"""What C-CDA fixes as the code of one kind; only inside another statement."""
_BY_LINK = {("observation", "RSON"): "indication", ("observation", "MFST"): "reaction"}


def kind_of(
    name: str,
    templates: tuple[str, ...],
    section: str,
    nested: bool,
    inside: str,
    link: str,
    code: str = "",
) -> str:
    """Tell the kind of a statement: `inside` is that of the statement around it, `link` how it is linked."""
    by_template, by_section = _tables()
    for template in templates:
        if kind := by_template.get(template):
            return _CORRECTED.get((kind, section), "problem concern" if kind == "concern" else kind)
    kind = by_section.get((section, name), "")
    if not nested:
        return kind
    # inside another: only what a panel or a family member holds, or a concern is about; a status or a
    # priority beside it must never pass for one more problem
    if inside.endswith("panel") or inside == "family member":
        return kind if link in ("", "COMP") else ""
    if told := _BY_CODE.get((name, code)) or _BY_LINK.get((name, link)):
        return told
    if not templates and link in ("", "SUBJ"):
        if inside.endswith("diagnosis") and name == "observation":
            return kind or "problem"
        if inside.endswith("concern"):
            return kind
    return ""


def denials(element: Element) -> tuple[str, ...]:
    """Give what is denied at a statement itself or by the link to it: statement, action, value, link."""
    found = []
    if flag(element, "negationInd"):
        found.append("statement")
    if flag(element, f"{{{SDTC}}}negationInd") or flag(element, f"{{{SDTC}}}actionNegationInd"):
        found.append("action")
    denied = f"{{{SDTC}}}valueNegationInd"
    if flag(element, denied) or any(flag(v, denied) for v in children(element, "value")):
        found.append("value")
    link = element.getparent()
    if link is not None and local(link) in _LINKS and flag(link, "negationInd"):
        found.append("link")
    return tuple(found)


def negations(element: Element) -> tuple[Negation, ...]:
    """Give everything that denies a statement, said at it or further out, up to its section."""
    found: list[Negation] = []
    at: Element | None = element
    while at is not None and local(at) not in ("section", "structuredBody", "ClinicalDocument"):
        above = at is not element
        name = local(at)
        if name in CLASSES:
            if flag(at, "negationInd"):
                found.append(Negation("statement", at, above))
            for attribute in (f"{{{SDTC}}}negationInd", f"{{{SDTC}}}actionNegationInd"):
                if flag(at, attribute):
                    found.append(Negation("action", at, above))
            for value in children(at, "value") if not above else ():
                if flag(value, f"{{{SDTC}}}valueNegationInd") or flag(at, f"{{{SDTC}}}valueNegationInd"):
                    found.append(Negation("value", value))
        elif name in _LINKS and flag(at, "negationInd"):
            found.append(Negation("link", at, at is not element.getparent()))
        at = at.getparent()
    return tuple(found)


def read_statement(element: Element, section: str = "", inside: str = "") -> Statement:
    """Read one statement; `section` and `inside` are the kinds of what it stands in."""
    name = local(element)
    templates = tuple(attr(t, "root") for t in children(element, "templateId"))
    parent = element.getparent()
    nested = parent is not None and local(parent) != "entry"
    link = attr(parent, "typeCode") if nested else ""
    return Statement(
        element,
        name,
        kind_of(name, templates, section, nested, inside, link, attr(child(element, "code"), "code")),
        attr(element, "classCode"),
        attr(element, "moodCode"),
        templates,
        tuple(i for e in children(element, "id") if (i := read_identifier(e)) is not None),
        attr(child(element, "statusCode"), "code"),
        link,
        bool(flag(parent, "inversionInd")) if nested else False,
        null_flavor(element),
        negations(element),
    )


def statements(entry: Element, section: str = "") -> Iterator[tuple[int, Statement]]:
    """Give the statements of an entry with their depth, an outer one before those inside it."""
    stack: list[tuple[int, Element, str]] = [(0, e, "") for e in reversed(list(entry.iterchildren(*_TAGS)))]
    while stack:
        depth, element, inside = stack.pop()
        statement = read_statement(element, section, inside)
        yield depth, statement
        within = [
            inner
            for link in children(element, "entryRelationship", "component")
            for inner in link.iterchildren(*_TAGS)
        ]
        stack.extend((depth + 1, inner, statement.kind) for inner in reversed(within))
