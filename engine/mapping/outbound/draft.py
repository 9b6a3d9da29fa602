"""What is being written, before it is bytes: a tree of named parts (loops and segments, elements and
attributes), each value with the FHIR element it came from and the row that put it there.

A part lives when a value from FHIR stands in it; one of constants alone lives only where no row could have
put more in it. So a qualifier never stands without what it qualifies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = ["Draft", "Part", "Shape"]


class Part(NamedTuple):
    """One step of a place: `REF(01=G1)` is Part("REF", "01=G1", constants); `01..12` has `upto` 12."""

    name: str
    label: str = ""
    constants: tuple[tuple[tuple[str, ...], str], ...] = ()
    upto: int = 0


class Shape(Protocol):
    """What the target format says of a place, asked when a map is read."""

    @property
    def repeats(self) -> bool:
        """Say whether several values may stand here, one part each."""

    @property
    def text(self) -> bool:
        """Say whether the place holds plain text and nothing else."""

    def step(self, text: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        """Read a place below this one. Raises MapError for one the format does not have."""

    def usual(self, kind: str) -> str:
        """Name the function or map that writes a FHIR type here; empty: as its own text."""


@dataclass(slots=True, eq=False)
class Draft:
    """One part: its value or its parts, or both (an element with text and attributes)."""

    name: str
    label: str = ""
    value: str = ""
    dynamic: bool = False  # the value comes from FHIR
    source: str = ""  # place of the FHIR element
    row: str = ""  # file:line
    expects: bool = False  # a row could put a value from FHIR into this part
    parts: list[Draft] = field(default_factory=list)
    by_name: dict[tuple[str, str], Draft] = field(default_factory=dict)

    def at(self, chain: tuple[Part, ...], expects: bool = False) -> Draft:
        """Find the place, or make it."""
        here = self
        for part in chain:
            found = here.by_name.get((part.name, part.label))
            here = found if found is not None else here._make(part)
            if expects:
                here.expects = True
        return here

    def new(self, chain: tuple[Part, ...], expects: bool = False) -> Draft | None:
        """Make the place once more (or take it, while nothing stands there); None where it holds no more."""
        here = self.at(chain[:-1], expects)
        last = chain[-1]
        found = here.by_name.get((last.name, last.label))
        if last.upto:
            found = None
            for n in range(int(last.name), last.upto + 1):
                name = str(n).zfill(len(last.name))
                found = here.by_name.get((name, "")) or here._make(Part(name))
                if not found.filled:
                    break
            else:
                return None
        elif found is None or found.filled:
            found = here._make(last)
        found.expects = found.expects or expects
        return found

    def _make(self, part: Part) -> Draft:
        made = Draft(part.name, part.label)
        self.parts.append(made)
        self.by_name[part.name, part.label] = made
        for names, value in part.constants:
            inner = made.at(tuple(Part(n) for n in names))
            inner.value, inner.row = value, "="
        return made

    @property
    def filled(self) -> bool:
        """Say whether something stands here that no filter put."""
        return bool(self.value and self.row != "=") or any(p.filled for p in self.parts)

    def prune(self) -> tuple[bool, bool, bool]:
        """Take out what does not live; say whether a value from FHIR is here, whether a constant is, and
        whether any row could have put a value here."""
        dynamic, fixed = bool(self.value) and self.dynamic, bool(self.value) and not self.dynamic
        expects, kept = self.expects, []
        for part in self.parts:
            live, said, open_ = part.prune()
            if live or (said and not open_):
                kept.append(part)
                dynamic, fixed = dynamic or live, fixed or said
            expects = expects or open_
        self.parts = kept
        return dynamic, fixed, expects

    def get(self, *names: str) -> Draft | None:
        """Find a part by names, the first of each."""
        here: Draft | None = self
        for name in names:
            here = next((p for p in here.parts if p.name == name), None) if here is not None else None
        return here

    def walk(self) -> Iterator[Draft]:
        """Give this part and all inside it."""
        yield self
        for part in self.parts:
            yield from part.walk()
