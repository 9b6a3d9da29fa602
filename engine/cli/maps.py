"""`hub test`, `hub map` and `hub schema`: what an analyst asks of the maps from the command line.

In: the project's folder and names of maps, channels and sites. Out: text on stdout (or JSON), files for
editors; exit codes: 0 well, 1 a test failed.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson

from engine.channels.definition import load_channels
from engine.channels.test_files import run_channel_tests
from engine.formats.hl7v2 import dictionary
from engine.kernel.config import load_config
from engine.kernel.errors import MapError
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.project import Maps, SiteProgram
from engine.mapping.sheet import Line, condition_text, sheet, source_text
from engine.mapping.tests_inline import run_all

__all__ = ["map_python", "map_show", "map_why", "run_tests"]


def run_tests(root: Path, name: str = "", accept: bool = False, as_json: bool = False) -> int:
    """Run the tests of a channel, a map or a site, or all of them; returns the exit code."""
    maps = Maps.open(root, load_config(root).identity_base)
    channels = load_channels(root)
    known = {*maps.maps, *maps.messages, *maps.sites, *(c.name for c in channels)}
    if name and name not in known:
        near = get_close_matches(name, sorted(known), 3, 0.5)
        raise MapError(
            f"nothing is called {name}", remedy=f"did you mean {' or '.join(near)}?" if near else ""
        )
    rows: list[dict[str, Any]] = []
    row: dict[str, Any]
    for r in run_all(maps, name):
        of = r.map if r.site == "standard" else f"{r.map} as {r.site}"
        rows.append({"of": of, "name": r.name, "place": str(r.place), "differences": list(r.differences)})
    for c in run_channel_tests(root, maps, channels, name, accept):
        row = {
            "of": c.channel,
            "name": c.name,
            "place": c.place,
            "differences": list(c.differences),
        }
        rows.append({**row, "accepted": c.accepted} if c.accepted else row)
    failed = [r for r in rows if r["differences"]]
    if as_json:
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return 1 if failed else 0
    for row in failed:
        print(f"{row['place']}: {row['of']}: {row['name']}")
        for d in row["differences"]:
            print(f"    {d}")
    for row in rows:
        if "accepted" in row:
            print(f"{row['place']}: written anew: {row['accepted']}")
    print(f"{len(rows) - len(failed)} of {len(rows)} tests pass")
    return 1 if failed else 0


def _program(root: Path, site: str) -> SiteProgram:
    maps = Maps.open(root, load_config(root).identity_base)
    if site and site not in maps.sites and site != "standard":
        raise MapError(f"there is no site {site}", remedy=f"sites are: {', '.join(maps.sites) or 'none'}")
    return maps.program(site or "standard")


def _map(program: SiteProgram, name: str) -> MapDef:
    found = program.resolved.get(name)
    if found is None:
        near = get_close_matches(name, sorted({*program.resolved, *program.maps.messages}), 3, 0.5)
        raise MapError(f"there is no map {name}", remedy=f"did you mean {' or '.join(near)}?" if near else "")
    return found


def map_show(root: Path, name: str, site: str = "", as_json: bool = False) -> int:
    """Print a map as a sheet: element, source, how, when, and which layer set it."""
    program = _program(root, site)
    message = program.maps.messages.get(name)
    if message is not None:
        _show_message(message)
        return 0
    m = _map(program, name)
    lines = list(sheet(m))
    if as_json:
        keys = ("element", "source", "how", "when", "set_by", "place", "depth")
        print(
            orjson.dumps(
                [{k: getattr(x, k) for k in keys} for x in lines], option=orjson.OPT_INDENT_2
            ).decode()
        )
        return 0
    print(f"{m.name}: {m.source} -> {m.to}   as {program.name}, revision {program.revision}")
    if m.key_text:
        print(f"key: {' | '.join(source_text(k) for k in m.key)}")
    _table([("element", "comes from", "how", "when", "set by"), *(_cells(x) for x in lines)])
    if m.ignore:
        print(f"ignored: {', '.join(m.ignore)}")
    if m.note:
        print(f"note: {m.note.strip()}")
    return 0


def _cells(x: Line) -> tuple[str, ...]:
    return ("  " * x.depth + x.element, x.source, x.how, x.when, x.set_by)


def _table(rows: list[tuple[str, ...]]) -> None:
    """Print columns; a long cell pushes its line out and not the whole table."""
    widths = [min(max(len(r[i]) for r in rows), most) for i, most in enumerate((44, 44, 40, 48, 24))]
    for r in rows:
        print("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip())


def _show_message(m: MessageDef) -> None:
    served = ", ".join("^".join(t for t in trigger if t) for trigger in m.triggers)
    print(f"{m.name}: {m.structure}, for {served}")
    rows: list[tuple[str, ...]] = [("resource", "once for every", "maps", "when", "links")]
    for r in m.resources:
        links = ", ".join(f"{'.'.join(path)}: {to}" for path, to in r.links)
        rows.append((r.name, "/".join(r.per) or "message", ", ".join(r.rows), condition_text(r.when), links))
    _table(rows)
    for word, rules in (("mend", m.mend), ("refuse", m.refuse)):
        for text, _ in rules:
            print(f"{word}: {text}")


def map_python(root: Path, name: str, site: str = "", traced: bool = False) -> int:
    """Print the Python that a map is compiled to, with that of the datatype maps it calls left out."""
    program = _program(root, site)
    if traced:
        program = program.maps.program(program.name, trace=True)
    if name in program.maps.messages:
        program.plan(name)
        for key, text in program.program.sources.items():
            if key.startswith((f"W_{name}_", f"WRITE_{name}_")):
                print(text)
        return 0
    m = _map(program, name)
    if m.source in dictionary.segment_names() or m.source in program.library.z_segments:
        program.program.segment(name)
        print(program.program.sources[name], end="")
    else:
        program.program.datatype(name, "c")
        print(program.program.sources[f"{name}_c"], end="")
    return 0


def map_why(root: Path, path: str, site: str = "") -> int:
    """Print which rows of which layer can set an element, e.g. `Patient.name.use`."""
    program = _program(root, site)
    kind, _, element = path.partition(".")
    wanted = [s.split("(")[0] for s in element.split(".") if s]
    shown = 0
    for m in program.resolved.values():
        if m.to != kind:
            continue
        for line, at in _with_paths(m):
            names = [s.split("(")[0] for s in at]
            if names[: len(wanted)] == wanted or wanted[: len(names)] == names:
                exact = "" if names[: len(wanted)] == wanted else "   (through its datatype map)"
                parts = [line.source, line.how, f"when {line.when}" if line.when else ""]
                said = "; ".join(filter(None, parts))
                print(f"{line.place}: {line.set_by}: {m.name}: {line.element}: {said}{exact}")
                shown += 1
    if not shown:
        raise MapError(f"no row sets {path}", remedy="write it like Patient.name.use")
    return 0


def _with_paths(m: MapDef) -> list[tuple[Line, list[str]]]:
    """Give every line of a map with the whole path of its element."""
    out: list[tuple[Line, list[str]]] = []
    above: list[tuple[int, list[str]]] = []
    for line in sheet(m):
        while above and above[-1][0] >= line.depth:
            above.pop()
        start = above[-1][1] if above else []
        word = line.element.split(": ")[-1].strip()
        named = word[:1].islower() and " " not in word.split("(")[0] and not word.endswith(":")
        path = [*start, *word.split(".")] if named else start
        above.append((line.depth, path))
        if line.source or line.how:
            out.append((line, path))
    return out
