"""What was seen of a sender: counts, lengths, kinds, codes, quirks; the record that is kept, sealed.

In: nothing; it is filled by `observing.py`. Out: plain lists and dicts for JSON, and back. Everything is
bounded: types, places, codes, quirks. Values are kept of coded places only, and those may still be patient
data where a sender misuses a field: whoever shows them asks for the permission to see bodies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "MOST_CODES",
    "MOST_PLACES",
    "MOST_QUIRKS",
    "MOST_SEGMENTS",
    "MOST_TYPES",
    "CodeSeen",
    "PlaceSeen",
    "QuirkSeen",
    "SegmentSeen",
    "SenderSeen",
    "TypeSeen",
    "count_up",
]

MOST_TYPES, MOST_PLACES, MOST_CODES, MOST_QUIRKS, MOST_SEGMENTS = 80, 3000, 200, 200, 300
KEPT_ENTRIES = 60
"""Entries of a type that are remembered as examples, the newest."""
FADING = 1 / 50
"""How fast `recent` forgets: half of it is the last 35 messages of the type."""


def count_up(counts: dict[str, int], word: str, most: int = 40) -> None:
    """Count a word; the ones beyond `most` are counted together."""
    if word not in counts and len(counts) >= most:
        word = "others"
    counts[word] = counts.get(word, 0) + 1


@dataclass(slots=True)
class CodeSeen:
    """One code of one place. Times are ms since the epoch."""

    count: int = 0
    first: int = 0
    last: int = 0
    entry: int = 0  # the first message that had it
    text: str = ""


@dataclass(slots=True)
class PlaceSeen:
    """One field or component of one message type."""

    times: int = 0  # repetitions (fields) or components that were populated
    messages: int = 0
    segments: int = 0  # segments in which it was populated
    first: int = 0
    last: int = 0
    first_entry: int = 0
    last_entry: int = 0
    at: int = 0  # which message of its type, counted, had it last
    recent: float = 0.0
    shortest: int = 0
    longest: int = 0
    longest_entry: int = 0
    most: int = 0  # repetitions in one segment
    lengths: dict[int, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    codes: dict[tuple[str, str], CodeSeen] = field(default_factory=dict)  # (code, system)
    uncounted: int = 0  # values that were too long for a code, or one code too many

    def of_late(self, looked: int) -> float:
        """Return the share of the type's messages that had it, the last ones counting most."""
        if not looked:
            return 0.0
        keep = 1 - FADING
        return float(self.recent * keep ** (looked - self.at) / (1 - keep**looked))

    def as_list(self) -> list[Any]:
        """Return it for JSON."""
        codes = [
            [code, system, c.count, c.first, c.last, c.entry, c.text]
            for (code, system), c in self.codes.items()
        ]
        return [
            self.times,
            self.messages,
            self.segments,
            self.first,
            self.last,
            self.first_entry,
            self.last_entry,
            self.at,
            round(self.recent, 5),
            self.shortest,
            self.longest,
            self.longest_entry,
            self.most,
            list(self.lengths.items()),
            self.kinds,
            codes,
            self.uncounted,
        ]

    @classmethod
    def of_list(cls, said: list[Any]) -> PlaceSeen:
        """Read it back."""
        *plain, lengths, kinds, codes, uncounted = said
        known = {(code, system): CodeSeen(*rest) for code, system, *rest in codes}
        everything: list[Any] = [*plain, dict(lengths), kinds, known, uncounted]
        return cls(*everything)


@dataclass(slots=True)
class SegmentSeen:
    """One segment of one message type."""

    messages: int = 0
    times: int = 0
    most: int = 0  # in one message
    first: int = 0
    last: int = 0
    first_entry: int = 0
    last_entry: int = 0
    at: int = 0


@dataclass(slots=True)
class QuirkSeen:
    """Something odd, where, how often."""

    count: int = 0
    first: int = 0
    last: int = 0
    first_entry: int = 0
    last_entry: int = 0


@dataclass(slots=True)
class TypeSeen:
    """One message type of one sender, as far as its messages were looked at."""

    looked: int = 0
    segments: dict[str, SegmentSeen] = field(default_factory=dict)
    places: dict[str, PlaceSeen] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    newest: list[int] = field(default_factory=list)  # entries, oldest first

    def place(self, name: str) -> PlaceSeen | None:
        """Return what is counted of a place; None where there are too many of them."""
        found = self.places.get(name)
        if found is None and len(self.places) < MOST_PLACES:
            found = self.places[name] = PlaceSeen()
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "looked": self.looked,
            "segments": {n: _plain(s) for n, s in self.segments.items()},
            "places": {n: p.as_list() for n, p in self.places.items()},
            "versions": self.versions,
            "newest": self.newest,
        }

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> TypeSeen:
        """Read it back."""
        return cls(
            said["looked"],
            {n: SegmentSeen(*s) for n, s in said["segments"].items()},
            {n: PlaceSeen.of_list(p) for n, p in said["places"].items()},
            said["versions"],
            said["newest"],
        )


@dataclass(slots=True)
class TypeCount:
    """How many messages of a type came: all of them, looked at or not."""

    count: int = 0
    first: int = 0
    last: int = 0
    at: int = 0  # which message of the sender, counted, was the last of it


@dataclass(slots=True)
class SenderSeen:
    """One sender of one channel."""

    channel: str
    sender: str
    messages: int = 0
    looked: int = 0
    gone: int = 0  # chosen, and the body was deleted already
    too_large: int = 0
    first: int = 0
    last: int = 0
    last_entry: int = 0
    garbage: int = 0
    refused: int = 0
    reused: int = 0  # messages whose control id another one had
    types: dict[str, TypeCount] = field(default_factory=dict)
    hours: dict[int, int] = field(default_factory=dict)  # hours since the epoch -> messages
    formats: dict[str, int] = field(default_factory=dict)
    charsets: dict[str, int] = field(default_factory=dict)  # MSH-18
    codecs: dict[str, int] = field(default_factory=dict)  # how the bytes were read
    delimiters: dict[str, int] = field(default_factory=dict)
    line_ends: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    zones: dict[str, int] = field(default_factory=dict)
    quirks: dict[str, QuirkSeen] = field(default_factory=dict)  # `code place`

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        made = {name: getattr(self, name) for name in self.__slots__}
        made["types"] = {n: _plain(t) for n, t in self.types.items()}
        made["quirks"] = {n: _plain(q) for n, q in self.quirks.items()}
        made["hours"] = list(self.hours.items())
        return made

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> SenderSeen:
        """Read it back."""
        said = dict(said)
        said["types"] = {n: TypeCount(*t) for n, t in said["types"].items()}
        said["quirks"] = {n: QuirkSeen(*q) for n, q in said["quirks"].items()}
        said["hours"] = dict(map(tuple, said["hours"]))
        return cls(**said)


def _plain(record: Any) -> list[Any]:
    return [getattr(record, name) for name in record.__slots__]
