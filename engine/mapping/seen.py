"""What happened to every row of the maps while one message ran: reached, asked, given a value, or none of it.

In: the calls that a watched program makes (watch.py). Out: `Seen`, a tree of frames: one for every time a map
ran (PID_Patient at PID[1], within it XPN_HumanName at PID-5), each with its rows. Only the bench pays for it;
nothing here changes what a map makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.mapping.model import Row
from engine.mapping.run import TracedRun

__all__ = ["Frame", "Part", "RowSeen", "Seen", "Spot", "watch", "watching"]

Spot = tuple[str, int, int]
"""File, line and column: which row of which map."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a condition: what it says, whether it held, and the text it looked at."""

    said: str
    held: bool
    value: str


@dataclass(slots=True)
class RowSeen:
    """What happened to one row in one frame."""

    reached: int = 0
    held: int = 0  # how often its condition was true
    refused: list[tuple[Part, ...]] = field(default_factory=list)  # and what it saw where it was false
    given: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)  # values that came after another row's
    chose: list[str] = field(default_factory=list)  # what its `by` looked at
    inner: list[Frame] = field(default_factory=list)


@dataclass(slots=True)
class Frame:
    """One map that ran once: its rows by their spot."""

    map: str
    at: str
    rows: dict[Spot, RowSeen] = field(default_factory=dict)

    def row(self, spot: Spot) -> RowSeen:
        """Return what is known of a row, making the record on the way."""
        return self.rows.setdefault(spot, RowSeen())


@dataclass(slots=True)
class Seen:
    """All frames of one message, in the order they ran; `lines` are conditions outside of maps."""

    frames: list[Frame] = field(default_factory=list)
    lines: Frame = field(default_factory=lambda: Frame("", ""))


class _Watch:
    """What the lines that the emitter added call; mixed into a traced run."""

    watching = True
    flags: list[Any]
    row: int

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen = Seen()
        self._open: list[tuple[Frame, Spot]] = []
        self._away = 0
        self.watched: list[Row] = []  # the rows that the program's numbers stand for

    def goes(self, name: str, at: str, inner: bool) -> None:
        """Begin a map; `inner`: a datatype's, or one that a row asked for."""
        frame = Frame(name, at)
        if not inner or not self._open:
            if not inner:
                self.seen.frames.append(frame)
        else:
            above, spot = self._open[-1]
            above.row(spot).inner.append(frame)
        self._open.append((frame, ("", 0, 0)))

    def came(self, _: None, value: Any) -> Any:
        """End it; hands its value on."""
        self._open.pop()
        return value

    def _spot(self, n: int) -> Spot:
        place = self.watched[n].place
        return place.file, place.line, place.column

    def _row(self, n: int) -> RowSeen:
        frame = self._open[-1][0] if self._open else self.seen.lines
        return frame.row(self._spot(n))

    def reached(self, n: int) -> None:
        """A row's turn has come."""
        self._row(n).reached += 1
        if self._open:
            self._open[-1] = (self._open[-1][0], self._spot(n))

    def asked(self, n: int, held: bool, parts: Callable[[], tuple[tuple[str, bool, str], ...]]) -> bool:
        """A condition was asked; what it looked at is kept where it was false."""
        row = self._row(n)
        if held:
            row.held += 1
            return True
        flags = len(self.flags)
        row.refused.append(tuple(Part(said, bool(one), str(value)) for said, one, value in parts()))
        del self.flags[flags:]
        return False

    def gave(self, n: int, value: Any) -> None:
        """A row gave a value."""
        row = self._row(n)
        (row.late if self._away else row.given).append(value)

    def chose(self, v: str) -> None:
        super().chose(v)  # type: ignore[misc]
        if self.row >= 0:
            self._row(self.row).chose.append(str(v))

    def aside(self) -> tuple[Any, ...]:
        self._away += 1
        return super().aside()  # type: ignore[misc,no-any-return]

    def back(self, was: tuple[Any, ...]) -> None:
        self._away -= 1
        super().back(was)  # type: ignore[misc]


def watch(x: TracedRun, rows: list[Row]) -> Seen | None:
    """Tell a watching run which rows the numbers of its program stand for; returns what it will have seen."""
    if not isinstance(x, _Watch):
        return None
    x.watched = rows
    return x.seen


_MADE: dict[type, type[TracedRun]] = {}


def watching(run: type[TracedRun]) -> type[TracedRun]:
    """Return the run that watches the rows of its maps."""
    if run not in _MADE:
        _MADE[run] = type(f"Watching{run.__name__}", (_Watch, run), {})
    return _MADE[run]
