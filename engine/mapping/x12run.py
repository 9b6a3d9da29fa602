"""What generated code calls to read an X12 transaction set: segments by qualifier, repeated loops and groups
of elements, and the maps that run on each.

In: a `LoopScope` and what a row names. Out: raw elements, or what a map made there. `X12Run` is the fast run,
`TracedX12Run` its twin that remembers addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.mapping.run import Run, TracedRun
from engine.mapping.x12scope import LoopScope

__all__ = ["TracedX12Run", "X12Run"]

Fill = Callable[[Any, Any, Any, dict[str, Any], dict[str, list[str]]], None]
Key = Callable[[Any, Any, Any, dict[str, Any], dict[str, list[str]]], Any]


class _Loops(Run):
    """The steps that read loops."""

    def __init__(self, message: Any, *args: Any) -> None:
        super().__init__(message, *args)
        self.names = message.names
        for where, text in getattr(message, "doubts", ()):
            self.hold("level-elsewhere", where, text)
        self.loops_said: dict[tuple[str, str], Any] = {}  # of a line and a loop's text: x12memory

    def find(
        self,
        g: Any,
        name: str,
        tests: tuple[tuple[int, int, tuple[str, ...], bool], ...],
        number: int,
        own: list[str] | None = None,
    ) -> str:
        """Return element `number` of the first segment that the tests let pass: `REF(01=G1)-02`."""
        if name not in self.names and "|" not in name:
            return ""
        element, component, values, negated = tests[0]
        if len(tests) == 1 and element == 1 and not component and not negated and len(values) == 1:
            s = g.coded(name, values[0])
            if s is None:
                return ""
            f = self.fields_of(s)
            return f[number] if number < len(f) else ""
        for s in g.segments(name):
            f = self.fields_of(s)
            if all((self._part(f, n, part) in wanted) is not no for n, part, wanted, no in tests):
                return f[number] if number < len(f) else ""
        return ""

    def standing(self, g: LoopScope, each: str) -> list[tuple[Any, LoopScope]]:
        """Give (segment, scope) for every loop `2400`, segment `NTE`, group of elements `CAS` or `2430/CAS`
        that a row repeats over; of a loop, its first segment."""
        ids, slash, name = each.rpartition("/")
        if not slash and name[:1].isdigit():
            return [(next((found[0] for found in loop.own.values()), None), loop) for loop in g.named(name)]
        if not slash:
            return g.pieces(name)
        return [
            found for scope in ((g.top,) if ids == "ST" else g.named(ids)) for found in scope.pieces(name)
        ]

    def filled_at(self, fill: Fill, s: Any, g: LoopScope) -> dict[str, Any] | None:
        """Return the element that a map makes of a segment or loop; None where it makes nothing."""
        o: dict[str, Any] = {}
        if s is not None:
            fill(s, g, self, o, {})
        return o or None

    def made_at(
        self, name: str, kind: str, fill: Fill, key: Key, s: Any, g: LoopScope
    ) -> dict[str, Any] | None:
        """Make the resource that a map makes of a segment or loop, once per transaction set, and return the
        Reference to it."""
        self.marks += 1
        self.chained = None
        frame = self.enter()
        o: dict[str, Any] = {}
        labels: dict[str, list[str]] = {}
        fill(s, g, self, o, labels)
        keys = key(s, g, self, o, labels) if o else ()
        inner = self.drop(frame)
        return self.settle_made(kind, name, o, labels, keys, inner, None) if o else None


class X12Run(_Loops):
    """The run of the fast program."""


class TracedX12Run(_Loops, TracedRun):
    """The twin that remembers."""
