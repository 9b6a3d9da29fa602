"""Values of a dataset, decoded so that a bad one hurts nobody.

In: a pydicom `Dataset` and a tag. Out: its `DataElement`; where the value is not what its VR says (`abc` as
DS, `1.0` as IS, a sequence that ends too early) the text as it was sent stays, so that it can be shown and
reported. Follows PS3.5 6.2 (value representations).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import IS, DSfloat

__all__ = [
    "BINARY",
    "UNREADABLE",
    "element_of",
    "elements_of",
    "items_of",
    "tag_of",
    "text_of",
    "texts_of",
    "unknown",
]

Dataset = Any

# what decoding of damaged values raises in pydicom and below it
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
_SINGLE = frozenset(("LT", "ST", "UT"))  # a backslash in them is a letter
_KIND = {"AE": str.strip, "DS": DSfloat, "IS": IS, "UI": UID}
_PLAIN = _SINGLE | {"AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", *_KIND}
BINARY = frozenset(
    ("OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW", "OB/OW", "US or OW", "US or SS or OW")
)


def tag_of(key: int | str) -> int:
    """Return the tag of a keyword; a number is one."""
    if isinstance(key, int):
        return int(key)
    tag = tag_for_keyword(key)
    if tag is None:
        raise KeyError(key)
    return int(tag)


def element_of(dataset: Dataset, key: int | str) -> Any | None:
    """Return a data element with its value decoded, or as the text it came as; None where there is none."""
    tag = key if type(key) is BaseTag else BaseTag(tag_of(key))  # the same object is found at once
    held = dataset._dict.get(tag)
    if held is None:
        return None
    if isinstance(held, DataElement):
        return held
    quick = _quick(held)
    if quick is not None:
        dataset._dict[tag] = quick
        return quick
    try:
        return dataset[tag]
    except UNREADABLE:
        kept = _as_text(held)
        dataset._dict[tag] = kept
        return kept


def elements_of(dataset: Dataset) -> Iterator[Any]:
    """Return all data elements in the order of their tags, each as `element_of` has it."""
    for tag in sorted(dataset._dict, key=int):
        element = element_of(dataset, tag)
        if element is not None:
            yield element


def _quick(raw: RawDataElement) -> Any | None:
    """Decode what most values are, plain ASCII, in a third of pydicom's time; None: it shall do it."""
    vr = _vr_of(raw.tag) if raw.VR is None else raw.VR
    value = raw.value
    if vr == "US" and value and len(value) == 2:
        number = int.from_bytes(value, "little" if raw.is_little_endian else "big")
        return DataElement(raw.tag, vr, number, already_converted=True)
    if vr not in _PLAIN or not value or not value.isascii() or b"\x1b" in value:
        return None
    text = value.decode("ascii").rstrip(" \0")
    if vr in _SINGLE:
        return DataElement(raw.tag, vr, text, already_converted=True)
    if "\\" in text or not text:
        return None
    try:
        return DataElement(raw.tag, vr, _KIND.get(vr, str)(text), already_converted=True)
    except (ArithmeticError, TypeError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _vr_of(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""


def _as_text(raw: RawDataElement) -> Any:
    vr = raw.VR
    if vr is None:
        try:
            vr = dictionary_VR(raw.tag)
        except KeyError:
            vr = "UN"
    if vr == "SQ":
        return DataElement(raw.tag, "SQ", Sequence(), already_converted=True)
    value = raw.value or b""
    if not isinstance(value, bytes):
        return DataElement(raw.tag, vr, value, already_converted=True)
    if vr in BINARY or vr in ("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT", "US or SS"):
        return unknown(raw.tag, value)
    texts = [part.strip(" \0") for part in value.decode("ascii", "replace").split("\\")]
    values = [_number(vr, text) for text in texts]
    return DataElement(raw.tag, vr, values[0] if len(values) == 1 else values, already_converted=True)


def _number(vr: str, text: str) -> Any:
    """Return a text as the number it is; what is none stays as it was sent."""
    try:
        return _KIND[vr](text) if vr in ("IS", "DS") and text else text
    except (ArithmeticError, TypeError, ValueError):
        return text


def unknown(tag: Any, value: bytes | None) -> Any:
    """Make an element of VR UN; pydicom would take the one its dictionary has."""
    element = DataElement(tag, "UN", value, already_converted=True)
    element.VR = "UN"
    return element


def texts_of(dataset: Dataset, key: int | str) -> list[str]:
    """Return the values of an element as texts, without padding; none where it is missing or empty."""
    element = element_of(dataset, key)
    if element is None or element.VR == "SQ" or element.value is None or element.VR in BINARY:
        return []
    value = element.value
    if isinstance(value, str) or not hasattr(value, "__iter__") or (element.VR == "PN" and _is_name(value)):
        value = [value]
    texts = ["" if v is None else str(v).strip(" \0") for v in value]
    return texts if any(texts) else []


def _is_name(value: Any) -> bool:
    return hasattr(value, "components")


def text_of(dataset: Dataset, key: int | str) -> str:
    """Return the first value of an element as text; "" where there is none."""
    return next(iter(texts_of(dataset, key)), "")


def items_of(dataset: Dataset, key: int | str) -> list[Dataset]:
    """Return the items of a sequence; none where it is missing, empty or no sequence."""
    element = element_of(dataset, key)
    return list(element.value) if element is not None and element.VR == "SQ" and element.value else []
