"""Two states of one map, row by row.

In: the resolved map before and after. Out: one `Change` for each row that came, went or says something else,
whatever its line. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.mapping.entries import Entry, entries
from engine.mapping.model import MapDef

__all__ = ["Change", "changes"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of two sheets that differs; `old` or `new` is empty where the row is not there."""

    map: str
    element: str
    old: str
    new: str
    old_place: str
    new_place: str

    def __str__(self) -> str:
        sign = "~" if self.old and self.new else "+" if self.new else "-"
        lines = [f"{sign} {self.map}  {self.element}"]
        lines += [f"    was  {self.old}   ({self.old_place})"] if self.old else []
        lines += [f"    is   {self.new}   ({self.new_place})"] if self.new else []
        return "\n".join(lines)


def changes(old: MapDef | None, new: MapDef | None) -> Iterator[Change]:
    """Give the rows of one map that differ between two states."""
    m = new or old
    assert m is not None
    before, after = _lines(old), _lines(new)
    for path in dict.fromkeys([*after, *before]):
        (was, was_at), (now, now_at) = before.get(path, ("", "")), after.get(path, ("", ""))
        if was != now:
            yield Change(m.name, " / ".join(path), was, now, was_at, now_at)


def _lines(m: MapDef | None) -> dict[tuple[str, ...], tuple[str, str]]:
    """Return path of an entry -> (what it says, layer and place); words of a map's head are entries too."""
    out: dict[tuple[str, ...], tuple[str, str]] = {}
    if m is None:
        return out
    place = f"{m.place.layer} {m.place.file}"
    for word, text in (("key", m.key_text), ("ignore", ", ".join(m.ignore))):
        if text:
            out[(word,)] = (text, place)

    def walk(e: Entry, path: tuple[str, ...]) -> None:
        here = (*path, {"case": f"= {e.key or chr(34) * 2}"}.get(e.kind, e.key))
        n = 2
        while here in out:  # two layers may say the same element under different conditions
            here = (*path, f"{e.key} ({n})")
            n += 1
        said = "; ".join(f"{word} {text}" if word != "from" else text for word, text in e.words.items())
        if said or not e.inside:
            out[here] = (said, f"{e.place.layer} {e.place}")
        for inner in e.inside:
            walk(inner, here)

    for e in entries(m):
        walk(e, ())
    return out
