"""What a query of DICOM asks for, held against a dataset, and the answer it gets.

In: the identifier of a C-FIND (or the same made of a QIDO-RS URL) and a candidate. Out: whether it matches,
and the keys that were asked for. Follows PS3.4 C.2.2.2 (matching), C.4.1.1.3 (identifiers) and K.6.1.2.2
(date and time of a worklist together).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset as _Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from engine.formats.dicom.attributes import INDEXED, level_of
from engine.formats.dicom.comparing import compare, is_range, within_together
from engine.formats.dicom.values import BINARY, element_of, elements_of, items_of, text_of, texts_of

__all__ = ["LEVELS", "answer", "is_universal", "matches"]

Dataset = Any

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_UNIQUE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_CHARSET, _LEVEL = 0x00080005, 0x00080052
# not compared: character set, level, AE title, availability, time zone
_NOT_KEYS = frozenset((_CHARSET, _LEVEL, 0x00080054, 0x00080056, 0x00080201))
_NUMBERS = frozenset(("IS", "DS", "SL", "SS", "SV", "UL", "US", "UV", "FL", "FD", "AT", "US or SS"))


def is_universal(element: Any) -> bool:
    """Say whether a key asks for any value: it is empty, or all of it is `*` (PS3.4 C.2.2.2.3, .6)."""
    value = element.value
    if element.VR == "SQ":
        return not value or all(is_universal(inner) for item in value for inner in elements_of(item))
    if value is None or element.VR in BINARY:
        return True
    text = str(value)
    return not text.strip(" \0") or (text.strip("*") == "" and element.VR in _WITH_WILDCARDS)


_WITH_WILDCARDS = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))


def matches(
    query: Dataset,
    candidate: Dataset,
    *,
    level: str = "",
    combined: bool = False,
    supported: Collection[int] = INDEXED,
) -> bool:
    """Say whether a candidate has what all keys of a query ask for.

    Keys of a level below `level` are not compared, nor are those the candidate has not that are not
    `supported` (PS3.4 C.2.2.1.3). `combined`: a range of dates and one of times are one, as a worklist's are.
    """
    below = _below(level)
    together = _pairs(query) if combined else {}
    for element in elements_of(query):
        tag = int(element.tag)
        if tag in _NOT_KEYS or not tag & 0xFFFF or tag >> 16 & 1 or is_universal(element):
            continue
        if level and level_of(tag) in below:
            continue
        if tag not in candidate and tag not in supported:
            continue
        if tag in together:
            date, time = together[tag]
            if tag == date and not _between(query, candidate, date, time):
                return False
            continue
        if element.VR == "SQ":
            if not _in_sequence(element.value, items_of(candidate, tag), combined):
                return False
        elif not compare(element.VR, texts_of(query, tag), texts_of(candidate, tag)):
            return False
    return True


def _below(level: str) -> tuple[str, ...]:
    return LEVELS[LEVELS.index(level) + 1 :] if level in LEVELS else ()


def _in_sequence(asked: Iterable[Dataset], held: list[Dataset], combined: bool) -> bool:
    """Match a sequence: one item of it has all that the item of the key asks for (PS3.4 C.2.2.2.6)."""
    everything = _Everything()
    return any(matches(key, item, combined=combined, supported=everything) for key in asked for item in held)


class _Everything(Collection[int]):
    """All tags."""

    def __contains__(self, tag: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 1 << 32


def _pairs(query: Dataset) -> dict[int, tuple[int, int]]:
    """Return dates that are asked for as ranges with their times, by the tags of both."""
    pairs = {}
    for element in elements_of(query):
        if element.VR != "DA" or not is_range(text_of(query, element.tag)):
            continue
        keyword = keyword_for_tag(element.tag)
        time = tag_for_keyword(keyword[:-4] + "Time") if keyword.endswith("Date") else None
        if time is not None and is_range(text_of(query, time)):
            pair = (int(element.tag), int(time))
            pairs[pair[0]] = pairs[pair[1]] = pair
    return pairs


def _between(query: Dataset, candidate: Dataset, date: int, time: int) -> bool:
    return within_together(
        text_of(query, date), text_of(query, time), text_of(candidate, date), text_of(candidate, time)
    )


def answer(query: Dataset, candidate: Dataset, level: str = "") -> Dataset:
    """Make the identifier of an answer: the keys that were asked for, empty where nothing is known of them.

    Keys of a level below `level` are empty; the unique key of the level is always there (PS3.4 C.4.1.1.3.2).
    """
    given = _Dataset()
    below = _below(level)
    for element in elements_of(query):
        tag = int(element.tag)
        if tag in (_CHARSET, _LEVEL) or not tag & 0xFFFF:
            continue
        hidden = bool(level) and level_of(tag) in below
        given._dict[BaseTag(tag)] = _answered(element, None if hidden else element_of(candidate, tag))
    for unique in _UNIQUE[: LEVELS.index(level) + 1][-1:] if level in LEVELS else ():
        held = element_of(candidate, unique)
        if held is not None and held.tag not in given:
            given._dict[held.tag] = held
    if level:
        given._dict[BaseTag(_LEVEL)] = DataElement(_LEVEL, "CS", level, already_converted=True)
    given._dict[BaseTag(_CHARSET)] = DataElement(_CHARSET, "CS", "ISO_IR 192", already_converted=True)
    return given


def _answered(asked: Any, held: Any) -> Any:
    if held is None:
        return _empty(asked.tag, asked.VR)
    if held.VR == "SQ":
        keys = [item for item in asked.value or () if len(item)] if asked.VR == "SQ" else []
        items = [_item(keys[0], item) for item in held.value or ()] if keys else list(held.value or ())
        return DataElement(held.tag, "SQ", Sequence(items), already_converted=True)
    if held.VR in _NUMBERS and _is_text(held.value):
        return _empty(held.tag, held.VR)  # what is no number cannot be written as one
    return held


def _item(asked: Dataset, held: Dataset) -> Dataset:
    item = _Dataset()
    for element in elements_of(asked):
        item._dict[element.tag] = _answered(element, element_of(held, element.tag))
    return item


def _is_text(value: Any) -> bool:
    many = value if isinstance(value, (list, MultiValue)) else [value]
    return any(isinstance(v, str) and type(v) is str for v in many)


def _empty(tag: Any, vr: str) -> Any:
    return DataElement(
        tag, vr, Sequence() if vr == "SQ" else None if vr in _NUMBERS else "", already_converted=True
    )
