"""What to try when a search finds nothing: the same with one condition less, where that finds something.

In: what was asked, what finds. Out: searches as they are typed, each with what it leaves out; and hints on
conditions that are easily mistaken. Also any search written back as somebody would type it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.channels.asked import (
    All,
    Asked,
    Either,
    Held,
    Is,
    Named,
    Not,
    Word,
    conditions,
    in_words,
)
from engine.channels.finding import Finder

__all__ = ["Wider", "hints", "in_query", "wider"]

_TRIED = 4


@dataclass(frozen=True, slots=True)
class Wider:
    """A search that finds something: what it leaves out, and how it is typed."""

    without: str
    query: str


def wider(asked: Asked, finder: Finder) -> list[Wider]:
    """Return searches with one condition less that find something."""
    if not isinstance(asked, All) or len(asked.parts) < 2:
        return []
    found = []
    for n, part in enumerate(asked.parts[:_TRIED]):
        rest = All(asked.parts[:n] + asked.parts[n + 1 :])
        if finder.find(rest, limit=1, names=False).hits:
            found.append(Wider(in_words(part), in_query(rest)))
    return found


def hints(asked: Asked) -> list[str]:
    """Say what may have been meant otherwise."""
    said: dict[str, None] = {}
    for one in conditions(asked):
        if isinstance(one, Held) and one.op == "=" and any(c.isalpha() for c in one.value):
            said[
                f"{one.place}={one.value} compares exactly; {one.place}~{one.value} looks for it without case"
            ] = None
        elif isinstance(one, Word) and any(c in one.text for c in "=<>~"):
            said["A place is written SEGMENT-FIELD.COMPONENT, e.g. OBX-3.1=K"] = None
        elif isinstance(one, Word) and "*" in one.text:
            said["Numbers and names are looked for whole: * is for channels, types, senders and causes"] = (
                None
            )
        elif isinstance(one, (Word, Named)):
            said["Numbers and names are looked for whole, as they were sent"] = None
    return list(said)


def in_query(asked: Asked, inner: bool = False) -> str:
    """Write a search as it is typed."""
    if isinstance(asked, (All, Either)):
        text = (" " if isinstance(asked, All) else " or ").join(in_query(part, True) for part in asked.parts)
        return f"({text})" if inner and len(asked.parts) > 1 else text
    if isinstance(asked, Not):
        return f"not {in_query(asked.part, True)}"
    if isinstance(asked, Word):
        return f'"{asked.text}"'  # whatever it is, it is a word
    if isinstance(asked, Named):
        return (
            f"entry:{asked.value}"
            if asked.kind == "entry"
            else f'{_KEYS.get(asked.kind, asked.kind)}:"{asked.value}"'
        )
    if isinstance(asked, Held):
        return f'{asked.place}{asked.op}"{asked.value}"'
    if isinstance(asked, Is):
        return f'{asked.what}:"{asked.value}"'
    if asked.birth and asked.since is not None:
        return f"{asked.since:%Y-%m-%d}"
    if asked.since is not None and asked.until is not None:
        return f"{_moment(asked.since)} to {_moment(asked.until)}"
    return f"since {_moment(asked.since)}" if asked.since is not None else f"before {_moment(asked.until)}"


_KEYS = {"patient": "mrn", "birth": "born"}


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at is not None else ""
