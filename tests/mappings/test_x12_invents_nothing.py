"""Nothing stands in what a transaction set becomes that is not in it, in a code table, or stated by a map."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.fhir import jsonio
from engine.fhir.bundle import transaction
from engine.mapping.convert import map_arrived, unkeyed
from engine.mapping.from_x12 import Sent, arrivals
from engine.mapping.project import Maps

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "sample_messages" / "x12").glob("*.x12"))
CLINICAL = re.compile(r"sid/icd|ama-assn|HCPCS|sid/ndc|ada\.org|coding/icd10|nubc|place-of-service", re.I)
COUNTED = re.compile(r"(?i)sequence$|^order$")  # numbers of entries, and the word of SBR01 as one
NAMED = frozenset({"reference", "id", "resourceType", "fullUrl", "system", "url"})
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)(T.*)?")


@cache
def maps() -> Maps:
    return Maps.open(ROOT).of("x12")


@cache
def stated() -> frozenset[str]:
    """The constants of the maps, and what tables translate to."""
    out: set[str] = set()

    def walk(value: Any) -> None:
        for held in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(held)
        if isinstance(value, str) and value.startswith("="):
            out.add(value[1:].rpartition("#")[2])

    for path in (ROOT / "mappings/x12").rglob("*.yaml"):
        walk(yaml.safe_load(path.read_text("utf-8")).get("rows"))
    for path in (ROOT / "terminology/maps").glob("x12_*.csv"):
        with path.open(encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                out |= {row["target_code"], row["target_display"]}
    for path in (ROOT / "terminology/systems").glob("*.csv"):
        out |= {r["display"] for r in csv.DictReader(path.read_text("utf-8").splitlines()[1:])}
    return frozenset(out)


def sent_values(one: Sent) -> frozenset[str]:
    """Every element, component and end of a period of a transaction set and its envelope."""
    around = [*one.segments, *one.scope.own.get("ISA", ()), *one.scope.own.get("GS", ())]
    out: set[str] = set()
    for s in around:
        for value in s.fields[1:]:
            for part in re.split(r"[\^:]", value):
                out |= {part.strip(), value.strip(), *part.split("-")}
    return frozenset(out)


def leaves(value: Any, name: str, around: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    if isinstance(value, dict):
        for key, held in value.items():
            yield from leaves(held, key, value)
    elif isinstance(value, list):
        for held in value:
            yield from leaves(held, name, around)
    else:
        yield name, around, value


def stands_in(value: Any, said: frozenset[str]) -> bool:
    """Whether a value is one that was sent, in FHIR's way of writing it."""
    if isinstance(value, Decimal | int | float) and not isinstance(value, bool):
        return any(_number(s) == Decimal(str(value)) for s in said)
    text = str(value)
    day = _DAY.fullmatch(text)
    if text in said or text.replace(".", "") in said:
        return True
    if day is not None:
        short = "".join(day.groups()[:3])
        return any(s.startswith(short) or s == short[2:] for s in said)
    if text and all(word in said for word in re.split(r"[|\s/-]+", text) if word):
        return True
    # a day and its hour, a type of bill and its frequency
    return text.isdecimal() and any(text[:i] in said and text[i:] in said for i in range(1, len(text)))


def _number(text: str) -> Decimal | None:
    return Decimal(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_nothing_is_invented(file: Path) -> None:
    invented = []
    for one in arrivals(file.read_bytes()):
        said = sent_values(one)
        drafts = map_arrived(one, maps().program("standard", trace=False), unkeyed, "entry").drafts
        bundle = json.loads(jsonio.dumps(transaction(drafts)), parse_float=Decimal)
        for entry in bundle["entry"]:
            for name, around, value in leaves(entry["resource"], "", {}):
                if name in NAMED or COUNTED.search(name) or stands_in(value, said):
                    continue
                clinical = name == "code" and CLINICAL.search(str(around.get("system", "")))
                words = str(value).lower() if isinstance(value, bool) else str(value)
                if clinical or not (words in stated() or stands_in(value, stated())):
                    invented.append((entry["resource"]["resourceType"], name, value))
    assert invented == []


def test_it_would_be_seen() -> None:
    said = frozenset({"J0190", "20260902", "180.50", "UN"})
    assert stands_in("J01.90", said) and stands_in("2026-09-02", said) and stands_in(Decimal("180.5"), said)
    assert not stands_in("J01.91", said)
    assert not stands_in("2026-09-03", said)
    assert not stands_in(181, said)
