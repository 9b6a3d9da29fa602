"""X12 samples through the real maps, for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from engine.fhir import jsonio
from engine.mapping.build import Built
from engine.mapping.convert import Conversion, map_arrived, trace_arrived, unkeyed
from engine.mapping.from_x12 import Sent, arrivals
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages" / "x12"
Json = dict[str, Any]


@cache
def x12_maps() -> Maps:
    """The maps of the project."""
    return Maps.open(ROOT).of("x12")


def sample(name: str, *changes: tuple[str, str]) -> bytes:
    """Read a sample, each change made once."""
    data = (SAMPLES / f"{name}.x12").read_text("ascii")
    for old, new in changes:
        assert old in data, old
        data = data.replace(old, new, 1)
    return data.encode()


def sent(data: bytes) -> Sent:
    """The only transaction set of bytes."""
    (one,) = arrivals(data)
    return one


def fast(data: bytes) -> Built:
    """Map bytes the fast way."""
    return map_arrived(sent(data), x12_maps().program("standard"), unkeyed, "entry")


def traced(data: bytes) -> Conversion:
    """Map bytes the traced way."""
    return trace_arrived(sent(data), x12_maps(), "standard", "entry")


def resources(data: bytes) -> dict[str, list[Json]]:
    """The resources of bytes by type, as JSON has them."""
    out: dict[str, list[Json]] = {}
    for draft in fast(data).drafts:
        body = json.loads(jsonio.dumps(draft.body))
        out.setdefault(draft.type, []).append({**body, "_id": draft.id})
    return out


def codes(concept: Json) -> list[str]:
    """The codes of a CodeableConcept."""
    return [coding["code"] for coding in concept["coding"]]


def extension(holder: Json, url: str) -> Json:
    """The extension of a resource or element whose url ends so."""
    (found,) = [e for e in holder["extension"] if e["url"].endswith(url)]
    return dict(found)


def references(value: Any) -> Iterator[str]:
    """All references inside."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)
