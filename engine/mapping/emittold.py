"""How generated code makes the entries of a list that messages tell one by one: each known by something of
its segment, each with an action code.

In: a row with `each`, `known_by` and `action`. Out: code that names every entry and leaves out those that the
message takes out; what becomes of the stored list is the store's (engine/store/listed.py). HL7 v2.8.2
§2.10.4.2.
"""

from __future__ import annotations

from dataclasses import replace

from engine.mapping.emitnames import Aim, Env, ignored, segments_of
from engine.mapping.emitstanding import Standing
from engine.mapping.model import Row

__all__ = ["Told"]


class Told(Standing):
    """Writes entries told one by one."""

    def one_by_one(self, row: Row, aim: Aim, env: Env) -> None:
        """Write a row whose entries are told one by one: what each is known by, and its action code.

        A segment other than the one repeated is the last of its name before it.
        """
        holder, _, notes = row.each.partition("/")
        if row.known_by is None or not holder or notes not in ("", "NTE") or not self.spot or env.top != "o":
            raise self.error(
                f"{'.'.join(map(str, aim.path))}: entries cannot be told one by one here",
                row.place,
                "say each, known_by and action of a list of the resource itself",
            )
        s, f, a, depth = self.name("s"), self.name("f"), self.name("a"), self.depth
        if not self.trace:
            self.put(f"if {holder!r} in x.names:")
            self.depth += 1
        self.put(f"for {s} in x.each(g, s, {holder!r}):")
        self.depth += 1
        self.put(f"{f} = fields({s}, x)")
        bound = {k: v for k, v in env.bound.items() if k[0] != holder}
        inner = replace(env, fields={**env.fields, holder: f}, bound=bound)
        for name in sorted(segments_of(row.known_by, row.action) - {holder}):
            ahead = self.name("f")
            self.put(f"{ahead} = x.ahead({s}, {name!r})")
            self.put(f"{ahead} = EMPTY if {ahead} is None else fields({ahead}, x)")
            inner.fields[name] = ahead
        guarded = self.depth
        if row.when is not None and not notes:
            self.put(f"if {self.condition(row.when, inner)}:")
            self.depth += 1
        known = ", ".join(self.each_text(row.known_by, inner, row.place))
        acts = ", ".join(self.each_text(row.action, inner, row.place))
        self.put(f"{a} = x.told_of({self.spot_of!r}, {s}, ({known},), ({acts}{',' if acts else ''}))")
        self.put(f"if {a} != 'D':")
        self.depth += 1
        spot = self.spot

        def taken(value: str) -> None:
            aim.take(value)
            self.put(f"{spot}.append({s})")

        to = replace(aim, take=taken, clear=ignored, slot=None)
        bare = replace(row, each=notes, known_by=None, action=None)
        if notes:
            self.notes_of(bare, to, inner, s)
        else:
            self.value(replace(bare, when=None), to, inner)
            self.depth -= 1
            self.put(f"else: x.refuse({self.spot_of!r}, {s})")
        if row.when is not None and not notes:
            self.depth = guarded
            self.put(f"else: x.refuse({self.spot_of!r}, {s})")
        self.depth = depth

    def notes_of(self, row: Row, aim: Aim, env: Env, s: str) -> None:
        """Write the notes behind one segment as its entries."""
        n, f = self.name("s"), self.name("f")
        self.put(f"for {n} in x.each(g, {s}, 'NTE'):")
        self.depth += 1
        self.put(f"{f} = fields({n}, x)")
        bound = {k: v for k, v in env.bound.items() if k[0] != "NTE"}
        inner = replace(env, fields={**env.fields, "NTE": f}, bound=bound)
        if row.when is not None:
            self.put(f"if {self.condition(row.when, inner)}:")
            self.depth += 1
        self.value(replace(row, each="", when=None), aim, inner)
