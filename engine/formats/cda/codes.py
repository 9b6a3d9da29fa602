"""Codes of CDA as plain records: CS, CV, CE, CD, CO, with translations, qualifiers and the original text.

In: an element, and the texts of the narrative that its `originalText` may point to. Out: `Coded`. A code
beside a nullFlavor is not a code; a translation beside it is. Code systems stay the OIDs that were written.
Follows HL7 v3 Data Types R1 (CD).
"""

from __future__ import annotations

from typing import NamedTuple

from engine.formats.cda.elements import SDTC, Element, attr, child, children, null_flavor, own_text
from engine.formats.cda.texts import Texts

__all__ = ["Coded", "read_code"]

_DEEPEST = 4  # translations of translations


class Coded(NamedTuple):
    """A coded thing; `code` is empty where `null` says why, and `translations` may still know it."""

    code: str = ""
    system: str = ""  # OID or UUID as written
    system_name: str = ""
    system_version: str = ""
    display: str = ""
    text: str = ""  # originalText, followed into the narrative
    text_id: str = ""  # the id in the narrative it was found under
    translations: tuple[Coded, ...] = ()
    qualifiers: tuple[tuple[Coded, Coded], ...] = ()
    null: str = ""
    value_set: str = ""
    problem: str = ""  # null-and-code | dangling-text | no-system

    def all(self) -> tuple[Coded, ...]:
        """Give itself and its translations, as far as they have a code."""
        return tuple(c for c in (self, *(t for x in self.translations for t in x.all())) if c.code)


def read_code(element: Element | None, texts: Texts | None = None, depth: int = 0) -> Coded | None:
    """Read a coded element; None where it is missing or says nothing."""
    if element is None:
        return None
    null, code = null_flavor(element), attr(element, "code")
    text, text_id, problem = "", "", ""
    original = child(element, "originalText")
    if original is not None:
        said = texts.read(original) if texts is not None else None
        text, text_id = (said.text, said.id) if said else (own_text(original), "")
        if said is not None and said.dangling:
            problem = "dangling-text"
    if null and code:
        problem, code = "null-and-code", ""
    elif code and not attr(element, "codeSystem") and str(element.tag).endswith(("}value", "}translation")):
        problem = problem or "no-system"
    deeper = depth < _DEEPEST
    qualifiers = []
    for q in children(element, "qualifier") if deeper else ():
        name = read_code(child(q, "name"), texts, depth + 1)
        value = read_code(child(q, "value"), texts, depth + 1)
        if name or value:
            qualifiers.append((name or Coded(), value or Coded()))
    found = Coded(
        code,
        attr(element, "codeSystem"),
        attr(element, "codeSystemName"),
        attr(element, "codeSystemVersion"),
        attr(element, "displayName"),
        text,
        text_id,
        tuple(
            c
            for t in (children(element, "translation") if deeper else ())
            if (c := read_code(t, texts, depth + 1)) is not None
        ),
        tuple(qualifiers),
        null,
        attr(element, f"{{{SDTC}}}valueSet"),
        problem,
    )
    said_something = (code, null, found.display, text, text_id, found.translations, found.qualifiers)
    return found if any(said_something) else None
