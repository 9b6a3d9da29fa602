"""`hub schema`: JSON Schemas of maps, sites, channels and config.yaml, so that any editor completes element
paths, fields and tables.

In: the project's maps and the dictionaries. Out: one schema a map file, and the line that ties a YAML file
to it (`# yaml-language-server: $schema=...`). A site's schema offers exactly the rows of the maps below it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from engine.cli.schemafiles import channel_schema, config_schema
from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.kernel.config import load_config
from engine.mapping.model import MapDef
from engine.mapping.names import element_paths, fields_of
from engine.mapping.project import Maps
from engine.mapping.read import UNMAPPED
from engine.mapping.sites import Site

__all__ = ["map_schema", "site_schema", "write_schemas"]

DRAFT = "http://json-schema.org/draft-07/schema#"
_CONDITION = {
    "type": "string",
    "description": "valued, not valued, =, !=, <, >, looks like number, set, and, or, ( )",
}


def write_schemas(root: Path, out: Path) -> int:
    """Write the schemas into a folder and say how an editor finds them; returns the exit code."""
    maps = Maps.open(root, load_config(root).identity_base)
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for m in maps.maps.values():
        _write(out / f"{m.name}.json", map_schema(maps, m))
        count += 1
    for site in maps.sites.values():
        _write(out / f"site_{site.name}.json", site_schema(maps, site))
        count += 1
    _write(out / "channel.json", channel_schema(maps))
    _write(out / "config.json", config_schema())
    print(f"{count + 2} schemas in {out}")
    print("first line of a file, for editors with a YAML language server:")
    for name in ("PID_Patient", *(f"site_{name}" for name in list(maps.sites)[:1]), "channel", "config"):
        print(f"# yaml-language-server: $schema={out.resolve().as_uri()}/{name}.json")
    return 0


def _write(path: Path, schema: dict[str, Any]) -> None:
    path.write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2))


def map_schema(maps: Maps, m: MapDef) -> dict[str, Any]:
    """Return the schema of one segment or datatype map."""
    return {
        "$schema": DRAFT,
        "title": f"{m.source} -> {m.to}",
        "type": "object",
        "required": ["map", "from", "to"],
        "additionalProperties": False,
        "properties": {
            "map": {"type": "string"},
            "from": {"type": "string"},
            "to": {"type": "string"},
            "key": {"description": "the one identifier that says which resource this is"},
            "rows": {
                "type": "object",
                "properties": _elements(m.to, {"$ref": "#/definitions/row"}),
                "patternProperties": _labelled(m.to, {"$ref": "#/definitions/row"}),
                "additionalProperties": False,
            },
            "ignore": {
                "type": "array",
                "items": {"type": "string", "examples": list(fields_of(maps, m.source))},
            },
            "levels": {"type": "array"},
            "note": {"type": "string"},
            "tests": {"type": "array", "items": _test()},
        },
        "definitions": {"row": _row(maps, m), "source": _source(maps, m.source)},
    }


def site_schema(maps: Maps, site: Site) -> dict[str, Any]:
    """Return the schema of one site: what it may change is what the maps below it say."""
    below = maps.program(site.over or "standard").resolved
    change: dict[str, Any] = {}
    for m in below.values():
        rows = {r.name: {"description": f"{r.place.layer}: {r.place}"} for r in m.rows}
        change[m.name] = {"type": "object", "properties": rows, "description": f"{m.source} -> {m.to}"}
    words = ("over", "timezone", "charset", "authority", "note")
    return {
        "$schema": DRAFT,
        "title": f"site {site.name}",
        "type": "object",
        "required": ["site"],
        "additionalProperties": False,
        "properties": {
            "site": {"type": "string"},
            **{w: {"type": "string"} for w in words},
            "match": {"type": "object"},
            "systems": {"type": "object", "additionalProperties": {"type": "string"}},
            "translated": {"enum": ["first", "second"]},
            "units": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "table": {"type": "string", "description": "a table of units of terminology/maps"},
                    "convert": {"type": "object", "description": "LOINC code: UCUM unit to convert to"},
                },
            },
            "segments": {"type": "object", "additionalProperties": {"type": "array"}},
            "change": {"type": "object", "properties": change, "additionalProperties": False},
            "replaces": {
                "type": "object",
                "description": "map: {row: hash of the row this change was written for}",
            },
            "ignore": {"type": "object", "additionalProperties": {"type": "array"}},
            "tests": {"type": "array", "items": _test()},
        },
    }


def _test() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["in", "out"],
        "properties": {
            "name": {"type": "string"},
            "map": {"type": "string"},
            "in": {},
            "out": {},
            "note": {},
        },
    }


def _elements(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    paths = element_paths(kind) if not definitions.is_primitive(kind) else {"value": f"the {kind} itself"}
    return {path: {"description": text, "allOf": [row]} for path, text in paths.items()}


def _labelled(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    names = "|".join(sorted({p.split(".")[0] for p in element_paths(kind, 1) if "[" not in p}))
    names = "value" if definitions.is_primitive(kind) else names
    return {rf"^({names})(\([A-Za-z0-9_ -]+\))?(\..+)?$": row} if names else {}


def _source(maps: Maps, source: str) -> dict[str, Any]:
    fields = [{"const": k, "description": v} for k, v in fields_of(maps, source).items()]
    return {
        "anyOf": [*fields, {"type": "string"}, {"type": "array", "items": {"$ref": "#/definitions/source"}}]
    }


def _row(maps: Maps, m: MapDef) -> dict[str, Any]:
    tables = [*sorted(maps.terminology.tables), "systems", "authorities"]
    datatypes = sorted(n for n in maps.maps if maps.maps[n].source in dictionary.datatype_names())
    source = {"$ref": "#/definitions/source"}
    words = {
        "from": source,
        "value": {},
        "as": {"anyOf": [{"enum": datatypes}, {"type": "string"}], "description": "a datatype map"},
        "code": {"enum": sorted(set(tables)), "description": "a table of terminology/maps"},
        "unmapped": {"enum": list(UNMAPPED)},
        "when": _CONDITION,
        "default": {},
        "join": {"type": ["array", "string"]},
        "with": {"examples": ["space", "comma", "newline", "key"]},
        "split": {"type": "string"},
        "each": {"type": "string", "description": "once for every such segment"},
        "known_by": source,
        "action": source,
        "by": source,
        "make": {"anyOf": [{"enum": datatypes}, {"enum": sorted(definitions.resource_types())}]},
        "rows": {"type": "object"},
        "failed": {},
        "skip": {"type": "string"},
        "flag": {"type": "string", "description": "a note for people"},
        "work": {"type": "string", "description": "a note that goes on the work list"},
        "assumed": {"type": "string", "description": "on whose word a constant stands"},
    }
    return {"anyOf": [source, {"type": "object", "properties": words}]}
