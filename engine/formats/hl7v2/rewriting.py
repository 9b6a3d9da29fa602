"""Fields of MSH put in place of others, in the bytes of a message; nothing else of it changes.

In: a message and new texts by the number of the field. Out: bytes. For who forwards a message as it came, and
must name itself as the sender. HL7 v2.5.1 ch. 2.15.9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.formats.hl7v2.delims import read_delims
from engine.formats.hl7v2.escapes import escape
from engine.formats.hl7v2.header import peek
from engine.kernel.errors import FormatError

__all__ = ["with_header"]

_END = re.compile(rb"[\r\n]")


def with_header(message: bytes, fields: Mapping[int, str]) -> bytes:
    """Put texts into fields of MSH, `{5: "LAB"}`; components are parted with `^`. Raises FormatError."""
    header = peek(message)
    if not header.ok:
        raise FormatError("there is no MSH to change", why="this is no HL7 v2 message")
    if header.codec.startswith("utf-16"):
        raise FormatError(
            "MSH of a message in UTF-16 is not changed", remedy="send it as it is: leave out `set`"
        )
    start = message.upper().index(b"MSH")
    found = _END.search(message, start)
    end = found.start() if found is not None else len(message)
    delims, _ = read_delims(header.separator, header.encoding)
    line = message[start:end].split(header.separator.encode("latin-1"))
    for number, text in fields.items():
        line += [b""] * (number - len(line))
        parts = (escape(part, delims) for part in text.split("^"))
        try:
            line[number - 1] = delims.component.join(parts).encode(_codec(header.codec))
        except UnicodeEncodeError:
            why = "its character set does not have what the settings say"
            raise FormatError("MSH cannot be changed", where=f"MSH-{number}", why=why) from None
    return message[:start] + header.separator.encode("latin-1").join(line) + message[end:]


def _codec(codec: str) -> str:
    return codec or "ascii"
