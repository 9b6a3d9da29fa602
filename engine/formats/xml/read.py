"""XML that strangers send, as a tree: no DTD, no entities of its own, nothing fetched, everything bounded.

In: bytes. Out: `XmlDocument`, the bytes as they came and the tree of what they say; or a `FormatError` with
line and column, and never a word of the content. A DOCTYPE is refused before the parser sees it, so neither
entities nor external references exist. Small damage (a prefix nobody declared, `&` standing alone, control
characters, HTML's entities) is mended and told. Follows XML 1.0 (5th ed.) and Namespaces in XML 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html.entities import name2codepoint
from typing import NamedTuple

from lxml import etree

from engine.formats.xml.encoding import Repair, to_utf8
from engine.kernel.errors import FormatError

__all__ = ["Limits", "RootName", "XmlDocument", "read_xml", "root_name"]


class Limits(NamedTuple):
    """What a document may cost: bytes, `<` and `=` (about 150 bytes of memory each), depth."""

    size: int = 128 << 20
    markup: int = 4_000_000
    depth: int = 512


class RootName(NamedTuple):
    """Local name and namespace of the root element."""

    local: str
    namespace: str


@dataclass(frozen=True, slots=True)
class XmlDocument:
    """The bytes of a document and the tree of them; comments and processing instructions are not in it."""

    raw: bytes
    root: etree._Element
    charset: str
    repairs: tuple[Repair, ...]


_HEAD = 1 << 16
_BLANKS = re.compile(rb"[ \t\r\n]*")
_START = re.compile(rb"<(?:([A-Za-z_][\w.\-]{0,99}):)?([A-Za-z_][\w.\-]{0,199})(?=[\s/>])")
_XMLNS = re.compile(rb"""\sxmlns(?::([\w.\-]+))?\s*=\s*(?:"([^"<]*)"|'([^'<]*)')""")
_USUAL = {
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "sdtc": "urn:hl7-org:sdtc",
    "voc": "urn:hl7-org:v3/voc",
}
_UNDEFINED_PREFIX = re.compile(r"Namespace prefix ([\w.\-]+)")
_AMPERSAND = re.compile(
    rb"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|&(?:#(\d{1,7});|#x([0-9A-Fa-f]{1,6});|([A-Za-z][A-Za-z0-9]{0,31});)?",
    re.S,
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
_PREDEFINED = {b"amp", b"lt", b"gt", b"quot", b"apos"}


def root_name(data: bytes) -> RootName | None:
    """Tell the root element from the first 64 KiB; None where this is no XML or its root cannot be seen."""
    try:
        # cut where every character set this reads ends a character
        text = to_utf8(data[:_HEAD] if len(data) <= _HEAD else _cut(data)).data
        at = _root_at(text)
    except FormatError:
        return None
    start = _START.match(text, at)
    if start is None:
        return None
    prefix, local = start.group(1), start.group(2).decode("utf-8", "replace")
    end = text.find(b">", at)
    for found in _XMLNS.finditer(text, at, end if end > 0 else len(text)):
        if found.group(1) == prefix:
            return RootName(local, (found.group(2) or found.group(3) or b"").decode("utf-8", "replace"))
    return RootName(local, "")


def _cut(data: bytes) -> bytes:
    end = data.rfind(b">", 0, _HEAD)
    while data[end + 1 : end + 2] == b"\0":  # `>` of UTF-16 or UTF-32, little-endian
        end += 1
    return data[: end + 1] if end > 0 else data[:_HEAD]


def read_xml(
    data: bytes, limits: Limits | None = None, assume: Mapping[str, str] | None = None
) -> XmlDocument:
    """Read a document; `assume` names the namespace of a root that says none (`ClinicalDocument` -> v3)."""
    limits = limits or Limits()
    if len(data) > limits.size:
        raise _too_much(f"it has {len(data):,} bytes, {limits.size:,} are allowed")
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf\xfe\xff"):
        raise FormatError("no XML", where="1:1", why="the input is empty", remedy="have it sent again")
    text = to_utf8(data)
    markup = text.data.count(b"<") + text.data.count(b"=")
    if markup > limits.markup:
        raise _too_much(f"it has {markup:,} elements and attributes, {limits.markup:,} are allowed")
    at = _root_at(text.data)
    body, repairs = text.data, list(text.repairs)
    if assume and (start := _START.match(body, at)) and start.group(1) is None:
        local = start.group(2).decode("utf-8", "replace")
        end = body.find(b">", at)
        if local in assume and not any(m.group(1) is None for m in _XMLNS.finditer(body, at, max(end, at))):
            body = _declare(body, at, {"": assume[local]})
            repairs.append(Repair("namespace", f"the root says no namespace; read as {assume[local]}"))
    root = _parse(body, at, repairs)
    if root.getroottree().docinfo.internalDTD is not None:  # cannot be: refused above
        raise _doctype()
    _bound_depth(root, limits.depth)
    return XmlDocument(data, root, text.charset, tuple(repairs))


def _root_at(text: bytes) -> int:
    """Find where the root element begins; a DOCTYPE before it is refused, and so is what is no XML."""
    at = 0
    while True:
        at = _BLANKS.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
        if text.startswith(b"<?", at):
            end, step = text.find(b"?>", at), 2
        elif text.startswith(b"<!--", at):
            end, step = text.find(b"-->", at + 4), 3
        elif text[at : at + 9].upper() == b"<!DOCTYPE":
            raise _doctype()
        elif _START.match(text, at) or (text[at : at + 1] == b"<" and text[at + 1 : at + 2] > b"\x7f"):
            return at
        else:
            end, step = -1, 0
        if end < 0:
            raise FormatError(
                "no XML", where="1:1", why="it does not begin with an element", remedy="send an XML document"
            )
        at = end + step


def _parse(body: bytes, at: int, repairs: list[Repair]) -> etree._Element:
    """Parse; what a sender's usual damage prevents is mended and tried again, each kind once."""
    for _ in range(4):
        parser = etree.XMLParser(
            encoding="utf-8",
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            dtd_validation=False,
            huge_tree=True,  # a PDF of more than 10 MB is one text; size, markup and depth have own limits
            remove_comments=True,
            remove_pis=True,
            strip_cdata=True,
        )
        try:
            return etree.fromstring(body, parser)
        except etree.XMLSyntaxError as e:
            kinds = {entry.type_name for entry in parser.error_log}
            mended, told = _mend(body, at, kinds, [entry.message for entry in parser.error_log])
            if not told:
                raise _broken(e, kinds) from None
            body = mended
            repairs += told
    raise FormatError("not well-formed XML", where="1:1", why="too much of it is damaged")


def _mend(body: bytes, at: int, kinds: set[str], messages: list[str]) -> tuple[bytes, list[Repair]]:
    told: list[Repair] = []
    if "NS_ERR_UNDEFINED_NAMESPACE" in kinds:
        prefixes = sorted({m.group(1) for text in messages if (m := _UNDEFINED_PREFIX.match(text))})
        body = _declare(body, at, {p: _USUAL.get(p, f"urn:undeclared:{p}") for p in prefixes})
        told += [Repair("prefix", f"the prefix {p} is not declared") for p in prefixes]
    if kinds & {
        "ERR_UNDECLARED_ENTITY",
        "ERR_NAME_REQUIRED",
        "ERR_ENTITYREF_SEMICOL_MISSING",
        "ERR_INVALID_CHAR",
        "ERR_INVALID_CHARREF",
    }:
        counts = dict.fromkeys(("ampersand", "entity", "control"), 0)

        def sub(m: re.Match[bytes]) -> bytes:
            whole, decimal, hexadecimal, name = m.group(0), m.group(1), m.group(2), m.group(3)
            if decimal or hexadecimal:
                code = int(decimal) if decimal else int(hexadecimal, 16)
                if code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD:
                    return whole
                if 0x10000 <= code <= 0x10FFFF:
                    return whole
                counts["control"] += 1
                return b""
            if name is not None and name not in _PREDEFINED and name.decode() in name2codepoint:
                counts["entity"] += 1
                return b"&#%d;" % name2codepoint[name.decode()]
            if whole == b"&":
                counts["ampersand"] += 1
                return b"&amp;"
            return whole

        body = _AMPERSAND.sub(sub, body)
        body, n = _CONTROL.subn(b"", body)
        counts["control"] += n
        words = {
            "ampersand": "{} `&` that began no reference",
            "entity": "{} entities of HTML, which XML does not know",
            "control": "{} control characters that XML does not allow were left out",
        }
        told += [Repair(kind, words[kind].format(n)) for kind, n in counts.items() if n]
    return body, told


def _declare(body: bytes, at: int, namespaces: dict[str, str]) -> bytes:
    start = _START.match(body, at)
    if start is None:
        return body
    text = "".join(f' xmlns:{p}="{uri}"' if p else f' xmlns="{uri}"' for p, uri in namespaces.items())
    return body[: start.end()] + text.encode() + body[start.end() :]


def _bound_depth(root: etree._Element, most: int) -> None:
    if _reaches(most + 1)(root):
        raise _too_much(f"its elements are nested deeper than {most}")


@cache
def _reaches(depth: int) -> etree.XPath:
    """Ask whether there is an element that deep: `/*/*/*...`, far faster than to walk."""
    return etree.XPath("boolean(" + "/*" * depth + ")")


def _broken(e: etree.XMLSyntaxError, kinds: set[str]) -> FormatError:
    line, column = e.position if e.position else (1, 1)
    text = str(e)
    if "depth" in text.lower():
        return _too_much("its elements are nested too deeply")
    if kinds & {"ERR_DOCUMENT_END", "ERR_TAG_NOT_FINISHED", "ERR_GT_REQUIRED", "ERR_DOCUMENT_EMPTY"}:
        why = "an element is not closed; was the document cut off?"
    elif "ERR_TAG_NAME_MISMATCH" in kinds:
        why = "an element is closed by another's end tag"
    elif "ERR_UNDECLARED_ENTITY" in kinds:
        why = "it uses an entity, and documents with entities are not read"
    elif kinds & {"ERR_ATTRIBUTE_REDEFINED", "ERR_ATTRIBUTE_WITHOUT_VALUE", "ERR_ATTRIBUTE_NOT_STARTED"}:
        why = "an attribute is said twice or has no value in quotes"
    else:
        why = (
            "; ".join(sorted(k.removeprefix("ERR_").replace("_", " ").lower() for k in kinds)) or "unreadable"
        )
    return FormatError(
        "not well-formed XML", where=f"{line}:{column}", why=why, remedy="have the sender write it again"
    )


def _too_much(why: str) -> FormatError:
    return FormatError("the document is too large to read safely", where="1:1", why=why, remedy="split it")


def _doctype() -> FormatError:
    return FormatError(
        "the document has a DOCTYPE",
        where="1:1",
        why="entities and external files are never read",
        remedy="have it sent without DOCTYPE",
    )
