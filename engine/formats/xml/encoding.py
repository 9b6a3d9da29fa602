"""XML bytes in any character set to UTF-8, in pieces, with a word about every declaration that was false.

In: bytes as they came. Out: UTF-8 bytes without byte order mark, the XML declaration blanked where it named
something else, and the repairs. A byte order mark goes before the declaration, the declaration before a
guess; bytes that prove it wrong go before the declaration. What stays doubtful is refused, never half read.
Follows XML 1.0 (5th ed.) 2.8, 4.3.3 and appendix F.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from engine.kernel.errors import FormatError

__all__ = ["Repair", "Text", "to_utf8"]

_PIECE = 1 << 16
_DECLARATION = re.compile(rb"<\?xml[ \t\r\n][^>]{0,400}\?>")
_ENCODING = re.compile(rb"""[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._:\-]{0,39})["']""")
_BLANK = b" \t\r\n"
# UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED = (
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# Character sets of text only, one byte or the East Asian ones; UTF-7 and the like can hide markup.
_KNOWN = re.compile(
    r"^(ascii|utf-8|utf-16(-le|-be)?|utf-32(-le|-be)?|iso8859-\d{1,2}|cp(437|850|852|866|932|936|949|950|125[0-8])"
    r"|koi8-[ru]|shift_jis|euc_jp|euc_kr|gb2312|gbk|gb18030|big5|mac-roman|tis-620)$"
)


class Repair(NamedTuple):
    """Something that had to be mended before the document could be read; never holds content."""

    code: str  # stable word, e.g. `encoding`, `prefix`, `ampersand`
    text: str


class Text(NamedTuple):
    """A document as UTF-8: what the parser reads, the character set it came in, what had to be mended."""

    data: bytes
    charset: str
    repairs: tuple[Repair, ...]


def to_utf8(data: bytes) -> Text:
    """Give the document as UTF-8; a character set that is unknown or not followed is a `FormatError`."""
    codec, body = _marked(data)
    repairs: list[Repair] = []
    if codec and codec != "utf-8":
        return Text(_undeclared(_transcode(body, codec)), codec, ())
    stripped = body.lstrip(_BLANK)
    if len(stripped) != len(body):
        body = stripped
        if body.startswith(b"<?xml"):
            repairs.append(Repair("blank", "blanks before the XML declaration were left out"))
    if not codec and (wide := next((name for head, name in _UNMARKED if body.startswith(head)), "")):
        return Text(_undeclared(_transcode(body, wide)), wide, tuple(repairs))
    declared = _declared(body)
    if codec == "utf-8" or declared in ("", "utf-8", "ascii"):
        if _is_utf8(body):
            return Text(_undeclared(body), "utf-8", tuple(repairs))
        if codec == "utf-8":
            raise _refused("the byte order mark says UTF-8, the bytes are not UTF-8")
        return _western(body, declared or "utf-8", repairs)
    if declared.startswith(("utf-16", "utf-32")):  # read this far byte by byte: it cannot be true
        if not _is_utf8(body):
            raise _refused(f"{declared} is declared, the bytes are neither that nor UTF-8")
        repairs.append(Repair("encoding", f"declared {declared}, read as UTF-8"))
        return Text(_undeclared(body), "utf-8", tuple(repairs))
    if declared.startswith(("iso8859", "cp125")) and not body.isascii() and _is_utf8(body):
        # text of one byte a letter is hardly ever valid UTF-8 by chance: the declaration is a template's
        repairs.append(Repair("encoding", f"declared {declared}, the bytes are UTF-8 and were read as that"))
        return Text(_undeclared(body), "utf-8", tuple(repairs))
    if declared == "iso8859-1" and re.search(rb"[\x80-\x9f]", body):
        return _western(body, declared, repairs)
    return Text(_undeclared(_transcode(body, declared)), declared, tuple(repairs))


def _marked(data: bytes) -> tuple[str, bytes]:
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return codec, data[len(mark) :]
    return "", data


def _declared(body: bytes) -> str:
    declaration = _DECLARATION.match(body)
    named = _ENCODING.search(declaration.group()) if declaration else None
    if named is None:
        return ""
    try:
        codec = codecs.lookup(named.group(1).decode("ascii")).name
    except LookupError:
        codec = ""
    if not _KNOWN.match(codec):
        raise _refused("the declared character set is not one that documents are read in")
    return codec


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        for at in range(0, len(body), _PIECE):
            decoder.decode(body[at : at + _PIECE])
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def _western(body: bytes, declared: str, repairs: list[Repair]) -> Text:
    """Read bytes that cannot be what they are declared as windows-1252, unless UTF-8 is mixed in."""
    if _MULTIBYTE.search(body):
        raise _refused("the bytes are UTF-8 in one place and not in another")
    repairs.append(Repair("encoding", f"declared {declared}, read as windows-1252"))
    return Text(_undeclared(_transcode(body, "cp1252")), "cp1252", tuple(repairs))


def _transcode(body: bytes, codec: str) -> bytes:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    out = bytearray()
    try:
        for at in range(0, len(body), _PIECE):
            out += decoder.decode(body[at : at + _PIECE]).encode()
        out += decoder.decode(b"", True).encode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise _refused(f"the bytes are not {codec}") from None
    return bytes(out).removeprefix(codecs.BOM_UTF8)


def _undeclared(body: bytes) -> bytes:
    """Blank an XML declaration that names a character set other than UTF-8; lines keep their numbers."""
    declaration = _DECLARATION.match(body)
    if declaration is None:
        return body
    named = _ENCODING.search(declaration.group())
    if named is None or named.group(1).lower() == b"utf-8":
        return body
    kept = re.sub(rb"[^\r\n]", b" ", declaration.group())
    return kept.lstrip(b" ") + body[declaration.end() :]


def _refused(why: str) -> FormatError:
    return FormatError(
        "the character set of the document is in doubt",
        where="1:1",
        why=why,
        remedy="have it sent as UTF-8 with a declaration that says so",
    )
