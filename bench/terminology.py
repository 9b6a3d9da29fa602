"""The code store measured: loading, lookups that are cached and that are not, search, memory.

python bench/terminology.py [--terms 100000] [--concepts 500000] [--rf2]

LOINC-size: a generated Loinc.csv of 100,000 rows with all the columns that matter. Store: a generated list of
500,000 codes, asked hot (a thousand codes again and again) and cold (every code once, in random order, none
cached by the store); memory of a fresh process that does so. Rates are a second of the clock and a second of
CPU: on a machine that others use the second is the one to compare.

--rf2: a generated edition of 350,000 concepts, 1,000,000 descriptions, 600,000 is-a relationships and
2,000,000 language members (takes minutes). Content is invented, check digits are true.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import LOINC, SNOMED
from engine.terminology.damage import loinc_valid, sctid_valid

OWN = "urn:example:bench"
COLUMNS = """
LOINC_NUM COMPONENT PROPERTY TIME_ASPCT SYSTEM SCALE_TYP METHOD_TYP CLASS VersionLastChanged
CHNG_TYPE DefinitionDescription STATUS CONSUMER_NAME CLASSTYPE FORMULA EXMPL_ANSWERS
SURVEY_QUEST_TEXT SURVEY_QUEST_SRC UNITSREQUIRED RELATEDNAMES2 SHORTNAME ORDER_OBS
HL7_FIELD_SUBFIELD_ID EXTERNAL_COPYRIGHT_NOTICE EXAMPLE_UNITS LONG_COMMON_NAME
EXAMPLE_UCUM_UNITS STATUS_REASON STATUS_TEXT CHANGE_REASON_PUBLIC COMMON_TEST_RANK
COMMON_ORDER_RANK HL7_ATTACHMENT_STRUCTURE EXTERNAL_COPYRIGHT_LINK PanelType AskAtOrderEntry
AssociatedObservations VersionFirstReleased ValidHL7AttachmentRequest DisplayName
"""
SYLLABLES = re.findall("..", "gluposodiumtaschlorideserumplasmaurinebodyvirusalbumincellfactor")


def vocabulary(size: int = 6_000) -> tuple[list[str], list[float]]:
    """Make words and how often each comes, as words of a language do (Zipf)."""
    chance = random.Random(0)
    words = sorted({"".join(chance.choices(SYLLABLES, k=chance.randrange(2, 6))) for _ in range(size)})
    chance.shuffle(words)
    sums, total = [], 0.0
    for n in range(len(words)):
        total += 1 / (n + 20)
        sums.append(total)
    return words, sums


NAMES, SUMS = vocabulary()


def say(what: str, **figures: object) -> None:
    print(json.dumps({"what": what, **figures}), flush=True)


def name(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(NAMES, cum_weights=SUMS, k=words)) + f" {chance.randrange(100_000)}"


def loinc_file(path: Path, rows: int) -> Path:
    """Write a Loinc.csv with the columns and sizes of a real one (about 700 bytes a row)."""
    columns = COLUMNS.split()
    chance = random.Random(1)
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for n in range(rows):
            code = next(f"{10 + n}-{d}" for d in range(10) if loinc_valid(f"{10 + n}-{d}"))
            row = dict.fromkeys(columns, "")
            row |= {
                "LOINC_NUM": code,
                "COMPONENT": name(chance, 2),
                "PROPERTY": "SCnc",
                "TIME_ASPCT": "Pt",
                "SYSTEM": "Ser/Plas",
                "SCALE_TYP": "Qn",
                "CLASS": "CHEM",
                "VersionLastChanged": "2.80",
                "CHNG_TYPE": "MIN",
                "STATUS": "ACTIVE",
                "CONSUMER_NAME": name(chance, 3),
                "CLASSTYPE": "1",
                "RELATEDNAMES2": "; ".join(chance.choices(NAMES, cum_weights=SUMS, k=20)),
                "SHORTNAME": name(chance, 2),
                "ORDER_OBS": "Both",
                "EXAMPLE_UNITS": "mmol/L",
                "EXAMPLE_UCUM_UNITS": "mmol/L",
                "LONG_COMMON_NAME": name(chance, 7),
                "COMMON_TEST_RANK": "0",
                "VersionFirstReleased": "1.0",
                "DisplayName": name(chance, 4),
            }
            writer.writerow(row)
    return path


def sct(number: int, kind: str) -> str:
    return next(f"{number}{kind}{d}" for d in range(10) if sctid_valid(f"{number}{kind}{d}"))


def rf2_zip(path: Path, concepts: int) -> Path:
    """Write an edition: three descriptions a concept of which two are preferred in two dialects."""
    chance = random.Random(2)
    codes = ["138875005", *(sct(1_000_000 + n, "00") for n in range(concepts - 1))]
    date, module = "20250101", "900000000000207008"
    common = f"{date}\t1\t{module}"

    def terms() -> Iterator[str]:
        for n, code in enumerate(codes):
            for i, kind in enumerate(("900000000000003001", "900000000000013009", "900000000000013009")):
                if i == 2 and n % 7 == 0:
                    continue
                id_ = sct(10_000_000 + n * 3 + i, "01")
                yield f"{id_}\t{common}\t{code}\ten\t{kind}\t{name(chance, 4)}\t900000000000448009"

    def language() -> Iterator[str]:
        for n in range(len(codes)):
            for i in range(3 if n % 7 else 2):
                id_ = sct(10_000_000 + n * 3 + i, "01")
                said = "900000000000548007" if i < 2 else "900000000000549004"
                for m, refset in enumerate(("900000000000509007", "900000000000508004")):
                    yield f"00000000-0000-4000-{m:04d}-{n * 3 + i:012d}\t{common}\t{refset}\t{id_}\t{said}"

    def edges() -> Iterator[str]:
        for n in range(1, len(codes)):
            parents = {max(0, n // 5), chance.randrange(n)} if n % 3 else {n // 5}
            for m, p in enumerate(parents):
                yield (
                    f"{sct(10_000_000 + n * 2 + m, '02')}\t{common}\t{codes[n]}\t{codes[p]}\t0\t116680003\t"
                    "900000000000011006\t900000000000451002"
                )

    head = "id\teffectiveTime\tactive\tmoduleId\t"
    parts: dict[str, tuple[str, Iterator[str]]] = {
        "Terminology/sct2_Concept_Snapshot_INT": (
            "definitionStatusId",
            (f"{code}\t{common}\t900000000000074008" for code in codes),
        ),
        "Terminology/sct2_Description_Snapshot-en_INT": (
            "conceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId",
            terms(),
        ),
        "Terminology/sct2_Relationship_Snapshot_INT": (
            "sourceId\tdestinationId\trelationshipGroup\ttypeId\tcharacteristicTypeId\tmodifierId",
            edges(),
        ),
        "Refset/Language/der2_cRefset_LanguageSnapshot-en_INT": (
            "refsetId\treferencedComponentId\tacceptabilityId",
            language(),
        ),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for part, (columns, rows) in parts.items():
            with made.open(f"Snapshot/{part}_{date}.txt", "w", force_zip64=True) as out:
                out.write(f"{head}{columns}\r\n".encode())
                for row in rows:
                    out.write(f"{row}\r\n".encode())
    return path


def timed_load(what: str, store: Path, path: Path, asked: Asked) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    summary = load_release(store, path, asked)
    say(
        what,
        seconds=round(time.perf_counter() - begun, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
        rows=sum(summary.rows.values()),
        concepts=summary.releases[0][0].concepts,
        file_mb=round(path.stat().st_size / 1e6),
        store_mb=round(store.stat().st_size / 1e6),
    )


def memory() -> tuple[float, float]:
    """Return what this process holds for itself, and what is resident in all, in MB."""
    sizes = dict.fromkeys(("Private_Clean", "Private_Dirty", "Rss", "Shared_Clean"), 0)
    with Path("/proc/self/smaps_rollup").open() as rollup:
        for line in rollup:
            key = line.partition(":")[0]
            if key in sizes:
                sizes[key] = int(line.split()[1])
    # pages of the file that only this process has mapped count as private there, and are the page cache's
    return sizes["Private_Dirty"] / 1024, sizes["Rss"] / 1024


def ask(path: Path, system: str, codes: list[str]) -> None:
    """Measure lookups, in a process of their own."""
    before = memory()
    store = CodeStore(path)
    store.releases()
    hot = codes[:1000]
    for code in hot:
        assert store.lookup(system, code)
    lookup, figures = store.lookup, {}

    def rate(what: str, asked: list[str], rounds: int = 1) -> None:
        begun, cpu = time.perf_counter(), time.process_time()
        for _ in range(rounds):
            for code in asked:
                lookup(system, code)
        count = rounds * len(asked)
        figures[f"{what}_per_second"] = round(count / (time.perf_counter() - begun))
        figures[f"{what}_per_cpu_second"] = round(count / (time.process_time() - cpu))

    rate("hot", hot, 1000)
    random.Random(3).shuffle(codes)
    rate("cold", codes)
    rate("unknown", [f"x{code}" for code in codes[:50_000]])
    own, resident = (round(b - a, 1) for a, b in zip(before, memory(), strict=True))
    queries = [f"{NAMES[40]} {NAMES[5]}", f"{NAMES[2]} {NAMES[90]} {NAMES[11]}", NAMES[200][:5], NAMES[700]]
    took = []
    for query in queries * 5:
        begun = time.perf_counter()
        store.search(system, query)
        took.append(time.perf_counter() - begun)
    say(
        "ask",
        system=system,
        codes=len(codes),
        **figures,
        own_memory_mb=own,
        resident_with_shared_file_mb=resident,
        search_ms=round(sorted(took)[len(took) // 2] * 1000, 1),
    )
    if system == SNOMED:
        begun, pairs = time.perf_counter(), list(zip(codes[:2000], codes[2000:4000], strict=True))
        for a, b in pairs:
            store.subsumes(system, a, b)
        say("subsumes", per_second=round(len(pairs) / (time.perf_counter() - begun)))


def apart(path: Path, system: str) -> None:
    """Run `ask` in a fresh process."""
    subprocess.run([sys.executable, __file__, "--ask", str(path), system], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--terms", type=int, default=100_000)
    parser.add_argument("--concepts", type=int, default=500_000)
    parser.add_argument("--rf2", action="store_true")
    parser.add_argument("--rf2-concepts", type=int, default=350_000)
    parser.add_argument("--ask", nargs=2)
    args = parser.parse_args()
    if args.ask:
        path, system = Path(args.ask[0]), args.ask[1]
        import sqlite3

        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as file:
            load = file.execute("SELECT load FROM release WHERE system = ?", (system,)).fetchone()[0]
            codes = [code for (code,) in file.execute(f"SELECT code FROM concept_{load}")]
        file.close()
        ask(path, system, codes)
        return
    folder = Path(tempfile.mkdtemp(prefix="hub-bench-terms-"))
    try:
        if args.rf2:
            store = folder / "snomed.db"
            timed_load("load RF2", store, rf2_zip(folder / "edition.zip", args.rf2_concepts), Asked())
            apart(store, SNOMED)
            return
        timed_load("load LOINC", folder / "a.db", loinc_file(folder / "Loinc.csv", args.terms), Asked())
        apart(folder / "a.db", LOINC)
        chance, path = random.Random(4), folder / "own.csv"
        with path.open("w") as out:
            out.write("code,display,class\n")
            for n in range(args.concepts):
                out.write(f"C{n * 7919 % 10_000_000:07d},{name(chance, 5)},{n % 9}\n")
        timed_load("load list", folder / "b.db", path, Asked(OWN, "1"))
        apart(folder / "b.db", OWN)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
