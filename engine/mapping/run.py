"""One run of a compiled map over one message: what the generated code calls, and what it leaves behind.

A `Run` puts together its state and notes (runstate), values (runvalues) and made resources (runmade), and
finds segments in scope. `TracedRun` is its twin for lineage: the same steps on values that remember their
addresses (traced.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

from engine.mapping.locate import ABOVE, TOP, of_mine
from engine.mapping.runmade import RunMaking
from engine.mapping.runstate import DELETE, Identify, Sender, lit
from engine.mapping.runvalues import RunValues
from engine.mapping.steps import TRACED
from engine.mapping.traced import TKey, TStr, sources_of, traced

__all__ = ["Identify", "Run", "Sender", "TracedRun", "lit"]


ACTIONS = {
    "A": "A", "AD": "A", "LI": "A", "CO": "U", "U": "U", "UP": "U", "D": "D", "DE": "D", "UN": "D", "X": "X",
    "UC": "X",
}  # fmt: skip
"""HL7 tables 0206, 0287 and 0323: adds, updates, takes out, leaves as it is."""


class Run(RunValues, RunMaking):
    """The run of the fast program."""

    def near(self, g: Any, name: str) -> Any:
        """The segment of that name in the nearest enclosing group, or in the only sibling group that has it;
        else None."""
        found = g.near(name)
        if found is False:
            self.flag(
                "several-in-scope",
                f" {name}",
                f"more than one {name} stands beside this segment; none was read",
            )
            return None
        return found

    def each(self, g: Any, s: Any, name: str) -> Any:
        """The segments `name` of this group; NTE: those that stand directly after `s`; AIS/NTE: after every
        AIS."""
        if "/" in name:
            holder, _, name = name.partition("/")
            return [n for h in g.all(holder) for n in g.following(h) if n.name == name]
        if name == "NTE":
            return g.following(s)
        return g.positioned(s, name) if name in ("ROL", "PRT") else g.all(name)

    def ahead(self, s: Any, name: str) -> Any:
        """The last segment of that name before `s` in the message, or None."""
        found = None
        for other in self.message.segments:
            if other is s:
                return found
            if other.name == name:
                found = other
        return None

    def told_of(
        self, row: tuple[str, str], s: Any, known_by: tuple[str, ...], actions: tuple[str, ...]
    ) -> str:
        """Note what the entry of a segment is known by and what happens to it: A, U, X, D or nothing said
        (HL7 tables 0206, 0287, 0323). D of any of the actions is D, else the first said counts."""
        self.marks += 1
        said = [a for a in (str(self.text(one)).upper() for one in actions) if a]
        acts = [ACTIONS[a] for a in said if a in ACTIONS]
        if len(acts) < len(said):
            self.flag("unknown-action", f" {row[0]}", "the action code is in no HL7 table", True)
        act = "D" if "D" in acts else acts[0] if acts else ""
        words = [str(self.text(v)).replace("%", "%25").replace("#", "%23") for v in known_by]
        self.told.setdefault(row, {})[id(s)] = ("#".join((row[1], *words)), act)
        return act

    def acts(self) -> dict[str, dict[str, str]]:
        """What happens to which entry, by element; a row none of whose segments says so of an entry that is
        known by something tells its whole list."""
        out: dict[str, dict[str, str]] = {}
        for (element, _), told in self.told.items():
            if any(act and label.partition("#")[2].strip("#") for label, act in told.values()):
                out.setdefault(element, {}).update((label, act or "A") for label, act in told.values())
        return out

    def find(
        self,
        g: Any,
        name: str,
        tests: tuple[tuple[int, int, tuple[str, ...], bool], ...],
        number: int,
        own: list[str] | None = None,
    ) -> str:
        """Return field `number` of the first segment in scope whose fields pass the tests
        (`OBX(3.1=8302-2)-5`).

        `own`: the fields of the row's own segment of that name, for `OBX(4=mine)`; it is looked for beside
        that one.
        """
        if own is None:
            return self._found(g.all(name), tests, number) or ""
        if len(tests) == 1 and tests[0][2] in (TOP, ABOVE) and not tests[0][3]:
            return self._in_tree(g, name, tests[0], number, own)
        beside = g.together(name)
        several = [
            [(f, c, values, no) for values in of_mine(said, self._part(own, f, c))]
            for f, c, said, no in tests
        ]
        for one in product(*several):
            found = self._found(beside, one, number)
            if found is not None:
                return found
        return ""

    def _in_tree(
        self, g: Any, name: str, test: tuple[int, int, tuple[str, ...], bool], number: int, own: list[str]
    ) -> str:
        """Return a field of what stands above the row's own segment in a tree, which is read once."""
        fld, component, said, _ = test
        key = id(g.around(name)), name, fld, component
        places = self.trees.get(key)
        if places is None:
            places = self.trees[key] = {}
            for s in g.together(name):
                f = self.fields_of(s)
                places.setdefault(self._part(f, fld, component), f)
        for values in of_mine(said, self._part(own, fld, component)):
            for value in values:
                found = places.get(value)
                if found is not None:
                    return found[number] if number < len(found) else ""
        return ""

    def _found(
        self, segments: Iterable[Any], tests: Iterable[tuple[int, int, tuple[str, ...], bool]], number: int
    ) -> str | None:
        """Return a field of the first of the segments whose fields pass the tests; None: there is none."""
        for s in segments:
            f = self.fields_of(s)
            for fld, component, values, negated in tests:
                if (self._part(f, fld, component) in values) is negated:
                    break
            else:
                return f[number] if number < len(f) else ""
        return None

    def _part(self, f: list[str], number: int, component: int) -> str:
        """The text of a component (0: the first) of the first repetition of a field."""
        parts = (f[number] if number < len(f) else "").split(self.rs)[0].split(self.cs)
        at = max(component, 1)
        return self.text(parts[at - 1]) if at <= len(parts) else ""

    def pick(self, raw: str, tests: tuple[tuple[int, int, tuple[str, ...], bool], ...]) -> list[str]:
        """Return the repetitions that pass all tests, e.g. ((5, 0, ("MR",), False),) for `(5=MR)`."""
        out = []
        if raw and raw != DELETE:
            for r in raw.split(self.rs):
                parts = r.split(self.cs)
                for component, sub, values, negated in tests:
                    got = parts[component - 1] if component <= len(parts) else ""
                    subs = got.split(self.ss)
                    got = (subs[sub - 1] if sub <= len(subs) else "") if sub else subs[0]
                    if (self.text(got) in values) is negated:
                        break
                else:
                    if r:
                        out.append(r)
        return out

    def fields_of(self, s: Any) -> list[str]:
        """The raw fields of a segment."""
        return s.fields  # type: ignore[no-any-return]


class TracedRun(Run):
    """The twin that remembers: used for lineage, `try` and `convert`, never on the hot path."""

    tracing = True
    watching = False  # seen.py: it wants the program that reports of every row

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.choices: list[Any] = []  # addresses of values that chose a case
        self.failures: list[tuple[Any, str]] = []  # (address, code)
        self.systems: dict[str, str] = {}  # coding systems as the sender named them -> URI
        self.nested: dict[
            int, tuple[Any, dict[str, list[str]]]
        ] = {}  # id of an element -> it, and the labels of its lists

    def fields_of(self, s: Any) -> list[str]:
        """The raw fields of a segment, each with its address."""
        found: list[str] = TRACED["fields"](s, self)
        return found

    def labels_of(self, o: dict[str, Any], name: str) -> dict[str, list[str]]:
        """The labels of the lists of an element inside a resource."""
        labels = self.nested.setdefault(id(o), (o, {}))[1]
        marks = labels.setdefault(name, [])
        marks += [""] * (len(o.get(name, ())) - len(marks))
        return labels

    def aside(self) -> tuple[Any, ...]:
        """Begin a row whose element is filled already: it lends its source where it says the same, and no
        more."""
        return len(self.flags), self.held, len(self.cleared), len(self.contained), len(self.drafts)

    def back(self, was: tuple[Any, ...]) -> None:
        """End such a row: the fast program never ran it."""
        flags, self.held, cleared, contained, drafts = was
        del self.flags[flags:], self.cleared[cleared:], self.contained[contained:], self.drafts[drafts:]

    def text(self, v: str) -> str:
        out = Run.text(self, v)
        src = getattr(v, "src", ())
        return traced(str(out), src, self.row) if out and src else out

    def keep(self, value: Any, *raw: str) -> Any:
        return traced(value, sources_of(raw), self.row)

    def chose(self, v: str) -> None:
        self.choices.extend((a, self.row) for a in getattr(v, "src", ()))

    def fail(self, code: str, raw: str) -> None:
        super().fail(code, raw)
        self.failures.extend((a, code) for a in getattr(raw, "src", ()))

    def join(self, raws: Sequence[str], glue: str) -> str | None:
        out = Run.join(self, raws, glue)  # a Literal stays one: alone it says nothing
        return (
            None if out is None else traced(str(out), sources_of(r for r in raws if self.text(r)), self.row)
        )

    def join_key(self, raws: Sequence[str]) -> str | None:
        out = Run.join_key(self, raws)
        return None if out is None else TKey(str(out), sources_of(r for r in raws if self.text(r)), self.row)

    def code(self, table: str, v: str, where: str, unmapped: str, required: bool) -> str | None:
        out = Run.code(self, table, v, where, unmapped, required)
        if out is None:
            if self.text(v):
                self.failures.extend((a, f"code not in table {table}") for a in getattr(v, "src", ()))
            return None
        return TStr(str(out), getattr(v, "src", ()), self.row)

    def authority(self, v: str) -> str | None:
        return self._named(Run.authority(self, v), v)

    def system(self, v: str) -> str | None:
        uri = Run.system(self, v)
        if uri is not None:
            self.systems.setdefault(str(self.text(v)), uri)
        return self._named(uri, v)

    def _named(self, out: str | None, v: str) -> str | None:
        if out is None:
            if self.text(v):
                self.failures.extend(
                    (a, "no system is known for this name; the sender's `systems` can say")
                    for a in getattr(v, "src", ())
                )
            return None
        return TStr(str(out), getattr(v, "src", ()), self.row)


def _tracing(name: str) -> Callable[..., Any]:
    plain_method = getattr(Run, name)

    def method(self: TracedRun, v: str) -> Any:
        out = plain_method(self, v)
        return (
            None
            if out is None
            else traced(out if not isinstance(out, str) else str(out), getattr(v, "src", ()), self.row)
        )

    method.__name__ = name
    method.__doc__ = plain_method.__doc__
    return method


for _name in (
    "date",
    "date_time",
    "instant",
    "time",
    "decimal",
    "integer",
    "positive",
    "boolean",
    "token",
    "uri",
    "string",
):
    setattr(TracedRun, _name, _tracing(_name))
