"""No independent validator objects to what X12 transaction sets become."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fhir_judges import structure
from test_independent_validators import REFUTED, _errors, pyrofile

from engine.fhir import jsonio
from engine.fhir.bundle import transaction
from engine.mapping.convert import map_arrived, unkeyed
from engine.mapping.from_x12 import arrivals
from engine.mapping.project import Maps

__all__ = ["pyrofile"]  # the fixture

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "sample_messages" / "x12").glob("*.x12"))


def one_each(r: dict[str, Any], where: str, said: str, source: str) -> bool:
    """pyrofile counts the amounts of all benefits of a resource together."""
    found = [b for i in r.get("insurance", ()) for item in i.get("item", ()) for b in item.get("benefit", ())]
    return where.endswith("benefit.allowed[x]") and all(
        sum(k.startswith("allowed") for k in b) < 2 for b in found
    )


KNOWN = (*REFUTED, ("profile.element.cardinality.max", one_each))


@cache
def maps() -> Maps:
    return Maps.open(ROOT).of("x12")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_no_validator_objects(pyrofile: Any, file: Path) -> None:
    source = file.read_text("latin-1")
    program = maps().program("standard", trace=False)
    for one in arrivals(file.read_bytes()):
        drafts = map_arrived(one, program, unkeyed, "entry").drafts
        bundle = json.loads(jsonio.dumps(transaction(drafts)))
        resources = [e["resource"] for e in bundle["entry"]]
        assert [said for r in resources for said in structure(r)] == []
        objections = []
        for code, _, where, said in _errors(pyrofile, bundle):
            kind = where.split(".")[0]
            meant = [x for r in resources for x in (r, *r.get("contained", ())) if x["resourceType"] == kind]
            if not any(code == c and any(f(r, where, said, source) for r in meant) for c, f in KNOWN):
                objections.append((code, where, said))
        assert objections == []
