"""A structured report as its content tree, and the measurements in it with what they were measured of.

In: a dataset of an SR object. Out: `Report` and its `Item`s; `measurements` gives every number with the
context it has from the items around it: group, site, finding, tracking, subject. A tree that is damaged in
places is read as far as it goes. Follows PS3.3 C.17.3 (content tree) and PS3.16 TID 300, 1500 and 1501,
5000 to 5200 (ultrasound).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.formats.dicom.values import items_of, text_of, texts_of
from engine.kernel.errors import FormatError

__all__ = [
    "Code",
    "Item",
    "Measurement",
    "Reference",
    "Report",
    "code_of",
    "measurements",
    "read_report",
    "walk",
]

Dataset = Any
_DEEPEST = 48
_MOST = 100_000

MEASUREMENT_GROUP = ("125007", "DCM")
_FINDING = frozenset((("121071", "DCM"),))
_SITE = frozenset((("363698007", "SCT"), ("G-C0E3", "SRT"), ("G-C0E3", "SNM3")))
_LATERALITY = frozenset((("272741003", "SCT"), ("G-C171", "SRT"), ("G-C171", "SNM3")))
_METHOD = frozenset((("370129005", "SCT"), ("G-C036", "SRT"), ("G-C036", "SNM3")))
_DERIVATION = frozenset((("121401", "DCM"),))
_TRACKING = frozenset((("112039", "DCM"),))
_TRACKING_UID = frozenset((("112040", "DCM"),))
_SUBJECT_CLASS = frozenset((("121024", "DCM"),))
_OF_CONTEXT = ("HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT")


class Code(NamedTuple):
    """A coded entry (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str = ""
    version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two codes the same."""
        return self.value, self.scheme


class Reference(NamedTuple):
    """An object that an item points to."""

    sop_class: str
    sop_instance: str
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One content item: what is in it depends on its value type (PS3.3 C.17.3.2.1)."""

    place: str  # as ReferencedContentItemIdentifier has it: 1.2.3
    relationship: str
    type: str  # CONTAINER TEXT NUM CODE DATE TIME DATETIME UIDREF PNAME COMPOSITE IMAGE WAVEFORM SCOORD ...
    name: Code | None
    text: str = ""  # of TEXT, PNAME, DATE, TIME, DATETIME, UIDREF; of SCOORD its graphic type
    code: Code | None = None  # of CODE
    number: str = ""  # of NUM, as it was sent
    unit: Code | None = None
    qualifier: Code | None = None  # of NUM: why there is no number, or what is to be known of it
    references: tuple[Reference, ...] = ()
    by_reference: str = ""  # the place of the item that this one points to
    observed: str = ""  # DT
    uid: str = ""
    template: str = ""  # of CONTAINER
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A structured report."""

    sop_class: str
    sop_instance: str
    root: Item
    completion: str  # COMPLETE | PARTIAL
    verification: str  # VERIFIED | UNVERIFIED
    problems: tuple[str, ...] = ()  # what could not be read, and where; no values

    @property
    def title(self) -> Code | None:
        """The concept name of the root."""
        return self.root.name

    @property
    def template(self) -> str:
        """The number of the root's template, e.g. 1500; "" where it is not said."""
        return self.root.template


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of a report, with what the items around it say of it."""

    item: Item
    name: Code
    number: str  # "" where `item.qualifier` says why there is none
    unit: Code | None
    group: str  # the place of the nearest container
    groups: tuple[Code, ...]  # concept names of the containers it is in, the outermost first
    tracking: str = ""
    tracking_uid: str = ""
    finding: Code | None = None
    site: Code | None = None
    laterality: Code | None = None
    method: Code | None = None
    derivation: Code | None = None
    subject: Code | None = None  # the class of who was measured, where it is said: patient, fetus, specimen
    modifiers: tuple[tuple[Code, Code], ...] = ()  # all coded context: (name, value)
    images: tuple[Reference, ...] = ()

    @property
    def in_group(self) -> bool:
        """Say whether it is in a measurement group of TID 1500."""
        return any(group.key == MEASUREMENT_GROUP for group in self.groups)


def read_report(dataset: Dataset) -> Report:
    """Read the content tree of an SR object. FormatError where it has none."""
    problems: list[str] = []
    if not items_of(dataset, "ContentSequence") and not items_of(dataset, "ConceptNameCodeSequence"):
        raise FormatError("this is no structured report", where="ContentSequence", why="it has no content")
    counted = [0]
    root = _item(dataset, "1", 0, problems, counted)
    return Report(
        text_of(dataset, "SOPClassUID"),
        text_of(dataset, "SOPInstanceUID"),
        root,
        text_of(dataset, "CompletionFlag"),
        text_of(dataset, "VerificationFlag"),
        tuple(problems),
    )


def code_of(dataset: Dataset, keyword: str) -> Code | None:
    """Return the first code of a code sequence: its short, long or URN value."""
    for item in items_of(dataset, keyword)[:1]:
        value = next(
            (v for v in (text_of(item, k) for k in ("CodeValue", "LongCodeValue", "URNCodeValue")) if v), ""
        )
        meaning = text_of(item, "CodeMeaning")
        if value or meaning:
            scheme = text_of(item, "CodingSchemeDesignator")
            return Code(value, scheme, meaning, text_of(item, "CodingSchemeVersion"))
    return None


def _item(dataset: Dataset, place: str, depth: int, problems: list[str], counted: list[int]) -> Item:
    counted[0] += 1
    kind = text_of(dataset, "ValueType").upper()
    children: list[Item] = []
    for n, child in enumerate(items_of(dataset, "ContentSequence"), 1):
        if depth >= _DEEPEST or counted[0] >= _MOST:
            raise FormatError("the report is refused", where=f"item {place}", why="its tree is too large")
        children.append(_item(child, f"{place}.{n}", depth + 1, problems, counted))
    reference = ".".join(texts_of(dataset, "ReferencedContentItemIdentifier"))
    if not kind and not reference:
        problems.append(f"item {place}: no value type")
    number, unit, qualifier = _measured(dataset, place, problems) if kind == "NUM" else ("", None, None)
    return Item(
        place=place,
        relationship=text_of(dataset, "RelationshipType").upper(),
        type=kind,
        name=code_of(dataset, "ConceptNameCodeSequence"),
        text=_text(dataset, kind),
        code=code_of(dataset, "ConceptCodeSequence") if kind == "CODE" else None,
        number=number,
        unit=unit,
        qualifier=qualifier,
        references=_references(dataset),
        by_reference=reference,
        observed=text_of(dataset, "ObservationDateTime"),
        uid=text_of(dataset, "ObservationUID"),
        template=next(
            (text_of(t, "TemplateIdentifier") for t in items_of(dataset, "ContentTemplateSequence")), ""
        ),
        items=tuple(children),
    )


_TEXTS = {
    "TEXT": "TextValue",
    "PNAME": "PersonName",
    "DATE": "Date",
    "TIME": "Time",
    "DATETIME": "DateTime",
    "UIDREF": "UID",
    "SCOORD": "GraphicType",
    "SCOORD3D": "GraphicType",
    "TCOORD": "TemporalRangeType",
}


def _text(dataset: Dataset, kind: str) -> str:
    keyword = _TEXTS.get(kind)
    return text_of(dataset, keyword) if keyword else ""


def _measured(dataset: Dataset, place: str, problems: list[str]) -> tuple[str, Code | None, Code | None]:
    """Read a numeric measurement (PS3.3 C.18.1): the number as it was sent."""
    qualifier = code_of(dataset, "NumericValueQualifierCodeSequence")
    measured = items_of(dataset, "MeasuredValueSequence")
    if not measured:
        return "", None, qualifier
    sent = texts_of(measured[0], "NumericValue")
    number = sent[0] if len(sent) == 1 else ""
    try:
        float(number)
    except ValueError:
        if sent:
            problems.append(f"item {place}: NumericValue is not one number")
        number = ""
    return number, code_of(measured[0], "MeasurementUnitsCodeSequence"), qualifier


def _references(dataset: Dataset) -> tuple[Reference, ...]:
    return tuple(
        Reference(
            text_of(item, "ReferencedSOPClassUID"),
            text_of(item, "ReferencedSOPInstanceUID"),
            tuple(texts_of(item, "ReferencedFrameNumber")),
        )
        for item in items_of(dataset, "ReferencedSOPSequence")
        if text_of(item, "ReferencedSOPInstanceUID")
    )


def walk(item: Item) -> Iterator[Item]:
    """Return an item and all below it, in the order of the report."""
    yield item
    for child in item.items:
        yield from walk(child)


class _Context(NamedTuple):
    """What holds for the items of a container: codes by their names, texts by theirs, containers around."""

    codes: tuple[tuple[Code, Code], ...] = ()
    texts: tuple[tuple[Code, str], ...] = ()
    groups: tuple[Code, ...] = ()
    place: str = ""
    images: tuple[Reference, ...] = ()


def measurements(report: Report) -> list[Measurement]:
    """Return all numbers of a report in its order, of measurement groups and of plain containers."""
    found: list[Measurement] = []
    _measure(report.root, _Context(), found)
    return found


def _measure(item: Item, around: _Context, found: list[Measurement]) -> None:
    here = _within(item, around)
    if item.type == "NUM" and item.name is not None:
        found.append(_measurement(item, item.name, here))
    for child in item.items:
        if child.relationship not in _OF_CONTEXT:
            _measure(child, here, found)


def _within(item: Item, around: _Context) -> _Context:
    """Add what an item says of itself and what is below it (PS3.3 C.17.3.2.4, HAS CONCEPT MOD)."""
    codes, texts = list(around.codes), list(around.texts)
    images: list[Reference] = []
    for child in item.items:
        if child.name is None:
            continue
        said_so = child.relationship in _OF_CONTEXT or child.name.key in _FINDING | _SITE
        if child.code is not None and said_so:
            codes = [(n, c) for n, c in codes if n.key != child.name.key] + [(child.name, child.code)]
            codes += [
                (n, c)
                for inner in child.items
                if (n := inner.name) is not None and (c := inner.code) is not None
            ]
        elif child.text and said_so:
            texts = [(n, t) for n, t in texts if n.key != child.name.key] + [(child.name, child.text)]
    for below in item.items:
        if below.type in ("IMAGE", "SCOORD"):
            images += [r for inner in walk(below) for r in inner.references]
    if item.type != "CONTAINER":
        return around._replace(codes=tuple(codes), texts=tuple(texts), images=tuple(images) or around.images)
    groups = (*around.groups, item.name) if item.name is not None else around.groups
    return _Context(tuple(codes), tuple(texts), groups, item.place, tuple(images))


def _measurement(item: Item, name: Code, here: _Context) -> Measurement:
    def coded(keys: frozenset[tuple[str, str]]) -> Code | None:
        return next((code for n, code in reversed(here.codes) if n.key in keys), None)

    def said(keys: frozenset[tuple[str, str]]) -> str:
        return next((text for n, text in reversed(here.texts) if n.key in keys), "")

    return Measurement(
        item=item,
        name=name,
        number=item.number,
        unit=item.unit,
        group=here.place,
        groups=here.groups,
        tracking=said(_TRACKING),
        tracking_uid=said(_TRACKING_UID),
        finding=coded(_FINDING),
        site=coded(_SITE),
        laterality=coded(_LATERALITY),
        method=coded(_METHOD),
        derivation=coded(_DERIVATION),
        subject=coded(_SUBJECT_CLASS),
        modifiers=here.codes,
        images=here.images,
    )
