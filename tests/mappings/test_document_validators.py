"""No independent validator objects to what CDA documents become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir_judges import structure
from test_documents import SAMPLES, convert
from test_independent_validators import REFUTED, Json, Refuted, _errors, pyrofile

from engine.fhir import jsonio

__all__ = ["pyrofile"]  # the fixture


def _of_the_guides(resource: Json, path: str, text: str, source: str) -> bool:
    """What US Core and C-CDA on FHIR define is in their packages, not in that of R4."""
    return "http://hl7.org/fhir/us/" in text


ALSO: tuple[tuple[str, Refuted], ...] = (
    *REFUTED,
    ("extension.unknown", _of_the_guides),
    ("terminology.code-system", _of_the_guides),
)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_no_validator_objects(pyrofile: Any, path: Path) -> None:
    source = path.read_bytes().decode()
    bundle = json.loads(jsonio.dumps(convert(path.read_bytes()).bundle))
    resources = [e["resource"] for e in bundle["entry"]]
    assert [said for r in resources for said in structure(r)] == []
    objections = []
    for code, _, where, said in _errors(pyrofile, bundle):
        kind = where.split(".")[0]
        meant = [x for r in resources for x in (r, *r.get("contained", ())) if x["resourceType"] == kind]
        if not any(code == c and any(f(r, where, said, source) for r in meant) for c, f in ALSO):
            objections.append((code, where, said))
    assert objections == []
