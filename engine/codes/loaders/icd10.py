"""ICD-10-CM and ICD-10-PCS order files: every code and heading with its place, validity and two names.

In: `icd10cm_order_2026.txt` or `icd10pcs_order_2026.txt`, alone, zipped (as CMS ships them) or gzipped. Out:
one release. Fixed places: 1-5 order, 7-13 code without a dot, 15 whether it may be reported (1) or is a
heading (0), 17-76 short name, from 78 the long one (CMS, order file layout). A fiscal year begins on 1
October; addenda of April are releases of their own.
"""

from __future__ import annotations

import re

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import AGAIN, lines
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import ICD10CM, ICD10PCS
from engine.codes.writing import Load
from engine.kernel.errors import FormatError

__all__ = ["LOADER", "read_line"]

_NAME = re.compile(r"icd10(cm|pcs)[-_]order[-_](?:(april|jan|january)[-_])?(\d{4})(.*)\.txt$", re.I)
_LINE = re.compile(r"(\d{5}) ([0-9A-Z]{3,7}) {1,5}([01]) (.{60}) (\S.*)")


def _orders(files: Files) -> list[Member]:
    return files.matching(lambda m: _NAME.match(m.base) and "addenda" not in m.base.lower())


def _fits(files: Files) -> bool:
    return bool(_orders(files))


def read_line(line: str) -> tuple[int, str, bool, str, str] | None:
    """Read one line: order, code, whether it may be reported, short and long name; None if it is no such.

    Places are counted in characters, or in bytes where a name has letters beyond ASCII and that fits.
    """
    text, raw = line.rstrip(), line.rstrip().encode()
    found = _LINE.fullmatch(text)
    short, long = (found[4], found[5]) if found else ("", "")
    if found is None and len(raw) != len(text) and raw[76:77] == b" ":
        short, long = (part.decode(errors="replace") for part in (raw[16:76], raw[77:]))
        found = _LINE.fullmatch(f"{text[:16]}{'x' * 60} x") if long[:1].strip() else None
    if found is None or len(line) < 78:
        return None
    if line[6:13].rstrip() != found[2] or line[14] != found[3]:  # the places, not only the pieces
        return None
    return int(found[1]), found[2], found[3] == "1", short.rstrip(), long.rstrip()


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    members = _orders(files) or files.members[:1]
    files.expect(members)
    for member in members:
        _file(files, member, load, asked, summary)


def _file(files: Files, member: Member, load: Load, asked: Asked, summary: Summary) -> None:
    named = _NAME.match(member.base)
    system = asked.system or (ICD10PCS if named and named[1].lower() == "pcs" else ICD10CM)
    april = named is not None and (named[2] or "april" in files.path.name.lower())  # the zip may say it alone
    version = asked.version or (f"{named[3]}{'-04' if april else ''}" if named else "")
    if not version:
        raise FormatError(
            "does not say its year", where=member.base, remedy="give it: --release 2026 --system icd-10-cm"
        )
    year = int(version[:4]) if version[:4].isdigit() else 0
    usual = (f"{year}-04-01" if version.endswith("-04") else f"{year - 1}-10-01") if year else ""
    release = load.release(system, version, asked.effective or usual)
    dotted = system == ICD10CM
    above: list[str] = []
    seen: set[str] = set()
    before = 0
    for number, line in lines(files, member, legacy=True):
        if not line.strip():
            continue
        read = read_line(line)
        where = files.where(member, number)
        if read is None:
            raise FormatError(
                "is no line of an order file",
                where=where,
                why="code, flag and names do not stand at their places",
                remedy=AGAIN,
            )
        order, code, valid, short, long = read
        if order <= before:
            raise FormatError(f"is out of order: {order} after {before}", where=where, remedy=AGAIN)
        if code in seen:
            raise FormatError(f"has {code} a second time", where=where, remedy=AGAIN)
        before = order
        seen.add(code)
        while above and not code.startswith(above[-1]):
            above.pop()
        parents = (_dot(above[-1], dotted),) if above else ()
        above.append(code)
        shown = _dot(code, dotted)
        load.concept(release, shown, long, True, {"billable": "true" if valid else "false"}, parents)
        if short != long:
            load.name(release, shown, short, "en", "short")
        summary.rows[member.base] += 1


def _dot(code: str, dotted: bool) -> str:
    return f"{code[:3]}.{code[3:]}" if dotted and len(code) > 3 else code


LOADER = Loader("icd10-order", "ICD-10-CM / ICD-10-PCS order file: icd10cm_order_2026.txt", _fits, _load)
