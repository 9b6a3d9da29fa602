"""Rows -> straight-line Python. One function per map; the text is readable (`hub map python NAME`) and runs
as it stands.

The emitter knows both sides' types (types.py) and writes only from typed rows, so a map file cannot execute
code. The same text serves the fast run and the traced twin: what differs is the values it is given (run.py,
traced.py); the twin also gets `x.row = n` lines so that every value knows its row. Here: the elements of a
resource or datatype, lists and single ones; the rest is in emitcases, emitrows, emitvalues, emitread and
emitnames.
"""

from __future__ import annotations

from dataclasses import replace

from engine.mapping import types as T
from engine.mapping.emitcases import Cases
from engine.mapping.emitnames import Aim, Env, Handle, Library, is_constant, tests_target
from engine.mapping.model import Row, Step

__all__ = ["Emitter", "Env", "Handle", "Library", "is_constant"]


class Emitter(Cases):
    """Writes the functions of one map."""

    def block(
        self, rows: tuple[Row, ...], type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]
    ) -> None:
        """Write all rows of one element: ordinary rows first, then those that test what has become of the
        target."""
        outer, self.lists, self.types[var] = (self.lists, self.late), {}, type_
        self.late = frozenset(
            (r.target[0].name, r.target[0].label) for r in rows if r.target and tests_target(r)
        )
        for late in (False, True):
            groups: dict[str, list[Row]] = {}
            for r in rows:
                if tests_target(r) is late:
                    groups.setdefault(r.target[0].name if r.target else "", []).append(r)
            for name, group in groups.items():
                self.element(name, group, type_, var, lab, env, path)
        self.lists, self.late = outer

    def element(
        self, name: str, group: list[Row], type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]
    ) -> None:
        if name.endswith("[x]"):
            for r in group:
                self.choice(r, type_, var, lab, env, path)
            return
        target = T.child_of(type_, name)
        if target is None or (not target.type and not all(len(r.target) == 1 and r.skip for r in group)):
            near = "" if target else f"{type_.split('.')[0]} has no element {name}"
            raise self.error(
                f"{group[0].name}: unknown element",
                group[0].place,
                near or f"{name} may hold several types: name one, e.g. valueQuantity",
            )
        if target.repeats:
            self.list_element(name, group, target, var, lab, env, path)
        else:
            self.single_element(name, group, target, type_, var, env, path)

    def list_element(
        self,
        name: str,
        group: list[Row],
        target: T.Target,
        var: str,
        lab: str,
        env: Env,
        path: tuple[Step, ...],
    ) -> None:
        by_label: dict[str, list[Row]] = {}
        for r in group:
            by_label.setdefault(r.target[0].label, []).append(r)
        for label, rows in by_label.items():
            again = self.lists.get((var, name, label))
            sent = ""
            if not again and (name, label) not in self.late and not any(map(is_constant, rows)):
                sent = self.guard(rows, env)
            if sent:
                self.put(f"if {sent}:")
                self.depth += 1
            made = again or self.name("L")
            self.lists[var, name, label] = made
            if again:
                self.put(f"N{made} = len({made})")
            else:
                self.put(f"{made} = []")
            own = (r for r in rows if len(r.target) == 1)  # an `each` below makes entries of another list
            spots = any(r.each and (r.each_segment != "NTE" or r.known_by) for r in own) and bool(lab)
            outer, self.spot = self.spot, ""
            if spots:
                self.put(f"M{made} = []")
                self.spot, self.spot_of = f"M{made}", (name, label)
            here = (*path, Step(name, label))
            for r in (r for r in rows if len(r.target) == 1):
                self.mark(r)
                self.entries(r, target, made, env, here, f"{name}({label})" if label else name)
            self.spot = ""
            deeper = tuple(replace(r, target=r.target[1:]) for r in rows if len(r.target) > 1)
            beside = ""
            if deeper and target.primitive:
                beside = self.name("e")
                self.put(f"{beside} = {{}}")
                self.block(deeper, target.type, beside, "", env, here)
            elif deeper:
                self.touch(deeper, target, made, env, here)
            if again:
                added = self.add(var, lab, name, label, f"{made}[N{made}:]", "NONE")
                self.put(f"if len({made}) > N{made}: {added}")
            elif spots:
                self.put(f"if {made}: put_all_of({var}, {lab}, {name!r}, {label!r}, {made}, M{made}, x)")
            elif lab:
                self.put(f"if {made}: {self.add(var, lab, name, label, made, 'x.before')}")
            else:
                self.put(f"if {made}: {self.add(var, lab, name, label, made, 'NONE')}")
            if beside:
                self.put(f"if {beside}: beside({var}, {name!r}, {beside})")
            self.spot = outer
            self.depth -= bool(sent)

    def add(self, var: str, lab: str, name: str, label: str, entries: str, before: str) -> str:
        """Return the call that appends entries to a list. Labels of lists deeper than the resource are kept
        by the twin alone, for inline tests."""
        if not lab and not self.trace:
            return f"put_entries({var}, {name!r}, {entries})"
        labels = lab or f"x.labels_of({var}, {name!r})"
        return f"put_list({var}, {labels}, {name!r}, {label!r}, {entries}, {before})"

    def touch(
        self, rows: tuple[Row, ...], target: T.Target, made: str, env: Env, here: tuple[Step, ...]
    ) -> None:
        """Write rows such as `address(list).district`: into the entries made, or a new one when something is
        valued."""
        fresh, e = self.name("n"), self.name("e")
        sent = self.guard(rows, env) if not any(map(is_constant, rows)) else ""
        if sent:
            self.put(f"if {sent}:")
            self.depth += 1
        self.put(f"{fresh} = not {made}")
        bare = len(here) == 1 and all(
            is_constant(r) and not tests_target(r) and r.target[0].name != "extension" for r in rows
        )
        alone = (
            "" if bare else " or [{}]"
        )  # a constant never makes an entry; an extension may say that there is none
        self.put(f"for {e} in {made}{alone}:")
        self.depth += 1
        self.filled(rows, target.type, e, replace(env.at(here, e), override=False), here)
        self.put(f"if {fresh} and {e}: {made}.append({e})")
        self.depth -= 1 + bool(sent)

    def filled(self, rows: tuple[Row, ...], type_: str, var: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write child rows so that constants alone never make an entry."""
        fed = {r.target[0] for r in rows if not is_constant(r) and r.target}
        constants = tuple(
            r
            for r in rows
            if is_constant(r) and not tests_target(r) and (len(r.target) == 1 or r.target[0] not in fed)
        )
        others = tuple(r for r in rows if r not in constants)
        start = len(self.lines)
        if others:
            self.block(others, type_, var, "", env, path)
            if constants:
                self.put(f"if {var}:")
                self.depth += 1
                self.block(constants, type_, var, "", env, path)
                self.depth -= 1
        else:
            self.block(constants, type_, var, "", env, path)
        if len(self.lines) == start:
            self.put("pass")

    def single_element(
        self,
        name: str,
        group: list[Row],
        target: T.Target,
        type_: str,
        var: str,
        env: Env,
        path: tuple[Step, ...],
    ) -> None:
        choices = self.choices(type_, name)
        base = any(len(r.target) == 1 and not r.target[0].label for r in group)
        for r in (r for r in group if len(r.target) == 1):
            self.mark(r)
            if r.target[0].label and not target.primitive:
                self.onto(r, target, var, name, env, (*path, r.target[0]))
                if base or tests_target(r):
                    continue
            self.single(r, target, var, name, env, (*path, r.target[0]), choices)
        deeper = [r for r in group if len(r.target) > 1]
        if not deeper:
            return
        slot = "_" + name if target.primitive else name
        e, fresh = self.name("e"), self.name("n")
        sent = self.guard(deeper, env) if not any(map(is_constant, deeper)) else ""
        if sent:
            self.put(f"if {sent}:")
            self.depth += 1
        self.put(f"{e} = {var}.get({slot!r})")
        self.put(f"{fresh} = {e} is None")
        self.put(f"if {fresh}: {e} = {{}}")
        here = (*path, Step(name))
        rows = tuple(replace(r, target=r.target[1:]) for r in deeper)
        self.filled(
            rows, target.type, e, replace(env if target.primitive else env.at(here, e), override=False), here
        )
        guard = f" and {choices}.isdisjoint({var})" if choices else ""
        self.put(f"if {fresh} and {e}{guard}: {var}[{slot!r}] = {e}")
        if not path and all(map(tests_target, deeper)):
            self.put(f"if {fresh} and {e}: x.weak.append({slot!r})")
        self.depth -= bool(sent)

    def onto(self, row: Row, target: T.Target, var: str, name: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write a labelled row such as `valueQuantity(unit)`: into the element another row made, never
        alone."""
        if row.skip:
            return
        self.put(f"if {name!r} in {var} and {self.condition(row.when, env)}:")
        self.depth += 1

        def take(value: str) -> None:
            self.put(f"onto({var}[{name!r}], {value})")

        self.value(row, Aim(target, path, take), env)
        self.put("pass")
        self.depth -= 1

    # -- one element, one value ------------------------------------------------------------------------------

    def single(
        self,
        row: Row,
        target: T.Target,
        var: str,
        name: str,
        env: Env,
        path: tuple[Step, ...],
        choices: str = "",
    ) -> None:
        """Write one row into a single element."""
        if row.skip:
            return
        free = f"{choices}.isdisjoint({var})" if choices else f"{name!r} not in {var}"
        over = env.override and not is_constant(row) and not choices
        if over:
            free = "True"
        # of what is repeated, asked there
        asked = None if row.each and self.kinds.format == "x12" else row.when
        guard = f"{self.condition(asked, env)} and {free}" if asked is not None else free
        if self.trace:
            guard = self.condition(asked, env) if asked is not None else "True"
        self.put(f"if {guard}:")
        self.depth += 1
        aside = self.name("u") if self.trace and free != "True" else ""
        if aside:
            self.put(f"{aside} = None if {free} else x.aside()")

        def take(value: str) -> None:
            if self.trace and not over:
                self.put(f"put_one({var}, {name!r}, {value}, x)")
            else:
                self.put(f"{var}[{name!r}] = {value}")
            if row.flag or row.work:
                self.put(self.noted(row, self.where(row, env)))

        aim = Aim(target, path, take, lambda h: f"x.cleared.append({name!r})", slot=(var, name))
        self.value(row, aim, env)
        if aside:
            self.put(f"if {aside} is not None: x.back({aside})")
        self.depth -= 1
        if row.default and all(not r.target for r in row.default):
            empty = " and ".join(f"not {e}" for e in self.raws(row, env)) or "True"
            when = f" and {self.condition(row.when, env)}" if row.when is not None else ""
            self.put(f"if {free} and {empty}{when}:")
            self.depth += 1
            for d in row.default:
                self.mark(row)
                self.single(replace(d, target=row.target), target, var, name, env, path, choices)
            self.depth -= 1

    def entries(
        self, row: Row, target: T.Target, made: str, env: Env, path: tuple[Step, ...], shown: str
    ) -> None:
        """Write one row into a repeating element: an entry per repetition."""
        if row.skip:
            return
        inside = row.when is not None and not row.each
        if inside:
            assert row.when is not None
            bound = self.per_repetition(row, env)
            if bound is None:
                self.put(f"if {self.condition(row.when, env)}:")
                self.depth += 1

        def take(value: str) -> None:
            self.put(f"{made}.append({value})")
            if row.flag or row.work:
                self.put(self.noted(row, self.where(row, env)))

        aim = Aim(target, path, take, lambda h: f"x.cleared.append({shown!r})", many=True)
        self.value(row, aim, env)
        if inside and self.per_repetition(row, env) is None:
            self.depth -= 1
        if row.default and all(not r.target for r in row.default):
            empty = " and ".join(f"not {e}" for e in self.raws(row, env)) or "True"
            when = f" and {self.condition(row.when, env)}" if inside else ""
            self.put(f"if not {made} and {empty}{when}:")
            self.depth += 1
            for d in row.default:
                self.entries(replace(d, target=row.target), target, made, env, path, shown)
            self.depth -= 1
