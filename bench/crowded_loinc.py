"""Writes a release of LOINC's layout with what ships and, around it, as many invented near-copies as asked.

In: `terminology/releases/loinc` and a number of terms. Out: a folder with LoincTable/Loinc.csv. A near-copy
has a name of what ships with a word put into its analyte, or another specimen and a method; all else stays
as it was, and it has no rank. Their numbers (200000-... up, right check digits) are invented: for measuring
only. The same number of terms makes the same file.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

__all__ = ["write_crowded"]

_PUT_IN = "alpha,beta,free,bound,mutant,variant,soluble,total,fraction,antigen,complex,receptor,chain,fetal"
_SYSTEMS = {
    "Serum or Plasma": "Ser/Plas",
    "Urine": "Urine",
    "Blood": "Bld",
    "Cerebral spinal fluid": "CSF",
    "Body fluid": "Body fld",
    "Stool": "Stool",
    "Dialysis fluid": "Dial fld",
    "Amniotic fluid": "Amnio fld",
    "Saliva": "Saliva",
}
_METHODS = ("Immunoassay", "HPLC", "Mass spectrometry", "Electrophoresis")
_SHARE_OF_SPECIMENS = 0.3


def write_crowded(shipped: Path, folder: Path, terms: int) -> None:
    """Write the release into a folder."""
    with (shipped / "LoincTable/Loinc.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chance = random.Random(1)
    made = [_near_copy(chance.choice(rows), 200000 + n, chance) for n in range(terms - len(rows))]
    (folder / "LoincTable").mkdir(parents=True)
    with (folder / "LoincTable/Loinc.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows + made)


def _near_copy(row: dict[str, str], number: int, chance: random.Random) -> dict[str, str]:
    name = row["LONG_COMMON_NAME"]
    copy = {
        **row,
        "LOINC_NUM": f"{number}-{_check_digit(number)}",
        "COMMON_SI_TEST_RANK": "",
        "SHORTNAME": "",
    }
    head, _, rest = name.partition(" in ")
    if rest and chance.random() < _SHARE_OF_SPECIMENS:
        specimen = chance.choice(list(_SYSTEMS))
        copy["LONG_COMMON_NAME"] = f"{head} in {specimen} by {chance.choice(_METHODS)}"
        copy["SYSTEM"] = _SYSTEMS[specimen]
        return copy
    first, _, rest = name.partition(" ")
    second = chance.choice(("", f" {chance.choice(_PUT_IN.split(','))}"))
    copy["LONG_COMMON_NAME"] = f"{first}.{chance.choice(_PUT_IN.split(','))}{second} {rest}".strip()
    return copy


def _check_digit(number: int) -> int:
    total = 0
    for place, digit in enumerate(reversed(str(number))):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return -total % 10
