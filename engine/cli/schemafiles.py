"""JSON Schemas of `channels/*.yaml` and `config.yaml`, made from the models that read these files.

In: the settings' models, the project's maps. Out: schemas for an editor's YAML language server; `hub
schema` writes them beside those of maps and sites.
"""

from __future__ import annotations

from typing import Any

from engine.channels.definition import WORDS
from engine.channels.receiving import WAYS
from engine.channels.searchwords import MOST_PLACES
from engine.cli.schemadeliver import deliver_schema, destination_schema
from engine.kernel.config import Config
from engine.listeners.ack_rules import AckSettings
from engine.mapping.project import Maps

__all__ = ["channel_schema", "config_schema"]

DRAFT = "http://json-schema.org/draft-07/schema#"
_WAYS = {
    "mllp": "The port that senders connect to, with its TLS and limits.",
    "http": "The port that senders POST messages to, with its TLS, limits and who may send.",
    "folder": "The folder that files are put into, and where they go.",
    "dicom": "The DICOM node: its title and port, who may do what, where objects go on to.",
    "sftp": "The server's folder that is looked into, its key, and what becomes of its files.",
}
_NOT_WRITTEN = ("root", "lines", "literal_key")  # what the reader adds to what the file says

_DOWNSAMPLE = {
    "loinc": "a LOINC code, or several; without any the line is for all codes",
    "code": "system|code, or several",
    "every": "of so long a time one value is kept, e.g. 15 minutes",
    "change": "values so far apart are kept beside each other, e.g. 10 /min",
    "abnormal": "all, or of so long a time one abnormal value is kept",
    "keep": "all: these are never left out",
}


def _said(text: str, **more: Any) -> dict[str, Any]:
    return {"description": text, **more}


def _inline(schema: Any, defs: dict[str, Any]) -> Any:
    """Put definitions where they are used: editors then show their descriptions."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline(
                {
                    **defs[schema["$ref"].rsplit("/", 1)[-1]],
                    **{k: v for k, v in schema.items() if k != "$ref"},
                },
                defs,
            )
        return {k: _inline(v, defs) for k, v in schema.items() if k not in ("$defs", "title")}
    return [_inline(x, defs) for x in schema] if isinstance(schema, list) else schema


def _model(model: Any) -> dict[str, Any]:
    made = model.model_json_schema()
    out: dict[str, Any] = _inline(made, made.get("$defs", {}))
    return out


def channel_schema(maps: Maps) -> dict[str, Any]:
    """Return the schema of a channel file; `sender` and `map` offer what the project has."""
    rules = _model(AckSettings)["properties"]
    ways = {way: {**_model(model), "description": _WAYS[way]} for way, (model, _, _) in WAYS.items()}
    duplicates = {
        "same": {"enum": ["MSH-10 and bytes"]},
        "within": _said("so long a message is remembered, e.g. 7 days; or ever", type="string"),
        "then": {"enum": ["skip", "flag"]},
    }
    known_maps = {*maps.messages, *maps.of("fhir").messages}
    offered = [{"enum": ["by type", *sorted(known_maps)]}, {"type": "string"}]
    step = {
        "decode": {"enum": ["hl7v2"]},
        "map": {"anyOf": [*offered, _said("by: MSH-21, a line a profile, else:", type="object")]},
        "check": {"type": "object", "properties": {"on_error": {"enum": ["hold", "flag"]}}},
    }
    alarm = {
        "when": _said("e.g. held > 10", type="string"),
        "say": _said("what a person is told", type="string"),
        "at_most": _said("e.g. daily", type="string"),
        "urgent": _said("told in quiet hours, too", type="boolean"),
    }
    known: dict[str, Any] = {
        "channel": _said("the channel's name: small letters, digits and _", type="string"),
        "owner": _said("who answers for it", type="string"),
        "purpose": _said("what it is for, in a sentence", type="string"),
        "note": {"type": "string"},
        "receive": {
            "type": "object",
            "properties": {**ways, "answer": {"enum": ["after journal"]}},
            "additionalProperties": False,
        },
        "sender": _said(
            "any, or the site whose maps are used",
            anyOf=[{"enum": ["any", *sorted(maps.sites)]}, {"type": "string"}],
        ),
        "order": _said(
            "messages of one of these never overtake each other",
            anyOf=[{"enum": ["by PID-3", "by sender"]}, {"type": "string"}],
        ),
        "duplicates": {"type": "object", "properties": duplicates, "additionalProperties": False},
        "steps": {
            "type": "array",
            "items": {"type": "object", "properties": step, "additionalProperties": False},
        },
        "deliver": deliver_schema(_model),
        "alert": {
            "type": "array",
            "items": {"type": "object", "properties": alarm, "additionalProperties": False},
        },
        "park": _said("key: later messages of a parked one's key wait", enum=["message", "key"]),
        "plain": _said("why there is no TLS: accepted because ...", type="string"),
        "authority": {"enum": ["demographics"]},
        "search": _said(
            "places whose values messages are found by, besides the usual ones",
            type="array",
            items={"type": "string", "examples": ["OBR-20", "ZPD-3.1"]},
            maxItems=MOST_PLACES,
        ),
        "downsample": _said(
            "of what devices measure, how many values are kept: lines such as every: 15 minutes",
            type="array",
            items={
                "type": "object",
                "properties": {word: _said(text) for word, text in _DOWNSAMPLE.items()},
                "additionalProperties": False,
            },
        ),
        "message_header": {"enum": ["keep", "leave out"]},
        **rules,
    }
    return {
        "$schema": DRAFT,
        "title": "channel",
        "type": "object",
        "required": ["channel"],
        "additionalProperties": False,
        "properties": {word: known.get(word, {}) for word in sorted(WORDS)},
    }


def config_schema() -> dict[str, Any]:
    """Return the schema of config.yaml."""
    made = _model(Config)
    for name in _NOT_WRITTEN:
        made["properties"].pop(name, None)
    made["properties"]["destinations"]["additionalProperties"] = destination_schema(_model)
    return {"$schema": DRAFT, **made, "title": "config.yaml", "additionalProperties": False}
