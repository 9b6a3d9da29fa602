"""Acknowledgements: which code a sender is to get, and the ACK message that carries it.

In: the header of the request, an outcome, and what was wrong. Out: the bytes of an ACK. Follows HL7 v2.5.1
ch. 2.9 (original and enhanced mode), 2.14.1 (ACK), 2.15.8 (MSA), 2.15.5 (ERR, before 2.5: ERR-1 alone).
MSH-3/4 and 5/6 change places; version, processing id, delimiters and character set are the request's. Texts
come from the caller and hold no patient data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from engine.formats.hl7v2.answers import TABLE_0357
from engine.formats.hl7v2.charset import declared_codec
from engine.formats.hl7v2.delims import Delims, read_delims
from engine.formats.hl7v2.escapes import escape
from engine.formats.hl7v2.header import Header, peek
from engine.formats.hl7v2.locations import parse_location
from engine.formats.hl7v2.parse import Message
from engine.kernel.errors import FormatError

__all__ = ["AckError", "acknowledge", "application_answer", "fast_ack", "first_answer", "timestamp"]

CODES = {"accept": ("AA", "CA"), "error": ("AE", "CE"), "reject": ("AR", "CR")}
"""Outcome -> (original mode and application level, accept level)."""


class AckError(NamedTuple):
    """One error of an ACK: severity E, W or I; a table 0357 code; a location such as `PID-5.1`; a text."""

    severity: str = "E"
    code: str = "207"
    location: str = ""
    text: str = ""


def first_answer(header: Header, outcome: str) -> str:
    """Give the code to answer with once the message is safe; empty when the sender wants no answer.

    Original mode (MSH-15 and MSH-16 empty): AA, AE, AR. Enhanced: CA, CE, CR as MSH-15 asks (AL always, ER on
    error, SU on success, NE or empty never); where it asks for none, the application answer as MSH-16 asks.
    """
    application, accept = CODES[outcome]
    if not header.enhanced:
        return application
    if header.accept_ack in ("", "NE"):
        return application_answer(header, outcome)
    return accept if _wanted(header.accept_ack, outcome) else ""


def application_answer(header: Header, outcome: str) -> str:
    """Give the code of the application acknowledgement in enhanced mode; empty when MSH-16 asks for none."""
    return CODES[outcome][0] if header.application_ack and _wanted(header.application_ack, outcome) else ""


def _wanted(condition: str, outcome: str) -> bool:
    if condition == "ER":
        return outcome != "accept"
    if condition == "SU":
        return outcome == "accept"
    return (
        condition != "NE"
    )  # AL, and what the table does not know: better one answer too many than a silent sender


def fast_ack(header: Header, code: str, control_id: str, when: str) -> bytes:
    """Write an ACK without errors: `code` for MSA-1, `control_id` for MSH-10, `when` for MSH-7."""
    return _head(header, header.fields, code, control_id, when).encode(header.codec)


def _head(header: Header, fields: list[str], code: str, control_id: str, when: str) -> str:
    s = fields[1]
    kind = _kind(header.version, header.event, fields[2][:1])
    tail = f"{s}{s}{s}{s}{s}{s}{fields[18]}" if fields[18] else ""
    return (
        f"MSH{s}{fields[2]}{s}{fields[5]}{s}{fields[6]}{s}{fields[3]}{s}{fields[4]}{s}{when}{s}{s}{kind}{s}{control_id}"
        f"{s}{fields[11]}{s}{fields[12]}{tail}\rMSA{s}{code}{s}{fields[10]}\r"
    )


def acknowledge(
    request: Message | Header,
    code: str,
    *,
    errors: Sequence[AckError] = (),
    control_id: str,
    at_ms: int,
    application: str = "",
    facility: str = "",
) -> bytes:
    """Write an ACK or NAK; `application` and `facility` replace MSH-3/4 where the request has no receiver."""
    if code not in ("AA", "AE", "AR", "CA", "CE", "CR"):
        raise FormatError(
            f"{code!r} is no acknowledgement code", where="MSA-1", remedy="use AA, AE, AR, CA, CE or CR"
        )
    header = request if isinstance(request, Header) else peek(request.raw)
    fields = list(header.fields)
    fields[5] = fields[5] or application
    fields[6] = fields[6] or facility
    head = _head(header, fields, code, control_id, timestamp(at_ms))
    if not errors:
        return head.encode(header.codec)
    delims, _ = read_delims(header.separator, header.encoding)
    codec = header.codec
    if not codec.startswith("utf-16"):
        codec = declared_codec(header.charset, delims.repetition) or ("utf-8" if codec == "ascii" else codec)
        codec = header.codec if codec.startswith(("utf-16", "utf-32")) else codec
    number = _number(header.version)
    text = ""
    if number < (2, 7):  # MSA-3 was withdrawn in 2.7
        text = delims.field + escape(errors[0].text, delims)
    rows = [_err(error, delims) for error in errors] if number >= (2, 5) else [_old_err(errors, delims)]
    rest = text + "\r" + "".join(row + "\r" for row in rows)
    return head[:-1].encode(header.codec) + rest.encode(codec, "replace")


def timestamp(at_ms: int) -> str:
    """Write milliseconds since the epoch as an HL7 time in UTC."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y%m%d%H%M%S") + f".{at_ms % 1000:03d}+0000"


@lru_cache(maxsize=1024)
def _kind(version: str, event: str, component: str) -> str:
    """Write MSH-9: `ACK` in 2.1, `ACK^A01` to 2.3, `ACK^A01^ACK` from 2.3.1 on."""
    number = _number(version)
    if not event or number < (2, 2):
        return "ACK"
    component = component or "^"
    return f"ACK{component}{event}" + (f"{component}ACK" if number >= (2, 3, 1) else "")


@lru_cache(maxsize=256)
def _number(version: str) -> tuple[int, ...]:
    parts = version.strip().split(".")
    if not version.strip() or not all(part.isdecimal() for part in parts):
        return (2, 5, 1)
    return tuple(int(part) for part in parts)


def _err(error: AckError, delims: Delims) -> str:
    """Write one ERR segment of 2.5 and later: ERR-2 location, ERR-3 code, ERR-4 severity, ERR-8 text."""
    s, c = delims.field, delims.component
    place = c.join(_place(error.location)).rstrip(c)
    meaning = TABLE_0357.get(error.code, "")
    coded = f"{error.code}{c}{meaning}{c}HL70357"
    return f"ERR{s}{s}{place}{s}{coded}{s}{error.severity}{s}{s}{s}{s}{escape(error.text, delims)}"


def _old_err(errors: Sequence[AckError], delims: Delims) -> str:
    """Write the ERR segment before 2.5: one repetition of ERR-1 an error, segment^sequence^field^code."""
    c, sub = delims.component, delims.subcomponent
    rows = []
    for error in errors:
        segment, sequence, field = _place(error.location)[:3]
        coded = f"{error.code}{sub}{TABLE_0357.get(error.code, '')}{sub}HL70357"
        rows.append(f"{segment}{c}{sequence}{c}{field}{c}{coded}")
    return f"ERR{delims.field}{delims.repetition.join(rows)}"


_ADDRESS = re.compile(r"([A-Z][A-Z0-9]{2})\[(\d+)\](?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?(?:\.(\d+))?)?")


def _place(location: str) -> list[str]:
    """Give segment, sequence, field, repetition, component, subcomponent; empty where not named."""
    indexed = _ADDRESS.fullmatch(location)
    if indexed is not None:
        segment, n, field, rep, comp, sub = (part or "" for part in indexed.groups())
        return [segment, n, field, rep or ("1" if field else ""), comp, sub]
    try:
        found = parse_location(location)
    except FormatError:
        return [""] * 6  # a NAK is sent all the same: its text says what is wrong
    numbers = (
        found.segment_n or 1,
        found.field,
        found.n or (1 if found.field else 0),
        found.component,
        found.subcomponent,
    )
    return [found.segment or found.datatype, *(str(number) if number else "" for number in numbers)]
