"""No independent validator objects to what SCRIPT messages become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fhir_judges import structure
from test_independent_validators import REFUTED, _errors, pyrofile
from test_script_maps import NAMES, fast, text

from engine.fhir import jsonio
from engine.fhir.bundle import transaction

__all__ = ["pyrofile"]  # the fixture


@pytest.mark.parametrize("name", NAMES)
def test_no_validator_objects(pyrofile: Any, name: str) -> None:
    source = text(name).decode()
    bundle = json.loads(jsonio.dumps(transaction(fast(text(name)).drafts)))
    resources = [e["resource"] for e in bundle["entry"]]
    assert [said for r in resources for said in structure(r)] == []
    objections = []
    for code, _, where, said in _errors(pyrofile, bundle):
        kind = where.split(".")[0]
        meant = [x for r in resources for x in (r, *r.get("contained", ())) if x["resourceType"] == kind]
        if not any(code == c and any(f(r, where, said, source) for r in meant) for c, f in REFUTED):
            objections.append((code, where, said))
    assert objections == []
