"""Nothing stands in what a SCRIPT message becomes that is not in it, in a code table, or stated by a map."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_script_maps import NAMES, ROOT, SHAPES, fast, text

from engine.fhir import jsonio
from engine.formats.ncpdp.message import parse

TABLES = (
    "script_CodeSystem",
    "script_PeriodUnit",
    "script_PatientRelationship",
    "AdministrativeSex",
    "cda_Severity",
)
NONE_KNOWN = "716186003"
CLINICAL = re.compile(r"loinc\.org|snomed\.info|rxnorm|icd|sid/ndc|Thesaurus")
OURS = re.compile(r"urn:(hub|uuid):|#c\d+$")
_WORDS = re.compile(r"[^\s|:()]+")


@cache
def stated() -> frozenset[str]:
    """The constants of the maps, and what tables translate to."""
    out: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for held in value.values():
                walk(held)
        elif isinstance(value, list):
            for held in value:
                walk(held)
        elif isinstance(value, str) and value.startswith("="):
            out.add(value[1:].rpartition("#")[2])
            out.update(_WORDS.findall(value[1:]))

    for path in (ROOT / "mappings/ncpdp").rglob("*.yaml"):
        walk(yaml.safe_load(path.read_text("utf-8")).get("rows"))
    for name in TABLES:
        with (ROOT / f"terminology/maps/{name}.csv").open(encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                out |= {row["target_system"], row["target_code"], row["target_display"]}
    return frozenset(out)


@cache
def displays() -> frozenset[tuple[str, str, str]]:
    """(system, code, display) of the code systems that constants name."""
    out = set()
    for path in (ROOT / "terminology/systems").glob("*.csv"):
        lines = path.read_text("utf-8").splitlines()
        system = lines[0].removeprefix("# system: ")
        out |= {(system, r["code"], r["display"]) for r in csv.DictReader(lines[1:])}
    return frozenset(out)


@cache
def systems() -> frozenset[str]:
    return frozenset(system for system, _, _ in displays())


def leaves(value: Any, around: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    if isinstance(value, dict):
        for name, held in value.items():
            if isinstance(held, dict | list):
                yield from leaves(held, value)
            else:
                yield name, value, json.dumps(held) if isinstance(held, bool) else str(held)
    elif isinstance(value, list):
        for held in value:
            if isinstance(held, dict | list):
                yield from leaves(held, around)
            else:
                yield "", around, str(held)


def invented(data: bytes) -> list[str]:
    """Name every value that nobody sent and no map states."""
    script = parse(data)
    sent = {leaf.value.strip() for leaf in script.leaves()} | {script.transaction}
    sent |= {leaf.place.rpartition("/")[2].partition("[")[0] for leaf in script.leaves()}
    sent |= {str(e.tag).rpartition("}")[2] for e in script.root.iter()}  # Approved, Denied ... are elements
    words = {w for s in sent for w in _WORDS.findall(s)}
    out = []
    for draft in fast(data).drafts:
        body = json.loads(jsonio.dumps(draft.body))
        for name, around, value in leaves(body, body):
            if name in ("resourceType", "id") or OURS.match(value):
                continue
            system = str(around.get("system", ""))
            if name in ("code", "value") and CLINICAL.search(system):
                denied = value == NONE_KNOWN and "Y" in sent
                if value in sent or value.replace(".", "", 1) in sent or denied:
                    continue
            elif (
                value in sent | stated() | systems()
                or (system, str(around.get("code")), value) in displays()
                or all(
                    w in words or w in stated() or w.removeprefix("x") in words for w in _WORDS.findall(value)
                )
            ):
                continue
            out.append(f"{draft.type}.{name}: {value}")
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_invented(name: str, shape: str) -> None:
    assert invented(text(name, shape)) == []


def test_an_invention_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    built = fast(text("newrx"))
    rx = next(d for d in built.drafts if d.type == "MedicationRequest")
    for element, value in (("authoredOn", "2026-01-01"), ("status", "completed"), ("priority", "routine")):
        monkeypatch.setitem(rx.body, element, value)
    monkeypatch.setattr("test_script_invents_nothing.fast", lambda data: built)
    assert len(invented(text("newrx"))) == 2  # `completed` is a word that the maps know
    assert Path(ROOT).is_dir()
