"""Elements of SCRIPT by their local names, in whatever namespace a sender puts them.

In: elements of `engine.formats.xml`. Out: children, text, codes and dates. Both shapes found in the wild are
read: `<ProductCode><Code>1</Code><Qualifier>ND</Qualifier></ProductCode>` and
`<ProductCode Qualifier="ND">1</ProductCode>`. Follows NCPDP SCRIPT 2017071 and 2023011 as senders write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

__all__ = ["Code", "Element", "child", "children", "first_text", "local", "read_code", "read_date", "text"]

Element = etree._Element
_DATE = re.compile(
    r"^(\d{4})-?(\d\d)-?(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$", re.ASCII
)


class Code(NamedTuple):
    """A code, what kind of code it is (`ND`, `SBD`, `ABF` ...), and what was said in words."""

    code: str
    qualifier: str = ""
    text: str = ""


def local(element: Element) -> str:
    """Give the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element | None, *names: str) -> Iterator[Element]:
    """Give the children that have one of the names, in document order."""
    if element is not None:
        yield from (e for e in element if local(e) in names)


def child(element: Element | None, *path: str) -> Element | None:
    """Find the first child of that name, of that child the first of the next name, and so on."""
    for name in path:
        element = next(children(element, name), None)
    return element


def text(element: Element | None) -> str:
    """Give the text of an element, runs of blanks as one."""
    return " ".join("".join(str(t) for t in element.itertext()).split()) if element is not None else ""


def first_text(element: Element | None, *paths: str) -> str:
    """Give the text of the first of several places (`Date`, `Name/LastName`) that says something."""
    for path in paths:
        if said := text(child(element, *path.split("/"))):
            return said
    return ""


def read_code(element: Element | None) -> Code | None:
    """Read a code of either shape; None where there is none."""
    if element is None:
        return None
    qualifier = (
        first_text(element, "Qualifier")
        or (element.get("Qualifier") or element.get("qualifier") or "").strip()
    )
    words = first_text(element, "Description", "Text")
    code = first_text(element, "Code") if len(element) else text(element)
    return Code(code, qualifier, words) if code or words else None


def read_date(element: Element | None) -> str:
    """Give a date or dateTime in FHIR's form, never more exact than written; empty for what is none."""
    said = first_text(element, "Date", "DateTime") if element is not None and len(element) else text(element)
    found = _DATE.match(said)
    if found is None:
        return ""
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= _days(int(year), int(month))):
        return ""
    written = f"{year}-{month}-{day}"
    if hour is None or zone is None or int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        return written  # without its zone a time is nobody's: the day stays
    return f"{written}T{hour}:{minute}:{second or '00'}{fraction or ''}{'+00:00' if zone == 'Z' else zone}"


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
