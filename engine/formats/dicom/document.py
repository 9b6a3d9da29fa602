"""What arrives of DICOM: a study as the hub tells it, a performed procedure step, a report, a selection, an
image.

In: the bytes of a journal entry (a study entry in JSON, or a header copy), or of any Part 10 file. Out: a
`Dicom`: its kind, its tree of elements, and who made it. The kind is told by the SOP class (PS3.4 B.5, F.7,
PS3.6 A).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import orjson
from lxml import etree
from pydicom import config

from engine.formats.dicom.header import is_dicom, read_header
from engine.formats.dicom.levels import SERIES, STUDY
from engine.formats.dicom.tree import Element, Repair, add_dataset, add_json, add_text
from engine.formats.xml.places import Leaf, leaves
from engine.kernel.errors import FormatError

__all__ = [
    "KINDS",
    "STUDY_ENTRY",
    "Dicom",
    "Issuers",
    "kind_of",
    "looks_like_dicom",
    "parse",
    "parse_tree",
    "study_of",
]

config.settings.reading_validation_mode = config.IGNORE  # its warnings would print what patients are called

STUDY_ENTRY = b'{"dicom study":'
MPPS = "1.2.840.10008.3.1.2.3.3"
_REPORTS = "1.2.840.10008.5.1.4.1.1.88."
_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
KINDS = {"study": "Study", "mpps": "Step", "sr": "Report", "kos": "KeyObjects", "instance": "Object"}
"""Kinds of what arrives, and what their trees begin with."""
_ROOTS = {root: kind for kind, root in KINDS.items()}
_LINK = {
    "State": ("state",),
    "Reason": ("reason",),
    "By": ("by",),
    "PatientSystem": ("patient", "system"),
    "PatientValue": ("patient", "value"),
    "OrderSystem": ("order", "system"),
    "OrderValue": ("order", "value"),
    "Encounter": ("encounter",),
}

Issuers = Mapping[str, str]
"""Whose numbers come without an issuer: of `patient`, of `accession`."""


@dataclass(frozen=True, slots=True)
class Dicom:
    """One object, or one study, as a tree."""

    raw: bytes
    root: Element
    kind: str  # of KINDS
    sender: str  # AE title, or the channel that tells of a study
    repairs: tuple[Repair, ...] = ()
    charset: str = "utf-8"
    told: int = 0  # of a study: which state of it

    def first(self, *names: str) -> str:
        """Return the text of the first attribute of these names that says something, wherever it stands."""
        for name in names:
            for found in self.root.iter(name):
                if found.text and found.text.strip():
                    return found.text.strip()
        return ""

    def own(self, name: str) -> str:
        """Return the text of an attribute of the object itself."""
        return (self.root.findtext(name) or "").strip()

    @property
    def template(self) -> str:
        """The template of a report (PS3.16 A), e.g. 1500."""
        return (self.root.findtext("ContentTemplateSequence/TemplateIdentifier") or "").strip()

    @property
    def type(self) -> str:
        """What lists call it: study, mpps, or its modality."""
        if self.kind in ("study", "mpps"):
            return self.kind
        return self.own("Modality") or ("KO" if self.kind == "kos" else self.kind)

    @property
    def headers(self) -> dict[str, str]:
        """What sites match on."""
        names = ("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName", "Modality")
        return {"Sender": self.sender, "Kind": self.kind, **{name: self.first(name) for name in names}}

    def leaves(self) -> list[Leaf]:
        """Return every populated attribute with its place."""
        return list(leaves(self.root))


def looks_like_dicom(data: bytes) -> bool:
    """Say whether bytes begin as a Part 10 file or a study entry does."""
    return is_dicom(data) or data.startswith(STUDY_ENTRY)


def parse(data: bytes, issuers: Issuers | None = None) -> Dicom:
    """Read a study entry or a Part 10 file. Raises FormatError."""
    if data.startswith(STUDY_ENTRY):
        return _study_entry(data)
    try:
        dataset = read_header(BytesIO(data))
    except FormatError:
        raise
    except Exception as e:  # pydicom raises whatever it meets
        raise FormatError("this DICOM file cannot be read", why=type(e).__name__) from None
    repairs: list[Repair] = []
    held = etree.Element("Object")
    add_dataset(held, dataset, repairs)
    meta = getattr(dataset, "file_meta", None)
    sop_class = (held.findtext("SOPClassUID") or "").strip() or _of_meta(meta, "MediaStorageSOPClassUID")
    if not sop_class:
        raise FormatError(
            "this DICOM file does not say what it is", where="SOPClassUID", why="there is no SOP class in it"
        )
    kind = kind_of(sop_class)
    held.tag = KINDS[kind]
    if held.find("SOPInstanceUID") is None:  # of a procedure step it stands in the command alone
        add_text(held, "SOPInstanceUID", _of_meta(meta, "MediaStorageSOPInstanceUID"))
    if not (held.findtext("SOPInstanceUID") or "").strip():
        raise FormatError("this DICOM file has no SOP Instance UID", where="SOPInstanceUID")
    _add_issuers(held, issuers or {})
    sender = _of_meta(meta, "SourceApplicationEntityTitle")
    return Dicom(data, held, kind, sender, tuple(repairs))


def _of_meta(meta: Any, keyword: str) -> str:
    return str(meta.get(keyword, "") or "").strip() if meta is not None else ""


def kind_of(sop_class: str) -> str:
    """Say of which kind an object is, by its SOP class."""
    if sop_class == MPPS:
        return "mpps"
    if sop_class == _SELECTION:
        return "kos"
    return "sr" if sop_class.startswith(_REPORTS) else "instance"


def parse_tree(root: Element, raw: bytes) -> Dicom:
    """Take a tree that was written by hand, as tests of maps do."""
    kind = _ROOTS.get(str(root.tag))
    if kind is None:
        raise FormatError(f"no DICOM tree begins with {root.tag}", remedy=f"begin with {', '.join(_ROOTS)}")
    return Dicom(raw, root, kind, "")


def _add_issuers(root: Element, issuers: Issuers) -> None:
    if any(issuers.values()):
        held = etree.SubElement(root, "Issuers")
        add_text(held, "Patient", str(issuers.get("patient") or ""))
        add_text(held, "Accession", str(issuers.get("accession") or ""))


# -- studies -----------------------------------------------------------------------------------------------


def _study_entry(data: bytes) -> Dicom:
    try:
        said = orjson.loads(data)
        root = etree.Element("Study")
        link = said.get("link")
        if link:
            held = etree.SubElement(root, "Link")
            for name, path in _LINK.items():
                value: Any = link
                for key in path:
                    value = (value or {}).get(key)
                add_text(held, name, str(value or ""))
        _add_issuers(root, said.get("issuers") or {})
        add_text(root, "Retrieve", str(said.get("retrieve") or ""))
        add_json(root, said["study"])
        for one in said["series"]:
            series = etree.SubElement(root, "Series")
            add_json(series, one["series"])
            for instance in one["instances"]:
                add_json(etree.SubElement(series, "Instance"), instance)
        uid, told = str(said["uid"]), int(said.get("told") or 0)
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise FormatError("this study entry is damaged", why=type(e).__name__) from None
    if root.find("StudyInstanceUID") is None:
        add_text(root, "StudyInstanceUID", uid)
    _count(root)
    return Dicom(data, root, "study", str(said.get("channel") or ""), told=told)


def study_of(objects: Iterable[Dicom]) -> Dicom:
    """Put objects of one study together as the hub would tell of it; nobody has looked what it belongs to."""
    objects = list(objects)
    root = etree.Element("Study")
    held: dict[str, Element] = {}
    for one in objects:
        uid = one.own("SeriesInstanceUID")
        series = held.get(uid)
        if series is None:
            series = held[uid] = etree.SubElement(root, "Series")
        instance = etree.SubElement(series, "Instance")
        levels = (root, {str(e.tag) for e in root}), (series, {str(e.tag) for e in series})
        for element in one.root:
            name = str(element.tag)
            at = levels[0] if name in STUDY or name == "Issuers" else levels[1] if name in SERIES else None
            if at is None:
                instance.append(deepcopy(element))
            elif name not in at[1]:  # the first to say it
                at[0].append(deepcopy(element))
    for series in held.values():  # attributes first, as studies are told
        root.append(series)
        for instance in series.findall("Instance"):
            series.append(instance)
    _count(root)
    raw = (
        objects[0].raw
        if len(objects) == 1
        else b"".join(sorted(o.own("SOPInstanceUID").encode() for o in objects))
    )
    repairs = tuple(dict.fromkeys(r for o in objects for r in o.repairs))
    return Dicom(raw, root, "study", objects[0].sender, repairs)


def _count(root: Element) -> None:
    """Say how many series and instances stand here, and their modalities: whatever was said of it before."""
    for name in ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "ModalitiesInStudy"):
        for old in root.findall(name):
            root.remove(old)
    every = root.findall("Series")
    modalities: dict[str, None] = {}
    for series in every:
        for old in series.findall("NumberOfSeriesRelatedInstances"):
            series.remove(old)
        add_text(series, "NumberOfSeriesRelatedInstances", str(len(series.findall("Instance"))))
        modality = (series.findtext("Modality") or "").strip()
        if modality:
            modalities[modality] = None
    add_text(root, "NumberOfStudyRelatedSeries", str(len(every)))
    add_text(root, "NumberOfStudyRelatedInstances", str(sum(1 for _ in root.iter("Instance"))))
    for modality in sorted(modalities):
        add_text(root, "ModalitiesInStudy", modality)
