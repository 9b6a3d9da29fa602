"""Two changes of one text brought together, where they do not touch.

In: the text both began from, and what each made of it. Out: the merged text, or the places where both changed
the same or neighbouring lines. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

__all__ = ["Clash", "Merged", "merge"]


@dataclass(frozen=True, slots=True)
class Clash:
    """Lines that both changed, each with the number of its first line."""

    base: str
    mine: str
    theirs: str
    base_line: int
    mine_line: int
    theirs_line: int


@dataclass(frozen=True, slots=True)
class Merged:
    """`text` is None where there are clashes."""

    text: str | None
    clashes: tuple[Clash, ...] = ()


_Hunk = tuple[int, int, list[str]]  # lines [start, end) of the base become these


def merge(base: str, mine: str, theirs: str) -> Merged:
    """Bring two changes of `base` together; hunks that touch each other are clashes unless they are equal."""
    lines = base.splitlines(keepends=True)
    ours, others = _hunks(lines, mine), _hunks(lines, theirs)
    out: list[str] = []
    clashes: list[Clash] = []
    at = 0
    shifts = [0, 0]  # how far the lines of mine, of theirs stand from those of the base
    for start, end, mine_part, their_part in _groups(lines, ours, others):
        out += lines[at:start]
        before = lines[start:end]
        at = end
        if their_part == before or mine_part == their_part:
            out += mine_part
        elif mine_part == before:
            out += their_part
        else:
            texts = "".join(before), "".join(mine_part), "".join(their_part)
            clashes.append(Clash(*texts, start + 1, start + 1 + shifts[0], start + 1 + shifts[1]))
        shifts[0] += len(mine_part) - len(before)
        shifts[1] += len(their_part) - len(before)
    out += lines[at:]
    return Merged(None, tuple(clashes)) if clashes else Merged("".join(out))


def _hunks(base: list[str], text: str) -> list[_Hunk]:
    other = text.splitlines(keepends=True)
    codes = SequenceMatcher(None, base, other, autojunk=False).get_opcodes()
    return [(i1, i2, other[j1:j2]) for tag, i1, i2, j1, j2 in codes if tag != "equal"]


def _groups(
    base: list[str], mine: list[_Hunk], theirs: list[_Hunk]
) -> Iterator[tuple[int, int, list[str], list[str]]]:
    """Give stretches of the base with what each side makes of them; hunks that touch share a stretch."""
    every = sorted([(h, 0) for h in mine] + [(h, 1) for h in theirs], key=lambda x: (x[0][0], x[0][1]))
    while every:
        (first, side), *every = every
        start, end = first[0], first[1]
        parts: tuple[list[_Hunk], list[_Hunk]] = ([], [])
        parts[side].append(first)
        while every and every[0][0][0] <= end:
            (hunk, side), *every = every
            parts[side].append(hunk)
            end = max(end, hunk[1])
        yield start, end, _applied(base, parts[0], start, end), _applied(base, parts[1], start, end)


def _applied(base: list[str], hunks: list[_Hunk], start: int, end: int) -> list[str]:
    out: list[str] = []
    at = start
    for first, last, lines in hunks:
        out += [*base[at:first], *lines]
        at = last
    return out + base[at:end]
