"""One message, document or transaction set converted: the bundle, the report, or why there is none.

In: bytes of a format other than HL7 v2 (its own way is in convert.py), or what mapping them gave. Out:
`Result`s, whose reports are the same for all formats.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from engine.channels.packages import package_drafts
from engine.fhir.bundle import transaction
from engine.fhir.validate import validate
from engine.formats.cda.document import parse as parse_cda
from engine.formats.xdm import read_package
from engine.kernel.errors import HubError
from engine.mapping.arrived import Arrived
from engine.mapping.convert import Conversion, name_systems, trace_arrived, unkeyed
from engine.mapping.from_x12 import arrivals
from engine.mapping.project import Maps
from engine.mapping.treearrived import cda_arrived

__all__ = [
    "READERS",
    "Result",
    "convert_arrived",
    "convert_others",
    "empty_report",
    "failed",
    "fill",
    "internal_error",
]

Read = Callable[[BinaryIO], Iterable[Arrived]]


@dataclass(slots=True)
class Result:
    """One message converted or refused; `error` is (location, reason)."""

    number: int
    bundle: dict[str, Any] | None
    report: dict[str, Any]
    error: tuple[str, str] | None = None
    size: int = 0  # bytes of the message


def _script(file: BinaryIO) -> Iterable[Arrived]:
    from engine.formats.ncpdp.message import parse
    from engine.mapping.treearrived import script_arrived

    return [script_arrived(parse(file.read()))]


def _dicom(file: BinaryIO) -> Iterable[Arrived]:
    from engine.formats.dicom.document import STUDY_ENTRY, parse
    from engine.formats.dicom.header import LIMIT
    from engine.mapping.treearrived import dicom_arrived

    head = file.read(LIMIT)  # of an image what stands before its pixels
    return [dicom_arrived(parse(head + file.read() if head.startswith(STUDY_ENTRY) else head))]


def _fhir(file: BinaryIO) -> Iterable[Arrived]:
    from engine.formats.fhir.posted import parse
    from engine.mapping.fhir.arrived import fhir_arrived

    return [fhir_arrived(parse(file.read()))]


READERS: dict[str, Read] = {
    "xdm": lambda file: (),  # its documents are read one by one
    "cda": lambda file: [cda_arrived(parse_cda(file.read()))],
    "ncpdp": _script,
    "dicom": _dicom,
    "fhir": _fhir,
    "x12": arrivals,
}
"""How a file of each format is read into what is to be mapped, one after another."""


def empty_report(kind: str, format: str = "hl7v2") -> dict[str, Any]:
    """Begin a report."""
    return {
        "source_format": format,
        "message_type" if format == "hl7v2" else "document_type": kind,
        "mapped": [],
        "unmapped": [],
        "warnings": [],
        "errors": [],
    }


def fill(out: dict[str, Any], done: Conversion, repairs: Iterable[Any], identity_base: str) -> dict[str, Any]:
    """Write into a report what a conversion says; gives the bundle."""
    name_systems(done, identity_base)
    out["site"], out["revision"] = done.site, done.revision
    out["mapped"] = [{"source": m.source, "target": m.target, "row": m.row} for m in done.report.mapped]
    out["unmapped"] = [{"source": u.source, "value": u.value, "why": u.why} for u in done.report.unmapped]
    out["warnings"] = [{"source": r.where, "text": r.text, "code": r.code} for r in repairs]
    out["warnings"] += [
        {"source": f.where, "text": f.text or f.code, "code": f.code} for f in done.built.flags
    ]
    if done.built.held is not None:
        held = done.built.held
        out["warnings"].append(
            {"source": held.where, "text": f"would be parked: {held.text}", "code": held.code}
        )
    bundle = transaction(done.built.drafts)
    for entry in bundle.get("entry", ()):
        for p in validate(entry["resource"]):
            out["errors"].append({"source": p.path, "text": p.text, "code": p.code})
    return bundle


def internal_error(e: Exception) -> str:
    """Say where a fault of ours is; the text of the exception could quote the message."""
    at = traceback.extract_tb(e.__traceback__)[-1]
    return f"internal error, {type(e).__name__} at {at.filename.rsplit('/', 1)[-1]}:{at.lineno} in {at.name}"


def convert_others(format: str, file: BinaryIO, maps: Maps, site: str = "") -> Iterator[Result]:
    """Convert a file of documents, prescriptions or claims; what cannot be read is refused where it is."""
    if format == "xdm":
        yield from _package(file, maps, site)
        return
    number = 0
    try:
        for number, arrived in enumerate(READERS[format](file), 1):
            yield convert_arrived(number, arrived, maps.of(format), site)
    except HubError as e:  # what came before it is converted
        yield _failed(number + 1, empty_report("", format), e.where, str(e))
    except Exception as e:
        yield _failed(number + 1, empty_report("", format), "", internal_error(e))
    else:
        if not number:
            yield _failed(1, empty_report("", format), "", f"nothing to convert in this {format} file")


def _package(file: BinaryIO, maps: Maps, site: str) -> Iterator[Result]:
    """Convert each document of a package by itself, and last what is no CDA, as it lies there."""
    report = empty_report("package", "xdm")
    try:
        data = file.read()
        package = read_package(data)
    except HubError as e:
        yield _failed(1, report, e.where, str(e))
        return
    number = 0
    for document in package.documents:
        if document.is_cda and not document.problem:
            for result in convert_others("cda", BytesIO(document.data), maps, site):
                number += 1
                result.number = number
                yield result
    origin = hashlib.sha256(data).hexdigest()[:32]
    drafts, flags = package_drafts(package, unkeyed, origin)
    report["warnings"] = [{"source": f.where, "text": f.text, "code": f.code} for f in flags]
    if drafts or flags or not number:
        error = None if drafts else ("-", flags[0].text if flags else "no document in this package")
        report["errors"] = [] if error is None else [{"source": "", "text": error[1]}]
        yield Result(number + 1, transaction(drafts) if drafts else None, report, error)


def failed(number: int, format: str, where: str, why: str) -> Result:
    """Refuse one of which nothing can be said but why."""
    return _failed(number, empty_report("", format), where, why)


def _failed(number: int, report: dict[str, Any], where: str, why: str) -> Result:
    report["errors"].append({"source": where, "text": why})
    return Result(number, None, report, (where or "-", why))


def convert_arrived(number: int, arrived: Arrived, maps: Maps, site: str) -> Result:
    """Convert one that is arranged, with the maps of its format."""
    out = empty_report(arrived.type, arrived.format)
    try:
        name = site if site in maps.sites else maps.site_for(arrived.headers).name
        key = hashlib.sha256(f"{number}|".encode() + arrived.raw).hexdigest()[:32]
        done = trace_arrived(arrived, maps, name, key)
        bundle = fill(out, done, arrived.repairs, maps.identity_base)
        done.built.release()
    except HubError as e:
        return _failed(number, out, e.where, str(e))
    except Exception as e:  # a fault of ours: this one is named, its neighbours go on
        return _failed(number, out, "", internal_error(e))
    return Result(number, bundle, out, size=len(arrived.raw))
