"""Which row of a draft made a message come out otherwise.

In: an effect, how the maps of the message's site differ, both traced twins of the message. Out: a `Cause`:
the row by map, element and case with its place and what it says before and after; or the table, the resource
line, the setting or the channel that differs. A place that a value really came from goes before a row whose
element only looks right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.channels.impactcompare import Effect
from engine.mapping.entries import BLOCKS
from engine.mapping.lineage import Mapped
from engine.mapping.model import Row
from engine.mapping.reach import SiteDiff, rows_of
from engine.mapping.sheetdiff import Change

__all__ = ["Cause", "Rows"]


@dataclass(frozen=True, slots=True)
class Cause:
    """What of the draft made the difference; `place`: where it stands, or stood."""

    label: str
    place: str = ""
    was: str = ""
    becomes: str = ""


class Rows:
    """What differs for one site, ready to be asked."""

    def __init__(self, diff: SiteDiff, channel_words: Iterable[str] = ()) -> None:
        self._diff = diff
        self._channel = [Cause(f"channel {word}") for word in channel_words]
        self._by_place: tuple[dict[str, Change], dict[str, Change]] = ({}, {})  # live, draft
        self._by_map: dict[str, list[Change]] = {}
        for c in diff.rows:
            for places, place in zip(self._by_place, (c.old_place, c.new_place), strict=True):
                if place:
                    places.setdefault(place.rpartition(" ")[2], c)
            self._by_map.setdefault(c.map, []).append(c)
        self._tables: dict[
            str, list[tuple[str, Row]]
        ] = {}  # place of a row -> the changed table that it asks
        for program in (diff.live, diff.draft):
            for name, m in program.resolved.items() if program is not None else ():
                for r in rows_of(m):
                    if r.code in diff.tables.rows:
                        self._tables.setdefault(name, []).append((str(r.place), r))

    def cause(self, effect: Effect, live: list[Mapped], draft: list[Mapped], message: str) -> Cause:
        """Return the cause of one effect in a message that `message` maps."""
        change = self._traced(effect, live, draft)
        if change is None and effect.where:
            change = self._located(effect.where)
        if change is not None:
            return _of(change)
        maps = self._maps(effect, message)
        table = self._table(effect, live, draft, maps)
        if table:
            return Cause(f"table {table}", f"terminology/maps/{table}.csv")
        change = self._looks_right(effect, maps)
        if change is not None:
            return _of(change)
        for name, words in self._diff.messages.items():
            if name == message and (effect.line in words or len(words) == 1 or not effect.line):
                word = effect.line if effect.line in words else words[0]
                return Cause(f"{name}/{word}")
        return self._only() or Cause("what follows from several of these rows together")

    def _traced(self, effect: Effect, live: list[Mapped], draft: list[Mapped]) -> Change | None:
        """Find a row that differs and that a value of the element came through."""
        for side, mapped in ((1, draft), (0, live)):
            name, at = effect.names[side], effect.at[side]
            if not name or not (at or effect.kind == "resource"):
                continue
            for m in _at(mapped, f"{name}.{at}" if at else name):
                if (found := self._by_place[side].get(str(m.place))) is not None:
                    return found
        return None

    def _located(self, where: str) -> Change | None:
        """Find a row that reads the field of a flag, or the element or line it names."""
        plain = where.split(" ")[-1]
        for places in self._by_place[::-1]:
            if plain in places:
                return places[plain]
        field = plain.replace("[", ".").split(".")[0] if "-" not in plain else ""
        segment, _, number = plain.partition("-")
        number = number.split("[")[0].split(".")[0]
        spot = f"{segment.split('[')[0]}-{number}" if number else ""
        for c in self._diff.rows:
            said = f"{c.old} {c.new}"
            if spot and any(word.strip("[],;(){}").split(".")[0] == spot for word in said.split()):
                return c
        if field:
            path = plain.partition(".")[2]
            return self._looks_right(Effect("element", "", field, path), None)
        return None

    def _maps(self, effect: Effect, message: str) -> set[str] | None:
        """Return the maps that fill the resource; None where that is not known."""
        for program in (self._diff.draft, self._diff.live):
            if program is not None and message in program.maps.messages:
                for r in program.maps.messages[message].resources:
                    if r.name == effect.line:
                        return set(r.rows)
        return {effect.line} if effect.line else None

    def _table(self, effect: Effect, live: list[Mapped], draft: list[Mapped], maps: set[str] | None) -> str:
        """Name the code table that differs and that the element's value was looked up in."""
        if effect.kind in ("unknown", "known", "flagged", "unflagged"):
            named = [t for t in self._diff.tables.rows if f" {t}:" in effect.what]
            if named:
                return named[0]
        places = {
            str(m.place)
            for side, mapped in ((1, draft), (0, live))
            if effect.names[side] and effect.at[side]
            for m in _at(mapped, f"{effect.names[side]}.{effect.at[side]}")
        }
        likely = ""
        for name, asked in self._tables.items():
            for place, row in asked:
                if place in places:
                    return row.code
                if (maps is None or name in maps) and _score(row.name, effect.path):
                    likely = likely or row.code
        return likely

    def _looks_right(self, effect: Effect, maps: set[str] | None) -> Change | None:
        """Find a row that differs and whose element is that of the effect, or the resource's identity."""
        best: tuple[int, Change] | None = None
        for name, found in self._by_map.items():
            own = maps is not None and name in maps
            if maps is not None and not own and not self._is_type_map(name):
                continue
            for c in found:
                if effect.kind == "resource":
                    score = 2 if own and c.element == "key" else 1 if own else 0
                else:
                    score = _score(_element(c), effect.path) * (2 if own else 1) if own or maps is None else 0
                if score and (best is None or score > best[0]):
                    best = score, c
        return best[1] if best else None

    def _is_type_map(self, name: str) -> bool:
        program = self._diff.draft or self._diff.live
        return program is not None and name in program.resolved and not program.resolved[name].key

    def _only(self) -> Cause | None:
        """Return the one thing that differs, where there is but one."""
        all_ = [
            *(_of(c) for c in self._diff.rows),
            *(Cause(f"table {name}", f"terminology/maps/{name}.csv") for name in self._diff.tables.rows),
            *(Cause(f"tables: {name}") for name in self._diff.tables.everything),
            *(Cause(f"{name}/{word}") for name, words in self._diff.messages.items() for word in words),
            *(Cause(f"site {word}") for word in self._diff.settings),
            *self._channel,
        ]
        return all_[0] if len(all_) == 1 else None


def _of(c: Change) -> Cause:
    element = c.element.replace(" / = ", "/").replace(" / ", "/")
    return Cause(f"{c.map}/{element}", (c.new_place or c.old_place).rpartition(" ")[2], c.old, c.new)


def _at(mapped: list[Mapped], path: str) -> Iterator[Mapped]:
    """Give what went to an element or below it."""
    inside = f"{path}.", f"{path}["
    return (m for m in mapped if m.target == path or m.target.startswith(inside))


def _element(c: Change) -> str:
    parts = [p for p in c.element.split(" / ") if not p.startswith("= ") and p not in BLOCKS]
    return ".".join(p.partition(" (")[0] for p in parts)


def _score(row: str, path: str) -> int:
    """Say how well the target of a row fits a path: the number of steps that agree, 0 where one does not."""
    score = 0
    for a, b in zip(row.split("."), path.split("."), strict=False):
        name = a.partition("(")[0]
        base = name.removesuffix("[x]")
        if b != name and not (base != name and b.startswith(base) and b[len(base) : len(base) + 1].isupper()):
            return 0
        score += 1
    return score
