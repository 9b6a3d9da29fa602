"""How generated code reads repeated loops and groups of elements of an X12 transaction set.

In: a row with `each: 2400`, `each: CAS`, `each: 2430/CAS`. Out: a loop over the places where such a thing
stands, each with its segment and its scope; `as:` or `make:` runs a segment's or loop's map there, other rows
read there.
"""

from __future__ import annotations

from dataclasses import replace

from engine.mapping.emitnames import Aim, Env, ignored
from engine.mapping.emitrows import Rows
from engine.mapping.model import First, Place, Row, Source

__all__ = ["Standing"]


class Standing(Rows):
    """Writes `each` of X12."""

    def standing(self, row: Row, aim: Aim, env: Env) -> None:
        """Write `each` over loops, segments or their groups of elements (X12): a map on each, or rows that
        read there. `each: .` is the very segment that the row's map stands on."""
        holder, slash, segment = row.each.rpartition("/")
        here = row.each == "."
        names = [f"{one}/{segment}" for one in holder.split("|")] if slash else segment.split("|")
        s, f, q, depth = self.name("s"), self.name("f"), self.name("q"), self.depth
        if not self.trace and not here:
            self.put(f"if {' or '.join(f'{n!r} in x.names' for n in names)}:")
            self.depth += 1
        places = f"((s, {env.scope}),)" if here else f"x.standing({env.scope}, {row.each!r})"
        done = "" if aim.many or here else self.name("d")  # a single element takes the first
        if done:
            self.put(f"{done} = False")
        self.put(f"for {s}, {q} in {places}:")
        self.depth += 1
        if done:
            self.put(f"if {done}: break")
        inner = replace(env, scope=q if holder or segment[:1].isdigit() else env.scope, value=None)
        if inner.scope == q:
            inner = replace(inner, fields={}, bound={})
        if not segment[:1].isdigit() and not here:
            self.put(f"{f} = fields({s}, x)")
            bound = {k: v for k, v in inner.bound.items() if k[0] != segment}
            inner = replace(inner, fields={**inner.fields, segment: f}, bound=bound)
        if row.when is not None:
            self.put(f"if {self.condition(row.when, inner)}:")
            self.depth += 1
        if (
            row.known_by is not None and self.spot
        ):  # a list that comes in parts: nothing told before is taken out
            known = ", ".join(self.each_text(row.known_by, inner, row.place))
            self.put(f"x.told_of({self.spot_of!r}, {s}, ({known},), ('A',))")
        bare = replace(row, each="", when=None, known_by=None)
        spot = self.spot

        def taken(value: str) -> None:
            aim.take(value)
            if done:
                self.put(f"{done} = True")
            if spot:
                self.put(f"{spot}.append({s})")

        to = replace(aim, take=taken, clear=ignored, slot=None)
        name = row.as_ or row.make
        m = self.library.maps.get(name)
        if row.source is None and m is not None and self.kinds.is_segment(m.source):
            self.needs.add((name, "m"))
            stands = s  # of a loop its first segment, unless the map is another one's
            if segment[:1].isdigit() and not m.source[:1].isdigit():
                stands = f"{q}.near({m.source!r})"
            v = self.name("v")
            if row.make:
                self.put(f"{v} = x.made_at({name!r}, {m.to!r}, M_{name}, K_{name}, {stands}, {q})")
            else:
                self.put(f"{v} = x.filled_at(M_{name}, {stands}, {q})")
            if row.children:
                self.composite(bare, to, inner, v)
            else:
                self.put(f"if {v} is not None:")
                self.depth += 1
                to.take(v)
        else:
            self.value(bare, to, inner)
        self.depth = depth

    def each_text(self, source: Source | None, env: Env, place: Place) -> list[str]:
        """Return the raw text of each location of `[a, b]`."""
        options = source.options if isinstance(source, First) else () if source is None else (source,)
        return [self.join_part(option, env, place, True) for option in options]
