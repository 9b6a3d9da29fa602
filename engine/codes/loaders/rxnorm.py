"""RxNorm in Rich Release Format: names, relationships, attributes, and the NDCs of every drug.

In: the zip (`RxNorm_full_05052025.zip`, or the prescribable subset) or its folder `rrf`. Out: one release
with the concepts of RXNORM's own term types, those that were retired or merged into others, and a crosswalk
NDC -> RxNorm. RxNorm Technical Documentation
(NLM), sections 11 and 12: pipes, no header, a pipe at the end of every line; in RXNREL concept 2 RELA
concept 1; in RXNSAT the source stands before the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import AGAIN, separated
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import NDC, RXNORM
from engine.codes.writing import Load
from engine.kernel.errors import FormatError
from engine.terminology.spelling import eleven

__all__ = ["LOADER"]

_TYPES = frozenset(
    [
        "IN",
        "PIN",
        "MIN",
        "SCD",
        "SBD",
        "GPCK",
        "BPCK",
        "BN",
        "SCDC",
        "SBDC",
        "SCDF",
        "SBDF",
        "SCDG",
        "SBDG",
        "DF",
        "DFG",
        "SCDGP",
        "SCDFP",
    ]
)
_NAMES = frozenset({"SY", "TMSY", "PSN", "ET"})
_RELATIONS = frozenset(
    [
        "has_ingredient",
        "has_precise_ingredient",
        "has_ingredients",
        "has_dose_form",
        "tradename_of",
        "consists_of",
        "contains",
        "quantified_form_of",
        "has_form",
        "has_doseformgroup",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "RXN_STRENGTH",
        "RXN_AVAILABLE_STRENGTH",
        "RXN_HUMAN_DRUG",
        "RXN_VET_DRUG",
        "RXTERM_FORM",
        "RXN_QUANTITY",
    ]
)
_DATE = re.compile(r"(\d\d)(\d\d)(\d{4})(?!\d)")


def _fits(files: Files) -> bool:
    return files.find("/rxnconso.rrf") is not None


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    conso = files.find("/rrf/rxnconso.rrf", "/rxnconso.rrf")
    assert conso is not None  # _fits
    folder = conso.name.rpartition("/")[0]
    beside = f"/{folder}" if folder else ""
    rel, sat = files.find(f"{beside}/rxnrel.rrf"), files.find(f"{beside}/rxnsat.rrf")
    archive = files.find(f"{beside}/rxnatomarchive.rrf")
    files.expect([m for m in (conso, rel, sat, archive) if m])
    found = _DATE.search(files.path.name)
    version = asked.version or (found[0] if found else "")
    if not version:
        raise FormatError(
            "does not say its version",
            where=files.path.name,
            remedy="give it as NLM writes it (month, day, year): --release 05052025",
        )
    dated = _DATE.fullmatch(version)
    effective = asked.effective or (f"{dated[3]}-{dated[1]}-{dated[2]}" if dated else "")
    release = load.release(RXNORM, version, effective)
    concepts = _concepts(files, conso, load, release, summary)
    properties: dict[str, dict[str, str]] = {}
    if rel is not None:
        _relations(files, rel, concepts, properties, summary)
    if sat is not None:
        walk = load.crosswalk(release, "RxNorm NDC", NDC, RXNORM)
        _attributes(files, sat, concepts, properties, load, walk, summary)
    if archive is not None:
        _retired(files, archive, concepts, load, release, summary)
    for code, (kind, name, suppressed) in concepts.items():
        own = {"TTY": kind, **properties.get(code, {})}
        if suppressed:
            own["SUPPRESS"] = suppressed
        load.concept(release, code, name, not suppressed, own)


def _rows(files: Files, member: Member, cells: int, summary: Summary) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of an RRF file; the pipe at the end makes one cell more, which is empty."""
    count = 0
    for number, row in separated(files, member, "|", cells + 1):
        if row[cells]:
            raise FormatError(
                "has text after its last column",
                where=files.where(member, number),
                why="a pipe was lost or added",
                remedy=AGAIN,
            )
        count += 1
        yield number, row
    summary.rows[member.base] += count


def _concepts(
    files: Files, member: Member, load: Load, release: int, summary: Summary
) -> dict[str, tuple[str, str, str]]:
    """Read RXNCONSO: one atom of RXNORM's own term types names a concept, the others are further names.

    Returns RXCUI -> (term type, name, why it is not to be used: O obsolete, E or Y not for use; or empty).
    """
    concepts: dict[str, tuple[str, str, str]] = {}
    names: list[tuple[str, str, str]] = []
    for number, row in _rows(files, member, 18, summary):
        code, source, kind, name = row[0], row[11], row[12], row[14]
        suppressed = "" if row[16] == "N" else row[16]
        if not code.isdigit() or not name:
            raise FormatError(
                "has no RXCUI or no name", where=files.where(member, number), why="damaged", remedy=AGAIN
            )
        if source != "RXNORM":
            summary.skipped["name of another vocabulary"] += 1
        elif kind in _TYPES:
            there = concepts.get(code)
            if there is None or (there[2] and not suppressed):
                concepts[code] = (kind, name, suppressed)
            elif there[1] != name:
                names.append((code, name, kind))
        elif kind in _NAMES:
            names.append((code, name, kind))
        else:
            summary.skipped[f"term type {kind}"] += 1
    for code, name, kind in names:
        if code in concepts:
            load.name(release, code, name, "en", kind)
        else:
            summary.skipped["further name of a concept that is not kept"] += 1
    return concepts


def _relations(
    files: Files,
    member: Member,
    concepts: dict[str, tuple[str, str, str]],
    properties: dict[str, dict[str, str]],
    summary: Summary,
) -> None:
    """Read RXNREL. A row reads from its second concept to its first: `2 has_ingredient 1`."""
    for _, row in _rows(files, member, 16, summary):
        first, second, rela = row[0], row[4], row[7]
        if row[10] != "RXNORM" or rela not in _RELATIONS or first not in concepts or second not in concepts:
            summary.skipped["relationship that is not kept"] += 1
            continue
        own = properties.setdefault(second, {})
        there = own.get(rela)
        if there is None:
            own[rela] = first
        elif first not in there.split("\n"):
            own[rela] = f"{there}\n{first}"


def _attributes(
    files: Files,
    member: Member,
    concepts: dict[str, tuple[str, str, str]],
    properties: dict[str, dict[str, str]],
    load: Load,
    walk: int,
    summary: Summary,
) -> None:
    """Read RXNSAT: strengths and forms, and the NDCs of products."""
    drugs: dict[str, list[str]] = {}
    for _, row in _rows(files, member, 13, summary):
        code, name, source, value = row[0], row[8], row[9], row[10]
        if source != "RXNORM" or row[11] in ("O", "E", "Y") or code not in concepts:
            summary.skipped["attribute that is not kept"] += 1
        elif name == "NDC":
            ndc = eleven(value)
            if ndc is None:
                summary.skipped["NDC that has no 11 digits"] += 1
            elif code not in drugs.setdefault(ndc, []):
                drugs[ndc].append(code)
        elif name in _ATTRIBUTES:
            properties.setdefault(code, {})[name] = value
        else:
            summary.skipped["attribute that is not kept"] += 1
    for ndc, codes in drugs.items():
        # a package is an instance of its drug: the drug says less and is true; of several, nobody knows which
        for n, code in enumerate(codes):
            load.link(walk, ndc, code, "wider" if len(codes) == 1 else "inexact", priority=n)
            summary.links += 1


def _retired(
    files: Files,
    member: Member,
    concepts: dict[str, tuple[str, str, str]],
    load: Load,
    release: int,
    summary: Summary,
) -> None:
    """Read RXNATOMARCHIVE: RXCUIs that are no more, and what they were merged into."""
    merged: dict[str, tuple[str, str, set[str]]] = {}
    for _, row in _rows(files, member, 16, summary):
        name, code, source, kind, into = row[2], row[12], row[13], row[14], row[15]
        if source != "RXNORM" or kind not in _TYPES or not code or code in concepts:
            summary.skipped["archived name that is not kept"] += 1
            continue
        targets = merged.setdefault(code, (kind, name, set()))[2]
        if into in concepts:
            targets.add(into)
    walk = load.crosswalk(release, "RxNorm merged into", RXNORM, RXNORM)
    for code, (kind, name, targets) in merged.items():
        load.concept(release, code, name, False, {"TTY": kind, "retired": "true"})
        for target in sorted(targets):
            load.link(walk, code, target, "equivalent" if len(targets) == 1 else "inexact")
            summary.links += 1


LOADER = Loader("rxnorm", "RxNorm RRF: RxNorm_full_MMDDYYYY.zip, its folder, or RXNCONSO.RRF", _fits, _load)
