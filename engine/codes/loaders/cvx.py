"""The CDC's vaccine code sets: CVX, MVX, trade names, CPT -> CVX and NDC -> CVX.

In: `cvx.txt`, `mvx.txt`, `TRADENAME.txt`, `cpt.txt`, `get_all_ndc_display2.txt`, alone or in one folder or
zip. Out: a release of each code set and the crosswalks. Pipes, no header, cells padded with spaces; the CDC
has shipped them as UTF-8, Windows-1252 and UTF-16 (CDC IIS code sets). The AMA's names of CPT codes are not
kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import AGAIN, lines
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import CPT, CVX, MVX, NDC
from engine.codes.writing import Load
from engine.kernel.errors import FormatError
from engine.terminology.spelling import eleven

__all__ = ["LOADER"]

_NDCS = "/get_all_ndc_display2.txt"
_DAY = re.compile(r"(\d{4})[/-](\d\d?)[/-](\d\d?)|(\d\d?)/(\d\d?)/(\d{4})")


def _fits(files: Files) -> bool:
    if files.find("/cvx.txt", "/mvx.txt"):
        return True
    return files.path.name.lower() == "cpt.txt" or files.find(_NDCS) is not None


def _rows(
    files: Files, member: Member, least: int, code_at: int, code: str, summary: Summary
) -> Iterator[list[str]]:
    """Give the rows with padding removed; a row is refused where its code does not look like one."""
    shape = re.compile(code)
    for number, line in lines(files, member, whole=False, legacy=True):
        if not line.strip():
            continue
        row = [cell.strip() for cell in line.split("|")]
        if number == 1 and not shape.fullmatch(row[min(code_at, len(row) - 1)]) and "code" in line.lower():
            continue  # some mirrors put a header before the rows
        if len(row) < least or not shape.fullmatch(row[code_at]):
            raise FormatError(
                "is no row of this code set",
                where=files.where(member, number),
                why=f"expected at least {least} columns between pipes, and a code",
                remedy=AGAIN,
            )
        summary.rows[member.base] += 1
        yield row


def _newest(rows: list[list[str]], at: int) -> str:
    """Return the newest of the dates of last change, which is what the CDC has for a version."""
    days = []
    for row in rows:
        found = _DAY.search(row[at]) if len(row) > at else None
        if found is not None:
            y, m, d = (found[1], found[2], found[3]) if found[1] else (found[6], found[4], found[5])
            try:
                days.append(date(int(y), int(m), int(d)).isoformat())
            except ValueError:
                continue
    return max(days, default="")


def _begin(load: Load, system: str, rows: list[list[str]], at: int, asked: Asked, member: Member) -> int:
    version = asked.version or _newest(rows, at)
    if not version:
        raise FormatError(
            "has no dates, so that it says no version",
            where=member.base,
            remedy="give it: --release 2025-06-01",
        )
    return load.release(system, version, asked.effective or (version if len(version) == 10 else ""))


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    cvx, mvx = files.find("/cvx.txt"), files.find("/mvx.txt")
    trade, cpt = files.find("/tradename.txt"), files.find("/cpt.txt")
    ndc = files.find(_NDCS)
    files.expect([m for m in (cvx, mvx, trade, cpt, ndc) if m])
    if cvx is not None:
        _vaccines(files, cvx, trade, load, asked, summary)
    if mvx is not None:
        rows = list(_rows(files, mvx, 4, 0, r"[A-Z0-9]{2,5}", summary))
        release = _begin(load, MVX, rows, 4, asked, mvx)
        for row in rows:
            notes = {"notes": row[2]} if row[2] else {}
            load.concept(release, row[0], row[1], row[3].lower() != "inactive", {"status": row[3], **notes})
    if cpt is not None:
        _from_cpt(files, cpt, load, asked, summary)
    if ndc is not None:
        _from_ndc(files, ndc, load, asked, summary)


def _vaccines(
    files: Files, member: Member, trade: Member | None, load: Load, asked: Asked, summary: Summary
) -> None:
    """Read CVX | short | full name | notes | status | nonvaccine | changed.

    Inactive vaccines stay valid codes for what was given in the past; only `Never Active` ones are not.
    """
    rows = list(_rows(files, member, 6, 0, r"\d{1,3}", summary))
    for n, row in enumerate(rows, 1):
        if len(row[0]) < 2:
            raise FormatError(
                f"has the code {row[0]!r}",
                where=files.where(member, n),
                why="zeros in front are lost: CVX codes have at least two digits",
                remedy="use the file as it is published, not one saved by a spreadsheet",
            )
    release = _begin(load, CVX, rows, 6, asked, member)
    for row in rows:
        own = {"status": row[4], "nonvaccine": row[5].lower(), "short": row[1]}
        if row[3]:
            own["notes"] = row[3]
        load.concept(release, row[0], row[2] or row[1], row[4].lower() != "never active", own)
        if row[1] and row[1] != row[2]:
            load.name(release, row[0], row[1], "en", "short")
    known = {row[0] for row in rows}
    if trade is None:
        return
    # product | short | CVX | manufacturer | MVX | its status | status of the name | changed
    for row in _rows(files, trade, 5, 2, r"\d{2,3}", summary):
        if row[2] in known:
            load.name(release, row[2], row[0], "en", "trade-name")
        else:
            summary.skipped["trade name of a vaccine that is not in cvx.txt"] += 1


def _from_cpt(files: Files, member: Member, load: Load, asked: Asked, summary: Summary) -> None:
    """Read CPT | its name | comment | short name of the vaccine | CVX | comment | changed | row.

    The CDC names the vaccine, or its unspecified formulation where a CPT code may stand for several: that is
    true, and says less.
    """
    rows = list(_rows(files, member, 5, 0, r"[0-9]{4}[0-9A-Z]", summary))
    release = _begin(load, f"{CPT} to {CVX}", rows, 6, asked, member)
    walk = load.crosswalk(release, "CDC CPT to CVX", CPT, CVX)
    targets: dict[str, list[list[str]]] = {}
    for row in rows:
        if row[4].isdigit():
            targets.setdefault(row[0], []).append(row)
        else:
            summary.skipped["CPT code without a vaccine"] += 1
    for code, several in targets.items():
        for n, row in enumerate(several):
            load.link(walk, code, row[4], "wider" if len(several) == 1 else "inexact", row[3], priority=n)
            summary.links += 1


def _from_ndc(files: Files, member: Member, load: Load, asked: Asked, summary: Summary) -> None:
    """Read the NDC of the carton (1), the last change (10), the NDC of the vial (12) and the CVX (19)."""
    rows = list(_rows(files, member, 19, 0, r"[\d-]{11,13}", summary))
    release = _begin(load, f"{NDC} to {CVX}", rows, 9, asked, member)
    walk = load.crosswalk(release, "CDC NDC to CVX", NDC, CVX)
    vaccines: dict[str, dict[str, str]] = {}
    for row in rows:
        for code in {row[0], row[11]} - {""}:
            ndc = eleven(code)
            if ndc is None or not re.fullmatch(r"\d{2,3}", row[18]):
                summary.skipped["NDC or CVX code of no known form"] += 1
            else:
                vaccines.setdefault(ndc, {})[row[18]] = row[19] if len(row) > 19 else ""
    for ndc, several in vaccines.items():
        for n, (code, name) in enumerate(several.items()):
            load.link(walk, ndc, code, "wider" if len(several) == 1 else "inexact", name, priority=n)
            summary.links += 1


LOADER = Loader(
    "cvx",
    "CDC vaccine codes: cvx.txt, mvx.txt, TRADENAME.txt, cpt.txt, get_all_ndc_display2.txt",
    _fits,
    _load,
)
