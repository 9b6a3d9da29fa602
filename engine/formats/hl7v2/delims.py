"""The delimiters of one message, read from MSH-1 and MSH-2 and tolerant of what senders write there.

In: the separator character and the text of MSH-2. Out: `Delims` plus what had to be repaired. Follows HL7
v2.5.1 ch. 2.5.4 (message delimiters) and v2.7 ch. 2.5.4 (the truncation character). Over-escaped (`^~\\\\&`),
XML-escaped (`^~\\&amp;`), short, doubled or alphanumeric encoding characters are read as what was meant, and
reported.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

__all__ = ["STANDARD", "Delims", "Repair", "read_delims"]


class Delims(NamedTuple):
    """One-character delimiters; `truncation` is empty where MSH-2 names none."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding(self) -> str:
        """Write MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


class Repair(NamedTuple):
    """What was wrong and has been mended: a stable word, where, and what, without patient data."""

    code: str
    where: str
    text: str


STANDARD = Delims()
_DEFAULTS = "^~\\&"
_SPARE = "^~\\&$@*!%;"


@lru_cache(maxsize=512)
def read_delims(separator: str, encoding: str) -> tuple[Delims, tuple[Repair, ...]]:
    """Read the delimiters from MSH-1 and MSH-2."""
    repairs: list[Repair] = []
    chars = encoding.strip()
    if chars.endswith("&amp;"):
        chars = chars[:-4]
        repairs.append(Repair("msh-2-escaped", "MSH-2", "the ampersand of MSH-2 is XML-escaped"))
    if len(chars) > 4 and chars[2] == chars[3]:
        chars = chars[:3] + chars[4:]
        repairs.append(Repair("msh-2-escaped", "MSH-2", "the escape character of MSH-2 is doubled"))
    if len(chars) > 5:
        chars = chars[:5]
        repairs.append(
            Repair("msh-2-long", "MSH-2", "MSH-2 holds more than five characters; the rest is ignored")
        )
    if len(chars) < 4:
        repairs.append(
            Repair("msh-2-short", "MSH-2", "MSH-2 names fewer than four characters; the usual ones stand in")
        )
    taken = [separator]
    for position in range(4):
        char = chars[position : position + 1]
        if char and (char in taken or not _usable(char)):
            repairs.append(
                Repair("msh-2-unusable", "MSH-2", f"character {position + 1} of MSH-2 cannot be a delimiter")
            )
            char = ""
        later = chars[position + 1 : 4]
        if not char:
            spare = (_DEFAULTS[position], *_SPARE)
            char = next(c for c in spare if c not in taken and c not in later)
        taken.append(char)
    truncation = chars[4:5]
    if truncation and (truncation in taken or not _usable(truncation)):
        truncation = ""
    return Delims(separator, taken[1], taken[2], taken[3], taken[4], truncation), tuple(repairs)


def _usable(char: str) -> bool:
    return char.isprintable() and not char.isalnum() and not char.isspace()
