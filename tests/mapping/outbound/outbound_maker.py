"""Small outbound maps for tests, and the project's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from engine.fhir import jsonio
from engine.kernel.yamlfile import loads
from engine.mapping.outbound.language import read_outbound
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.x12 import Envelope
from engine.terminology.translate import Terminology

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "sample_messages" / "outbound"
ENVELOPE = Envelope("NORTHBAY", "BLUEPEAK", "20260914", "0830", 101, usage="T")


@cache
def project() -> OutMaps:
    """Open the project's outbound maps once."""
    return OutMaps.open(ROOT)


def sample(name: str) -> Any:
    """Read a sample Bundle."""
    return jsonio.loads((SAMPLES / f"{name}.json").read_bytes())


def resource(bundle: Any, name: str) -> Any:
    """Find a resource of a Bundle: `Claim/c1`."""
    kind, _, id_ = name.partition("/")
    return next(
        e["resource"]
        for e in bundle["entry"]
        if e["resource"]["resourceType"] == kind and e["resource"]["id"] == id_
    )


def made(text: str, format: str = "x12", *more: str) -> OutMaps:
    """Make a library of maps written in a test."""
    terms = Terminology.of({})
    maps = [
        read_outbound(loads(t, f"test{n}.yaml"), f"test{n}.yaml", format) for n, t in enumerate((text, *more))
    ]
    return OutMaps({m.name: m for m in maps}, terms)
