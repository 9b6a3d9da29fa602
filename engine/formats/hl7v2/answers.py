"""Acknowledgements that others send: what MSA and ERR say, in the versions' different places.

In: the bytes of an answer. Out: `Said`: the code, which message it is about, and what was wrong. Whatever is
no acknowledgement gives an empty code. Follows HL7 v2.5.1 ch. 2.15.8 (MSA), 2.15.5 (ERR); before 2.5 an error
stands in ERR-1 or MSA-6. The texts are the other side's and may name a patient: `plain` leaves them out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.formats.hl7v2.delims import read_delims
from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.header import Header, peek

__all__ = ["TABLE_0357", "Complaint", "Said", "read_answer"]

TABLE_0357 = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "104": "Value too long",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""HL7 v2.5.1 ch. 2.15.5.3."""
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_NUMBER = re.compile(r"\d{1,3}")
_CODES = frozenset({"AA", "AE", "AR", "CA", "CE", "CR"})


class Complaint(NamedTuple):
    """One thing that was wrong: ERR-4, ERR-3, ERR-2 as `PID-5.1`, and the words."""

    severity: str  # E, F, W, I; empty where it is not said
    code: str  # of table 0357, or one of the receiver's own
    place: str
    text: str = ""
    meaning: str = ""  # ERR-3.2

    @property
    def plain(self) -> str:
        """Say it without any word of the other side."""
        known = self.code if self.code in TABLE_0357 else "a code of its own" if self.code else ""
        return " ".join(part for part in (self.place, known, TABLE_0357.get(self.code, "").lower()) if part)

    def __str__(self) -> str:
        head = " ".join(part for part in (self.place, self.code, self.meaning) if part)
        return f"{head}: {self.text}".strip(" :")


class Said(NamedTuple):
    """What an answer says. `code` is MSA-1, empty where it is no acknowledgement."""

    header: Header
    code: str
    named: str  # MSA-2, blanks around it removed
    text: str = ""  # MSA-3
    complaints: tuple[Complaint, ...] = ()


def read_answer(data: bytes) -> Said:
    """Read an answer; never raises."""
    header = peek(data)
    if not header.ok:
        return Said(header, "", "")
    delims, _ = read_delims(header.separator, header.encoding)
    cs, sub = delims.component, delims.subcomponent
    code = named = text = ""
    found: list[Complaint] = []
    codec = header.codec if header.codec.startswith("utf-16") else "utf-8"
    for line in re.split(r"[\r\n]+", data.decode(codec, "replace")):
        fields = [*line.split(delims.field), *[""] * 9]
        if fields[0] == "MSA" and not code:
            code, named = fields[1].strip().upper(), fields[2].strip()
            text = unescape(fields[3], delims)
            said = fields[6].split(cs)
            if said[0].strip():
                found.append(Complaint("E", said[0].strip(), "", meaning=said[1] if len(said) > 1 else ""))
        elif fields[0] == "ERR":
            found += _old(fields[1], delims.repetition, cs, sub)
            coded = [*fields[3].split(cs), "", ""]
            if coded[0].strip() or fields[4].strip() or fields[8]:
                for place in fields[2].split(delims.repetition)[:1]:
                    at = _place([*place.split(cs), *[""] * 6])
                    words = unescape(fields[8], delims)
                    found.append(Complaint(fields[4].strip().upper(), coded[0].strip(), at, words, coded[1]))
    if code not in _CODES:
        return Said(header, "", named)
    return Said(header, code, named, text, tuple(dict.fromkeys(found)))


def _old(field: str, repetition: str, cs: str, sub: str) -> list[Complaint]:
    """Read ERR-1 of versions before 2.5: segment^sequence^field^code&text."""
    out = []
    for one in field.split(repetition) if field.strip() else ():
        parts = [*one.split(cs), *[""] * 4]
        coded = [*parts[3].split(sub), "", ""]
        place = _place([parts[0], parts[1], parts[2], "", "", ""])
        out.append(Complaint("E", coded[0].strip(), place, meaning=coded[1]))
    return out


def _place(parts: list[str]) -> str:
    """Write ERL as `PID-5.1`; what is no segment and no number is left out."""
    segment, _, field, _, component, _ = (part.strip() for part in parts[:6])
    if not _SEGMENT.fullmatch(segment):
        return ""
    if not _NUMBER.fullmatch(field):
        return segment
    return f"{segment}-{field}" + (f".{component}" if _NUMBER.fullmatch(component) else "")
