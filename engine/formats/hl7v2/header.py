"""A peek at MSH on the raw bytes: what a listener must know to journal and to answer, in a few microseconds.

In: the bytes of one frame. Out: a `Header`; `ok` is False, with a reason, where there is none to read.
Nothing is raised and nothing else of the message is looked at. Field texts are raw (still escaped). Follows
HL7 v2.5.1 ch. 2.15.9.
"""

from __future__ import annotations

import re

from engine.formats.hl7v2.charset import utf16_codec

__all__ = ["Header", "peek"]

_START = re.compile(rb"(?:\A|[\r\n\x0b]|\xef\xbb\xbf)[ \t\x00]*([Mm][Ss][Hh][!-/:-@\[-`{-~])")
_EOL = re.compile(rb"[\r\n\x1c]")
_LONGEST = 65536  # an MSH longer than this is no MSH
_LOOK = 4096  # how far a message may stand behind stray bytes


class Header:
    """The fields of MSH, raw; `fields[i]` is MSH-i."""

    __slots__ = ("code", "codec", "event", "fields", "ok", "reason", "separator", "structure", "version")

    def __init__(self, fields: list[str], codec: str, reason: str = "") -> None:
        self.fields = fields
        self.codec = codec
        self.ok = not reason
        self.reason = reason
        self.separator = fields[1]
        kind = fields[9]
        self.code = self.event = self.structure = ""
        if kind:
            parts = kind.split(fields[2][:1] or "^")
            self.code = parts[0].strip()
            if len(parts) > 1:
                self.event = parts[1].strip()
                if len(parts) > 2:
                    self.structure = parts[2].strip()
        version = fields[12]
        self.version = version.split(fields[2][:1] or "^", 1)[0].strip() if version else ""

    @property
    def encoding(self) -> str:
        """MSH-2, the encoding characters."""
        return self.fields[2]

    @property
    def sending_application(self) -> str:
        """MSH-3."""
        return self.fields[3]

    @property
    def sending_facility(self) -> str:
        """MSH-4."""
        return self.fields[4]

    @property
    def receiving_application(self) -> str:
        """MSH-5."""
        return self.fields[5]

    @property
    def receiving_facility(self) -> str:
        """MSH-6."""
        return self.fields[6]

    @property
    def control_id(self) -> str:
        """MSH-10, blanks around it removed."""
        return self.fields[10].strip()

    @property
    def processing_id(self) -> str:
        """MSH-11, first component."""
        return self.fields[11].split(self.fields[2][:1] or "^", 1)[0].strip()

    @property
    def accept_ack(self) -> str:
        """MSH-15, accept acknowledgement type."""
        return self.fields[15].strip().upper()

    @property
    def application_ack(self) -> str:
        """MSH-16, application acknowledgement type."""
        return self.fields[16].strip().upper()

    @property
    def charset(self) -> str:
        """MSH-18."""
        return self.fields[18]

    @property
    def enhanced(self) -> bool:
        """Tell whether MSH-15 or MSH-16 asks for enhanced acknowledgement (v2.5.1 ch. 2.9.3)."""
        return bool(self.accept_ack or self.application_ack)

    @property
    def message_type(self) -> str:
        """Write `ORU^R01`."""
        return f"{self.code}^{self.event}" if self.event else self.code

    def __repr__(self) -> str:
        return f"<Header {self.message_type} ok={self.ok}>"


def peek(data: bytes) -> Header:
    """Read MSH from raw bytes; never raises."""
    if data[:3] != b"MSH" or data[3:4].isalnum():
        found = _START.search(data, 0, _LOOK)
        if found is None:
            return _wide(data)
        data = data[found.start(1) :]
    end = data.find(b"\r", 0, _LONGEST)
    line = data[:end] if end >= 0 else data[:_LONGEST]
    if b"\n" in line or end < 0:
        stop = _EOL.search(line)
        line = line[: stop.start()] if stop else line
    codec = "ascii"
    if line.isascii():
        text = line.decode("ascii")
    else:
        codec, text = _text(line)
    return _header(text, codec)


def _header(text: str, codec: str) -> Header:
    separator = text[3:4]
    if not separator or separator.isalnum() or not separator.isprintable():
        return _nothing("MSH has no field separator")
    fields = text.split(separator)
    fields.insert(1, separator)
    missing = 22 - len(fields)
    if missing > 0:
        fields += [""] * missing
    return Header(fields, codec)


def _text(line: bytes) -> tuple[str, str]:
    try:
        return "utf-8", line.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1", line.decode("latin-1")  # any byte goes in and comes out again unchanged


def _wide(data: bytes) -> Header:
    codec = utf16_codec(data)
    if not codec:
        return _nothing("no MSH segment" if data.strip(b"\x0b\x1c\r\n \x00") else "no bytes")
    text = data[: 2 * _LOOK].decode(codec, "replace").lstrip("\ufeff")
    line = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return _header(line, codec) if line[:3] == "MSH" else _nothing("no MSH segment")


def _nothing(reason: str) -> Header:
    return Header(["MSH", "|", "^~\\&", *[""] * 19], "ascii", reason)
