"""Conformance profiles: what one sender's messages must hold beyond the standard, as people wrote it down.

In: a profile file (`mappings/profiles/NAME.yaml`) and a message. Out: every place where the message breaks
the profile, with a code of HL7 table 0357 and a text without patient data. The ideas are those of HL7
v2.8.2 ch. 2B (usage, cardinality, length, value sets); the file is YAML, since the XML form reaches hl7apy
only as a pickle, and a pickle is a program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import Message, Segment, parse
from engine.formats.hl7v2.problem import Problem
from engine.kernel.errors import ConfigError, FormatError
from engine.kernel.yamlfile import Map, load

__all__ = ["FieldRule", "Profile", "SegmentRule", "check", "read_profile"]

USAGES = ("required", "optional", "forbidden")
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\.(\d+))?(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """How often a segment may stand in a message; `most` 0 = no limit."""

    segment: str
    usage: str = "optional"
    most: int = 0


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a field or component must be wherever its segment stands."""

    place: str
    usage: str = "optional"
    length: int = 0
    repeats: int = 0
    codes: frozenset[str] = frozenset()
    like: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile; `types` are the messages it is for, none = all."""

    name: str
    types: tuple[str, ...]
    segments: tuple[SegmentRule, ...]
    fields: tuple[FieldRule, ...]


def read_profile(path: Path, name: str = "") -> Profile:
    """Read a profile. Raises ConfigError with file:line."""
    shown = name or str(path)
    m = load(path, name=shown)
    if not isinstance(m, Map) or "profile" not in m:
        raise ConfigError("is not a conformance profile", where=shown, remedy="start it with profile: NAME")
    _known(m, ("profile", "for", "segments", "fields", "note"), shown)
    segments = [_segment(k, v, _at(m["segments"], k, shown)) for k, v in _below(m, "segments", shown)]
    fields = [_field(k, v, _at(m["fields"], k, shown)) for k, v in _below(m, "fields", shown)]
    types = tuple(str(t).replace("_", "^") for t in m.get("for") or ())
    return Profile(str(m["profile"]), types, tuple(segments), tuple(fields))


def _at(m: Map, key: str, file: str) -> str:
    return f"{file}:{m.key_lines.get(key, m.line)}"


def _known(m: Map, words: tuple[str, ...], file: str) -> None:
    for key in m:
        if key not in words:
            raise ConfigError(
                f"does not know the word {key!r}",
                where=_at(m, key, file),
                remedy=f"known here: {', '.join(words)}",
            )


def _below(m: Map, word: str, file: str) -> list[tuple[str, Any]]:
    block = m.get(word)
    if block is not None and not isinstance(block, Map):
        raise ConfigError(f"{word}: takes one line a place", where=_at(m, word, file))
    return list(block.items()) if block else []


def _usage(value: Any, where: str) -> str:
    if str(value) not in USAGES:
        raise ConfigError(f"usage {value} is not known", where=where, remedy=f"write {', '.join(USAGES)}")
    return str(value)


def _number(value: Any, where: str) -> int:
    if not str(value).isdigit() or int(str(value)) < 1:
        raise ConfigError(f"{value} is no number", where=where, remedy="write a number from 1 up")
    return int(str(value))


def _segment(name: str, value: Any, where: str) -> SegmentRule:
    if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", name):
        raise ConfigError(f"{name!r} is no segment", where=where, remedy="write PID or ZLK")
    if not isinstance(value, Map):
        return SegmentRule(name, _usage(value, where))
    _known(value, ("usage", "most"), where.rpartition(":")[0])
    most = _number(value["most"], where) if "most" in value else 0
    return SegmentRule(name, _usage(value.get("usage", "optional"), where), most)


def _field(place: str, value: Any, where: str) -> FieldRule:
    if not _PLACE.fullmatch(place):
        raise ConfigError(f"{place!r} is no field", where=where, remedy="write PID-3 or PID-3.4")
    if not isinstance(value, Map):
        return FieldRule(place, _usage(value, where))
    _known(value, ("usage", "length", "repeats", "codes", "like"), where.rpartition(":")[0])
    like = str(value.get("like") or "")
    try:
        re.compile(like)
    except re.error as e:
        raise ConfigError(f"like: {like!r} is no pattern", where=where, why=str(e)) from None
    return FieldRule(
        place,
        _usage(value.get("usage", "optional"), where),
        _number(value["length"], where) if "length" in value else 0,
        _number(value["repeats"], where) if "repeats" in value else 0,
        frozenset(str(c) for c in value.get("codes") or ()),
        like,
    )


# -- checking --------------------------------------------------------------------------------------


def check(profile: Profile, data: bytes, *, charset: str = "") -> list[Problem]:
    """Hold one message against a profile; a message of a type it is not for breaks nothing."""
    try:
        message = parse(data, charset=charset)
    except FormatError as error:
        return [Problem("E", "100", error.where or "MSH", error.what)]
    if (
        profile.types
        and f"{message.code}^{message.event}" not in profile.types
        and message.code not in profile.types
    ):
        return []
    return [*_segments(profile, message), *_fields(profile, message)]


def _segments(profile: Profile, message: Message) -> Iterator[Problem]:
    for rule in profile.segments:
        found = sum(s.name == rule.segment for s in message.segments)
        if rule.usage == "required" and not found:
            yield Problem("E", "100", rule.segment, f"profile {profile.name}: {rule.segment} is required")
        elif rule.usage == "forbidden" and found:
            yield Problem(
                "E", "100", f"{rule.segment}[1]", f"profile {profile.name}: {rule.segment} is forbidden"
            )
        elif rule.most and found > rule.most:
            text = f"profile {profile.name}: {rule.segment} may stand {rule.most} times, not {found}"
            yield Problem("E", "100", f"{rule.segment}[{rule.most + 1}]", text)


def _fields(profile: Profile, message: Message) -> Iterator[Problem]:
    rules = [(rule, _PLACE.fullmatch(rule.place)) for rule in profile.fields]
    for segment in message.segments:
        for rule, place in rules:
            if place is not None and place[1] == segment.name:
                yield from _field_of(profile.name, rule, place, message, segment)


def _field_of(
    name: str, rule: FieldRule, place: re.Match[str], message: Message, segment: Segment
) -> Iterator[Problem]:
    number, component, sub = int(place[2]), int(place[3] or 0), int(place[4] or 0)
    where = f"{segment.name}[{segment.n}]-{number}"
    said = f"profile {name}: {rule.place}"
    raw = segment.field(number)
    reps = raw.split(message.delims.repetition) if raw else []
    if rule.repeats and len(reps) > rule.repeats:
        yield Problem("E", "102", where, f"{said} may repeat {rule.repeats} times, not {len(reps)}")
    for n, rep in enumerate(reps or [""], 1):
        at = f"{where}[{n}]" + (f".{component}" if component else "") + (f".{sub}" if sub else "")
        text = _part(rep, component, sub, message)
        if not text.strip():
            if rule.usage == "required" and (component == 0 or rep or not reps):
                yield Problem("E", "101", at if reps else where, f"{said} is required")
        elif rule.usage == "forbidden":
            yield Problem("E", "102", at, f"{said} is forbidden")
        elif text == '""':
            if rule.usage == "required":
                yield Problem("E", "101", at, f"{said} is required and may not be deleted")
        elif rule.length and len(text) > rule.length:
            yield Problem("E", "104", at, f"{said} may be {rule.length} characters long, not {len(text)}")
        elif rule.codes and text not in rule.codes:
            yield Problem("E", "103", at, f"the value of {rule.place} is not one that profile {name} lists")
        elif rule.like and not re.fullmatch(rule.like, text):
            yield Problem("E", "102", at, f"{said} is not written as the profile says")


def _part(rep: str, component: int, sub: int, message: Message) -> str:
    delims = message.delims
    text = rep
    if component:
        parts = text.split(delims.component)
        text = parts[component - 1] if component <= len(parts) else ""
    if sub:
        parts = text.split(delims.subcomponent)
        text = parts[sub - 1] if sub <= len(parts) else ""
    return unescape(text, delims, message.charset)
