"""No independent validator objects to anything that any shipped sample becomes.

What pyrofile says and is not a fault of ours stands in `REFUTED`, each with its reason and with what must be
true of the resource; everything else fails. What our own validator already refuses is parked by a hub, never
emitted: it is left out, and `PARKED` says which samples are made to show that.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fhir_judges
import pytest
from fhir_judges import NODE, Json, bundles, distinct, samples, shipped_maps, structure

from engine.cli.convert import convert_bytes

PARKED = {"adt_a01_clock_change.hl7", "adt_a01_v2.8.hl7"}
"""Samples of a resource that cannot be written: a time that does not exist, a status that nobody sent."""


def _at(resource: Any, path: str) -> Any:
    """Return what stands at `Type.a[0].b`, else None."""
    for name, index in re.findall(r"\.([A-Za-z_]+)(?:\[(\d+)\])?", path):
        resource = resource.get(name) if isinstance(resource, dict) else None
        if isinstance(resource, list):
            resource = resource[int(index or 0)] if len(resource) > int(index or 0) else None
    return resource


def _primitive_extension(resource: Json, path: str, text: str, source: str) -> bool:
    """FHIR R4 2.6.0.2: extensions of a primitive stand under `_name`; pyrofile knows that at the root of a
    resource only."""
    head, _, name = path.rpartition(".")
    value = _at(resource, f"{head}._{name.lstrip('_')}")
    return isinstance(value, dict) and bool(value.get("extension"))


def _said_by_sender(resource: Json, path: str, text: str, source: str) -> bool:
    """A display that stands in the message is the sender's own word for the code; not ours to correct."""
    said = _at(resource, path)
    return isinstance(said, str) and all(part in source for part in said.split("^"))


def _but_for_white_space(resource: Json, path: str, text: str, source: str) -> bool:
    """A display that differs in blanks alone is the same display (R4's v2-0161 writes two of them)."""
    said = _at(resource, path)
    return isinstance(said, str) and " ".join(said.split()) in " ".join(text.split())


def _of_another_version(resource: Json, path: str, text: str, source: str) -> bool:
    """FHIR R4 2.1.10.4 (extensions for converting between versions): these exist by rule, in no package."""
    return re.search(r"/fhir/5\.0/StructureDefinition/extension-[A-Z]\w+\.[a-z]\w+ could", text) is not None


def _choice_inside(resource: Json, path: str, text: str, source: str) -> bool:
    """A choice below the root (`protocolApplied.doseNumber[x]`) is there under the name of its type."""
    head, _, name = path.removesuffix("[x]").rpartition(".")
    holder = _at(resource, head)
    return path.endswith("[x]") and isinstance(holder, dict) and any(k.startswith(name) for k in holder)


def _of_us_core(resource: Json, path: str, text: str, source: str) -> bool:
    """Extensions that US Core publishes are in its package, not in that of R4."""
    return "extension http://hl7.org/fhir/us/core/StructureDefinition/us-core-" in text


def _counted_across(resource: Json, path: str, text: str, source: str) -> bool:
    """pyrofile adds up a single element over all repetitions of what is around it."""
    found: list[Any] = [resource]
    for name in re.sub(r"\[\d+\]", "", path).split(".")[1:]:
        inside = [x[name] for x in found if isinstance(x, dict) and name in x]
        single = not any(isinstance(x, list) for x in inside)
        found = [y for x in inside for y in (x if isinstance(x, list) else [x])]
    return "at most 1" in text and single and len(found) > 1


def _added_since(resource: Json, path: str, text: str, source: str) -> bool:
    """`PGN` (placer group number): the v2-to-FHIR guide writes it; R4's copy of table 0203 is older."""
    return text.startswith("Code 'PGN' is not valid in code system") and text.rstrip("'\"").endswith(
        "v2-0203"
    )


def _as_ihe_writes_it(resource: Json, path: str, text: str, source: str) -> bool:
    """`EUI-64`: IHE PCD TF-2 writes it in EI.4; what HL7's table 0301 calls it stands before it."""
    beside = _at(resource, re.sub(r"\[1\]$", "[0]", path))
    return (
        text.startswith("Code 'EUI-64' is not valid in code system") and (beside or {}).get("code") == "EUI64"
    )


def _of_our_own(resource: Json, path: str, text: str, source: str) -> bool:
    """Extensions in the hub's own name space keep what FHIR has no element for; no package defines them."""
    return re.match(r"The extension urn:hub:own/id/[a-z0-9-]+ could not be found", text) is not None


Refuted = Callable[[Json, str, str, str], bool]
REFUTED: tuple[tuple[str, Refuted], ...] = (
    ("element.unknown", _primitive_extension),
    ("cardinality.min", _primitive_extension),
    ("cardinality.min", _choice_inside),
    ("profile.element.cardinality.min", _primitive_extension),
    ("terminology.display", _said_by_sender),
    ("terminology.display", _but_for_white_space),
    ("extension.unknown", _of_another_version),
    ("extension.unknown", _of_our_own),
    ("extension.unknown", _of_us_core),
    ("profile.element.cardinality.max", _counted_across),
    ("terminology.code-system", _added_since),
    ("terminology.code-system", _as_ihe_writes_it),
)


def test_fhirkit_objects_to_nothing() -> None:
    made = list(distinct(bundles()))
    assert len(made) > 300
    assert [(name, r["resourceType"], said) for name, r in made for said in structure(r)] == []


@pytest.fixture(scope="module")
def pyrofile(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if not (NODE / "@medplum").is_dir():
        if os.environ.get("HUB_NODE_TOOLS"):
            pytest.fail("HL7's R4 definitions are missing: npm ci --prefix tests/node")
        pytest.skip("pyrofile NOT ASKED: HL7's R4 definitions are not here; npm ci --prefix tests/node")
    from pyrofile_validator.config import ValidatorConfig
    from pyrofile_validator.core.engine import Validator

    folder = fhir_judges.unpack(tmp_path_factory.mktemp("r4"))
    settings = {"localPackagePaths": [str(folder)], "terminology": {"mode": "local"}}
    return Validator(ValidatorConfig.load_dict(settings))


def _errors(pyrofile: Any, resource: Json) -> list[tuple[str, str, str, str]]:
    """Return (code, resource id, path, text) of every error; pyrofile prints as it works."""
    with contextlib.redirect_stdout(io.StringIO()):
        issues = pyrofile.validate_resource(resource).issues
    return [
        (i.code, str(i.resource_id or ""), i.path, i.message)
        for i in issues
        if i.severity.name in ("ERROR", "FATAL")
    ]


def test_pyrofile_knows_a_fault_when_it_sees_one(pyrofile: Any) -> None:
    """The control: without it an empty list of objections would prove nothing."""
    good = {"resourceType": "Patient", "gender": "female", "birthDate": "1980-01-01"}
    assert _errors(pyrofile, good) == []
    for wrong in (
        {"gender": "F"},
        {"birthDate": "01/01/1980"},
        {"nickname": "Jo"},
        {"contact": [{"gender": "male"}]},
    ):
        assert _errors(pyrofile, {**good, **wrong}), wrong


@pytest.mark.parametrize("path", samples(), ids=lambda p: p.name)
def test_pyrofile_objects_to_nothing(pyrofile: Any, path: Path) -> None:
    source = path.read_bytes().decode("utf-8", "replace")
    objections = []
    for result in convert_bytes(path.read_bytes(), shipped_maps()):
        assert result.bundle is not None
        refused = {e["source"] for e in result.report["errors"]}
        assert not refused or path.name in PARKED, refused
        bundle = next(b for n, b in bundles() if n == f"{path.name} {result.number}")
        by_kind: dict[str, list[Json]] = {}
        for entry in bundle.get("entry", ()):
            by_kind.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
        for code, id_, where, text in _errors(pyrofile, bundle):
            same_kind = by_kind.get(where.split(".")[0], [])
            meant = [r for r in same_kind if r.get("id") == id_] or same_kind
            if any(where == r or where.startswith(f"{r}.") for r in refused):
                continue
            if any(code == c and any(f(r, where, text, source) for r in meant) for c, f in REFUTED):
                continue
            objections.append((code, where, text))
    assert objections == []
