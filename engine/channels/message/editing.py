"""A message as text that a person can edit in a form, and the text as the bytes of a message again.

In: the body of an entry. Out: text with one line a segment, or nothing where the way back would change what
nobody touched (mixed line ends, bytes outside the character set, what is no text at all): then a file can be
sent instead. `byte_diff` says what an edit changed, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from engine.channels.message.text import visible
from engine.formats.content import recognise
from engine.formats.hl7v2.parse import parse
from engine.formats.xml.encoding import to_utf8
from engine.kernel.errors import FormatError
from engine.kernel.message import Entry

__all__ = ["Editable", "Piece", "byte_diff", "editable", "edited_bytes"]

MOST = 1 << 20  # bytes that are edited in a form
_LINES = 4000
_SHOWN = 400  # lines of a difference


@dataclass(frozen=True, slots=True)
class Editable:
    """A message as text; `line_end` and `codec` lead back to its bytes."""

    text: str
    line_end: str
    codec: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of a difference: `kind` is same, removed or added; `begin` is the byte it begins at."""

    kind: str
    begin: int
    text: str


def editable(entry: Entry, charset: str = "") -> Editable | None:
    """Return a message as text; None where it is edited as a file only."""
    if len(entry.body) > MOST:
        return None
    format = recognise(entry.body)
    if format in ("dicom", "xdm"):
        return None
    try:
        codec, line_end = _ways(entry, format, charset)
        text = entry.body.decode(codec)
    except (FormatError, UnicodeDecodeError, LookupError):
        return None
    shown = text.replace(line_end, "\n") if line_end else text
    if (
        "\r" in shown
        or "\x00" in shown
        or (line_end not in ("\n", "") and "\n" in text.replace(line_end, ""))
    ):
        return None
    found = Editable(shown, line_end, codec)
    return found if edited_bytes(shown, found) == entry.body else None


def _ways(entry: Entry, format: str, charset: str) -> tuple[str, str]:
    """Return the character set and the line end of a message."""
    if format in ("", "hl7v2"):
        message = parse(entry.body, charset=entry.charset or charset)
        return message.charset, message.terminator
    codec = "latin-1" if format == "x12" else _xml_codec(entry.body)
    for end in ("\r\n", "\n", "\r"):
        if end.encode() in entry.body:
            return codec, end
    return codec, ""


def _xml_codec(body: bytes) -> str:
    return to_utf8(body).charset or "utf-8"


def edited_bytes(text: str, way: Editable) -> bytes:
    """Return the bytes of an edited text. Raises FormatError where its character set has not all of it."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    if way.text.endswith("\n") and not plain.endswith("\n"):
        plain += "\n"
    plain = plain.replace("\n", way.line_end) if way.line_end else plain
    try:
        return plain.encode(way.codec)
    except UnicodeEncodeError as e:
        raise FormatError(
            f"the message is in {way.codec}, which has no such character",
            where=f"character {e.start + 1}",
            remedy="write it with what the character set has, or as an escape",
        ) from None


def byte_diff(before: bytes, after: bytes) -> list[Piece]:
    """Say what differs between two messages, a segment or line at a time, with byte offsets."""
    old, new = _lines(before), _lines(after)
    if len(old) + len(new) > _LINES:
        text = f"{len(before):,} bytes became {len(after):,}; too many lines to show"
        return [Piece("added", 0, text)]
    out: list[Piece] = []
    matcher = SequenceMatcher(None, [t for _, t in old], [t for _, t in new], autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            out += [Piece("same", at, _text(line)) for at, line in old[i1:i2]]
        else:
            out += [Piece("removed", at, _text(line)) for at, line in old[i1:i2]]
            out += [Piece("added", at, _text(line)) for at, line in new[j1:j2]]
    return _near(out)[:_SHOWN]


def _lines(body: bytes) -> list[tuple[int, bytes]]:
    """Part a message into its lines, X12 without lines into its segments, each with its offset."""
    out, at = [], 0
    mark = b"~" if b"\r" not in body and b"\n" not in body else b""
    parts = body.replace(b"~", b"~\n").split(b"\n") if mark else body.splitlines(keepends=True)
    for part in parts:
        if part:
            out.append((at, part))
        at += len(part)
    return out


def _text(line: bytes) -> str:
    return visible(line.rstrip(b"\r\n").decode("utf-8", "replace"))


def _near(pieces: list[Piece]) -> list[Piece]:
    """Leave out what is far from any difference."""
    changed = [n for n, piece in enumerate(pieces) if piece.kind != "same"]
    near = {n for at in changed for n in range(at - 2, at + 3)}
    return [piece for n, piece in enumerate(pieces) if n in near]
