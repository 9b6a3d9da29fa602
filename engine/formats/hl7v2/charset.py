"""Character sets: the names of HL7 table 0211 and how the bytes of a message become text.

In: bytes, MSH-18, and the sender's default. Out: text, the codec used, and repairs where the bytes were not
what MSH-18 says. Follows HL7 v2.5.1 ch. 2.15.9.18: the first repetition is the default set, later ones are
reached by ISO 2022 escape sequences. Decoding never fails: a last resort is reported, never silent.
"""

from __future__ import annotations

import codecs
from functools import lru_cache

from engine.formats.hl7v2.delims import Repair

__all__ = ["SINGLE_BYTE_OR_UTF8", "codec_of", "decode", "hl7_name", "utf16_codec"]

_TABLE_0211 = {
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO IR6": "ascii",
    "ISO IR14": "iso2022_jp_2",
    "ISO IR13": "iso2022_jp_ext",
    "ISO IR87": "iso2022_jp_2",
    "ISO IR159": "iso2022_jp_2",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "CNS 11643-1992": "big5",
    "BIG-5": "big5",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "UNICODE UTF-32": "utf-32",
}
_WRITTEN = {
    "utf8": "UNICODE UTF-8",
    "unicodeutf8": "UNICODE UTF-8",
    "iso88591": "8859/1",
    "iso885915": "8859/15",
    "usascii": "ASCII",
    "iso646": "ASCII",
    "windows1252": "cp1252",
    "ansi": "cp1252",
    "big5": "BIG-5",
    "gb18030": "GB 18030-2000",
    "ksx1001": "KS X 1001",
}
SINGLE_BYTE_OR_UTF8 = frozenset(
    {"ascii", "utf-8", "cp1252", "latin-1", *(c for c in _TABLE_0211.values() if c.startswith("iso8859"))}
)
"""Codecs in which encoding a piece of the text gives exactly the bytes it came from."""


@lru_cache(maxsize=256)
def codec_of(name: str) -> str:
    """Give the Python codec of a table 0211 name or of a codec's own name; empty when unknown."""
    key = " ".join(name.split()).upper()
    if key in _TABLE_0211:
        return _TABLE_0211[key]
    plain = "".join(c for c in key.lower() if c.isalnum())
    written = _WRITTEN.get(plain, "")
    if written:
        return _TABLE_0211.get(written, written)
    try:
        found = codecs.lookup(name.strip()) if name.strip() else None
    except (LookupError, ValueError, UnicodeError):
        return ""
    if (
        found is None
        or not getattr(found, "_is_text_encoding", True)
        or found.name.replace("-", "_") in _NO_CHARSET
    ):
        return ""
    return found.name


_WESTERN = frozenset({"iso8859-1", "iso8859-15", "cp1252", "latin-1"})
_NO_CHARSET = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)


@lru_cache(maxsize=64)
def hl7_name(codec: str) -> str:
    """Give the table 0211 name of a codec, for MSH-18; empty for a set the table does not know."""
    real = codec_of(codec)
    return next((name for name, known in _TABLE_0211.items() if known == real and name != "UNICODE"), "")


@lru_cache(maxsize=256)
def declared_codec(msh18: str, repetition: str) -> str:
    """Give the codec for all of MSH-18: an ISO 2022 set among the alternates wins: it contains ASCII."""
    names = [part for part in msh18.split(repetition) if part.strip()]
    found = [codec_of(part) for part in names]
    shifting = [codec for codec in found if codec.startswith("iso2022")]
    if "iso2022_jp_ext" in shifting:
        return "iso2022_jp_ext"
    return shifting[0] if shifting else (found[0] if found else "")


def utf16_codec(data: bytes) -> str:
    """Recognise UTF-16 by its byte order mark or by the zero bytes of `MSH`; else empty."""
    head = data[:6]
    if head[:2] == b"\xff\xfe" or head == b"M\0S\0H\0":
        return "utf-16-le"
    if head[:2] == b"\xfe\xff" or head == b"\0M\0S\0H":
        return "utf-16-be"
    return ""


def decode(body: bytes, msh18: str, repetition: str, default: str, repairs: list[Repair]) -> tuple[str, str]:
    """Decode a message; MSH-18 first, then the sender's default, then UTF-8, then windows-1252."""
    codec = declared_codec(msh18, repetition) if msh18 else ""
    if msh18 and not codec:
        repairs.append(
            Repair("unknown-charset", "MSH-18", "MSH-18 names a character set that table 0211 does not have")
        )
    if codec in ("utf-16", "utf-32"):
        codec = ""  # the header was readable as single bytes, so this is not what it says
    if codec:
        text = _strict(body, codec)
        wide = _strict(body, "utf-8") if codec.startswith(("iso8859", "cp125", "latin")) else None
        if wide is not None and wide != text and codec in _WESTERN:
            # pairs such as `Ã¤` occur in no language: the bytes are UTF-8 whatever MSH-18 says
            repairs.append(
                Repair("charset", "MSH-18", f"MSH-18 says {codec}, the bytes are UTF-8 and were read so")
            )
            return wide, "utf-8"
        if text is not None:
            if wide is not None and wide != text:
                note = "the bytes are also valid UTF-8: MSH-18 may be wrong; it was followed"
                repairs.append(Repair("charset-doubtful", "MSH-18", note))
            return text, codec
    fallback = codec_of(default) if default else ""
    for other in (fallback, "utf-8"):
        if not other or other in ("utf-16", "utf-32"):
            continue
        text = _strict(body, other)
        if text is not None:
            if codec and codec != other:
                repairs.append(
                    Repair("charset", "MSH-18", f"the bytes are not what MSH-18 says; read as {other}")
                )
            return text, other
    text = _strict(body, "cp1252")
    if text is not None:
        repairs.append(
            Repair("charset", "MSH-18", "no declared character set fits the bytes; read as windows-1252")
        )
        return text, "cp1252"
    repairs.append(
        Repair("charset", "MSH-18", "no declared character set fits the bytes; read as ISO 8859-1")
    )
    return body.decode("latin-1"), "latin-1"


def _strict(body: bytes, codec: str) -> str | None:
    try:
        text = body.decode(codec)
    except (UnicodeError, LookupError, ValueError):
        return None
    return text if text[:4] == body[:4].decode("latin-1") else None  # a set that is not a superset of ASCII
