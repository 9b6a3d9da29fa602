"""What editors are told of `deliver:` and `destinations:`, made from the settings of every kind.

In: the kinds of destinations. Out: schemas for an editor's YAML language server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.channels.delivering.rules import STORE
from engine.destinations.kinds import KINDS

__all__ = ["deliver_schema", "destination_schema"]

Model = Callable[[Any], dict[str, Any]]


def destination_schema(model: Model) -> dict[str, Any]:
    """Return what stands under the name of a destination of config.yaml."""
    return {"type": "object", "properties": _place(model), "additionalProperties": False}


def _place(model: Model) -> dict[str, Any]:
    return {
        "retry": {
            "type": "object",
            "properties": {
                "for": {"type": "string", "description": "so long what may pass is tried, e.g. 4 hours"},
                "then": {"enum": ["hold", "skip", "wait"]},
            },
            "additionalProperties": False,
        },
        "order": {"enum": ["by patient", "as they come", "none"]},
        "at_once": {"type": "integer", "minimum": 1},
        **{word: model(kind.settings) for word, kind in KINDS.items()},
    }


def deliver_schema(model: Model) -> dict[str, Any]:
    """Return what may stand under `deliver:`; `model` makes the schema of a settings model."""
    place: dict[str, Any] = {
        "when": {"type": "string", "description": "a condition on the HL7 v2 message, e.g. OBR-24 = MB|PTH"},
        "types": {
            "description": "message types, e.g. [ORU, ADT^A0*]",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        },
        "body": {"type": "string", "description": "original, fhir, event, or a map of hub write"},
        "with": {"enum": ["content"], "description": "an event carries the resources: patient data"},
        "set": {"type": "object", "description": "what a map of hub write is told besides"},
        **_place(model),
    }
    one = {
        "anyOf": [{"type": "null"}, {"type": "object", "properties": place, "additionalProperties": False}]
    }
    return {
        "description": "where messages go besides the core store, which is always written",
        "anyOf": [
            {"enum": [STORE]},
            {"type": "array"},
            {"type": "object", "additionalProperties": one},
        ],
    }
