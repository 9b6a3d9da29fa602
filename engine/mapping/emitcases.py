"""How generated code chooses by a value: `by` tables, and `value[x]`, whose cases hold rows of their own.

In: a row with cases. Out: an if-chain; no case and no `else` = nothing, flagged. `failed` of the innermost
table that has one replaces every row of its case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.mapping.emitnames import Env
from engine.mapping.emittold import Told
from engine.mapping.model import Case, Locate, Row, Step

__all__ = ["Cases"]


class Cases(Told):
    """Writes tables of cases."""

    def by(self, row: Row, env: Env, write: Callable[[Row], None]) -> None:
        """Write a `by` table: the value chooses the case; no case and no else = nothing, flagged."""
        assert row.by is not None
        b = self.name("b")
        self.put(f"{b} = {self.selector(row.by, env, row.place)}")
        if self.trace:
            self.put(f"x.chose({b})")
        word, has_else = "if", False
        for case in sorted(row.cases, key=lambda c: "else" in c.values):
            values = tuple(v for v in case.values if v != "else")
            values = tuple("" if v == '""' else v for v in values)
            if "else" in case.values:
                has_else = True
                self.put("else:" if word == "elif" else "if True:")
            else:
                self.put(
                    f"{word} {b} in {values!r}:" if len(values) != 1 else f"{word} {b} == {values[0]!r}:"
                )
            word = "elif"
            self.depth += 1
            start = len(self.lines)
            for r in case.rows:
                self.mark(r)
                if r.skip:
                    self.put("pass")
                elif r.when is not None:
                    self.put(f"if {self.condition(r.when, env)}:")
                    self.depth += 1
                    write(replace(r, when=None))
                    self.depth -= 1
                else:
                    write(r)
            if len(self.lines) == start:
                self.put("pass")
            self.depth -= 1
        if not has_else and word == "elif":
            why = f"no case of {row.place} is for this value"
            self.put(f"elif {b}: x.flag('no-case', {self.where(row, env)!r}, {why!r})")

    def choice(self, row: Row, type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write `value[x]`: each case holds rows for its sibling elements; `failed` replaces a case that
        cannot hold its value."""
        self.mark(row)
        if row.skip:
            return
        if row.by is None:
            raise self.error(
                f"{row.name}: needs a `by` table", row.place, "or name the type, e.g. valueQuantity"
            )
        if row.when is not None:
            self.put(f"if {self.condition(row.when, env)}:")
            self.depth += 1
        self.cases(row, row.failed, type_, var, lab, env, path)
        if row.when is not None:
            self.depth -= 1

    def cases(
        self,
        row: Row,
        failed: tuple[Row, ...],
        type_: str,
        var: str,
        lab: str,
        env: Env,
        path: tuple[Step, ...],
    ) -> None:
        outer_env = env

        def one_case(case: Case, env: Env) -> None:
            own = next((r.failed for r in case.rows if not r.target and r.failed and r.by is None), ())
            inner = own or failed
            rows = tuple(r for r in case.rows if r.target)
            nested = tuple(r for r in rows if r.by is not None and r.target[-1].name.endswith("[x]"))
            plain = tuple(r for r in rows if r not in nested)
            for r in nested:
                self.cases(r, r.failed or inner, type_, var, lab, env, path)
            if inner and plain:
                t = self.name("t")
                self.put(f"{t} = {{}}")
                outer, self.in_case = self.in_case, True
                self.block(
                    plain,
                    type_,
                    t,
                    "",
                    replace(env, paths={p: (t if v == var else v) for p, v in env.paths.items()}),
                    path,
                )
                self.in_case = outer
                self.put(f"if x.fails > {self.base}:")
                self.depth += 1
                self.put(f"x.forget({self.base})")
                self.block(tuple(r for r in inner if r.target), type_, var, lab, env, path)
                for r in inner:
                    if not r.target and (r.flag or r.work):
                        self.put(self.noted(r, self.where(row, env)))
                self.depth -= 1
                self.put(f"else: put_all({var}, {t}, x)")
            elif plain:
                self.block(plain, type_, var, lab, env, path)
            for r in case.rows:
                if not r.target and (r.flag or r.work) and not r.failed:
                    self.put(self.noted(r, self.where(row, env)))

        b = self.name("b")
        assert row.by is not None
        self.put(f"{b} = {self.selector(row.by, env, row.place)}")
        if self.trace:
            self.put(f"x.chose({b})")
        word, has_else = "if", False
        for case in sorted(row.cases, key=lambda c: "else" in c.values):
            values = tuple("" if v == '""' else v for v in case.values if v != "else")
            if "else" in case.values:
                has_else = True
                self.put("else:" if word == "elif" else "if True:")
            else:
                self.put(f"{word} {b} in {values!r}:")
            word = "elif"
            self.depth += 1
            start = len(self.lines)
            if isinstance(row.by, Locate) and row.by.text == "OBX-2" and values and values[0]:
                one_case(case, replace(outer_env, varies=values[0]))
            else:
                one_case(case, outer_env)
            if len(self.lines) == start:
                self.put("pass")
            self.depth -= 1
        if not has_else and word == "elif":
            why = f"no case of {row.place} is for this value"
            self.put(f"elif {b}: x.flag('no-case', {self.where(row, env)!r}, {why!r})")
