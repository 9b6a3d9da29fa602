"""Which format bytes are in: told by what they say, never by the name of a file.

In: bytes, or the first 64 KiB of them. Out: one word: `hl7v2` (MSH, FHS, BHS), `x12` (ISA), `cda` (a root
ClinicalDocument), `ncpdp` (a root Message of SCRIPT), `xdm` (a zip with IHE_XDM in it, IHE ITI TF-2 3.32),
`dicom` (DICM behind the preamble, PS3.10 7.1, or a study as the hub tells of it), `fhir` (a JSON object that
says its resourceType), or nothing. A byte order mark, UTF-16, any prefix of the root, comments and processing
instructions before it are no obstacle. What is damaged or dangerous (a DOCTYPE) still gets its word, so that
the reader of that format refuses it in its own words.
"""

from __future__ import annotations

import re

from engine.formats.fhir.posted import is_fhir
from engine.formats.ncpdp.message import is_script
from engine.formats.x12.segments import looks_like
from engine.formats.xml.read import root_name

__all__ = ["FORMATS", "HEAD", "Format", "recognise"]

Format = str
FORMATS = ("hl7v2", "x12", "cda", "ncpdp", "xdm", "dicom", "fhir")
HEAD = 1 << 16
"""Bytes from the beginning that are enough to tell."""

_STUDY = b'{"dicom study":'
_BLANK = b"\xff\xfe\xef\xbb\xbf\x0b \t\r\n"
_V2 = (b"MSH", b"FHS", b"BHS")
_V2_LINE = re.compile(rb"[\r\n](?:MSH|FHS|BHS)[^0-9A-Za-z\s]")
_DAMAGED = re.compile(rb"<(?:[\w.\-]{1,40}:)?(ClinicalDocument|Message)(?=[\s/>])")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_XDM_FIRST = (b"INDEX.HTM", b"README.TXT", b"IHE_XDM")


def recognise(data: bytes) -> Format:
    """Return the format of bytes; empty for what is none of them."""
    if data.startswith(b"MSH"):
        return "hl7v2"
    if data[128:132] == b"DICM" or data.startswith(_STUDY):
        return "dicom"
    head = data[:HEAD]
    if head.startswith(_ZIP):
        return "xdm" if _is_xdm(data) else ""
    begin = head[:400].replace(b"\0", b"").lstrip(_BLANK)
    if begin.startswith(_V2):
        return "hl7v2"
    if begin[:1] == b"<":
        return _xml(data)
    if begin[:1] == b"{" and is_fhir(data):
        return "fhir"
    if looks_like(head[:4096]):
        return "x12"
    return "hl7v2" if _V2_LINE.search(head[:4096].replace(b"\0", b"")) else ""


def _xml(data: bytes) -> Format:
    root = root_name(data)
    if root is not None:
        if root.local == "ClinicalDocument":
            return "cda"
        return "ncpdp" if is_script(data) else ""
    damaged = _DAMAGED.search(data[:HEAD].replace(b"\0", b""))
    if damaged is None:
        return ""
    return "cda" if damaged[1] == b"ClinicalDocument" else "ncpdp" if b"ncpdp" in data[:HEAD].lower() else ""


def _is_xdm(data: bytes) -> bool:
    """Say whether a zip names IHE_XDM: in its first entries, its directory at the end, or as its first."""
    if b"IHE_XDM/" in data[:HEAD].upper() or b"IHE_XDM/" in data[-HEAD:].upper():
        return True
    return data[30:45].upper().startswith(_XDM_FIRST)
