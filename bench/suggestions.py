"""Measures how often the right LOINC term is suggested: first, and among the first five.

In: a published list of a laboratory's own test names with the LOINC terms people mapped them to, and LOINC:
what ships, or a code store with a whole release (`--codes var/codes.db`). Out: top-1 and top-5 as JSON, and
with `--misses` every row whose term was not first. A row counts only where its LOINC term is in the release
that was searched; how many were left out is said.

    python bench/suggestions.py               # the evaluation list (nothing was tuned on it)
    python bench/suggestions.py --list unseen # rows fetched only after the weights were fixed
    python bench/suggestions.py --list tuning # the list the weights were tuned on
    python bench/suggestions.py --among 100000 # the same lists among invented near-copies of what ships

The evaluation list: `tools/release_sources/mimic_lab_to_loinc.txt`, laboratory items of a Boston hospital
(label, fluid, unit) as two people mapped them to LOINC 2.71 (MIT-LCP/mimic-code, MIT); whoever wrote the
abbreviations had copied it before, but tuned nothing on it. The unseen list: the next page of that file
(`mimic_lab_to_loinc_2.txt`: urine chemistry, some hematology), fetched after. The tuning list:
`lab_catalogue.txt` there, another hospital's. The sample values, panels and what other senders mapped, which
traffic has, neither list has.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from crowded_loinc import write_crowded  # noqa: E402

from engine.codes.loaders.summary import Asked  # noqa: E402
from engine.codes.loading import load_release  # noqa: E402
from engine.codes.store import CodeStore  # noqa: E402
from engine.terminology.localwords import Abbreviations  # noqa: E402
from engine.terminology.suggest import LocalTerm, gather, suggest  # noqa: E402
from engine.terminology.translate import Terminology  # noqa: E402

LOINC = "http://loinc.org"
LISTS = ROOT / "tools/release_sources"
# one fluid of the list covers what is drawn from a vein; a unit of "N/A" is none
NO_UNIT = frozenset({"N/A", "units", "Ratio", "Score", "Pos/Neg"})


def rows(name: str) -> Iterator[tuple[LocalTerm, str]]:
    """Give the terms of a list and the LOINC number people chose."""
    if name == "tuning":
        for line in (LISTS / "lab_catalogue.txt").read_text("utf-8").splitlines():
            code, label, loinc, _, _, unit = line.split("|")
            yield LocalTerm(code, label, unit=unit), loinc
        return
    file = "mimic_lab_to_loinc.txt" if name == "evaluation" else "mimic_lab_to_loinc_2.txt"
    for line in (LISTS / file).read_text("utf-8").splitlines():
        code, label, fluid, unit, loinc, _ = line.split("|")
        yield LocalTerm(code, label, unit="" if unit in NO_UNIT else unit, specimen=fluid), loinc


def main() -> None:
    """Run one list and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    ask.add_argument("--list", choices=("evaluation", "unseen", "tuning"), default="evaluation")
    ask.add_argument("--codes", type=Path, help="a code store with LOINC loaded; default: what ships")
    ask.add_argument("--among", type=int, default=0, help="terms of a release made of near-copies")
    ask.add_argument("--misses", action="store_true")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.codes or Path(folder) / "codes.db"
        release = ROOT / "terminology/releases/loinc"
        if given.among:
            write_crowded(release, Path(folder) / "crowded", given.among)
            release = Path(folder) / "crowded"
        if given.codes is None:
            load_release(path, release, Asked(version="bench"), loader="loinc")
        measure(CodeStore(path), given.list, given.misses)


def measure(store: CodeStore, name: str, misses: bool) -> None:
    """Suggest for every row and count."""
    abbreviations = Abbreviations.read(
        (ROOT / "terminology/abbreviations.csv").read_bytes(), "abbreviations.csv"
    )
    ucum_of = units()
    asked = first = five = 0
    absent = 0
    spent = 0.0
    for term, loinc in rows(name):
        if store.lookup(LOINC, loinc) is None:
            absent += 1
            continue
        begun = time.perf_counter()
        made = suggest(term, gather(store, LOINC, term, abbreviations), abbreviations, ucum_of=ucum_of)
        spent += time.perf_counter() - begun
        codes = [s.concept.code for s in made]
        asked += 1
        first += codes[:1] == [loinc]
        five += loinc in codes
        if misses and codes[:1] != [loinc]:
            right = store.lookup(LOINC, loinc)
            print(
                f"{'5' if loinc in codes else '-'} {term.text} [{term.unit}] {term.specimen}: want {loinc}",
                end="",
            )
            print(f" {right.display if right else ''}")
            for s in made[:2]:
                print(f"      {s.score:5} {s.concept.code} {s.concept.display} | {'; '.join(s.reasons)}")
    said = {"list": name, "terms": asked, "not_in_release": absent, "first": first, "among_five": five}
    shares = {"first_share": round(first / asked, 3), "among_five_share": round(five / asked, 3)}
    print(json.dumps({**said, **shares, "ms_a_term": round(1000 * spent / asked, 1)}))


def units() -> Callable[[str], str]:
    """Return what reads a sender's unit as UCUM, by the table of units."""
    table = Terminology.open(ROOT / "terminology").table("units")

    def of(unit: str) -> str:
        hit = table.translate(unit)
        return hit.code if hit else ""

    return of


if __name__ == "__main__":
    main()
