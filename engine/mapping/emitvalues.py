"""How generated code makes one FHIR value of a raw one: constants, joined text, datatypes, code tables,
resources made.

In: a row with a source and the type of its target. Out: expressions, and the lines before them. Which map
serves a pair of types is said in types.py; without one the row must name it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace

from engine.mapping import types as T
from engine.mapping.emitnames import (
    GLUE,
    RAW,
    Aim,
    Env,
    Handle,
    first_of,
    is_constant,
    tests_target,
)
from engine.mapping.emitread import Reading
from engine.mapping.locate import locate
from engine.mapping.model import Case, Constant, First, Join, Locate, Place, Row, Source
from engine.mapping.values import BUILTIN, BULKY, decimal_of

__all__ = ["FALLIBLE", "Values"]

PRIMITIVE = {
    "date": "x.date", "dateTime": "x.date_time", "instant": "x.instant", "time": "x.time",
    "decimal": "x.decimal",
    "integer": "x.integer", "positiveInt": "x.positive", "unsignedInt": "x.integer", "boolean": "x.boolean",
    "code": "x.token", "id": "x.token", "oid": "x.uri", "uri": "x.uri", "url": "x.uri", "canonical": "x.uri",
    "uuid": "x.uri",
    "base64Binary": "x.base64", "string": "x.string", "markdown": "x.string",
}  # fmt: skip
FALLIBLE = frozenset([
    "date", "dateTime", "instant", "time", "decimal", "integer", "positiveInt", "unsignedInt", "boolean",
    "uri", "url", "canonical", "oid", "uuid",
])  # fmt: skip


class Values(Reading):
    """Writes what turns raw values into FHIR values."""

    @abstractmethod
    def composite(
        self,
        row: Row,
        aim: Aim,
        env: Env,
        base: str | None,
    ) -> None:
        """Write an element that its child rows fill."""

    def constant(self, row: Row, aim: Aim, env: Env) -> None:
        target = aim.target
        assert isinstance(row.source, Constant)
        text = row.source.text
        expr: str
        if text.startswith("own:"):
            expr = repr(f"{self.library.identity_base}/id/{text[4:]}")
        elif "#" in text and not text.startswith(("http", "urn:")):
            table, code = text.split("#", 1)
            found = self.library.constants(table, code)
            if found is None:
                raise self.error(
                    f"={text}: no such code", row.place, f"codes are in terminology/systems/{table}.csv"
                )
            kind = target.type
            if kind == "CodeableConcept":
                expr = f"{{'coding': [{found!r}]}}"
            elif kind == "Coding":
                expr = f"dict({found!r})"
            else:
                expr = repr(found["code"])
        elif target.type == "boolean":
            if text not in ("true", "false"):
                raise self.error(f"={text} is not a boolean", row.place, "write =true or =false")
            expr = "True" if text == "true" else "False"
        elif target.type in ("integer", "positiveInt", "unsignedInt"):
            expr = str(int(text))
        elif target.type == "decimal":
            if decimal_of(text) is None:
                raise self.error(f"={text} is not a number", row.place, "write it like =1 or =0.5")
            expr = f"decimal({text!r})"
        elif target.type == "CodeableConcept":
            expr = f"{{'text': {text!r}}}"
        else:
            if target.required_codes and text not in target.required_codes:
                raise self.error(
                    f"={text} is not a code of {'.'.join(map(str, aim.path))}",
                    row.place,
                    f"use one of {', '.join(sorted(target.required_codes)[:12])}",
                )
            expr = repr(text)
        if row.children:
            self.composite(row, aim, env, expr)
        else:
            aim.take(expr)

    def joined(
        self,
        row: Row,
        source: Join,
        aim: Aim,
        env: Env,
    ) -> None:
        target, v = aim.target, self.name("v")
        self.put(f"{v} = {self.join(source, env, row.place)}")
        if target.type in ("CodeableConcept",):
            expr = f"{{'text': {v}}}"
        elif target.primitive or row.children:
            expr = v
        elif target.type == "Annotation":
            expr = f"{{'text': {v}}}"
        else:
            raise self.error(f"joined text cannot become {target.type}", row.place)
        if target.type in FALLIBLE:
            expr = f"{PRIMITIVE[target.type]}({v} or '')"
        elif target.type == "base64Binary":
            expr = f"x.encoded({v})"
        self.put(f"if {v} is not None:")
        self.depth += 1
        w = self.name("v")
        self.put(f"{w} = {expr}")
        self.put(f"if {w} is not None:")
        self.depth += 1
        aim.take(w)
        if target.type == "dateTime":
            self.put(f"if x.lost: x.keep_original({self.beside(aim)}, {v}, {self.where(row, env)!r})")
        self.depth -= 2
        if target.type in FALLIBLE and not self.in_case:
            self.put(f"if x.fails > {self.base}: x.settle({self.base}, {self.where(row, env)!r})")

    def beside(self, aim: Aim) -> str:
        """Return where the text of a time that lost its clock may stand: element and name, or None."""
        slot = aim.slot
        return "None, ''" if slot is None or slot[1].startswith("value") else f"{slot[0]}, {slot[1]!r}"

    def join(self, source: Join, env: Env, place: Place) -> str:
        parts: list[str] = []
        key = source.with_ == "key"
        for p in source.parts:
            parts.append(self.join_part(p, env, place, key))
        body = ", ".join(parts)
        if key:
            return f"x.join_key(({body},))"
        return f"x.join(({body},), {GLUE.get(source.with_, source.with_)!r})"

    def join_part(self, p: Source, env: Env, place: Place, key: bool) -> str:
        """A part of a join as raw text; a repeating field gives all its repetitions (key: the first)."""
        if isinstance(p, Constant):
            text = p.text
            if text.startswith("own:"):
                text = f"{self.library.identity_base}/id/{text[4:]}"
            return f"lit({text!r})"
        if isinstance(p, Join):
            return f"({self.join(p, env, place)} or '')"
        if isinstance(p, First):
            return "(" + " or ".join(self.join_part(q, env, place, True) for q in p.options) + ")"
        h = self.handle(p.text, env, place)
        loc = locate(p.text)
        assert loc is not None
        if not h.repeats:
            return self.textual(h)
        if key:
            return self.textual(
                self.narrow(replace(h, expr=first_of(h.expr), repeats=False), loc)
                if loc.component
                else replace(h, expr=first_of(h.expr), repeats=False)
            )
        r = "q"
        one = (
            self.narrow(replace(h, expr=r, repeats=False), loc)
            if loc.component
            else replace(h, expr=r, repeats=False)
        )
        return f"*[{self.textual(one)} for q in {h.expr}]"

    def convert(self, row: Row, h: Handle, target: T.Target, env: Env) -> str | None:
        """Return the expression that turns a raw value into the FHIR value; None where only the row's
        children say how."""
        kind = target.type
        if row.as_.startswith("fn:"):
            return f"x.fns[{row.as_[3:]!r}]({self.parts(h)}, x)"
        if row.code:
            return self.coded(row, h, target)
        if row.as_:
            return self.mapped(row.as_, h, row.place)
        if h.level == "text":
            return (
                h.expr
                if target.primitive
                else f"{{'text': {h.expr}}}"
                if kind in ("CodeableConcept", "Annotation")
                else None
            )
        if target.primitive:
            usual = self.kinds.pair_map(h.type, kind, self.library.names)
            if usual and usual not in BUILTIN and h.type not in self.kinds.plain:
                return self.mapped(usual, h, row.place)
            return f"{PRIMITIVE[kind]}({self.textual(h)})"
        usual = self.kinds.pair_map(h.type, kind, self.library.names)
        if usual:
            return self.mapped(usual, h, row.place)
        if kind == "CodeableConcept":
            if h.type in self.kinds.codes:
                return f"x.local_concept({self.kinds.table_url(h.table)!r}, {self.textual(h)})"
            return f"x.text_concept({self.textual(h)})"
        if kind == "Coding":
            if h.type in self.kinds.codes:
                return f"x.local_coding({self.kinds.table_url(h.table)!r}, {self.textual(h)})"
            return None
        if kind == "Annotation":
            return f"x.text_concept({self.textual(h)})"
        if kind == "Identifier":
            return f"x.value_identifier({self.textual(h)})"
        if kind == "Reference" and not row.children:
            return f"x.display({self.textual(h)})"
        return None

    def coded(self, row: Row, h: Handle, target: T.Target) -> str:
        table = row.code
        if table in ("systems", "authorities") and target.primitive:
            return f"x.{'system' if table == 'systems' else 'authority'}({self.textual(h)})"
        if table not in self.library.tables:
            raise self.error(
                f"{row.name}: no code table {table}", row.place, f"put it at terminology/maps/{table}.csv"
            )
        unmapped = row.unmapped or "keep"
        if target.primitive:
            required = bool(target.required_codes)
            if target.type == "boolean":
                required = True
            code = f"x.code({table!r}, {self.textual(h)}, {h.where!r}, {row.unmapped!r}, {required})"
            return f"x.boolean({code} or '')" if target.type == "boolean" else code
        plain = h.type in self.kinds.plain or (h.level == "sub" and not self.kinds.is_composite(h.type))
        if plain:
            url = self.kinds.table_url(h.table) if h.type in self.kinds.codes else ""
            local = (
                f"x.local_coding({url!r}, {self.textual(h)})"
                if target.type == "Coding"
                else f"x.local_concept({url!r}, {self.textual(h)})"
            )
        else:
            name = row.as_ or self.kinds.pair_map(h.type, target.type, self.library.names)
            if not name:
                raise self.error(f"{row.name}: no map from {h.type} to {target.type}", row.place)
            local = self.mapped(name, h, row.place)
        method = "coding" if target.type == "Coding" else "concept"
        rest = f"{h.where!r}, {unmapped!r}, {bool(h.table)}"
        if self.trace or (h.level == "sub" and not plain):
            parts = "()" if h.level in ("sub", "text") or h.type in self.kinds.plain else self.parts(h)
            return f"x.{method}({table!r}, {local}, {parts}, {rest})"
        if local.startswith("memo("):
            sep, fn = local[:-1].rsplit(", ", 2)[1:]
            key = " ".join((method, table, fn, h.where, unmapped, str(bool(h.table))))
            made = f"x.{method}({table!r}, {fn}(c, x), c, {rest})"
            return f"memo(x, {key!r}, {h.expr}, {sep}, lambda c, x: {made})"
        key = " ".join((method, table, local.split("(")[0], h.table, h.where, unmapped, str(bool(h.table))))
        parts = "()" if h.level in ("sub", "text") or h.type in self.kinds.plain else self.parts(h)
        made = f"x.{method}({table!r}, {local}, {parts}, {rest})"
        return f"memo(x, {key!r}, {self.textual(h)}, cs, lambda _, x: {made})"

    def mapped(self, name: str, h: Handle, place: Place) -> str:
        if name in BUILTIN:
            if self.trace or name in BULKY or h.level not in ("rep", "comp"):
                return f"B_{name}({self.parts(h)}, x)"
            level = "c" if h.level == "rep" else "s"
            return f"memo(x, {name + ' ' + level!r}, {h.expr}, {level}s, B_{name})"
        if name not in self.library.maps:
            raise self.error(
                f"no map {name}", place, f"write mappings/hl7v2/datatypes/{name}.yaml, or name another"
            )
        level = "c" if h.level == "rep" else "s"
        self.needs.add((name, level))
        if not self.trace and h.level in ("rep", "comp"):
            return (
                f"memo(x, {name + level!r}, {h.expr}, {'cs' if h.level == 'rep' else 'ss'}, D_{name}_{level})"
            )
        return f"D_{name}_{level}({self.parts(h)}, x)"

    def made(self, row: Row, h: Handle) -> str:
        name = row.make
        if name not in self.library.maps:
            raise self.error(
                f"make: no map {name}", row.place, "name a map from a datatype to a resource, or give rows:"
            )
        level = "c" if h.level == "rep" else "s"
        self.needs.add((name, level))
        if self.library.maps[name].levels:
            return f"x.chain({h.expr}, {self.parts(h)}, CH_{name}_{level})"
        return f"x.make({name!r}, {h.expr}, {self.parts(h)}, R_{name}_{level}) if {h.expr} else None"

    def make_inline(self, row: Row, aim: Aim, env: Env) -> None:
        """Write `make: Type` with rows: a resource of its own in the same scope."""
        loop = None
        if isinstance(row.source, Locate):
            h = self.handle(row.source.text, env, row.place)
            loc = locate(row.source.text)
            assert loc is not None
            if h.repeats and aim.many:
                loop = self.name("r")
                self.put(f"for {loop} in {h.expr}:")
                self.depth += 1
                h = replace(h, expr=loop, repeats=False)
            elif h.repeats:
                h = replace(h, expr=first_of(h.expr), repeats=False)
            env = replace(
                env,
                value=h,
                bound={**env.bound, (loc.name, loc.field): h} if not loc.component else env.bound,
            )
        o, lab, k, v = self.name("o"), self.name("l"), self.name("k"), self.name("v")
        guard = self.guard(row.make_rows, replace(env, paths={(): o}, top=o))
        if guard:
            self.put(f"if {guard}:")
            self.depth += 1
        self.put(f"{k} = x.enter()")
        self.put(f"{o}, {lab} = {{}}, {{}}")
        inner = replace(env, paths={(): o}, top=o)
        constants = tuple(r for r in row.make_rows if is_constant(r) and not tests_target(r))
        others = tuple(r for r in row.make_rows if r not in constants)
        self.block(others, row.make, o, lab, inner, ())
        if constants:
            self.put(f"if {o}:")
            self.depth += 1
            self.block(constants, row.make, o, lab, inner, ())
            self.depth -= 1
        self.put(f"{v} = x.leave({k}, {row.make!r}, {'.'.join(map(str, aim.path))!r}, {o}, {lab})")
        self.put(f"if {v} is not None:")
        self.depth += 1
        aim.take(v)
        self.depth -= 1 + bool(guard) + bool(loop)

    # -- rows without input ----------------------------------------------------------------------------------

    def guard(self, rows: Iterable[Row], env: Env) -> str:
        """Return a cheap test that is false only when rows cannot give anything; "" where there is no such
        test."""
        if self.trace:
            return ""
        found: dict[str, None] = {}
        if not self._feeds(rows, env, found) or not 0 < len(found) <= 6:
            return ""
        return " or ".join(found)

    def _feeds(self, rows: Iterable[Row], env: Env, found: dict[str, None]) -> bool:
        for r in rows:
            if r.skip or is_constant(r):
                continue
            if r.default or r.failed:
                return False
            if r.each == ".":
                return False
            if r.each:
                names = r.each.split("/")
                for n in names[0 if r.known_by else -1].split("|"):
                    found[f"{n!r} in x.names"] = None
                continue
            if r.by is not None:
                if not self._feeding(r.by, r, env, found) or not all(
                    self._case_feeds(c, env, found) for c in r.cases
                ):
                    return False
                continue
            if r.source is not None:
                if not self._feeding(r.source, r, env, found) or not self._feeds(r.children, env, found):
                    return False
                continue
            inner = r.children + r.make_rows
            if not inner or not self._feeds(inner, env, found):
                return False
        return True

    def _case_feeds(self, case: Case, env: Env, found: dict[str, None]) -> bool:
        """A case that stands when nothing was sent must not say anything by itself."""
        unsent = "else" in case.values or '""' in case.values
        if unsent and any(not r.skip and (r.flag or r.work or is_constant(r)) for r in case.rows):
            return False
        return self._feeds(case.rows, env, found)

    def _feeding(self, source: Source, row: Row, env: Env, found: dict[str, None]) -> bool:
        if isinstance(source, Locate):
            raws = RAW.findall(self.handle(source.text, env, row.place).expr)
            found.update(dict.fromkeys(raws))
            return bool(raws)
        if isinstance(source, First):
            return all(self._feeding(q, row, env, found) for q in source.options)
        if isinstance(source, Join):
            return all(
                isinstance(q, Constant) or self._feeding(q, row, env, found) for q in source.parts
            ) and any(not isinstance(q, Constant) for q in source.parts)
        return False
