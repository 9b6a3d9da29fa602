"""Typed rows -> Python functions, fast and traced, for one site's view of the maps.

In: the resolved maps of a site (layers.py). Out: `Program`, whose functions turn one segment into the
elements of one resource (`M_PID_Patient`), a datatype value into a FHIR value (`D_XPN_HumanName_c`; `_s`
where its parts are subcomponents), or into a resource of its own (`R_XCN_Practitioner_c`). Functions are
compiled when first needed and registered with `linecache`, so a traceback shows the generated line.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import CodeType
from typing import Any

from engine.kernel.errors import MapError
from engine.mapping import types as T
from engine.mapping.emit import Emitter, Env, Library, is_constant
from engine.mapping.emitnames import variable
from engine.mapping.emittree import TreeEmitter
from engine.mapping.hoist import OFTEN, hoisted, own_fields
from engine.mapping.locate import locate
from engine.mapping.memory import remembered
from engine.mapping.model import First, Join, Locate, MapDef, Row, Source, Step
from engine.mapping.read import read_target
from engine.mapping.run import lit
from engine.mapping.steady import steady_rows
from engine.mapping.steps import SPACE, TRACED
from engine.mapping.treerun import path_function, tree_space

__all__ = ["Program"]


@lru_cache(maxsize=8192)
def _code(source: str, file: str) -> CodeType:
    """Compile a text once: sites, drafts and twins have most of their functions in common."""
    return compile(source, file, "exec")


class Program:
    """The compiled maps of one site; `trace=True` gives the twin."""

    def __init__(self, library: Library, trace: bool = False) -> None:
        self.library, self.trace = library, trace
        self.rows: list[Row] = []
        self.sources: dict[str, str] = {}
        self.uses: dict[str, set[str]] = {}  # map -> maps that it calls, as far as it is written
        self._prepared: dict[str, Callable[[], None]] = {}
        self.space: dict[str, Any] = {**SPACE, "lit": lit, **(TRACED if trace else {})}
        self.space |= library.types.steps(trace)
        if library.tree:
            self.space |= tree_space(trace)

    def emitter(self, rows: list[Row], trace: bool) -> Emitter:
        """Return what writes a function: for messages of segments, or for documents."""
        return (TreeEmitter if self.library.tree else Emitter)(self.library, rows, trace)

    def segment(self, name: str) -> Callable[..., None]:
        """Return `M_name(s, g, x, o, lab)`: fill `o` from segment `s` standing in group `g`."""
        key = f"M_{name}"
        if self.space.get(key) is None:
            self.prepare(name)()
        return self.space[key]  # type: ignore[no-any-return]

    def prepare(self, name: str) -> Callable[[], None]:
        """Write the function of a segment map, so that what is wrong with it shows; what it returns makes it
        run.

        Most maps of a message type are not needed by most messages; compiling them waits until one is.
        """
        if name not in self._prepared:
            self._prepared[name] = self._compile_segment(self._map(name))
        return self._prepared[name]

    def key(self, name: str) -> Callable[..., tuple[Any, ...]]:
        """Return `K_name(s, g, x, o, lab)`: the identities that the map's `key` gives."""
        self.segment(name)
        return self.space[f"K_{name}"]  # type: ignore[no-any-return]

    def datatype(self, name: str, level: str = "c") -> Callable[..., Any]:
        """Return `D_name_level(parts, x)`."""
        if self.space.get(f"D_{name}_{level}") is None:
            self._compile_datatype(self._map(name), level)
        return self.space[f"D_{name}_{level}"]  # type: ignore[no-any-return]

    def _map(self, name: str) -> MapDef:
        found = self.library.maps.get(name)
        if found is None:
            raise MapError(f"no map {name}", remedy="the name is the file's name under mappings/hl7v2")
        return found

    # -- compiling -------------------------------------------------------------------------------------------

    def _exec(self, name: str, lines: list[str]) -> None:
        source = "\n".join(lines) + "\n"
        for names, stem in self.library.sets.items():
            self.space.setdefault(stem, frozenset(names))
        for text, stem in self.library.stems.items():
            if stem not in self.space:
                self.space[stem] = path_function(text, self.trace)
        file = f"<map {name}{' traced' if self.trace else ''}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        exec(_code(source, file), self.space)  # written by the emitter from typed rows only
        self.sources[name] = source

    def _needs(self, e: Emitter, of: str) -> None:
        self.uses.setdefault(of, set()).update(name for name, _ in e.needs)
        for name, level in sorted(e.needs):
            m = self._map(name)
            if level == "m":  # a segment's or loop's map that runs where `each` finds one
                if name in self._prepared or f"M_{name}" not in self.space:
                    self.segment(name)
                continue
            if f"D_{name}_{level}" not in self.space:
                self._compile_datatype(m, level)

    def _compile_segment(self, m: MapDef) -> Callable[[], None]:
        if self.library.tree:
            return self._compile_element(m)
        env = Env(m.source, "seg", fields={m.source: "f"}, paths={(): "o"})

        def written(rows: tuple[Row, ...]) -> list[str]:
            scratch = Emitter(self.library, [], False)
            lines = self._body(scratch, m, rows, env)
            self._needs(scratch, m.name)
            return lines

        steady, rows = ((), m.rows) if self.trace else steady_rows(m, written)
        first = written(steady) if steady else []
        e = self.emitter(self.rows, self.trace)
        body = self._body(e, m, rows, env)
        head = f"def M_{m.name}(s, g, x, o, lab):"
        self.space[f"M_{m.name}"] = None
        keys = self._key_lines(m, Env(m.source, "seg", fields={m.source: "f"}, paths={(): "o"}))
        self._needs(e, m.name)

        def finish() -> None:
            if self.trace:
                lines = [
                    head,
                    "    cs, rs, ss = x.cs, x.rs, x.ss",
                    "    f = fields(s, x)",
                    *self._prefetch(e),
                    *(body or ["    pass"]),
                ]
            else:
                lines = hoisted(m.name, head, body, sorted(e.segments), m.source in OFTEN)
                self.space[f"OUTSIDE_{m.name}"] = frozenset(e.segments)
            if not first:
                self._exec(m.name, [*lines, "", *keys])
                return
            again = hoisted(f"{m.name}_steady", f"def S_{m.name}(s, g, x, o, lab):", first, [], False)
            self._exec(m.name, [*again, "", *lines, "", *keys])
            known = remembered(self.space[f"S_{m.name}"], own_fields(again))
            rest = self.space[f"M_{m.name}"]

            def both(s: Any, g: Any, x: Any, o: dict[str, Any], lab: dict[str, list[str]]) -> None:
                known(s, g, x, o, lab)
                rest(s, g, x, o, lab)

            self.space[f"M_{m.name}"] = both

        return finish

    def _compile_element(self, m: MapDef) -> Callable[[], None]:
        """The same for a map of a document's element: nothing of it is remembered between documents."""
        env = Env(m.source, "seg", paths={(): "o"})
        e = self.emitter(self.rows, self.trace)
        body = self._body(e, m, m.rows, env)
        self.space[f"M_{m.name}"] = None
        keys = self._key_lines(m, env)
        self._needs(e, m.name)
        lines = [f"def M_{m.name}(s, g, x, o, lab):", *(body or ["    pass"]), "", *keys]
        return lambda: self._exec(m.name, lines)

    def _prefetch(self, e: Emitter) -> list[str]:
        out = []
        for name in sorted(e.segments):
            out.append(f"    {variable(name)} = near(x, g, {name!r})")
        return out

    def _body(self, e: Emitter, m: MapDef, rows: tuple[Row, ...], env: Env) -> list[str]:
        e.block(rows, m.to, "o", "lab", env, ())
        return e.lines

    def _key_lines(self, m: MapDef, env: Env) -> list[str]:
        """Write the function that reads a map's key: identifiers made by labelled rows, or a location's
        identifiers."""
        e = self.emitter([], self.trace)
        named = [self._element_key(m, source) for source in m.key]
        if named and all(named):
            e.put(f"return x.keys_by(o, lab, {tuple(named)!r})")
        else:
            e.put("out = []")
            for source in m.key:
                self._key_source(e, m, source, env)
            e.put(f"return x.keys_of({m.to!r}, out, {m.key_text or m.name!r})")
        head = f"def K_{m.name}(s, g, x, o, lab):"
        self._needs(e, m.name)
        if self.library.tree:
            return [head, *e.lines]
        if not self.trace:
            return hoisted(m.name, head, e.lines, sorted(e.segments), False)
        return [
            head,
            "    cs, rs, ss = x.cs, x.rs, x.ss",
            "    f = fields(s, x)",
            *self._prefetch(e),
            *e.lines,
        ]

    def _element_key(self, m: MapDef, source: Source) -> tuple[str, str] | None:
        """Return (element, label) where a key names an element, e.g. identifier(filler)."""
        if not isinstance(source, Locate) or locate(source.text) is not None:
            return None
        (step, *rest) = read_target(source.text, str(m.place))
        if rest or T.child_of(m.to, step.name) is None:
            raise MapError(f"key: {source.text} is not an identifier of {m.to}", where=str(m.place))
        return step.name, step.label

    def _key_source(self, e: Emitter, m: MapDef, source: Source, env: Env) -> None:
        if isinstance(source, First):
            depth = e.depth
            for option in source.options:
                e.put("if not out:")
                e.depth += 1
                self._key_source(e, m, option, env)
                e.depth = depth
            return
        if isinstance(source, Join):
            e.put(f"k = {e.join(source, env, m.place)}")
            e.put("if k: out.append({'system': 'urn:hub:own', 'value': k})")
            return
        if not isinstance(source, Locate):
            raise MapError(f"key of {m.name} is a constant", where=str(m.place))
        text = source.text
        named = self._element_key(m, source)
        if named is not None:
            e.put(f"out.extend(x.labelled(o, lab, {named[0]!r}, {named[1]!r}))")
            return
        h = e.handle(text, env, m.place)
        if self.library.tree:
            h = replace(h, expr=f"some({h.expr})")
        e.put(f"for r in {h.expr if h.repeats else f'[{h.expr}] if {h.expr} else ()'}:")
        e.depth += 1
        one = replace(h, expr="r", repeats=False)
        name = self.library.types.pair_map(h.type, "Identifier", self.library.names)
        if name:
            e.put(f"k = {e.mapped(name, one, m.place)}")
            e.put("if k: out.append(k)")
        else:
            e.put(f"k = x.string({e.textual(one)})")
            e.put("if k: out.append({'value': k})")
        e.depth -= 1

    def _compile_datatype(self, m: MapDef, level: str) -> None:
        if m.levels:
            self._compile_chain(m, level)
            return
        self.space.setdefault(f"D_{m.name}_{level}", None)
        e = self.emitter(self.rows, self.trace)
        env = Env(m.source, "dt", level=level, paths={(): "o"}, ctx="c")
        width = 30
        resource = m.to[:1].isupper() and self._is_resource(m.to)
        e.base = "n0"
        head = [
            "    cs, rs, ss = x.cs, x.rs, x.ss",
            "    n0 = x.fails",
            f"    if len(c) < {width}: c = c + EMPTY[:{width} - len(c)]",
        ]
        if self.library.tree:
            head = ["    n0 = x.fails"]
        if len(m.rows) >= 1 and T.definitions.is_primitive(m.to):
            lines = self._primitive(e, m, env)
            self._needs(e, m.name)
            self._exec(
                f"{m.name}_{level}",
                [f"def D_{m.name}_{level}(c, x):", *head, "    o = {}", *lines, "    return o.get('value')"],
            )
            return
        if resource:
            e.block(m.rows, m.to, "o", "lab", env, ())
            keys = self._resource_key(m, env)
            self._needs(e, m.name)
            self._exec(
                f"{m.name}_{level}", [f"def R_{m.name}_{level}(c, x, o, lab):", *head, *e.lines, *keys]
            )
            self.space[f"D_{m.name}_{level}"] = self.space[f"R_{m.name}_{level}"]
            return
        e.filled(m.rows, m.to, "o", env, ())
        self._needs(e, m.name)
        self._exec(
            f"{m.name}_{level}",
            [f"def D_{m.name}_{level}(c, x):", *head, "    o = {}", *e.lines, "    return o or None"],
        )

    def makes_resource(self, m: MapDef) -> bool:
        """Say whether a map makes a resource and not a part of one."""
        return self._is_resource(m.to)

    def _is_resource(self, name: str) -> bool:
        return name in T.definitions.resource_types()

    def _primitive(self, e: Emitter, m: MapDef, env: Env) -> list[str]:
        target = T.Target(m.to, False, primitive=True)
        for row in m.rows:
            e.mark(row)
            e.single(replace(row, target=(Step("value"),)), target, "o", "value", env, (Step("value"),))
        return e.lines

    def _resource_key(self, m: MapDef, env: Env) -> list[str]:
        e = self.emitter([], self.trace)
        e.put("out = []")
        for source in m.key:
            self._key_source(e, m, source, env)
        e.put(f"return x.made_keys({m.to!r}, out)")
        self._needs(e, m.name)
        return e.lines

    def _compile_chain(self, m: MapDef, level: str) -> None:
        """Write a Location chain: one resource per valued level, each part of the nearest valued one
        above."""
        self.space[f"D_{m.name}_{level}"] = None
        e = self.emitter(self.rows, self.trace)
        env = Env(m.source, "dt", level=level, paths={(): "o"})
        e.base = "n0"
        e.put("n0 = x.fails")
        e.put("above, path, depth = None, [], []")
        for lv in m.levels:
            e.put(f"if {e.condition(lv.when, env, lv.place)}:")
            e.depth += 1
            e.put("k = x.enter()")
            e.put("o, lab = {}, {}")
            e.block(tuple(r for r in lv.rows if not is_constant(r)), m.to, "o", "lab", env, ())
            e.put("if o:")
            e.depth += 1
            constants = tuple(r for r in lv.rows if is_constant(r))
            e.block(constants, m.to, "o", "lab", env, ())
            e.put("if above is not None: o['partOf'] = above")
            e.put(f"above = x.level(k, {m.to!r}, {m.name!r}, {lv.name!r}, o, lab, path)")
            e.depth -= 1
            e.put("else: x.drop(k)")
            e.depth -= 1
        e.put("return above")
        self._needs(e, m.name)
        head = [
            f"def CH_{m.name}_{level}(c, x):",
            "    cs, rs, ss = x.cs, x.rs, x.ss",
            "    if len(c) < 30: c = c + EMPTY[:30 - len(c)]",
        ]
        self._exec(f"{m.name}_{level}", head + e.lines)
        self.space[f"D_{m.name}_{level}"] = self.space[f"CH_{m.name}_{level}"]
