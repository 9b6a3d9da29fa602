"""Strict validation with hl7apy, for channels that ask for it: tens of milliseconds a message, never on the
hot path.

In: the bytes of a message. Out: every problem found, each with its place (`PID[1]-5[1]`), a code of HL7 table
0357 and a text without patient data. Fields are given to hl7apy one by one, so that each of its complaints
has a place; cardinalities and the order of segments are checked against the dictionary of the message's own
version; at last the whole message is parsed by hl7apy in STRICT mode, so that a message without problems is
one that hl7apy accepts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hl7apy import load_reference
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_field, parse_message, parse_segment
from hl7apy.validation import Validator

from engine.formats.hl7v2.dictionary import FieldDef, GroupDef, SegmentRef, Version, version, versions
from engine.formats.hl7v2.groups import Group, arrange
from engine.formats.hl7v2.parse import Message, Segment, parse
from engine.formats.hl7v2.problem import Problem
from engine.formats.hl7v2.structures import identify
from engine.kernel.errors import FormatError

__all__ = ["Problem", "validate"]

STRICT = VALIDATION_LEVEL.STRICT


def validate(data: bytes, *, charset: str = "") -> list[Problem]:
    """Check one message against the standard of its version."""
    try:
        message = parse(data, charset=charset)
    except FormatError as error:
        return [Problem("E", "100", error.where or "MSH", error.what)]
    problems = [Problem("E", "100", repair.where or "MSH", repair.text) for repair in message.repairs]
    if message.version not in versions():
        problems.append(
            Problem("E", "203", "MSH[1]-12", "the version is not one of " + ", ".join(versions()))
        )
        return problems
    known = version(message.version)
    problems += _structure(message, known)
    for segment in message.segments:
        problems += _segment(message, segment, known)
    if not any(problem.severity == "E" for problem in problems):
        problems += _whole(message)
    return problems


def _structure(message: Message, known: Version) -> Iterator[Problem]:
    name = identify(message.code, message.event, message.structure, message.version)
    definition = known.structure(message.structure) or known.structure(name)
    if definition is None:
        yield Problem(
            "E", "200", "MSH[1]-9", f"{known.number} has no message structure for this type and event"
        )
        return
    before = len(message.repairs)
    root = arrange(message, definition)
    for repair in message.repairs[before:]:
        yield Problem("E", "100", repair.where, repair.text)
    del message.repairs[before:]
    yield from _cardinality(root, definition, definition.name)


def _cardinality(group: Group, definition: GroupDef, name: str) -> Iterator[Problem]:
    counts = Counter(child.name for child in group.children)
    for part in definition.children:
        found = counts[part.name]
        if isinstance(part, GroupDef) and part.choice:
            inside = [
                child for child in group.children if isinstance(child, Group) and child.name == part.name
            ]
            if part.min and not inside:
                yield Problem("E", "100", name, f"{name} lacks its {part.name}")
            continue
        if found < part.min:
            kind = "segment" if isinstance(part, SegmentRef) else "group"
            yield Problem(
                "E", "100", part.name if kind == "segment" else name, f"{name} lacks the {kind} {part.name}"
            )
        elif part.max >= 0 and found > part.max and isinstance(part, SegmentRef):
            allowed = sum(
                max(p.max, 0) if p.max >= 0 else found for p in definition.children if p.name == part.name
            )
            if found > allowed:
                yield Problem(
                    "E", "100", part.name, f"{name} may hold {part.name} {part.max} times, not {found}"
                )
        if isinstance(part, GroupDef):
            for child in group.children:
                if isinstance(child, Group) and child.name == part.name:
                    yield from _cardinality(child, part, part.name)


def _segment(message: Message, segment: Segment, known: Version) -> Iterator[Problem]:
    where = f"{segment.name}[{segment.n}]"
    definition = known.segment(segment.name)
    if definition is None:
        if not segment.name.startswith("Z"):
            yield Problem("E", "100", where, f"{known.number} has no segment {segment.name}")
        return
    for number in range(len(definition.fields) + 1, len(segment.fields)):
        if segment.fields[number].strip():
            yield Problem(
                "E", "102", f"{where}-{number}", f"{known.number} has no field {segment.name}-{number}"
            )
    for field in definition.fields:
        if segment.name in ("MSH", "BHS", "FHS") and field.number <= 2:
            continue
        yield from _field(message, segment, field, known, f"{where}-{field.number}")


def _field(
    message: Message, segment: Segment, field: FieldDef, known: Version, where: str
) -> Iterator[Problem]:
    raw = segment.field(field.number)
    if not raw:
        if field.min:
            yield Problem("E", "101", where, f"{segment.name}-{field.number} {field.name} is required")
        return
    if field.withdrawn:
        yield Problem("W", "102", where, f"{known.number} has withdrawn {segment.name}-{field.number}")
        return
    reps = raw.split(message.delims.repetition)
    if field.max > 0 and len(reps) > field.max:
        yield Problem(
            "E", "102", where, f"{segment.name}-{field.number} may repeat {field.max} times, not {len(reps)}"
        )
    table = known.table(field.table) if field.table and field.datatype == "ID" else None
    for number, rep in enumerate(reps, 1):
        if not rep or rep == '""':
            continue
        complaint = _complaint(message, segment, field, rep, known.number)
        if complaint:
            yield Problem("E", "102", f"{where}[{number}]", complaint)
        elif table is not None and table.codes and rep not in table.codes:
            text = f"the value of {segment.name}-{field.number} is not in HL7 table {table.id}"
            yield Problem("W", "103", f"{where}[{number}]", text)


def _complaint(message: Message, segment: Segment, field: FieldDef, rep: str, number: str) -> str:
    """Give hl7apy's complaint about one repetition, without the value; empty when it has none."""
    name = f"{segment.name}_{field.number}"
    chars = _characters(message)
    try:
        if field.datatype == "varies":
            datatype = segment.field(2) if segment.name == "OBX" else ""
            if not datatype:
                return ""
            field = replace(field, datatype=datatype)
            parsed = parse_field(rep, name, number, chars, STRICT, _reference(datatype, number))
            Validator.validate(parsed, _reference(datatype, number))
            return ""
        separator = message.delims.field
        head = (
            f"{segment.name}{separator}{message.delims.encoding}" if segment.name == "MSH" else segment.name
        )
        skipped = field.number - (2 if segment.name == "MSH" else 0)
        parsed = parse_segment(head + separator * skipped + rep, number, chars, STRICT)
        Validator.validate(next(child for child in parsed.children if child.name == name))
    except HL7apyException as error:
        return _said(error, segment.name, field)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, StopIteration, RecursionError):
        return f"{segment.name}-{field.number} does not hold a {field.datatype}"
    return ""


def _reference(datatype: str, number: str) -> Any:
    try:
        parts = load_reference(datatype, "Datatypes_Structs", number)
    except HL7apyException:
        return ("leaf", None, datatype, "OBSERVATION_VALUE", None, -1)
    return ("sequence", parts, datatype, "OBSERVATION_VALUE", None, -1)


def _said(error: HL7apyException, segment: str, field: FieldDef) -> str:
    """Put an exception of hl7apy into words that hold no value."""
    kind = type(error).__name__
    if kind == "MaxChildLimitReached":
        return f"{segment}-{field.number} has more parts than a {field.datatype} holds"
    if kind == "MaxLengthReached":
        return f"{segment}-{field.number} is longer than a {field.datatype} may be"
    missing = re.match(r"(Missing required child) [A-Za-z0-9_]+\.([A-Z0-9_]+)$", str(error))
    if missing:
        return f"{segment}-{field.number} lacks its required component {missing[2].replace('_', '.')}"
    return f"{segment}-{field.number} does not hold a {field.datatype} ({kind})"


def _whole(message: Message) -> list[Problem]:
    """Let hl7apy parse and validate the whole message; what it still refuses is one more problem."""
    start, end = message.body_range
    text = message.raw[start:end].decode(message.charset).replace(message.terminator, "\r")
    try:
        parse_message(text, STRICT, find_groups=True, force_validation=True)
    except HL7apyException as error:
        return [
            Problem("E", "207", "MSH", f"hl7apy refuses the message in STRICT mode ({type(error).__name__})")
        ]
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
        return [Problem("E", "207", "MSH", f"hl7apy cannot read the message ({type(error).__name__})")]
    return []


def _characters(message: Message) -> dict[str, str]:
    delims = message.delims
    chars = {
        "SEGMENT": "\r",
        "GROUP": "\r",
        "FIELD": delims.field,
        "COMPONENT": delims.component,
        "SUBCOMPONENT": delims.subcomponent,
        "REPETITION": delims.repetition,
        "ESCAPE": delims.escape,
    }
    return {**chars, "TRUNCATION": delims.truncation or "#"} if message.version >= "2.7" else chars
