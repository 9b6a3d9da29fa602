"""A message without anybody's data: names, numbers, places and free text replaced, dates moved.

In: the text of one HL7 v2 message and a key. Out: the same message about nobody, and every text that was
kept, for a person to read before it leaves. The same value becomes the same pseudonym wherever it stands in
the message, so that what belongs together still does; without the key nobody can tell from what. What a field
is follows from its datatype (HL7 v2.8.2 ch. 2A); of a segment that no dictionary knows all is replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.formats.hl7v2 import dictionary
from engine.kernel.errors import FormatError

__all__ = ["Pseudonymised", "pseudonymised"]

_VERSION = "2.8.2"
_FAMILY = ("Sample", "Example", "Specimen", "Trial", "Model", "Pattern", "Fixture", "Draft")
_GIVEN = ("Alex", "Robin", "Kim", "Sam", "Chris", "Jo", "Lee", "Pat")
_KEPT = frozenset(
    {"ID", "IS", "SI", "NM", "HD", "VID", "PT", "MSG", "SN", "CP", "MO", "CQ", "NA", "TM", "GTS"}
)
_DATES = frozenset({"DT", "TS", "DTM"})
_CODED = frozenset({"CE", "CWE", "CNE", "CF"})
_PARTS: dict[str, dict[int, str]] = {
    "XPN": {1: "family", 2: "given", 3: "given", 4: "drop", 5: "drop", 6: "drop"},
    "PN": {1: "family", 2: "given", 3: "given", 4: "drop", 5: "drop", 6: "drop"},
    "XCN": {1: "number", 2: "family", 3: "given", 4: "given", 5: "drop", 6: "drop", 7: "drop"},
    "CNN": {1: "number", 2: "family", 3: "given", 4: "given", 5: "drop", 6: "drop", 7: "drop"},
    "CN": {1: "number", 2: "family", 3: "given", 4: "given", 5: "drop", 6: "drop", 7: "drop"},
    "PPN": {1: "number", 2: "family", 3: "given", 4: "given", 5: "drop", 6: "drop", 7: "drop"},
    "CX": {1: "number", 2: "drop"},
    "EI": {1: "number"},
    "XAD": {1: "text", 2: "text", 3: "text", 4: "kept", 5: "number", 8: "text", 9: "text", 10: "text"},
    "XTN": {
        1: "number",
        4: "text",
        5: "kept",
        6: "number",
        7: "number",
        8: "number",
        9: "text",
        12: "number",
    },
    "XON": {1: "text", 3: "number", 10: "number"},
    "PL": {1: "number", 2: "number", 3: "number", 5: "kept", 7: "number", 8: "number", 9: "text"},
    "DLN": {1: "number"},
    "SAD": {1: "text", 2: "text", 3: "number"},
    "FN": {1: "family", 3: "family", 5: "family"},
}
"""What is done to the components of a datatype; those not named follow from their own types."""
_STAY = frozenset({"OBX-4", "OBX-7", "MSH-9", "MSH-12", "MSH-18", "ORC-1", "OBX-2", "PID-1"})
_NUMBERS = frozenset({"MSH-10", "MSA-2", "PID-2", "PID-4", "PID-19", "PV1-50"})
_ESCAPE = re.compile(r"(\\[^\\]*\\)")
_LONG_NUMBER = re.compile(r"\d{5}")


@dataclass(frozen=True, slots=True)
class Pseudonymised:
    """The message about nobody; `kept`: (location, text) of the words that stand as they were sent."""

    text: str
    kept: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Work:
    key: bytes
    separators: str  # field, component, repetition, escape, subcomponent
    shift: timedelta
    kept: list[tuple[str, str]] = field(default_factory=list)
    private: set[str] = field(default_factory=set)  # words of names and places, in small letters

    def digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.key, f"{kind}|{text.strip().lower()}".encode(), hashlib.sha256)


def pseudonymised(text: str, key: bytes) -> Pseudonymised:
    """Replace what is anybody's in a message. Raises FormatError for what is no HL7 v2."""
    lines = [x for x in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if x.strip()]
    if not lines or not lines[0].startswith("MSH") or len(lines[0]) < 8:
        raise FormatError("only HL7 v2 messages can be made anonymous here", remedy="write an invented one")
    sep = lines[0][3]
    codes = (lines[0][4:8].split(sep)[0] + "^~\\&"[len(lines[0][4:8].split(sep)[0]) :])[:4]
    days = 30 + int.from_bytes(hmac.digest(key, b"days", "sha256")[:2], "big") % 700
    work = _Work(key, sep + codes, timedelta(days=-days))
    split = [line.split(sep) for line in lines]
    for fields in split:
        _learn(work, fields)
    out = [sep.join(_segment(work, fields)) for fields in split]
    return Pseudonymised("\n".join(out), tuple(dict.fromkeys(work.kept)))


def _type(segment: str, n: int, fields: list[str]) -> str:
    """Return the datatype of a field; "" where no dictionary has it."""
    if segment == "OBX" and n == 5:
        return fields[2] if len(fields) > 2 else "ST"
    found = dictionary.version(_VERSION).segment(segment)
    for f in found.fields if found is not None else ():
        if f.number == n and f.datatype != "WD":
            return f.datatype
    older = dictionary.version("2.3.1").segment(segment)
    for f in older.fields if older is not None else ():
        if f.number == n:
            return f.datatype
    return ""


def _learn(work: _Work, fields: list[str]) -> None:
    """Remember the words of names, streets and numbers: they are somebody's wherever they stand."""
    for n, raw in enumerate(fields[1:], 1):
        rules = _PARTS.get(_type(fields[0], n, fields), {})
        for rep in raw.split(work.separators[2]) if rules else ():
            for c, part in enumerate(rep.split(work.separators[1]), 1):
                if rules.get(c, "kept") not in ("kept", "drop"):
                    work.private.update(w.lower() for w in re.findall(r"\w{2,}", part))


def _segment(work: _Work, fields: list[str]) -> list[str]:
    name = fields[0]
    if name == "MSH":  # the field separator is MSH-1 itself
        rest = [_field(work, name, n, raw, fields) for n, raw in enumerate(fields[2:], 3)]
        return [*fields[:2], *rest]
    return [name, *(_field(work, name, n, raw, fields) for n, raw in enumerate(fields[1:], 1))]


def _field(work: _Work, segment: str, n: int, raw: str, fields: list[str]) -> str:
    where = f"{segment}-{n}"
    if raw in ("", '""') or where in _STAY:
        return raw
    kind = _type(segment, n, fields)
    reps = raw.split(work.separators[2])
    if where in _NUMBERS:
        return work.separators[2].join(_number(work, r) for r in reps)
    if where == "PID-7":
        return _birth(work, raw)
    return work.separators[2].join(_value(work, kind, r, 1, where) for r in reps)


def _value(work: _Work, kind: str, raw: str, level: int, where: str) -> str:
    """Conceal one value of a datatype; `level` 1 has components, 2 subcomponents."""
    if raw in ("", '""'):
        return raw
    if kind in _KEPT:
        return raw
    if kind in _DATES:
        mark = work.separators[1] if level == 1 else work.separators[4]
        head, _, tail = raw.partition(mark)
        return _date(work, head) + (mark + tail if tail else "")
    mark = work.separators[1] if level == 1 else work.separators[4]
    parts = raw.split(mark)
    if kind in _CODED:
        return mark.join(_coded(work, parts, where))
    if kind in ("ED", "RP"):
        return mark.join("" if n in (1, 5) else p for n, p in enumerate(parts, 1))
    components = (
        {} if level > 2 else {c.number: c.datatype for c in dictionary.version(_VERSION).components(kind)}
    )
    rules = _PARTS.get(kind, {})
    if not components and not rules:
        return _text(work, raw, where)
    out = []
    for n, part in enumerate(parts, 1):
        rule = rules.get(n, "")
        if rule:
            first, *more = part.split(work.separators[4]) if level == 1 else [part]
            done = _ruled(work, rule, first, where)
            others = [_ruled(work, rule, x, where) for x in more] if rule != "kept" else more
            out.append(work.separators[4].join([done, *others]))
        else:
            out.append(_value(work, components.get(n, ""), part, level + 1, where))
    return mark.join(out)


def _ruled(work: _Work, rule: str, text: str, where: str) -> str:
    if not text or text == '""' or rule == "kept":
        return text
    if rule == "drop":
        return ""
    if rule == "number":
        return _number(work, text)
    if rule == "family":
        return _FAMILY[work.digest("family", text)[0] % len(_FAMILY)]
    if rule == "given":
        return _GIVEN[work.digest("given", text)[0] % len(_GIVEN)]
    return _masked(text)


def _coded(work: _Work, parts: list[str], where: str) -> list[str]:
    """Codes stay, and the words of a code; words without one are anybody's."""
    out = list(parts)
    for n, code in ((2, 1), (5, 4), (9, 1)):
        if n > len(parts) or not parts[n - 1]:
            continue
        there = code <= len(parts) and bool(parts[code - 1])
        if there and _harmless(work, parts[n - 1]):
            work.kept.append((where, parts[n - 1]))
        else:
            out[n - 1] = _masked(parts[n - 1])
    if parts and parts[0] and not _harmless(work, parts[0], 20):
        out[0] = _number(work, parts[0])
    return out


def _text(work: _Work, text: str, where: str) -> str:
    """A result in a few words stays where none of them is anybody's; all other text is masked."""
    if where == "OBX-5" and len(text) <= 40 and len(text.split()) <= 4 and _harmless(work, text):
        work.kept.append((where, text))
        return text
    return _masked(text)


def _harmless(work: _Work, text: str, longest: int = 80) -> bool:
    words = {w.lower() for w in re.findall(r"\w{2,}", text)}
    return (
        len(text) <= longest
        and not words & work.private
        and not (_LONG_NUMBER.search(text) and len(text) > 10)
    )


def _masked(text: str) -> str:
    """Letters become x, digits 0; escapes (a new line, say) stay."""
    pieces = _ESCAPE.split(text)
    for n, piece in enumerate(pieces):
        if not _ESCAPE.fullmatch(piece):
            plain = re.sub(r"[^\W\d_]", lambda m: "X" if m[0].isupper() else "x", piece)
            pieces[n] = re.sub(r"\d", "0", plain)
    return "".join(pieces)


def _number(work: _Work, text: str) -> str:
    """A number of the same shape: digits for digits, letters for letters, the same wherever it stands."""
    stream = work.digest("number", text) * (len(text) // 32 + 1)
    out = []
    for c, b in zip(text, stream, strict=False):
        if c.isdigit():
            out.append(str(b % 10))
        elif c.isalpha():
            letter = "ABCDEFGHJKLMNPQRSTUVWXYZ"[b % 24]
            out.append(letter if c.isupper() else letter.lower())
        else:
            out.append(c)
    return "".join(out)


def _date(work: _Work, text: str) -> str:
    """Move a time by whole days, as precise as it was; what is none is masked."""
    m = re.fullmatch(r"(\d{4})(\d{2})?(\d{2})?(.*)", text.strip())
    if m is None:
        return _masked(text)
    try:
        day = datetime(int(m[1]), int(m[2] or 6), int(m[3] or 15)) + work.shift
    except (ValueError, OverflowError):
        return _masked(text)
    shown = day.strftime("%Y%m%d")
    return shown[: 8 if m[3] else 6 if m[2] else 4] + m[4]


def _birth(work: _Work, raw: str) -> str:
    """A date of birth is moved too; nobody is older than ninety."""
    moved = _date(work, raw)
    oldest = datetime.now().year - 90
    if moved[:4].isdigit() and int(moved[:4]) < oldest:
        return f"{oldest}0101"[: len(moved)] if len(moved) <= 8 else f"{oldest}0101{moved[8:]}"
    return moved
