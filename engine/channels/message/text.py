"""A message for the eye: a segment or element a line, and nothing that a terminal would obey.

In: the bytes of an entry, in any format. Out: text; `visible` for one value.
"""

from __future__ import annotations

from engine.fhir import jsonio
from engine.formats.content import recognise
from engine.formats.dicom.document import parse as parse_dicom
from engine.formats.hl7v2.header import peek
from engine.formats.x12.segments import read_segments, text_of
from engine.formats.xml.encoding import to_utf8
from engine.kernel.errors import FormatError, HubError

__all__ = ["readable", "visible"]


def readable(body: bytes) -> str:
    """Return a message for the eye: a segment or element a line, and nothing that a terminal would obey."""
    format = recognise(body)
    if format == "xdm":
        return f"a package (zip) of {len(body):,} bytes"
    if format == "dicom":
        text = "\n".join(f"{leaf.place} = {leaf.value}" for leaf in parse_dicom(body).leaves())
    elif format == "fhir":
        text = _indented(body)
    elif format in ("cda", "ncpdp"):
        try:
            text = to_utf8(body).data.decode("utf-8", "replace").replace("\r\n", "\n")
        except FormatError:
            text = body.decode("utf-8", "replace")
        text = text.replace("><", ">\n<")
    elif format == "x12":
        segments, trailer, _ = read_segments(body)
        text = "\n".join(text_of(s.raw) + s.separators.segment.strip() for s in segments) + trailer.strip()
    else:
        text = body.decode(peek(body).codec or "utf-8", "replace")
        text = text.replace("\r\n", "\r").replace("\n", "\r").rstrip("\r").replace("\r", "\n")
    return "\n".join(visible(line) for line in text.split("\n"))


def _indented(body: bytes) -> str:
    """Lay JSON out, its words and numbers as they came."""
    try:
        return jsonio.dumps_pretty(jsonio.loads(body.removeprefix(b"\xef\xbb\xbf"))).decode()
    except HubError:
        return body.decode("utf-8", "replace")


def visible(text: str) -> str:
    """Return a value with every character shown that is not printable."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
