"""A dataset as a tree of elements that maps walk: an element a data element, named by its keyword.

In: a pydicom `Dataset`, or the DICOM JSON model (PS3.18 F). Out: lxml elements without namespace: values as
text, several values as several elements, every item of a sequence an element of the sequence's name with its
attributes inside. What has no keyword is `x00091010`. Values of bytes say how many there are, and nothing
else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from lxml import etree
from pydicom.datadict import DicomDictionary, keyword_for_tag

from engine.kernel.errors import FormatError

__all__ = ["Element", "Repair", "add_dataset", "add_json", "add_text", "known_names", "name_of_tag"]

Element = etree._Element
Dataset = Any
DEEPEST = 32
MOST_VALUES = 64
"""Values of one number-like attribute that are written; of more only how many there are."""
_BYTES = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"})
_NUMBERS = frozenset({"AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEX = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_WRITINGS = ("Alphabetic", "Ideographic", "Phonetic")


class Repair(NamedTuple):
    """What was left out of a dataset, and why; never with its value."""

    code: str
    text: str


@cache
def name_of_tag(tag: int) -> str:
    """Return the name of a data element in the tree: its keyword, or `x` and its tag."""
    keyword = "" if (tag >> 16) % 2 else keyword_for_tag(tag)
    return keyword or f"x{tag:08x}"


@cache
def known_names() -> frozenset[str]:
    """Return every keyword of PS3.6."""
    return frozenset(row[4] for row in DicomDictionary.values() if row[4])


def add_text(parent: Element, name: str, text: str) -> None:
    """Add an element with a text, where there is one."""
    if text:
        etree.SubElement(parent, name).text = _NOT_XML.sub("\ufffd", text)


# -- datasets ----------------------------------------------------------------------------------------------


def add_dataset(parent: Element, dataset: Dataset, repairs: list[Repair]) -> None:
    """Add the populated attributes of a dataset, in order of their tags; what cannot be read is told."""
    stack: list[tuple[Element, Dataset, int]] = [(parent, dataset, 0)]
    while stack:
        at, items, depth = stack.pop()
        if depth > DEEPEST:
            raise FormatError("sequences stand in sequences too deep", why=f"more than {DEEPEST} levels")
        inner = []
        for tag in sorted(items.keys()):
            if tag.group == 2 or not tag.element:  # file meta information, group lengths
                continue
            name = name_of_tag(int(tag))
            try:
                one = items[tag]
                if one.VR == "SQ":
                    inner += [(etree.SubElement(at, name), item, depth + 1) for item in one.value or ()]
                else:
                    _add_values(at, name, str(one.VR), one.value)
            except Exception as e:  # pydicom decodes now, and raises whatever it meets; the rest can be read
                repairs.append(Repair("unreadable-attribute", f"{name} cannot be read ({type(e).__name__})"))
        stack.extend(reversed(inner))


def _add_values(parent: Element, name: str, vr: str, value: Any) -> None:
    if value is None:
        return
    if vr in _BYTES:
        if value:
            add_text(parent, name, f"{len(value)} bytes")
        return
    many = isinstance(value, list | tuple) or type(value).__name__ == "MultiValue"
    values = list(value) if many else [value]
    if vr in _NUMBERS and len(values) > MOST_VALUES:
        add_text(parent, name, f"{len(values)} values")
        return
    texts = [_text(v, vr) for v in values]
    if any(texts):
        for text in texts:
            etree.SubElement(parent, name).text = _NOT_XML.sub("\ufffd", text)


def _text(value: Any, vr: str) -> str:
    if value is None:
        return ""
    if vr == "AT":
        return f"{int(value):08X}"
    if vr in ("FL", "FD"):
        return repr(float(value))
    return str(value).strip(" \0")


# -- the JSON model ----------------------------------------------------------------------------------------


def add_json(parent: Element, model: Mapping[str, Any], depth: int = 0) -> None:
    """Add the attributes of a dataset in the DICOM JSON model. Raises FormatError where it is none."""
    if depth > DEEPEST:
        raise FormatError("sequences stand in sequences too deep", why=f"more than {DEEPEST} levels")
    for key in sorted(model):
        attribute = model[key]
        if not _HEX.fullmatch(key) or not isinstance(attribute, dict):
            raise FormatError(
                "this is not the DICOM JSON model", why="a key is no tag, or its value no attribute"
            )
        name, vr = name_of_tag(int(key, 16)), attribute.get("vr")
        values = attribute.get("Value")
        if vr == "SQ":
            for item in values or ():
                if not isinstance(item, dict):
                    raise FormatError(
                        "this is not the DICOM JSON model", where=name, why="an item is no dataset"
                    )
                add_json(etree.SubElement(parent, name), item, depth + 1)
        elif isinstance(values, list):
            for text in _json_texts(values, str(vr)):
                etree.SubElement(parent, name).text = _NOT_XML.sub("\ufffd", text)
        elif "InlineBinary" in attribute or "BulkDataURI" in attribute:
            add_text(parent, name, "bytes")


def _json_texts(values: list[Any], vr: str) -> Iterator[str]:
    if vr in _NUMBERS and len(values) > MOST_VALUES:
        yield f"{len(values)} values"
        return
    texts = [_person(v) if isinstance(v, dict) else "" if v is None else str(v).strip() for v in values]
    if any(texts):
        yield from texts


def _person(value: Mapping[str, Any]) -> str:
    """Write a person's name as DICOM does: the three writings, `=` between them (PS3.5 6.2.1)."""
    return "=".join(str(value.get(name) or "") for name in _WRITINGS).rstrip("=")
