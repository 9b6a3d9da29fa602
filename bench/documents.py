"""How fast clinical documents become FHIR, and how much memory a large one takes, by `hub convert`.

In: the sample documents of this checkout, copied with another document number and patient each. Out: one JSON
object a line: documents a second on one core without the start (a run over one document is subtracted), also
by CPU time, which neighbours do not touch; then the time and the most memory of one document with 20,000
results (13 MB). Nothing is kept.

    python bench/documents.py                      # 40 copies of each sample, twice; the better run counts
    python bench/documents.py --folder my/documents # other documents
    python bench/documents.py --results 20000 --copies 0
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="2.16.840.1.113883.10.20.22.1.2"/><id root="2.16.840.1.113883.19.77.1" extension="BIG"/>
<code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><title>Many results</title>
<effectiveTime value="20260311120000-0500"/><recordTarget><patientRole>
<id root="2.16.840.1.113883.19.77.2" extension="P-1"/><patient>
<name><given>Wren</given><family>Sample</family></name>
<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19610412"/></patient>
</patientRole></recordTarget><component><structuredBody><component><section>
<code code="30954-2" codeSystem="2.16.840.1.113883.6.1"/><title>Results</title>
<text><paragraph>See the entries.</paragraph></text>
"""
_ENTRY = """<entry typeCode="DRIV"><organizer classCode="BATTERY" moodCode="EVN">\
<templateId root="2.16.840.1.113883.10.20.22.4.1"/><id root="2.16.840.1.113883.19.77.3" extension="{n}"/>\
<code code="24323-8" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/><component>\
<observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.2"/>\
<id root="2.16.840.1.113883.19.77.4" extension="{n}"/>\
<code code="2160-0" codeSystem="2.16.840.1.113883.6.1" displayName="Creatinine"/>\
<statusCode code="completed"/>\
<effectiveTime value="20190101"/><value xsi:type="PQ" value="{n}" unit="mg/dL"/>\
</observation></component>\
</organizer></entry>
"""
_FOOT = "</section></component></structuredBody></component></ClinicalDocument>\n"


def copies(files: Sequence[Path], n: int, folder: Path) -> list[Path]:
    """Write every document n times, each copy with a document number and a patient of its own."""
    out = []
    for file in files:
        text = file.read_bytes()
        for i in range(n):
            told = re.sub(rb'(<(?:\w+:)?id\s[^>]*extension=")', rb"\g<1>%d-" % i, text, count=1)
            told = re.sub(rb'(patientRole[^>]*>\s*<(?:\w+:)?id\s[^>]*extension=")', rb"\g<1>%d-" % i, told)
            out.append(folder / f"{file.stem}_{i}.xml")
            out[-1].write_bytes(told)
    return out


def run(python: str, checkout: Path, files: Sequence[Path]) -> tuple[float, float, float, int]:
    """Convert the files on one core: seconds, seconds of CPU, most megabytes resident, bundles written."""
    out = Path(tempfile.mkdtemp())
    pin = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    command = [*pin, python, "-m", "engine.cli.main", "convert", *map(str, files), "--out", str(out)]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    _, _, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - begun
    process.returncode = 0
    made = sum(1 for p in out.iterdir() if p.suffix == ".json" and not p.name.endswith(".report.json"))
    shutil.rmtree(out)
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, made


def main() -> None:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    ask.add_argument("--checkout", type=Path, default=ROOT)
    ask.add_argument("--python", default=sys.executable)
    ask.add_argument("--folder", type=Path, help="documents to take; default: sample_messages/cda")
    ask.add_argument("--copies", type=int, default=40)
    ask.add_argument("--results", type=int, default=20_000)
    given = ask.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if given.copies:
            source = given.folder or given.checkout / "sample_messages/cda"
            files = copies(sorted(p for p in source.iterdir() if p.suffix == ".xml"), given.copies, folder)
            start, start_cpu, *_ = min(run(given.python, given.checkout, files[:1]) for _ in range(2))
            took, cpu, memory, made = min(run(given.python, given.checkout, files) for _ in range(2))
            size = sum(f.stat().st_size for f in files)
            print(
                json.dumps(
                    {
                        "documents": len(files),
                        "converted": made,
                        "kilobytes_each": round(size / len(files) / 1000, 1),
                        "start_s": round(start, 2),
                        "documents_per_s": round((len(files) - 1) / max(took - start, 1e-9), 1),
                        "documents_per_cpu_s": round((len(files) - 1) / max(cpu - start_cpu, 1e-9), 1),
                        "rss_mb": round(memory),
                    }
                ),
                flush=True,
            )
        if given.results:
            big = folder / "big.xml"
            big.write_text(
                _HEAD + "".join(_ENTRY.format(n=n) for n in range(given.results)) + _FOOT, encoding="utf-8"
            )
            took, cpu, memory, made = run(given.python, given.checkout, [big])
            print(
                json.dumps(
                    {
                        "results": given.results,
                        "megabytes": round(big.stat().st_size / 1e6, 1),
                        "converted": made,
                        "seconds": round(took, 1),
                        "cpu_s": round(cpu, 1),
                        "rss_mb": round(memory),
                    }
                )
            )


if __name__ == "__main__":
    main()
