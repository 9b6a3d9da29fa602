"""The language of Find: `DOE parked, yesterday` or `OBX-3.1=K and not channel:adt`, read into conditions.

In: one line of text and the local time of now. Out: what was asked, or a `BadQuery` that says at which
character it stops making sense and what to write instead; it never repeats what stands there, which may be a
patient's name. Words beside each other, `and` and `,` mean all; `or` means either; brackets group; quotes
make a word of anything.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from engine.channels.asked import (
    KINDS,
    STATES,
    All,
    Asked,
    Either,
    Held,
    Is,
    Named,
    Not,
    Received,
    Word,
    conditions,
)
from engine.channels.askedtimes import BadTime, span_at
from engine.formats.hl7v2.locations import parse_location
from engine.kernel.errors import FormatError, HubError

__all__ = ["KEYS", "BadQuery", "read_query"]

_LONGEST, _MOST, _DEEPEST = 600, 40, 12
KEYS = {
    "mrn": "patient",
    "patient": "patient",
    "name": "name",
    "born": "birth",
    "birth": "birth",
    "order": "order",
    "accession": "order",
    "visit": "visit",
    "account": "account",
    "control": "control",
    "claim": "claim",
    "document": "document",
    "study": "study",
    "code": "code",
    "downsampled": "downsampled",
    "entry": "entry",
    "channel": "channel",
    "type": "type",
    "sender": "sender",
    "cause": "cause",
    "state": "state",
    "kind": "kind",
}
"""What may stand before a colon, and what it means."""
_SHOWN = ("channel", "type", "sender", "cause", "state", "kind")
_PLURALS = {f"{kind}s": kind for kind in KINDS} | {"messages": "message"}
_FIELD = re.compile(
    r"([A-Za-z][A-Za-z0-9]{2}(?:\([^()]*\))?-\d+(?:\([^()]*\))?(?:\.\d+){0,2})\s*(!=|>=|<=|=|>|<|~)\s*"
)
_KEY = re.compile(r"([A-Za-z_]+):(?=[^\s,()])")
_PLAIN = re.compile(r'[^\s,()"]+')
_QUOTED = re.compile(r'"([^"]*)"')
_CLEAN = re.compile(r"[^\x00-\x1f\x7f]*")


class BadQuery(HubError):
    """A search that cannot be read; `at` is the character (from 0) where it goes wrong."""

    def __init__(self, at: int, what: str, remedy: str = "") -> None:
        super().__init__(what, where=f"character {at + 1}", remedy=remedy)
        self.at = at

    def __reduce__(self) -> tuple[object, ...]:
        return BadQuery, (self.at, self.what, self.remedy)


class _Token(NamedTuple):
    at: int
    kind: str  # , ( ) word quoted, or a condition that is complete
    text: str
    asked: Asked | None = None


def read_query(text: str, now: datetime) -> Asked:
    """Read a search. Raises BadQuery."""
    if len(text) > _LONGEST:
        raise BadQuery(_LONGEST, f"a search has at most {_LONGEST} characters", "make it several searches")
    if not _CLEAN.fullmatch(text.strip()):
        raise BadQuery(0, "it has characters that nobody can type", "paste the number or name alone")
    reader = _Reader(_tokens(text), now, len(text))
    asked = reader.either(0) if reader.left else All(())
    if reader.left:
        raise BadQuery(reader.token.at, "a bracket is closed that was never opened", "remove it")
    if sum(1 for _ in conditions(asked)) > _MOST:
        raise BadQuery(0, f"more than {_MOST} conditions", "make it several searches")
    return asked


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] in ",()":
            found.append(_Token(at, text[at], text[at]))
            at += 1
            continue
        if text[at] == '"':
            said, end = _value(text, at, at)
            found.append(_Token(at, "quoted", said, Word(said)))
            at = end
            continue
        if m := _FIELD.match(text, at):
            place = _place(m[1], at)
            said, end = _value(text, m.end(), at)
            if m[2] in (">", "<", ">=", "<="):
                _number(said, m.end())
            found.append(_Token(at, "condition", "", Held(place, m[2], said)))
            at = end
            continue
        if m := _KEY.match(text, at):
            said, end = _value(text, m.end(), at)
            found.append(_Token(at, "condition", "", _keyed(m[1].casefold(), said, at, m.end())))
            at = end
            continue
        m = _PLAIN.match(text, at)
        assert m is not None  # whatever is no blank, comma, bracket or quote
        found.append(_Token(at, "word", m[0]))
        at = m.end()
    return found


def _value(text: str, at: int, begun: int) -> tuple[str, int]:
    """Return the value that stands there, quoted or not, and where it ends."""
    if at < len(text) and text[at] == '"':
        m = _QUOTED.match(text, at)
        if m is None:
            raise BadQuery(at, "a quote is opened and not closed", 'end it with "')
        if not m[1].strip():
            raise BadQuery(at, "nothing stands between these quotes", "write what is looked for there")
        return m[1].strip(), m.end()
    m = _PLAIN.match(text, at)
    if m is None:
        raise BadQuery(begun, "no value follows", 'write one behind it, in "quotes" if it has blanks')
    return m[0], m.end()


def _place(text: str, at: int) -> str:
    name, _, rest = text.partition("-") if "(" not in text else (text[:3], "", text[3:])
    made = name.upper() + ("-" if "(" not in text else "") + rest
    try:
        return str(parse_location(made))
    except FormatError as e:
        raise BadQuery(at, "this is no place in a message", e.remedy or "write e.g. OBX-3.1") from None


def _number(text: str, at: int) -> None:
    try:
        if not Decimal(text).is_finite():
            raise InvalidOperation
    except InvalidOperation:
        raise BadQuery(at, "only numbers are more or less", "write a number, or use = != or ~") from None


def _keyed(key: str, value: str, at: int, value_at: int) -> Asked:
    meant = KEYS.get(key)
    if meant is None:
        raise BadQuery(
            at,
            "what stands before this colon is not known",
            f'use {", ".join(sorted(KEYS))}, or put the whole in "quotes" to look for it',
        )
    if meant == "entry" and not (value.isdecimal() and len(value) <= 15):
        raise BadQuery(value_at, "an entry is a number", "write e.g. entry:8841")
    if meant not in _SHOWN:
        return Named(meant, value)
    known = {"state": STATES, "kind": KINDS}.get(meant)
    if known:
        parts = [_PLURALS.get(p.casefold(), p.casefold()) for p in value.split("|")]
        if any(part not in known for part in parts):
            raise BadQuery(value_at, f"this {meant} is not known", f"use {', '.join(known)}")
        return Is(meant, "|".join(parts))
    if not value.strip("|"):
        raise BadQuery(value_at, f"no {meant} is named", f"write e.g. {meant}:a|b")
    return Is(meant, value)


class _Reader:
    """Reads tokens by rules: either = all (or all)*, all = one ((and | ,)? one)*."""

    def __init__(self, tokens: list[_Token], now: datetime, end: int) -> None:
        self.tokens, self.now, self.end = tokens, now, end
        self.i = 0

    @property
    def left(self) -> bool:
        return self.i < len(self.tokens)

    @property
    def token(self) -> _Token:
        return self.tokens[self.i]

    def _is(self, *words: str) -> bool:
        """Say whether the next token is one of these plain words or signs."""
        return self.left and self.token.kind != "quoted" and self.token.text.casefold() in words

    def either(self, depth: int) -> Asked:
        if depth > _DEEPEST:
            raise BadQuery(self.token.at if self.left else self.end, "too many brackets", "use fewer")
        parts = [self._all(depth)]
        while self._is("or"):
            self.i += 1
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self, depth: int) -> Asked:
        parts = [self._one(depth)]
        while self.left and not self._is("or", ")"):
            if self._is("and", ","):
                self.i += 1
                if self._is("and"):  # `a, and b`
                    self.i += 1
                if not self.left and self.tokens[self.i - 1].text == ",":
                    break  # a comma at the end, before somebody types on
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, depth: int) -> Asked:
        if not self.left:
            raise BadQuery(self.end, "something is missing at the end", "write one more condition")
        token = self.token
        if token.asked is not None:
            self.i += 1
            return token.asked
        if self._is("not"):
            self.i += 1
            if depth > _DEEPEST:
                raise BadQuery(token.at, "too many `not`", "use fewer")
            return Not(self._one(depth + 1))
        if token.kind == "(":
            self.i += 1
            asked = self.either(depth + 1)
            if not self._is(")"):
                raise BadQuery(token.at, "a bracket is opened and not closed", "close it with )")
            self.i += 1
            return asked
        if token.kind in (",", ")") or self._is("and", "or"):
            raise BadQuery(
                token.at, "a condition is missing before this", "write one, or quote a word that is meant"
            )
        return self._word()

    def _word(self) -> Asked:
        """Read a state, a kind of entry, a time, or else a word to look for."""
        word = self.token.text.casefold()
        if word in STATES:
            self.i += 1
            return Is("state", word)
        kind = _PLURALS.get(word, word)
        if kind in KINDS and word != "message":
            self.i += 1
            return Is("kind", kind)
        if word.startswith("#") and word[1:].isdecimal() and len(word) <= 16:
            self.i += 1
            return Named("entry", word[1:])
        if found := self._time():
            return found
        self.i += 1
        return Word(self.tokens[self.i - 1].text)

    def _time(self) -> Received | None:
        ahead = self.tokens[self.i : self.i + 8]
        words: list[str] = []
        for token in ahead:
            if token.kind != "word":
                break
            words.append(token.text)
        try:
            found = span_at(words, self.now)
        except BadTime as e:
            raise BadQuery(
                ahead[e.place].at, str(e), "times are e.g. yesterday, last 7 days, since 14:00"
            ) from None
        except (OverflowError, ValueError):
            raise BadQuery(ahead[0].at, "there is no such time", "write e.g. last 7 days") from None
        if found is None:
            return None
        self.i += found[1]
        return found[0]
