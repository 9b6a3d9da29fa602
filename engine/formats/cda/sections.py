"""The sections of a document, nested as they are, each with the kind it is.

In: a `Document`. Out: `Section` records. The kind comes from the LOINC code, else from a templateId (C-CDA,
CCD 1.0, C32, IHE), else from a title that is one of the usual ones; a section that none of them knows has no
kind and is read all the same. Tables: `data/sections.csv`. Follows CDA R2 4.3.3, C-CDA R2.1 vol. 2.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from engine.formats.cda.codes import Coded, read_code
from engine.formats.cda.document import Document
from engine.formats.cda.elements import Element, attr, child, children, null_flavor, own_text

__all__ = ["Section", "kind_by", "sections"]

_DEEPEST = 32


class Section(NamedTuple):
    """One section; `known_by` says what told its kind: code, template, title, or nothing."""

    element: Element
    place: str
    kind: str
    known_by: str
    code: Coded
    title: str
    templates: tuple[str, ...]
    text: Element | None
    null: str
    depth: int

    def entries(self) -> Iterator[Element]:
        """Give its `entry` elements in document order."""
        yield from children(self.element, "entry")

    def sections(self, document: Document) -> Iterator[Section]:
        """Give the sections directly inside it."""
        yield from _inside(document, self.element, self.depth + 1)


@cache
def _tables() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    codes: dict[str, str] = {}
    templates: dict[str, str] = {}
    titles: dict[str, str] = {}
    text = files("engine.formats.cda").joinpath("data/sections.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        codes.update(dict.fromkeys(row["loinc"].split(), row["kind"]))
        templates.update(dict.fromkeys(row["templates"].split(), row["kind"]))
        titles.update(dict.fromkeys(row["titles"].split(";"), row["kind"]))
    return codes, templates, titles


def kind_by(code: str, templates: tuple[str, ...], title: str) -> tuple[str, str]:
    """Tell the kind of a section and what told it; empty for one that is not known."""
    codes, roots, titles = _tables()
    if kind := codes.get(code):
        return kind, "code"
    for template in templates:
        if kind := roots.get(template):
            return kind, "template"
    if not code and (kind := titles.get(title.lower().rstrip(":. "))):
        return kind, "title"
    return "", ""


def sections(document: Document) -> Iterator[Section]:
    """Give all sections of the body, an outer one before those inside it."""
    stack = list(_inside(document, document.body, 0))[::-1]
    while stack:
        section = stack.pop()
        yield section
        if section.depth < _DEEPEST:
            stack.extend(list(section.sections(document))[::-1])


def _inside(document: Document, parent: Element | None, depth: int) -> Iterator[Section]:
    for component in children(parent, "component"):
        for element in children(component, "section"):
            code = read_code(child(element, "code"), document.texts) or Coded()
            templates = tuple(attr(t, "root") for t in children(element, "templateId"))
            title = own_text(child(element, "title"))
            known = (kind_by(c.code, templates, title) for c in code.all() or (code,))
            kind, known_by = next((k for k in known if k[0]), ("", ""))
            yield Section(
                element,
                document.places.of(element),
                kind,
                known_by,
                code,
                title,
                templates,
                child(element, "text"),
                null_flavor(element),
                depth,
            )
