"""An XDM package, written: documents and what is known of them as one zip.

In: a submission and its documents. Out: the bytes of the zip, the same for the same submission: names of
files, their order and their times come from it alone. What `engine.formats.xdm` reads. Follows IHE ITI TF-2
3.32.4.1 (folders, INDEX.HTM, README.TXT, METADATA.XML, names of ISO 9660 level 1), and XDR and XDM for Direct
Messaging 1.0 (one submission set, limited metadata allowed).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from engine.formats.xds.ebrim import Submission, metadata
from engine.formats.xds.entry import DocumentEntry, one_patient
from engine.kernel.errors import FormatError

__all__ = ["write_package"]

_FOLDER = "IHE_XDM/SUBSET01"


def write_package(submission: Submission, entries: Sequence[DocumentEntry], contact: str = "") -> bytes:
    """Write a package of one submission set; a `FormatError` where its documents are several patients'."""
    if not entries:
        raise FormatError("no XDM package", why="there is no document in it", remedy="send one")
    one_patient(entries)
    files = [(f"DOC{n:05d}.{entry.extension}", entry) for n, entry in enumerate(entries, 1)]
    told = submission.organization or submission.sender or "the sender"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        at = _time(submission.submitted)
        _write(package, at, "INDEX.HTM", _index(told, contact, files))
        _write(package, at, "README.TXT", _readme(told, contact))
        _write(package, at, f"{_FOLDER}/METADATA.XML", metadata(submission, files))
        for name, entry in files:
            _write(package, at, f"{_FOLDER}/{name}", entry.data)
    return out.getvalue()


def _write(package: zipfile.ZipFile, at: tuple[int, int, int, int, int, int], name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, at)
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    package.writestr(info, data)


def _time(submitted: str) -> tuple[int, int, int, int, int, int]:
    at = datetime.fromisoformat(submitted).astimezone(UTC)
    return max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second


def _index(told: str, contact: str, files: Sequence[tuple[str, DocumentEntry]]) -> bytes:
    """Write the page a person opens: who made this, and a link to each document."""
    rows = "\n".join(
        f'<li><a href="{_FOLDER}/{name}">{escape(entry.title or name)}</a> ({escape(entry.media_type)})</li>'
        for name, entry in files
    )
    whom = f"<p>Questions: {escape(contact)}</p>\n" if contact else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML Basic 1.0//EN" '
        '"http://www.w3.org/TR/xhtml-basic/xhtml-basic10.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en">\n'
        f"<head><title>Documents from {escape(told)}</title></head>\n<body>\n"
        f"<h1>Documents from {escape(told)}</h1>\n{whom}<ul>\n{rows}\n</ul>\n"
        '<p><a href="README.TXT">About this package</a></p>\n</body>\n</html>\n'
    ).encode()


def _readme(told: str, contact: str) -> bytes:
    lines = [
        f"Clinical documents from {told}.",
        f"Questions: {contact}" if contact else "",
        "",
        "The documents lie in IHE_XDM/SUBSET01; INDEX.HTM links each of them.",
        "METADATA.XML there says what each is, for a program (IHE Cross-Enterprise",
        "Document Media Interchange). The XML documents are HL7 CDA R2; to read them, open",
        "them with a system that displays CDA. No program comes with this package.",
        "",
        "They are confidential: whom they were not meant for must not use them.",
    ]
    return "\r\n".join(line for n, line in enumerate(lines) if line or n != 1).encode() + b"\r\n"
