"""A copy of an object that does not say whose it is: the Basic Application Level Confidentiality Profile.

In: a dataset, or the stream of a whole object, and a function that gives every UID another. Out: the same
without what table E.1-1 of PS3.15 names; dates, names of persons and UIDs that it does not name go too.
Private attributes, curves and overlays are removed. What may have a name in its pixels, or is a document of
another format, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset as _Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID_dictionary
from pydicom.valuerep import PersonName

from engine.formats.dicom import uids
from engine.formats.dicom.elements import encoding_of
from engine.formats.dicom.frames import Pixels, end_of, find_pixels
from engine.formats.dicom.header import LIMIT, beginning, dataset_header, read_header
from engine.formats.dicom.profile import action_of
from engine.formats.dicom.values import UNREADABLE, element_of, elements_of, text_of
from engine.kernel.errors import FormatError

__all__ = ["NewUid", "deidentified", "deidentify"]

Dataset = Any
NewUid = Callable[[str], str]

_LONGEST = 64 << 20  # bytes of an object before its pixels
_CONTENT = 0x0040A730
_IN_FULL = frozenset(
    (_CONTENT, 0x00700001, 0x0040A073, 0x00340001, 0x00401101)
)  # D of sequences: texts in it go
_PERSON_CODE = 0x00401101
_CODE_ITEM = frozenset(
    (
        "CodeValue",
        "LongCodeValue",
        "URNCodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "CodeMeaning",
    )
)
_DUMMIES: dict[str, Any] = {
    "AE": "REMOVED",
    "AS": "000Y",
    "CS": "REMOVED",
    "DA": "19000101",
    "DT": "19000101000000",
    "LO": "REMOVED",
    "LT": "REMOVED",
    "PN": "REMOVED",
    "SH": "REMOVED",
    "ST": "REMOVED",
    "TM": "000000",
    "UC": "REMOVED",
    "UR": "urn:removed",
    "UT": "REMOVED",
    "OB": b"\0\0",
    "UN": b"\0\0",
}
_FREE = frozenset(("AE", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"))
_TIMED = frozenset(("DA", "DT", "TM"))
# of two or three actions: what leaves an attribute that its IOD may require
_CHOSEN = {"X/Z": "Z", "Z/D": "D", "X/D": "D", "X/Z/D": "Z", "X/Z/U": "U"}
# pictures of a screen: names are in their pixels unless they say they are not
_SCREENS = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3")
_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."


class _Rules(NamedTuple):
    uid: NewUid
    patient: str


def deidentify(dataset: Dataset, uid: NewUid, *, patient: str = "", burned_in: bool = False) -> Dataset:
    """Return a copy that does not identify its patient; `patient` takes the place of Patient ID and name.

    FormatError for encapsulated documents, and where names may be in the pixels unless `burned_in` allows it.
    """
    _refuse(dataset, burned_in)
    made = _copy(dataset, _Rules(uid, patient), full=False)
    code = _Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = "PS3.15 Basic Application Confidentiality Profile"
    made.DeidentificationMethodCodeSequence = Sequence([code])
    made.LongitudinalTemporalInformationModified = "REMOVED"
    made.PatientName, made.PatientID = patient, patient
    made.SpecificCharacterSet = "ISO_IR 192"
    return made


def _refuse(dataset: Dataset, burned_in: bool) -> None:
    sop_class = text_of(dataset, "SOPClassUID")
    if sop_class.startswith(_DOCUMENTS):
        raise FormatError("the object is not made anonymous", why="what is in its document cannot be judged")
    said = text_of(dataset, "BurnedInAnnotation").upper()
    screen = sop_class.startswith(_SCREENS) or text_of(dataset, "Modality").upper() in (
        "US",
        "SC",
        "OT",
        "XC",
        "ES",
    )
    if burned_in or said == "NO":
        return
    if said == "YES" or (screen and element_of(dataset, "Rows") is not None):
        raise FormatError(
            "the object is not made anonymous",
            where="BurnedInAnnotation",
            why="names are in its pixels" if said == "YES" else "names may be in its pixels",
            remedy="allow it where somebody has looked at the pixels",
        )


def _copy(dataset: Dataset, rules: _Rules, *, full: bool, codes: bool = True) -> Dataset:
    """Copy what may stay. With `full`, free text goes too, but `codes` may stay."""
    made = _Dataset()
    for element in elements_of(dataset):
        kept = _kept(element, rules, full, codes)
        if kept is not None:
            made._dict[BaseTag(element.tag)] = kept
    return made


def _kept(element: Any, rules: _Rules, full: bool, codes: bool) -> Any | None:
    tag, vr = int(element.tag), str(element.VR)
    group = tag >> 16
    if group & 1 or not tag & 0xFFFF or group & 0xFF00 in (0x5000, 0x6000):
        return None
    action = action_of(tag)
    action = _CHOSEN.get(action, action)
    if action == "X" or (not action and vr in ("UN", "PN", *_TIMED) and not full):
        return None
    if vr == "SQ":
        return _sequence(element, action, rules, full, codes)
    if vr == "UI":
        return _element(tag, vr, _uids(tag, element.value, rules))
    if action == "Z":
        return _element(tag, vr, None if vr in ("IS", "DS") or vr not in _DUMMIES else "")
    if action == "D" or (full and vr in _FREE and not (codes and keyword_for_tag(tag) in _CODE_ITEM)):
        return _element(tag, vr, _DUMMIES.get(vr, 0)) if element.value not in (None, "", b"") else element
    return element


def _sequence(element: Any, action: str, rules: _Rules, full: bool, codes: bool) -> Any:
    tag = int(element.tag)
    if action == "Z":
        return _element(tag, "SQ", Sequence())
    full = full or tag in _IN_FULL
    codes = codes and tag != _PERSON_CODE
    items = [_copy(item, rules, full=full, codes=codes) for item in element.value or ()]
    return _element(tag, "SQ", Sequence(items))


def _uids(tag: int, value: Any, rules: _Rules) -> Any:
    """Replace UIDs, all but those of the standard and of kinds of objects."""
    if value is None or value == "" or "SOPClass" in keyword_for_tag(tag) or tag in _NAMING:
        return value
    many = value if isinstance(value, (list, MultiValue)) else [value]
    new = [str(v) if not v or str(v) in UID_dictionary else rules.uid(str(v)) for v in many]
    return new if len(new) > 1 else new[0]


_NAMING = frozenset((0x0008010C, 0x00080117, 0x00080118))  # coding schemes and contexts name no instance


def _element(tag: int, vr: str, value: Any) -> Any:
    value = PersonName(value) if vr == "PN" else value
    return DataElement(BaseTag(tag), vr, value, already_converted=True)


def deidentified(
    stream: BinaryIO, uid: NewUid, *, patient: str = "", burned_in: bool = False, chunk: int = 1 << 20
) -> Iterator[bytes]:
    """Return a whole object as a file that does not identify its patient; pixels are passed on in chunks.

    A deflated object comes out as explicit little endian.
    """
    pixels = find_pixels(stream, _LONGEST)
    stream.seek(0)
    prefix = stream.read(_LONGEST if pixels is None or pixels.tag_at > LIMIT else LIMIT)
    if pixels is None and len(prefix) == _LONGEST:
        raise FormatError("the object is not made anonymous", why=f"it is longer than {_LONGEST} bytes")
    began = beginning(prefix, -1 if pixels is None else len(prefix) + 1, _LONGEST)
    header = read_header(BytesIO(prefix), _LONGEST)
    made = deidentify(header, uid, patient=patient, burned_in=burned_in)
    syntax = uids.EXPLICIT if uids.is_deflated(began.transfer_syntax) else began.transfer_syntax
    encoding = encoding_of(began.transfer_syntax, began.data, began.start)
    if encoding.implicit:
        syntax = uids.IMPLICIT
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = encoding.implicit, not encoding.big
    try:
        write_dataset(buffer, made, "utf8")
    except UNREADABLE as cause:
        raise FormatError(
            "the object is not made anonymous", why="a value of it cannot be written"
        ) from cause
    sop_class, sop_instance = text_of(made, "SOPClassUID"), text_of(made, "SOPInstanceUID")
    yield dataset_header(sop_class, sop_instance, syntax, "") + buffer.getvalue()
    if pixels is not None:
        yield from _pixels(pixels, chunk)


def _pixels(pixels: Pixels, chunk: int) -> Iterator[bytes]:
    at, end = pixels.tag_at, end_of(pixels)
    while at < end:
        pixels.stream.seek(at)
        data = pixels.stream.read(min(chunk, end - at))
        if not data:
            raise FormatError("the pixel data is cut off", where=f"byte {at}")
        at += len(data)
        yield data
