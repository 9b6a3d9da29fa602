"""What is odd about a message: its bytes, its delimiters, its escapes, what stands where nothing is defined.

In: a parsed message. Out: (word, place) pairs, each once a message, without any value. `WORDS` says what each
means to a person. Follows HL7 v2.8.2 ch. 2.5-2.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from engine.channels.profiling.layout import is_own, segment_length
from engine.formats.hl7v2.delims import Delims
from engine.formats.hl7v2.parse import Message, Segment

__all__ = ["WORDS", "quirk_text", "quirks_of"]

WORDS = {
    "line-ends-LF": "segments end in LF; the standard says CR",
    "line-ends-CRLF": "segments end in CR LF; the standard says CR",
    "mixed-line-ends": "segments end in different ways",
    "charset": "the bytes are not in the character set that MSH-18 says",
    "charset-doubtful": "the bytes fit MSH-18 and UTF-8 alike",
    "charset-unsaid": "there are bytes beyond ASCII, and MSH-18 is empty",
    "unknown-charset": "MSH-18 names a character set that table 0211 does not have",
    "byte-order-mark": "a byte order mark stands before MSH",
    "mllp-bytes": "the message carries MLLP bytes inside its frame",
    "text-before-msh": "text stands before MSH",
    "blank-before-msh": "blanks stand before MSH",
    "second-msh": "several messages come in one frame",
    "msh-2-escaped": "the encoding characters of MSH-2 are escaped",
    "msh-2-long": "MSH-2 holds more than five characters",
    "msh-2-short": "MSH-2 names fewer than four characters",
    "msh-2-unusable": "MSH-2 names a character that cannot be a delimiter",
    "beyond-definition": "the field lies beyond the segment's definition in the version of MSH-12",
    "other-version": "MSH-12's version does not have this segment",
    "bare-escape": "an escape character stands where no escape sequence is",
    "own-escape": "an escape sequence of the sender's own",
    "no-control-id": "MSH-10 is empty",
    "no-version": "MSH-12 is empty",
    "repeats": "the field repeats, and the standard lets it stand once",
    "not-a-date": "what stands in a date or time is none",
    "blank": "the field holds nothing but blanks",
}


def quirk_text(word: str) -> str:
    """Say what a quirk is; a word of the parser's own stands for itself."""
    return WORDS.get(word, word.replace("-", " "))


def quirks_of(message: Message, version: str) -> Iterator[tuple[str, str]]:
    """Give what is odd about a message, without what only its values show (`observing.py` adds that)."""
    for repair in message.repairs:
        yield repair.code, repair.where.partition("[")[0]
    if message.terminator in ("\n", "\r\n"):
        yield ("line-ends-LF" if message.terminator == "\n" else "line-ends-CRLF"), ""
    header = message.segments[0]
    if not header.field(18).strip() and not message.raw.isascii():
        yield "charset-unsaid", "MSH-18"
    if not message.control_id:
        yield "no-control-id", "MSH-10"
    if not message.version:
        yield "no-version", "MSH-12"
    for segment in message.segments:
        yield from _of_segment(segment, version, message.delims)


def _of_segment(segment: Segment, version: str, delims: Delims) -> Iterator[tuple[str, str]]:
    name = segment.name
    fields = segment.fields
    defined = segment_length(version, name)
    if not defined and not is_own(name):
        yield "other-version", name
    elif defined and len(fields) > defined + 1:
        for number in range(defined + 1, len(fields)):
            if fields[number].strip():
                yield "beyond-definition", f"{name}-{number}"
    if delims.escape not in segment.text:
        return
    valid, own = _escapes(delims)
    for number, raw in enumerate(fields):
        if delims.escape in raw and not (name == "MSH" and number == 2):
            if own.search(raw):
                yield "own-escape", f"{name}-{number}"
            if delims.escape in valid.sub("", raw):
                yield "bare-escape", f"{name}-{number}"


@lru_cache(maxsize=64)
def _escapes(delims: Delims) -> tuple[re.Pattern[str], re.Pattern[str]]:
    e = re.escape(delims.escape)
    own = rf"{e}Z[^{e}]*{e}"
    plain = r"[FSTREPHN]|X(?:[0-9A-Fa-f]{2})+|\.[A-Za-z]{2}[ ]?[+-]?\d*|C[0-9A-Fa-f]{4}|M[0-9A-Fa-f]{4,6}"
    known = f"{e}(?:{plain}){e}"
    return re.compile(f"{known}|{own}"), re.compile(own)
