"""QIDO-RS: searches for studies, series and instances (PS3.18 8.3.4, 10.6).

In: the resource and its query parameters; an index that answers like a C-FIND SCP. Out: DICOM JSON of what
it holds, with the attributes that PS3.18 tables 10.6.3-3 to 10.6.3-5 require and those that were asked for.
Texts of refusals name parameters, never their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset as _Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items
from pydicom.tag import BaseTag

from engine.console.dicomweb_accept import json_wanted
from engine.console.dicomweb_answer import Answer, json_answer
from engine.console.exchange import Ask
from engine.console.refusals import Refusal, named
from engine.formats.dicom.attributes import INDEXED, level_of
from engine.formats.dicom.jsonmodel import to_model
from engine.imaging.searching import TooBroad
from engine.kernel.errors import FormatError

__all__ = ["Finder", "Query", "read_query", "search"]

Dataset = Any

_CAP = 1000  # results of one answer
_STUDY = (
    0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056, 0x00080061, 0x00080090, 0x00080201,
    0x00081190, 0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x0020000D,
    0x00200010, 0x00201206, 0x00201208,
)  # fmt: skip
_SERIES = (
    0x00080005, 0x00080060, 0x00080201, 0x0008103E, 0x00081190, 0x0020000E, 0x00200011, 0x00201209,
    0x00400244, 0x00400245, 0x00400275,
)  # fmt: skip
_INSTANCE = (
    0x00080005, 0x00080016, 0x00080018, 0x00080056, 0x00080201, 0x00081190, 0x00200013, 0x00280008,
    0x00280010, 0x00280011, 0x00280100,
)  # fmt: skip
_OWN = {"STUDY": _STUDY, "SERIES": _SERIES, "IMAGE": _INSTANCE}
_ORDER = ("STUDY", "SERIES", "IMAGE")
_UIDS = (0x0020000D, 0x0020000E, 0x00080018)
_MADE = {0x00080005, 0x00080056, 0x00081190}  # not asked of the index
_NUMBERS = ("US", "UL", "SS", "SL", "UV", "SV")
_REALS = ("FL", "FD")
_TAG = re.compile(r"[0-9A-Fa-f]{8}").fullmatch
_IGNORED = ("accept", "charset", "emptyvaluematching", "multiplevaluematching")
_NOT_FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
_MORE = (
    "The number of results exceeded the maximum supported by the server. Additional results can be requested."
)


class Finder(Protocol):
    """What is asked of the index."""

    def search(self, level: str, query: Dataset, limit: int = 0, offset: int = 0) -> Iterator[Dataset]:
        """Answer a query of one level."""


@dataclass(slots=True)
class Query:
    """The parameters of one search, read."""

    keys: Dataset = field(default_factory=_Dataset)
    fields: set[int] = field(default_factory=set)
    all: bool = False
    limit: int = 0
    offset: int = 0
    fuzzy: bool = False


def search(index: Finder, ask: Ask, level: str, study: str = "", series: str = "") -> Answer:
    """Answer a search below a study and a series, or of everything."""
    json_wanted(ask)
    query = read_query(ask.query, level)
    shown = _shown(level, study, series, query)
    asked = _asked(query, shown, study, series)
    limit = min(query.limit or _CAP, _CAP)
    try:
        found = list(index.search(level, asked, limit + 1, query.offset))
    except FormatError as e:
        raise Refusal(400, f"a search parameter cannot be used: {e.what}") from None
    except TooBroad as e:
        raise Refusal(413, f"{e.what}: {e.why}; {e.remedy}") from None
    more, found = len(found) > limit, found[:limit]
    rows = [_row(dataset, shown, level, ask.base) for dataset in found]
    words = " ".join(f"{name}={value}" for name, value in ask.query)
    kind = {"STUDY": "studies", "SERIES": "series", "IMAGE": "instances"}[level]
    detail = " ".join([study, series, words, f"found {len(rows)}:", *_found(found, study)]).strip()
    # nothing found is an empty array: PS3.18 10.6.3.1 has 204 for it too, whose missing body clients fail on
    answer = json_answer(200, rows, "search", kind, detail)
    warnings = [_NOT_FUZZY] * query.fuzzy + [_MORE] * (more and (not query.limit or query.limit > _CAP))
    if warnings:
        answer.headers["Warning"] = ", ".join(f'299 {_agent(ask.base)} "{text}"' for text in warnings)
    return answer


def _agent(base: str) -> str:
    return base.partition("://")[2].partition("/")[0] or "-"


def _found(found: Sequence[Dataset], study: str) -> list[str]:
    return [] if study else sorted({str(dataset.get("StudyInstanceUID", "")) for dataset in found})


# -- reading


def read_query(pairs: Sequence[tuple[str, str]], level: str) -> Query:
    """Read the parameters of a search of this level (PS3.18 8.3.4). Refuses what is none."""
    query = Query()
    for name, value in pairs:
        match name.lower():
            case "limit":
                query.limit = max(1, _whole(name, value))
            case "offset":
                query.offset = _whole(name, value)
            case "includefield":
                for one in filter(None, value.split(",")):
                    query.all |= one == "all"
                    query.fields.update([_path(one, "a value of includefield")[0]] if one != "all" else [])
            case "fuzzymatching":
                if value not in ("true", "false"):
                    raise Refusal(400, "fuzzymatching takes true or false")
                query.fuzzy = value == "true"
            case lower if lower in _IGNORED:
                pass
            case _:
                path = _path(name, named(name))
                if level_of(path[0]) not in _within(level):
                    raise Refusal(400, f"{named(name)} is not searched by at this level")
                _add(query.keys, path, value, name)
    return query


def _within(level: str) -> tuple[str, ...]:
    """Return a level and those above it."""
    ranks = ("PATIENT", *_ORDER)
    return ranks[: ranks.index(level) + 1]


def _whole(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise Refusal(400, f"{name.lower()} takes a whole number")
    return int(value)


def _path(name: str, called: str) -> list[int]:
    """Return the tags of an attribute: `PatientID`, `00100020`, `00400275.00080050`."""
    parts = name.split(".")
    tags = [int(part, 16) if _TAG(part) else tag_for_keyword(part) or 0 for part in parts]
    if not all(tags) or len(tags) > 8:
        raise Refusal(400, f"{called} is neither a query parameter nor an attribute")
    if any(_vr(tag) != "SQ" for tag in tags[:-1]):
        raise Refusal(400, f"{called} leads through an attribute that is no sequence")
    return tags


def _vr(tag: int) -> str:
    try:
        return str(dictionary_VR(tag)).partition(" ")[0]
    except KeyError:
        return "UN"


def _add(keys: Dataset, path: list[int], value: str, name: str) -> None:
    for tag in path[:-1]:
        if tag not in keys:
            _put(keys, tag, "SQ", Items([_Dataset()]))
        keys = keys[tag].value[0]
    tag, vr = path[-1], _vr(path[-1])
    if tag in keys:
        raise Refusal(400, f"{named(name)} stands more than once")
    if vr == "SQ":
        if value:
            raise Refusal(400, f"{named(name)} is a sequence: say which of its attributes")
        _put(keys, tag, vr, Items([_Dataset()]))
        return
    _put(keys, tag, vr, _value(vr, value, name))


def _put(keys: Dataset, tag: int, vr: str, value: Any) -> None:
    """Set an element without asking whether its value is one: `1*` is, of a query."""
    keys._dict[BaseTag(tag)] = DataElement(tag, vr, value, already_converted=True)


def _value(vr: str, value: str, name: str) -> Any:
    if "\0" in value or len(value) > 16_384:
        raise Refusal(400, f"the value of {named(name)} cannot be one")
    if vr in _NUMBERS or vr in _REALS:
        try:
            return (int if vr in _NUMBERS else float)(value) if value else None
        except ValueError:
            raise Refusal(400, f"{named(name)} takes a number") from None
    if vr in ("OB", "OW", "OF", "OD", "OL", "OV", "UN", "AT"):
        raise Refusal(400, f"{named(name)} is not searched by here")
    values = value.replace(",", "\\").split("\\") if vr == "UI" else [value]
    values = [one for one in values if one]
    return (values[0] if values else "") if len(values) < 2 else MultiValue(str, values)


# -- what is shown


def _shown(level: str, study: str, series: str, query: Query) -> set[int]:
    """Return the tags of a result: of levels above too, unless the address says them (PS3.18 10.6.3.3)."""
    above = [*(() if study else _STUDY), *(() if series or level != "IMAGE" else _SERIES)]
    tags = {*_OWN[level], *above, *query.fields, *(element.tag for element in query.keys)}
    if query.all:
        tags |= {tag for tag in INDEXED if level_of(tag) in _within(level)}
    tags.update(_UIDS[: _ORDER.index(level) + 1])
    return {int(tag) for tag in tags}


def _asked(query: Query, shown: set[int], study: str, series: str) -> Dataset:
    """Return the query as a C-FIND SCU would ask it: what is only to be shown is there, without a value."""
    keys = query.keys
    for tag, value in ((0x0020000D, study), (0x0020000E, series)):
        if value:
            if tag in keys and keys[tag].value not in ("", value):
                raise Refusal(400, "the query contradicts the address")
            _put(keys, tag, "UI", value)
    for tag in shown - _MADE:
        if tag not in keys:
            vr = _vr(tag)
            empty = Items([_Dataset()]) if vr == "SQ" else None if vr in (*_NUMBERS, *_REALS) else ""
            _put(keys, tag, vr, empty)
    made = _Dataset()
    made._dict.update(sorted(keys._dict.items()))
    return made


def _row(dataset: Dataset, shown: set[int], level: str, base: str) -> dict[str, Any]:
    kept = _Dataset()
    for element in dataset:
        if int(element.tag) in shown:
            kept._dict[element.tag] = element
    row = to_model(kept)
    row["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    row["00080056"] = {"vr": "CS", "Value": ["ONLINE"]}
    names = ("studies", "series", "instances")
    uids = [str(dataset[tag].value) for tag in _UIDS[: _ORDER.index(level) + 1]]
    where = "/".join(f"{name}/{uid}" for name, uid in zip(names, uids, strict=False))
    row["00081190"] = {"vr": "UR", "Value": [f"{base}/{where}"]}
    return dict(sorted(row.items()))
