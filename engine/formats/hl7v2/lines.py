"""Damaged line structure: text with mixed line ends, blank lines, broken lines and badly written segment
names.

In: the decoded text of one message. Out: one `Line` a segment, with its place in the text, and repairs. A
line that does not start like a segment continues the one before it: its line end is kept as `\\n` inside the
field, except next to a delimiter, where a line end has no meaning. Follows HL7 v2.5.1 ch. 2.5.2 for what a
segment starts with.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from engine.formats.hl7v2.delims import Delims, Repair
from engine.formats.hl7v2.dictionary import segment_names

__all__ = ["Line", "assemble", "name_of"]

_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_BLANK = " \t\x00\x0b\x0c\x1a\x1c\ufeff"


class Line(NamedTuple):
    """One segment's name, number, repaired text, and its character range in the decoded message."""

    name: str
    n: int
    text: str
    start: int
    end: int


def name_of(line: str, separator: str) -> str:
    """Give the segment name a line starts with; empty when it does not start like a segment."""
    if line[3:4] in (separator, "") and _NAME.fullmatch(line, 0, 3):
        return line[:3]
    body = line.lstrip(_BLANK)
    name, mark, _ = body[:8].partition(separator)
    name = name.rstrip(_BLANK).upper()
    if mark and (name in segment_names() or (name[:1] == "Z" and _NAME.fullmatch(name))):
        return name
    return ""


def assemble(text: str, delims: Delims, repairs: list[Repair]) -> tuple[str, list[Line]]:
    """Put the lines of a damaged message together; gives the line end to write and the segments."""
    separator = delims.field
    glue = {delims.field, delims.component, delims.repetition, delims.subcomponent}
    ends: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    damage: Counter[tuple[str, str]] = Counter()
    lines: list[Line] = []
    parts: list[str] = []
    name, start, end, blanks, last_end = "", 0, 0, 0, ""

    def close() -> None:
        if name:
            if last_end:
                ends[last_end] += 1
            counts[name] += 1
            lines.append(Line(name, counts[name], "".join(parts), start, end))

    position, size = 0, len(text)
    while position < size:
        match = _LINE.match(text, position)
        if match is None:  # cannot happen: the pattern matches at every position
            break
        line, line_end = match.groups()
        found = name_of(line, separator) if name else "MSH"
        if found:
            close()
            name, start, end, blanks, last_end = found, match.start(), match.end(1), 0, line_end
            body = line.lstrip(_BLANK)
            if body[: len(found)] != found or body[len(found) : len(found) + 1] not in (separator, ""):
                damage["segment-name", f"{found}[{counts[found] + 1}]"] += 1
            elif len(body) != len(line):
                damage["padded-segment", f"{found}[{counts[found] + 1}]"] += 1
            parts = [found + body[body.index(separator) :]] if separator in body else [found]
        elif not line.strip(_BLANK):
            damage["blank-line", ""] += 1
            blanks += 1
        else:
            damage["continuation", f"{name}[{counts[name] + 1}]"] += 1
            if len(parts) == 1 and separator not in parts[0]:
                parts.append(separator)  # a bare name: what follows is its first field
            elif parts[-1][-1:] not in glue and line[0] not in glue:
                parts.append("\n" * (1 + blanks))
            parts.append(line)
            end, blanks, last_end = match.end(1), 0, line_end
        position = match.end()
    close()
    for (code, where), times in damage.items():
        repairs.append(Repair(code, where, _TEXTS[code] + (f" ({times} times)" if times > 1 else "")))
    if len(ends) > 1:
        repairs.append(Repair("mixed-line-ends", "", "segments end in different ways"))
    return (ends.most_common(1)[0][0] if ends else "\r"), lines


_TEXTS = {
    "segment-name": "the segment name is not written as three capitals",
    "padded-segment": "blanks stand before the segment name",
    "blank-line": "an empty line stands between segments",
    "continuation": "a line that does not start like a segment was added to the one before it",
}
