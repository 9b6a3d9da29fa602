"""Effects of many messages brought together: by the row that causes them, then by what comes out otherwise.

In: entries with their effects and causes. Out: groups, those with parked messages first, then by how many
messages they change; a few entries and values of each as samples.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from engine.channels.impactcompare import Effect
from engine.channels.impactrows import Cause
from engine.kernel.message import Entry

__all__ = ["Came", "Group", "Groups"]

SAMPLES = 5  # entries of each effect
VALUES = 5  # pairs of values of each effect
_DISTINCT = 200  # pairs of values counted
_RANK = {"parked": 0, "cause": 1, "unknown": 2, "flagged": 3, "resource": 4}


@dataclass(slots=True)
class Came:
    """One thing that comes out otherwise, in so many messages. `values` hold patient data."""

    kind: str
    what: str
    messages: int = 0
    samples: list[int] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    values: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """What one row of the draft does."""

    label: str
    place: str
    was: str
    becomes: str
    messages: int = 0
    fails: int = 0  # messages that it parks
    effects: list[Came] = field(default_factory=list)

    def as_json(self, values: bool) -> dict[str, Any]:
        """Return it for programs."""
        words = {name: getattr(self, name) for name in self.__slots__ if name != "effects"}
        came = [
            {
                "kind": c.kind,
                "what": c.what,
                "messages": c.messages,
                "samples": c.samples,
                "channels": c.channels,
                **({"values": [list(v) for v in c.values]} if values else {}),
            }
            for c in self.effects
        ]
        return {**words, "effects": came}


class Groups:
    """Collects effects."""

    def __init__(self) -> None:
        self._groups: dict[Cause, Group] = {}
        self._came: dict[tuple[Cause, str, str], tuple[Came, Counter[tuple[str, str]]]] = {}

    def add(self, entry: Entry, found: list[tuple[Effect, Cause]]) -> None:
        """Count one message with all its effects."""
        causes: dict[Cause, bool] = {}
        kinds: set[tuple[Cause, str, str]] = set()
        for effect, cause in found:
            causes[cause] = causes.get(cause, False) or effect.kind == "parked"
            key = cause, effect.kind, effect.what
            came, values = self._came.setdefault(key, (Came(effect.kind, effect.what), Counter()))
            if effect.was or effect.becomes:
                pair = effect.was, effect.becomes
                if pair in values or len(values) < _DISTINCT:
                    values[pair] += 1
            if key in kinds:
                continue
            kinds.add(key)
            came.messages += 1
            if len(came.samples) < SAMPLES:
                came.samples.append(entry.id)
            if entry.channel not in came.channels:
                came.channels.append(entry.channel)
        for cause, fails in causes.items():
            group = self._groups.setdefault(cause, Group(cause.label, cause.place, cause.was, cause.becomes))
            group.messages += 1
            group.fails += fails

    def all(self) -> list[Group]:
        """Return the groups, what fails first."""
        for (cause, _, _), (came, values) in self._came.items():
            came.values = [(was, becomes, n) for (was, becomes), n in values.most_common(VALUES)]
            self._groups[cause].effects.append(came)
        for group in self._groups.values():
            group.effects.sort(key=lambda c: (_RANK.get(c.kind, 9), -c.messages, c.what))
        return sorted(self._groups.values(), key=lambda g: (-g.fails, -g.messages, g.label))
