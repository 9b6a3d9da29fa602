"""An XDM package: the zip that documents travel in by mail and media, opened without trusting it.

In: the bytes of a zip. Out: `Package` with its documents, each with what METADATA.XML (ebRIM) says of it and
what is wrong with it: a name that leads out of the folder, a size or hash that does not fit, a file that is
missing. Nothing is written to a disk; entries, bytes of each and bytes of all are bounded while they are
inflated, whatever the directory of the zip claims. Follows IHE ITI TF-2 3.32 (Distribute Document Set on
Media) and TF-3 4.2 (metadata).
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from lxml import etree

from engine.formats.cda.recognise import is_cda
from engine.formats.xml.read import Limits, read_xml
from engine.kernel.errors import FormatError

__all__ = ["Coded", "Package", "PackageLimits", "Packed", "read_package"]


class PackageLimits(NamedTuple):
    """What a package may cost: files in it, bytes of one, bytes of all."""

    files: int = 2000
    one: int = 64 << 20
    all: int = 256 << 20


class Coded(NamedTuple):
    """A code of the metadata, with the coding scheme as it is named there."""

    code: str
    scheme: str = ""
    display: str = ""


@dataclass(frozen=True, slots=True)
class Packed:
    """One document; `problem` is empty, or why it must not be worked on: unsafe-name, missing, too-large,
    damaged, size, hash."""

    path: str
    data: bytes
    is_cda: bool
    problem: str = ""
    id: str = ""  # XDSDocumentEntry.uniqueId
    entry: str = ""  # entryUUID, as written
    media_type: str = ""
    title: str = ""
    created: str = ""  # HL7 v2 time
    language: str = ""
    patient: str = ""  # CX, as written
    numbers: tuple[str, ...] = ()  # `authority|value` of its patient, all that the metadata gives
    hash: str = ""
    codes: Mapping[str, Coded] = field(default_factory=dict)  # class, type, format, facility, practice
    described: bool = False  # METADATA.XML speaks of it

    def other_patient(self, keys: Iterable[str]) -> str:
        """Hold the patient of the metadata against the document's own numbers (`authority|value`).

        Returns "" where they agree, or one of them gives no number; `apart`: no authority is in both;
        `partly`: a number agrees, and one of the same authority does not; `other`: only the latter.
        """
        own = {(a.casefold(), v) for a, _, v in (k.rpartition("|") for k in keys) if a}
        said = {(a.casefold(), v) for a, _, v in (k.rpartition("|") for k in self.numbers)}
        if not own or not said:
            return ""
        against = {a for a, _ in said - own} & {a for a, _ in own}
        if said & own:
            return "partly" if against else ""
        return "other" if against else "apart"


@dataclass(frozen=True, slots=True)
class Package:
    """A whole package."""

    documents: tuple[Packed, ...]
    id: str = ""  # XDSSubmissionSet.uniqueId
    source: str = ""  # XDSSubmissionSet.sourceId
    patient: str = ""
    problems: tuple[str, ...] = ()  # in words, without content

    @property
    def empty(self) -> bool:
        """Whether nothing in it may be worked on."""
        return all(d.problem for d in self.documents)

    @property
    def keys(self) -> tuple[str, ...]:
        """The order keys of the patients it is about."""
        return tuple(dict.fromkeys(k for p in self._patients() if (k := _key(p))))

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """What it is found by."""
        out = [("patient", v) for p in self._patients() if (v := p.split("^")[0].strip())]
        out += [("document", v) for v in (self.id, *(d.id for d in self.documents)) if v]
        out += [("control", self.id)] if self.id else []
        return tuple(dict.fromkeys(out))

    def _patients(self) -> Iterator[str]:
        yield from dict.fromkeys(p for p in (self.patient, *(d.patient for d in self.documents)) if p)


_UNIQUE = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
_SET_UNIQUE = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"
_SET_SOURCE = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
_SET_PATIENT = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
_CODES = {
    "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a": "class",
    "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983": "type",
    "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d": "format",
    "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1": "facility",
    "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead": "practice",
}
_SEPARATORS = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}
_ESCAPE = re.compile(r"\\([FSTRE])\\")  # HL7 v2 2.7
_METADATA_LIMITS = Limits(size=16 << 20, markup=400_000, depth=64)
_SMALL = frozenset({"INDEX.HTM", "INDEX.HTML", "README.TXT", "METADATA.XML"})


def read_package(data: bytes, limits: PackageLimits | None = None) -> Package:
    """Read a package; a `FormatError` where it is no zip, or one that would cost too much."""
    limits = limits or PackageLimits()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive, limits)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError) as e:
        raise FormatError(
            "no XDM package", why=f"the zip cannot be read ({type(e).__name__})", remedy="have it sent again"
        ) from None


class _Files:
    """The files of a zip, inflated within what is left of the limits."""

    def __init__(self, archive: zipfile.ZipFile, limits: PackageLimits) -> None:
        self._archive, self._limits, self._left = archive, limits, limits.all
        found = archive.infolist()
        if len(found) > limits.files:
            raise _too_much(f"it has {len(found):,} files, {limits.files:,} are allowed")
        self.problems: list[str] = []
        self.names: dict[str, zipfile.ZipInfo] = {}
        self.unsafe: list[str] = []
        for info in found:
            if info.is_dir():
                continue
            if _unsafe(info):
                self.unsafe.append(info.filename)
                self.problems.append("a name in the package leads out of it, or is a link; it is not read")
            elif info.filename.upper() in self.names:
                self.problems.append("two files of the package have one name; the first is read")
            else:
                self.names[info.filename.upper()] = info

    def read(self, path: str) -> tuple[bytes, str]:
        """Return the bytes of a file, and what is wrong with it."""
        info = self.names.get(path.upper())
        if info is None:
            return b"", "unsafe-name" if path in self.unsafe else "missing"
        if info.flag_bits & 1:
            return b"", "encrypted"
        most = min(self._limits.one, self._left)
        try:
            with self._archive.open(info) as file:
                data = file.read(most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
            return b"", "damaged"
        if len(data) > most:
            if most < self._limits.one:
                raise _too_much(f"it holds more than {self._limits.all >> 20} MiB")
            return b"", "too-large"
        self._left -= len(data)
        return data, ""


def _read(archive: zipfile.ZipFile, limits: PackageLimits) -> Package:
    files = _Files(archive, limits)
    documents: list[Packed] = []
    taken: set[str] = set()
    id_ = source = patient = ""
    for name in sorted(n for n in files.names if posixpath.basename(n) == "METADATA.XML"):
        folder = posixpath.dirname(files.names[name].filename)
        data, problem = files.read(name)
        if problem:
            files.problems.append(f"METADATA.XML cannot be read: {problem}")
            continue
        try:
            root = read_xml(data, _METADATA_LIMITS).root
        except FormatError as e:
            files.problems.append(f"METADATA.XML cannot be read: {e.why or e.what}")
            continue
        for package in _named(root, "RegistryPackage"):
            id_ = id_ or _external(package, _SET_UNIQUE)
            source = source or _external(package, _SET_SOURCE)
            patient = patient or _external(package, _SET_PATIENT)
        for described in _named(root, "ExtrinsicObject"):
            documents.append(_document(described, folder, files))
            taken.add(documents[-1].path.upper())
    for name, info in sorted(files.names.items()):
        parts = name.split("/")
        if name not in taken and len(parts) > 2 and parts[0] == "IHE_XDM" and parts[-1] not in _SMALL:
            data, problem = files.read(name)
            documents.append(Packed(info.filename, data, bool(data) and is_cda(data), problem))
    return Package(tuple(documents), id_, source, patient, tuple(dict.fromkeys(files.problems)))


def _document(described: etree._Element, folder: str, files: _Files) -> Packed:
    uri = _slot(described, "URI")
    path = posixpath.normpath(posixpath.join(folder, uri.replace("\\", "/"))) if uri else ""
    if not uri:
        data, problem = b"", "missing"
    elif path.startswith(("/", "..")) or ":" in path.split("/", maxsplit=1)[0]:
        data, problem, path = b"", "unsafe-name", posixpath.basename(path)
    else:
        data, problem = files.read(path)
    size, digest = _slot(described, "size"), _slot(described, "hash").lower()
    if not problem and size.isdecimal() and len(size) < 12 and int(size) != len(data):
        problem = "size"
    if not problem and digest and digest != hashlib.sha1(data, usedforsecurity=False).hexdigest():
        problem = "hash"
    return Packed(
        path=path,
        data=data,
        is_cda=bool(data) and is_cda(data),
        problem=problem,
        id=_external(described, _UNIQUE),
        entry=described.get("id") or "",
        media_type=(described.get("mimeType") or "").strip(),
        title=_name(described),
        created=_slot(described, "creationTime"),
        language=_slot(described, "languageCode"),
        patient=_slot(described, "sourcePatientId"),
        numbers=tuple(dict.fromkeys(k for cx in _patients(described) if (k := _key(cx)))),
        hash=digest,
        codes=dict(_codes(described)),
        described=True,
    )


def _unsafe(info: zipfile.ZipInfo) -> bool:
    name = info.filename.replace("\\", "/")
    mode = info.external_attr >> 16
    return (
        name.startswith("/")
        or "\0" in name
        or ":" in name.split("/", maxsplit=1)[0]
        or ".." in name.split("/")
        or stat.S_ISLNK(mode)
    )


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _named(root: etree._Element, name: str) -> Iterator[etree._Element]:
    return (e for e in root.iter() if _local(e) == name)


def _slot(element: etree._Element, name: str) -> str:
    """Return the value of a slot; a long URI comes in numbered pieces (`1|...`)."""
    values = _values(element, name)
    if name == "URI" and len(values) > 1 and all(v[:2].rstrip("|").isdecimal() for v in values):
        return "".join(v.partition("|")[2] for v in sorted(values))
    return values[0] if values else ""


def _values(element: etree._Element, name: str) -> list[str]:
    for slot in element:
        if _local(slot) == "Slot" and slot.get("name") == name:
            return [(v.text or "").strip() for v in slot.iter() if _local(v) == "Value"]
    return []


def _patients(described: etree._Element) -> Iterator[str]:
    """Give each CX of the patient: sourcePatientId, and PID-3 of sourcePatientInfo (TF-3 4.2.3.2)."""
    yield from _values(described, "sourcePatientId")
    for line in _values(described, "sourcePatientInfo"):
        field, _, text = line.partition("|")
        if field.strip() == "PID-3":
            yield from text.split("~")


def _external(element: etree._Element, scheme: str) -> str:
    for one in element:
        if _local(one) == "ExternalIdentifier" and one.get("identificationScheme") == scheme:
            return (one.get("value") or "").strip()
    return ""


def _name(element: etree._Element) -> str:
    for one in element:
        if _local(one) == "Name":
            for text in one:
                if said := (text.get("value") or "").strip():
                    return said
    return ""


def _codes(element: etree._Element) -> Iterator[tuple[str, Coded]]:
    for one in element:
        kind = _CODES.get(one.get("classificationScheme") or "")
        code = (one.get("nodeRepresentation") or "").strip()
        if kind and code:
            yield kind, Coded(code, _slot(one, "codingScheme"), _name(one))


def _key(patient: str) -> str:
    """Return `authority|value` of a CX such as `12^^^&1.2.3&ISO`."""
    parts = patient.split("^")
    value = _ESCAPE.sub(lambda m: _SEPARATORS[m[1]], parts[0].strip())
    place = parts[3].split("&") if len(parts) > 3 else [""]
    authority = place[1] if len(place) > 1 and place[1] else place[0]
    return f"{authority}|{value}" if value and authority else ""


def _too_much(why: str) -> FormatError:
    return FormatError("the package is too large to open safely", why=why, remedy="split it")
