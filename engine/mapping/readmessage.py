"""YAML message maps -> typed records: which resources a message becomes, at which group, linked and written
how.

In: the YAML of one file under `messages`. Out: a `MessageDef`; every name keeps its `file:line`. What the
words mean is in docs/analysts/maps.md; what a message map does is in build.py.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map, line_of
from engine.mapping import conditions
from engine.mapping.model import Case, Constant, MessageDef, Place, ResourceDef, Row, Source
from engine.mapping.read import Parse, Reader
from engine.mapping.readtests import known_words, read_tests

__all__ = ["read_message"]


def read_message(m: Any, file: str, layer: str, parse: Parse = conditions.parse) -> MessageDef:
    """Read a message map; `parse` reads its conditions."""
    m = known_words(
        m,
        {"map", "from", "to", "for", "resources", "write", "mend", "refuse", "ignore", "note", "tests"},
        file,
    )
    name = str(m["map"])
    reader = Reader("Bundle", file, layer, lambda *_: False, parse)
    served = m.get("for")  # `[]`: none, only channels that name this map use it
    named = [name.replace("_", "^")] if served is None else served
    triggers = tuple(tuple((str(x) + "^").split("^")[:2]) for x in named)
    write, write_by = _write(m.get("write"), reader, f"{file}:{m.key_lines.get('write', 0)}")
    resources = []
    for key, r in m["resources"].items():
        line = m["resources"].key_lines[key]
        known_words(r, {"per", "rows", "links", "when", "write", "note"}, f"{file}:{line}")
        links = tuple((tuple(str(k).split(".")), str(v)) for k, v in (r.get("links") or {}).items())
        w, wb = _write(r.get("write"), reader, f"{file}:{line}")
        per = str(r.get("per") or ".")
        resources.append(
            ResourceDef(
                name=str(key),
                per=() if per == "." else tuple(per.split("/")),
                rows=tuple(str(x) for x in r.get("rows") or ()),
                place=Place(file, line, layer, m["resources"].key_columns[key]),
                links=links,
                when=reader.condition(r.get("when"), f"{file}:{line}"),
                write=w,
                write_by=wb,
            )
        )
    return MessageDef(
        name=name,
        structure=str(m["from"]),
        triggers=triggers,  # type: ignore[arg-type]
        resources=tuple(resources),
        place=Place(file, m.line, layer),
        write=write or "merge",
        write_by=write_by,
        mend=tuple((str(x), Place(file, line_of(x), layer)) for x in m.get("mend") or ()),
        refuse=tuple((str(x), Place(file, line_of(x), layer)) for x in m.get("refuse") or ()),
        ignore=tuple(str(x) for x in m.get("ignore") or ()),
        note=str(m.get("note") or ""),
        tests=read_tests(m.get("tests"), file, layer, name),
    )


def _write(value: Any, reader: Reader, where: str) -> tuple[tuple[Case, ...] | str, Source | None]:
    if value is None:
        return "", None
    if isinstance(value, Map):
        if "by" not in value:
            raise MapError("write needs a word or a by table", where=where)
        cases = []
        for k, v in value.items():
            if k == "by":
                continue
            cases.append(
                Case(
                    tuple(k.split("|")),
                    (Row((), reader.place(v), source=Constant(_mode(str(v), where))),),
                    reader.place(v),
                )
            )
        return tuple(cases), reader.source(value["by"], where)
    return _mode(str(value), where), None


def _mode(word: str, where: str) -> str:
    word = word.lstrip("=")
    if word not in ("merge", "snapshot", "create", "known", "status"):
        raise MapError(f"write: {word}", where=where, remedy="use merge, snapshot, create, known or status")
    return word
