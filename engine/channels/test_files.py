"""`channels/*.test.yaml`: send a sample through a channel as if it had arrived, and say what must come of it.

In: a test file, the project's maps and channels. Out: one `ChannelResult` a test, with every difference in
words. The same code runs as in production: the acknowledgement table answers, the pipeline decodes, maps and
checks; nothing is stored. `expect` holds `answer`, `parked`, `flags`, `work_queue`, and FHIR paths with the
value they must have; `expect_file` compares the whole bundle, and `accept` writes it anew after a person has
looked at the difference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.channels.definition import Channel
from engine.channels.draftpaths import file_of_test
from engine.channels.intervals import without_store
from engine.channels.pipeline import Pipeline
from engine.channels.posting import entry_at, named, posted_by
from engine.fhir import diff, jsonio
from engine.fhir import path as fhirpath
from engine.formats.content import recognise
from engine.formats.facts import facts_of
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.parse import Message, parse
from engine.formats.hl7v2.split import split_messages
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.message import Accepted, Entry, NewEntry, Work
from engine.kernel.yamlfile import Map, Seq, load
from engine.listeners.ack_rules import AckRules, AckSettings, worst
from engine.listeners.mail import mail_of
from engine.listeners.validating import standard, validator
from engine.mapping.project import Maps

__all__ = ["ChannelResult", "run_channel_tests"]

_WORDS = {"name", "send", "message", "change", "expect", "expect_file", "note"}
_CHANGE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?[-.](\d+)(?:\.(\d+))?")
_NEVER = ("Bundle.timestamp", "MessageHeader.meta.lastUpdated")


@dataclass(frozen=True, slots=True)
class ChannelResult:
    """One test run; it passed when `differences` is empty. `accepted` names a file that was written anew."""

    channel: str
    name: str
    place: str
    differences: tuple[str, ...]
    accepted: str = ""


@dataclass(slots=True)
class _Came:
    """What came of the messages of one test."""

    answers: list[str] = field(default_factory=list)
    works: list[tuple[Message | None, Work]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)


def run_channel_tests(
    root: Path, maps: Maps, channels: list[Channel], name: str = "", accept: bool = False
) -> Iterator[ChannelResult]:
    """Run the test files below `root`, or those of one channel. Raises ConfigError."""
    known = {c.name: c for c in channels}
    pipeline = Pipeline(maps, channels, _mac)
    for path in sorted((root / "channels").glob("*.test.yaml")):
        shown = path.relative_to(root).as_posix()
        m = load(path, name=shown)
        if not isinstance(m, Map) or set(m) - {"channel", "tests", "note"} or "channel" not in m:
            raise ConfigError("is not a test file", where=shown, remedy="write channel: NAME and tests:")
        channel = known.get(str(m["channel"]))
        if channel is None:
            raise ConfigError(
                f"there is no channel {m['channel']}",
                where=f"{shown}:{m.key_lines['channel']}",
                remedy=f"channels are: {', '.join(sorted(known)) or 'none'}",
            )
        if name and name != channel.name:
            continue
        for test in m.get("tests") or ():
            yield _run(root, pipeline, channel, test, shown, accept)


def _mac(kind: str, text: str) -> bytes:
    """Stand in for the data key: ids are the same in every run."""
    return hashlib.sha256(f"{kind}|{text}".encode("utf-8", "surrogatepass")).digest()[:16]


def _run(
    root: Path, pipeline: Pipeline, channel: Channel, test: Any, file: str, accept: bool
) -> ChannelResult:
    place = f"{file}:{getattr(test, 'line', 0)}"
    _checked(test, file, place)
    title = str(test.get("name") or test.get("send") or "message")
    try:
        came = _send(root, pipeline, channel, test, place)
        found = [d for k, v in (test.get("expect") or {}).items() for d in _compare(came, str(k), v)]
        accepted = ""
        if "expect_file" in test:
            target = file_of_test(root, str(test["expect_file"]), place)
            if accept:
                accepted = _write(came, target, str(test["expect_file"]))
            else:
                found += _same_file(came, target, str(test["expect_file"]))
    except HubError as e:
        return ChannelResult(channel.name, title, place, (str(e),))
    return ChannelResult(channel.name, title, place, tuple(found), accepted)


def _checked(test: Any, file: str, place: str) -> None:
    if not isinstance(test, Map) or ("send" in test) is ("message" in test):
        raise ConfigError(
            "a test needs send: or message:",
            where=place,
            remedy="send: sample_messages/lab/oru_potassium.hl7, or message: | and the message itself",
        )
    for k in test:
        if k not in _WORDS:
            raise ConfigError(
                f"does not know the word {k!r}",
                where=f"{file}:{test.key_lines[k]}",
                remedy=f"known here: {', '.join(sorted(_WORDS))}",
            )
    if not test.get("expect") and not test.get("expect_file"):
        raise ConfigError(
            "expects nothing, so it cannot fail", where=place, remedy="write expect: or expect_file:"
        )


def _data(root: Path, test: Map, place: str) -> bytes:
    """Return the bytes of the message: of a file, or as it stands in the test, a segment a line."""
    if "message" in test:
        text = str(test["message"]).strip("\n")
        return (text.replace("\n", "\r") if text.startswith("MSH") else text).encode()
    try:
        return file_of_test(root, str(test["send"]), place).read_bytes()
    except OSError as e:
        raise ConfigError(f"{test['send']} cannot be read", where=place, why=e.strerror or "") from None


def _send(root: Path, pipeline: Pipeline, channel: Channel, test: Map, place: str) -> _Came:
    data = _data(root, test, place)
    format = recognise(data)
    if format == "dicom":
        return _store(pipeline, channel, _replaced(data, test.get("change") or {}, place))
    if format not in ("", "hl7v2") or (channel.receives is not None and not channel.receives.rules.v2):
        return _post(pipeline, channel, _replaced(data, test.get("change") or {}, place))
    rules = _rules(channel)
    came = _Came()
    outcomes = []
    records = [bytes(s.data) for s in split_messages(data)] or [data]
    header = peek(records[0])
    for n, record in enumerate(records, 1):
        body = _changed(record, test.get("change") or {}, place)
        header = peek(body)
        decision = rules.decide(header, body)
        outcomes += [decision.outcome] if decision.answered else []
        work = pipeline.work(_entry(n, channel, body, header, decision.kind, decision.row))
        message = parse(body) if header.ok else None
        came.works.append((message, work))
        came.resources += [{**d.body, "id": d.id} for d in without_store(work.drafts)[0]]
    came.answers = [(rules.answer(header, worst(outcomes)) if outcomes else "") or "none"]
    return came


def _store(pipeline: Pipeline, channel: Channel, data: bytes) -> _Came:
    """Hand in an object of DICOM, or a study as the hub tells of it, as the node would journal it."""
    facts = facts_of(data, "dicom")
    new = NewEntry(
        channel.name, data, 0, facts.sender, "test", facts.control, message_type=facts.message_type
    )
    came = _Came(answers=["0x0000"])
    work = pipeline.work(entry_at(1, new))
    came.works.append((None, work))
    came.resources += [{**d.body, "id": d.id} for d in work.drafts if d.write != "known"]
    return came


def _post(pipeline: Pipeline, channel: Channel, data: bytes) -> _Came:
    """Send a body that is no HL7 v2, as HTTP would."""
    came = _Came()
    source = posted_by(channel)
    mail = mail_of(data, source, "test")
    for n, new in enumerate(mail.entries, 1):
        work = pipeline.work(entry_at(n, new))
        came.works.append((None, work))
        came.resources += [{**d.body, "id": d.id} for d in without_store(work.drafts)[0]]
    accepted: list[Accepted | None] = [Accepted(n) for n in range(1, len(mail.letters) + 1)]
    came.answers = [named(mail.answer(accepted, 0))]
    return came


def _replaced(data: bytes, change: Map | dict[str, Any], place: str) -> bytes:
    """Return a document, claim or prescription with texts written over; each must stand in it."""
    for old, new in change.items():
        if str(old).encode() not in data:
            raise ConfigError(
                f"change: {old} does not stand in it", where=place, remedy="write the text as it stands there"
            )
        data = data.replace(str(old).encode(), ("" if new is None else str(new)).encode())
    return data


def _rules(channel: Channel) -> AckRules:
    settings = channel.receives.rules if channel.receives else AckSettings()
    profile = channel.receives.profile if channel.receives else None
    return AckRules(settings, validator(settings, profile, standard() if settings.strict else None))


def _entry(n: int, channel: Channel, body: bytes, header: Any, kind: str, row: str) -> Entry:
    return Entry(
        id=n,
        channel=channel.name,
        body=body,
        received=0,
        sender=channel.site,
        peer="test",
        control_id=header.control_id if header.ok else "",
        message_type=header.message_type if header.ok else "",
        charset="",
        kind=kind,
        lanes=(),
        parent=None,
        position=n,
        reason="" if kind == "message" else row,
        conflicts_with=None,
    )


def _changed(data: bytes, change: Map | dict[str, Any], place: str) -> bytes:
    """Return the message with some fields written over; values are raw, as they stand in a message."""
    if not change:
        return data
    message = parse(data)
    separator, component = message.delims.field, message.delims.component
    lines = [list(s.fields) for s in message.segments]
    for where, value in change.items():
        m = _CHANGE.fullmatch(str(where))
        at = [f for s, f in zip(message.segments, lines, strict=True) if m and s.name == m[1]]
        if m is None or len(at) < int(m[2] or 1):
            raise ConfigError(
                f"change: {where} is not in the message",
                where=place,
                remedy="write OBX-3, OBX-3.1 or OBX[2]-5",
            )
        fields, number = at[int(m[2] or 1) - 1], int(m[3])
        fields += [""] * (number + 1 - len(fields))
        text = "" if value is None else str(value)
        if m[4]:
            parts = fields[number].split(component)
            parts += [""] * (int(m[4]) - len(parts))
            parts[int(m[4]) - 1] = text
            text = component.join(parts)
        fields[number] = text
    for fields in lines:
        if fields[0] in ("MSH", "BHS", "FHS"):
            del fields[1]
    return ("\r".join(separator.join(f) for f in lines) + "\r").encode(message.charset)


# -- comparing --------------------------------------------------------------------------------------


def _compare(came: _Came, key: str, expected: Any) -> Iterator[str]:
    if key == "answer":
        if came.answers != [str(expected)]:
            yield f"answer: expected {expected}, found {', '.join(came.answers)}"
    elif key == "parked":
        causes = [w.parked.code for _, w in came.works if w.parked]
        if str(expected) == "no":
            if causes:
                yield f"parked: expected no, found {', '.join(causes)}"
        elif str(expected).replace(" ", "-") not in causes:
            yield f"parked: expected {expected}, found {', '.join(causes) or 'no'}"
    elif key == "flags":
        codes = [f.code for _, w in came.works for f in w.flags]
        for want in expected if isinstance(expected, Seq) else [expected]:
            if str(want).replace(" ", "-") not in codes:
                yield f"flags: expected {want}, found {', '.join(dict.fromkeys(codes)) or 'none'}"
    elif key == "delivers_to":
        went = {d.destination.removeprefix(f"{w.channel}.") for _, w in came.works for d in w.deliveries}
        wanted = set(expected if isinstance(expected, list) else [expected])
        if went != wanted:
            yield f"delivers_to: expected {_names(wanted)}, found {_names(went)}"
    elif key == "work_queue":
        yield from _queue(came, expected)
    elif key[:1].isupper():
        yield from _path(came, key, expected)
    else:
        words = "answer, parked, flags, work_queue, delivers_to"
        yield f"{key}: is no word of expect; use {words} or a FHIR path"


def _queue(came: _Came, expected: Any) -> Iterator[str]:
    items = [(m, f) for m, w in came.works for f in ([w.parked] if w.parked else []) + w.flags if f.work]
    wanted = expected if isinstance(expected, Seq) else [expected] if expected else []
    if not wanted and items:
        yield f"work_queue: expected nothing, found {', '.join(f.code for _, f in items)}"
    for want in wanted:
        unknown = set(want) - {"kind", "where", "table", "code"}
        if unknown:
            yield f"work_queue: {', '.join(sorted(unknown))} is not known; use kind, where, table, code"
            continue
        if not any(_fits(want, m, f) for m, f in items):
            told = ", ".join(f"{f.code} at {f.where}" for _, f in items) or "nothing"
            yield f"work_queue: expected {dict(want)}, found {told}"


def _fits(want: Map, message: Message | None, flag: Any) -> bool:
    if "kind" in want and str(want["kind"]).replace(" ", "-") != flag.code:
        return False
    if "where" in want and str(want["where"]) not in (flag.where, re.sub(r"\[\d+\]", "", flag.where)):
        return False
    if "table" in want and str(want["table"]) not in flag.text.split():
        return False
    return "code" not in want or str(want["code"]) in _sent(message, flag.where)


def _sent(message: Message | None, where: str) -> list[str]:
    """Return the components of the field a flag speaks of."""
    m = re.match(r"([A-Z][A-Z0-9]{2})\[(\d+)\]\D*(\d+)", where)
    segment = message.segment(m[1], int(m[2])) if m and message is not None else None
    if segment is None or m is None or len(segment.fields) <= int(m[3]) or message is None:
        return []
    return segment.fields[int(m[3])].split(message.delims.component)


def _path(came: _Came, path: str, expected: Any) -> Iterator[str]:
    found = fhirpath.read(came.resources, path)
    if isinstance(expected, str) and expected.startswith("links to every "):
        kind = expected.removeprefix("links to every ").strip()
        there = {f"{r['resourceType']}/{r['id']}" for r in came.resources if r["resourceType"] == kind}
        linked = {v.get("reference") for v in found if isinstance(v, dict)}
        if not there:
            yield f"{path}: there is no {kind} to link to"
        elif there - linked:
            yield f"{path}: links to {len(there & linked)} of {len(there)} {kind}"
        return
    if isinstance(expected, str) and not getattr(expected, "quoted", False) and expected in ("absent", "set"):
        if bool(found) is (expected == "absent"):
            yield f"{path}: expected {'nothing' if found else 'something'}, found {_shown(found)}"
        return
    if isinstance(expected, Seq):
        if len(found) != len(expected) or not all(_equal(a, b) for a, b in zip(found, expected, strict=True)):
            yield f"{path}: expected {_shown(expected)}, found {_shown(found)}"
        return
    if not found or not all(_equal(v, expected) for v in found):
        yield f"{path}: expected {_shown([expected])}, found {_shown(found)}"


def _equal(found: Any, expected: Any) -> bool:
    if isinstance(found, bool) or isinstance(expected, bool):
        return str(found).lower() == str(expected).lower()
    if isinstance(found, Decimal | float | int | str):
        return str(found) == str(expected)
    return False


def _shown(values: Any) -> str:
    if not values:
        return "nothing"
    text = ", ".join(jsonio.dumps(v).decode() if isinstance(v, dict | list) else str(v) for v in values)
    return text if len(text) <= 160 else text[:157] + "..."


def _bundle(came: _Came) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in came.resources],
    }


def _same_file(came: _Came, path: Path, shown: str) -> Iterator[str]:
    """Compare the whole bundle; ids are matched by what the resources say."""
    try:
        expected = jsonio.loads(path.read_bytes())
    except OSError:
        yield f"{shown} is not there: look at the result, then run again with --accept"
        return
    for d in diff.diff(expected, jsonio.loads(jsonio.dumps(_bundle(came))), ignore=_NEVER):
        yield f"{d.path}: {d.kind}, expected {_shown([d.left])}, found {_shown([d.right])}"


def _write(came: _Came, path: Path, shown: str) -> str:
    path.write_bytes(jsonio.dumps_pretty(_bundle(came)))
    return shown


def _names(names: set[Any]) -> str:
    return ", ".join(sorted(map(str, names))) or "nowhere else"
