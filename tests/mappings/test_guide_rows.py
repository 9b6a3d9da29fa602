"""Every row of HL7's v2-to-FHIR guide is held by a map of ours, or mappings/not_mapped.yaml says why not.

The guide's tables are not part of the project: their folder is `HUB_V2_TO_FHIR`, or `v2-to-fhir/mappings`
beside the project. Without them these tests are skipped and say so. Of the guide's 4763 code rows 2439 name
no HL7 v2 code: there is nothing to translate.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import guide_tables as guide
import pytest

from engine.kernel import yamlfile
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
TABLES = guide.folder(ROOT)
LISTED = yamlfile.load(ROOT / "mappings/not_mapped.yaml")

needs_tables = pytest.mark.skipif(
    TABLES is None,
    reason="THE GUIDE'S ROWS ARE NOT CHECKED: its tables are not at hand. Set HUB_V2_TO_FHIR to the folder "
    "that holds segments/, datatypes/ and codesystems/ of https://github.com/HL7/v2-to-fhir (mappings/)",
)


@pytest.fixture(scope="module")
def held() -> dict[str, guide.Held]:
    return {name: guide.Held.of(d) for name, d in Maps.open(ROOT).maps.items()}


def of_table(table: str, held: dict[str, guide.Held]) -> list[guide.Held]:
    """The maps that may hold the rows of a table: of its FHIR type, reading its segment or datatype."""
    own, kind = table.split("[")[0], guide.resource_of(table)
    return [
        h
        for h in held.values()
        if h.definition.to == kind
        and (h.definition.source == own or any(at.startswith(own + "-") for at, _ in h.reads))
    ]


@needs_tables
@pytest.mark.parametrize("kind, tables, rows", [("segments", 75, 1055), ("datatypes", 105, 617)])
def test_every_row_is_held_or_listed(held: dict[str, guide.Held], kind: str, tables: int, rows: int) -> None:
    assert TABLES is not None
    reasons: dict[str, Any] = LISTED[kind]
    elsewhere: dict[str, str] = LISTED["held by"]
    found = list(guide.guide_rows(TABLES, kind))
    assert len(found) >= rows
    assert sum(1 for _ in guide.tables(TABLES, kind)) >= tables
    missing = []
    for row in found:
        listed = reasons.get(row.table, {})
        if isinstance(listed, str) or row.name in listed:
            continue
        if not guide.unheld(row, of_table(row.table, held)):
            continue
        if row.table in elsewhere and guide.held_elsewhere(row, held[elsewhere[row.table]]):
            continue
        missing.append(f"{row.table}: {row.name} {row.constant}".strip())
    assert missing == []


@needs_tables
@pytest.mark.parametrize("kind", ["segments", "datatypes"])
def test_the_list_says_nothing_that_is_not_so(held: dict[str, guide.Held], kind: str) -> None:
    assert TABLES is not None
    by_table: dict[str, list[guide.GuideRow]] = defaultdict(list)
    for row in guide.guide_rows(TABLES, kind):
        by_table[row.table].append(row)
    wrong = []
    for table, listed in LISTED[kind].items():
        if table not in by_table:
            wrong.append(f"{table}: the guide has no such table")
        elif not isinstance(listed, str):
            for name in listed:
                same = [r for r in by_table[table] if r.name == name]
                if not same:
                    wrong.append(f"{table}: the guide has no row {name}")
                elif not any(guide.unheld(r, of_table(table, held)) for r in same):
                    wrong.append(f"{table}: {name} is held by a map")
    assert wrong == []


@needs_tables
def test_every_code_is_translated_or_listed() -> None:
    assert TABLES is not None
    ours: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "terminology/maps").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as f:
            for r in csv.DictReader(f):
                if r["target_code"]:
                    ours[path.stem].add(f"{r['source_code']}\t{r['target_code']}")
    wanted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for table, code, _, target in guide.code_rows(TABLES):
        wanted[table].append((code, target))
    assert sum(map(len, wanted.values())) >= 2324
    reasons: dict[str, Any] = LISTED["codes"]
    missing = []
    for table, codes in wanted.items():
        listed = reasons.get(table, {})
        if isinstance(listed, str):
            continue
        keys = {f"{c}\t{t}" for c, t in codes}
        best = max(ours.values(), key=lambda have: len(keys & have))
        missing += [f"{table}: {c} -> {t}" for c, t in codes if f"{c}\t{t}" not in best and c not in listed]
    assert missing == []


def test_every_reason_is_a_sentence() -> None:
    for kind in ("segments", "datatypes", "codes"):
        for table, listed in LISTED[kind].items():
            for reason in [listed] if isinstance(listed, str) else listed.values():
                assert len(str(reason).split()) >= 4, f"{table}: {reason}"
