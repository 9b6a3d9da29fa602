"""General Equivalence Mappings between ICD-9-CM and ICD-10-CM/PCS, as CMS published them last for 2018.

In: `2018_I9gem.txt`, `2018_I10gem.txt` (diagnoses), `gem_i9pcs.txt`, `gem_pcsi9.txt` (procedures), alone or
zipped. Out: crosswalks. Each line: source, target, five flags: approximate, no map, combination, scenario,
choice list (CMS, GEMs user's guide). Only a link that is neither approximate nor part of a combination says
the same; all others are `inexact`, for people to choose.
"""

from __future__ import annotations

import re

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import AGAIN, lines
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import ICD9CM, ICD10CM, ICD10PCS
from engine.codes.writing import Load
from engine.kernel.errors import FormatError

__all__ = ["LOADER", "read_line"]

_LINE = re.compile(
    r"([0-9A-Z]{2,7})\s+([0-9A-Z]{2,7}|No(?:Dx|PCS|PX)?|NODX|NOPCS|NoPCS)\s+([01]{3}\d\d)", re.I
)
_FILES = (  # (name, source, target, procedures)
    (re.compile(r".*i9gem\.txt", re.I), ICD9CM, ICD10CM, False),
    (re.compile(r".*i10gem\.txt", re.I), ICD10CM, ICD9CM, False),
    (re.compile(r"gem_i9pcs.*\.txt", re.I), ICD9CM, ICD10PCS, True),
    (re.compile(r"gem_pcsi9.*\.txt", re.I), ICD10PCS, ICD9CM, True),
)


def _known(member: Member) -> bool:
    return any(name.fullmatch(member.base) for name, *_ in _FILES)


def _fits(files: Files) -> bool:
    return bool(files.matching(_known))


def read_line(line: str) -> tuple[str, str, str] | None:
    """Read one line: source, target (empty: there is none), flags; None if it is no such line."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return None
    none = found[3][1] == "1" or found[2].lower().startswith("no")
    return found[1].upper(), "" if none else found[2].upper(), found[3]


def dotted(code: str, system: str, procedure: bool) -> str:
    """Write a code as its system does: ICD-10-PCS has no dot, procedures of ICD-9-CM one after two digits."""
    if system == ICD10PCS:
        return code
    at = 2 if procedure else 4 if system == ICD9CM and code[0] == "E" else 3
    return f"{code[:at]}.{code[at:]}" if len(code) > at else code


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    members = files.matching(_known)
    files.expect(members)
    for member in members:
        _, source, target, procedure = next(row for row in _FILES if row[0].fullmatch(member.base))
        year = re.match(r"(\d{4})", member.base)
        version = asked.version or (year[1] if year else "2018")
        name = f"CMS GEM {version}"
        release = load.release(f"{source} to {target}", version, asked.effective)
        walk = load.crosswalk(release, name, source, target)
        for number, line in lines(files, member):
            if not line.strip():
                continue
            read = read_line(line)
            if read is None:
                raise FormatError(
                    "is no line of a GEM file", where=files.where(member, number), why="damaged", remedy=AGAIN
                )
            summary.rows[member.base] += 1
            code, to, flags = read
            if not to:
                summary.skipped["code without an equivalent"] += 1
                continue
            same = flags[0] == "0" and flags[2] == "0"
            note = "one of several codes that are needed together" if flags[2] == "1" else ""
            load.link(
                walk,
                dotted(code, source, procedure),
                dotted(to, target, procedure),
                "equivalent" if same else "inexact",
                part=int(flags[4]),
                priority=int(flags[3]),
                note=note,
            )
            summary.links += 1


LOADER = Loader(
    "gem", "ICD-9-CM <-> ICD-10 GEMs: 2018_I9gem.txt, 2018_I10gem.txt, gem_i9pcs.txt", _fits, _load
)
