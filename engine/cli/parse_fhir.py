"""`hub parse` of FHIR: a resource or a Bundle a file, what is asked for each, every value with its place.

In: a file of JSON. Out: one tree, or None where it was refused and named on stderr; the file's own bytes
back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.formats.fhir.facts import of_fhir
from engine.formats.fhir.posted import parse
from engine.kernel.errors import HubError

__all__ = ["parse_fhir"]


def parse_fhir(file: Path, stem: str, emit_to: Path | None) -> Iterator[dict[str, Any] | None]:
    """Give the tree of what a file holds; None where it could not be read."""
    try:
        posted = parse(file.read_bytes())
    except HubError as e:
        print(f"{file}, 1, {e.where or '-'}, {e}", file=sys.stderr)
        yield None
        return
    if emit_to is not None:
        (emit_to / f"{stem}{file.suffix}").write_bytes(posted.raw)
    yield {
        "file": str(file),
        "message": 1,
        "offset": 0,
        "format": "fhir",
        "document_type": posted.kind,
        "id": of_fhir(posted).control,
        "bytes": len(posted.raw),
        "asks": [{"at": a.at, "type": a.type, "method": a.method} for a in posted.asks],
        "repairs": [],
        "leaves": [leaf._asdict() for leaf in posted.leaves()],
        "identical": True,
    }
