"""SNOMED CT in Release Format 2: the snapshot of an edition, or a delta on top of what is current.

In: the zip or folder of an edition (concepts, descriptions, inferred relationships, language and simple
reference sets, simple, complex and extended maps, historical associations). Out: one release with its
crosswalks. SNOMED CT Release File Specification; FHIR R4 snomedct.html for the version URIs and the
equivalence of associations.

The display is the preferred synonym of one language reference set (US English where it is there). A delta
makes a whole new release beside the one it changes: what it names is taken from it, the rest from there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import AGAIN, separated
from engine.codes.loaders.snomedbuild import build, carry_over, make_stage
from engine.codes.loaders.snomedmaps import association, map_row
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import SNOMED
from engine.codes.writing import Load
from engine.kernel.errors import FormatError
from engine.terminology.damage import sctid_valid

__all__ = ["LOADER"]

_IS_A = "116680003"
_INFERRED = "900000000000011006"
_PREFERRED = "900000000000548007"
_FSN = "900000000000003001"
_MODULES = {"INT": "900000000000207008", "US1000124": "731000124108"}  # edition in a file name -> module
_COMMON = ["id", "effectiveTime", "active", "moduleId"]
_REFSET = [*_COMMON, "refsetId", "referencedComponentId"]
_MAP = [*_REFSET, "mapGroup", "mapPriority", "mapRule", "mapAdvice", "mapTarget", "correlationId"]
_KINDS: dict[str, tuple[str, list[str]]] = {
    "concept": (r"sct2_Concept_{kind}_", [*_COMMON, "definitionStatusId"]),
    "description": (
        r"sct2_Description_{kind}[-_]",
        [*_COMMON, "conceptId", "languageCode", "typeId", "term", "caseSignificanceId"],
    ),
    "relationship": (
        r"sct2_Relationship_{kind}_",
        [
            *(*_COMMON, "sourceId", "destinationId", "relationshipGroup"),
            *("typeId", "characteristicTypeId", "modifierId"),
        ],
    ),
    "language": (r"der2_cRefset_Language{kind}[-_]", [*_REFSET, "acceptabilityId"]),
    "members": (r"der2_Refset_Simple(?:Refset)?{kind}[-_]", _REFSET),
    "association": (
        r"der2_cRefset_Association(?:Reference)?{kind}[-_]",
        [*_REFSET, "targetComponentId"],
    ),
    "simple": (r"der2_sRefset_SimpleMap{kind}[-_]", [*_REFSET, "mapTarget"]),
    "complex": (r"der2_iissscRefset_ComplexMap{kind}[-_]", _MAP),
    "extended": (r"der2_iisssccRefset_ExtendedMap{kind}[-_]", [*_MAP, "mapCategoryId"]),
}


def _members(files: Files, kind: str) -> dict[str, list[Member]]:
    made: dict[str, list[Member]] = {}
    for name, (pattern, _) in _KINDS.items():
        named = re.compile(f"x?{pattern.format(kind=kind)}.*\\.txt")
        made[name] = [m for m in files.matching(lambda _: True) if named.fullmatch(m.base)]
    return made


def _fits(files: Files) -> bool:
    return bool(files.matching(lambda m: re.match(r"x?sct2_Concept_(Snapshot|Delta)_", m.base)))


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    members = _members(files, "Snapshot")
    delta = not members["concept"]
    if delta:
        members = _members(files, "Delta")
    for name in ("concept", "description", "relationship"):
        if not members[name]:
            raise FormatError(
                f"has no {name} file",
                where=files.path.name,
                why="an edition has concepts, descriptions and relationships",
                remedy="name the zip of the edition, or the folder that holds Snapshot/",
            )
    files.expect([m for several in members.values() for m in several])
    base = _base(load) if delta else None
    date, version = _version(members["concept"][0], asked, base)
    release = load.release(SNOMED, version, asked.effective or f"{date[:4]}-{date[4:6]}-{date[6:]}")
    make_stage(load)
    reader = _Reader(files, load, release, summary, delta)
    reader.concepts(members["concept"])
    reader.descriptions(members["description"])
    reader.relationships(members["relationship"])
    reader.language(members["language"])
    reader.members(members["members"])
    for kind in ("association", "simple", "complex", "extended"):
        reader.maps(kind, members[kind])
    load.flush()
    files.stage("putting terms and hierarchy together")
    if base is not None:
        carry_over(load, release, base[0], base[1], reader.walks)
        summary.notes.append(f"the delta was applied to {base[2]}")
    build(load, release, asked.language, summary, files.path.name)


def _base(load: Load) -> tuple[int, int, str, str]:
    """Return what a delta is applied to: release, load, version, effective date."""
    row = load.connection.execute(
        "SELECT id, load, version, replace(effective, '-', '') FROM release "
        "WHERE system = ? AND ready AND current",
        (SNOMED,),
    ).fetchone()
    if row is None:
        raise FormatError(
            "is a delta, and there is no SNOMED CT to apply it to",
            remedy="load the snapshot of the edition first",
        )
    return int(row[0]), int(row[1]), str(row[2]), str(row[3])


def _version(member: Member, asked: Asked, base: tuple[int, int, str, str] | None) -> tuple[str, str]:
    """Return date and version from a name such as `sct2_Concept_Snapshot_INT_20250101.txt`."""
    found = re.search(r"_(\w+?)_(\d{8})(?:T\d+Z?)?\.txt$", member.base.partition("Concept_")[2])
    date = found[2] if found else (asked.version[-8:] if asked.version[-8:].isdigit() else "")
    if len(date) != 8:
        raise FormatError("does not say its date", where=member.base, remedy="give it: --release 20250101")
    if base is not None and date <= base[3]:
        raise FormatError(
            "is a delta of the past",
            where=member.base,
            why=f"{base[2]} is current",
            remedy="apply deltas to the release before them, in order",
        )
    if asked.version:
        return date, asked.version
    if base is not None:
        head, slash, _ = base[2].rpartition("/")
        return date, f"{head}{slash}{date}"
    module = _MODULES.get(found[1]) if found else None
    return date, f"http://snomed.info/sct/{module}/version/{date}" if module else date


class _Reader:
    """Reads the files of one edition into the tables of a load."""

    def __init__(self, files: Files, load: Load, release: int, summary: Summary, delta: bool) -> None:
        self.files, self.load, self.release = files, load, release
        self.summary, self.delta = summary, delta
        self.walks: dict[tuple[str, str], int] = {}

    def _rows(self, kind: str, members: list[Member]) -> Iterator[list[str]]:
        """Give the rows of a kind of file; of a delta only the newest of each component, and note them."""
        for member in members:
            rows = self._checked(kind, member)
            if not self.delta:
                yield from rows
                continue
            newest: dict[str, list[str]] = {}
            for row in rows:
                if row[0] not in newest or newest[row[0]][1] <= row[1]:
                    newest[row[0]] = row
            yield from newest.values()

    def _checked(self, kind: str, member: Member) -> Iterator[list[str]]:
        header = _KINDS[kind][1]
        count = 0
        component = kind in ("concept", "description", "relationship")
        for number, row in separated(self.files, member, "\t", len(header), header=header):
            count += 1
            if (
                row[2] not in ("0", "1")
                or len(row[1]) != 8
                or (component and (not row[0].isdigit() or (count <= 50 and not sctid_valid(row[0]))))
            ):
                raise FormatError(
                    "is no row of a release",
                    where=self.files.where(member, number),
                    why="its id, date or active flag is not one",
                    remedy=AGAIN,
                )
            yield row
        self.summary.rows[member.base] += count

    def _stage(self, table: str, rows: Iterator[tuple[object, ...]], places: int) -> None:
        run = self.load.connection
        run.execute("BEGIN")
        run.executemany(f"INSERT OR REPLACE INTO temp.{table} VALUES ({','.join('?' * places)})", rows)
        run.execute("COMMIT")

    def concepts(self, members: list[Member]) -> None:
        """Read concepts: id, state, module, whether fully defined."""
        rows = (
            (int(r[0]), int(r[2]), r[1], r[3], int(r[4] == "900000000000073002"))
            for r in self._rows("concept", members)
        )
        self._stage("stage_concept", rows, 5)

    def descriptions(self, members: list[Member]) -> None:
        """Read descriptions; inactive ones are left out."""
        touched: list[tuple[str]] = []
        for row in self._rows("description", members):
            if self.delta:
                touched.append((row[0],))
            if row[2] == "1":
                use = "fsn" if row[6] == _FSN else "synonym"
                self.load.name(self.release, row[4], row[7], row[5], use, row[0])
            else:
                self.summary.skipped["inactive description"] += 1
        self._stage("touched_name", iter(touched), 1)

    def relationships(self, members: list[Member]) -> None:
        """Read the inferred is-a relationships."""
        touched: list[tuple[str, str]] = []
        for row in self._rows("relationship", members):
            if row[7] != _IS_A or row[8] != _INFERRED:
                self.summary.skipped["relationship other than is-a"] += 1
                continue
            if self.delta:
                touched.append((row[4], row[5]))
            if row[2] == "1":
                self.load.edge(self.release, row[4], row[5])
        self._stage("touched_edge", iter(touched), 2)

    def language(self, members: list[Member]) -> None:
        """Read which descriptions are preferred in which language reference set."""
        touched: list[tuple[int, int]] = []
        for row in self._rows("language", members):
            if self.delta:
                touched.append((int(row[5]), int(row[4])))
            if row[2] == "1" and row[6] == _PREFERRED:
                self.load.member(int(row[5]), int(row[4]))
        self._stage("touched_member", iter(touched), 2)

    def members(self, members: list[Member]) -> None:
        """Read which concepts belong to which simple reference set."""
        touched: list[tuple[int, int]] = []
        for row in self._rows("members", members):
            if self.delta:
                touched.append((int(row[5]), int(row[4])))
            if row[2] == "1":
                self.load.member(int(row[5]), int(row[4]))
        self._stage("touched_member", iter(touched), 2)

    def maps(self, kind: str, members: list[Member]) -> None:
        """Read maps and historical associations."""
        touched: list[tuple[str]] = []
        unknown: Counter[str] = Counter()
        for row in self._rows(kind, members):
            made = association(row) if kind == "association" else map_row(kind, row)
            if made is None:
                unknown[row[4]] += 1
                continue
            if self.delta:
                touched.append((row[0],))
            if row[2] != "1":
                self.summary.skipped["inactive map row"] += 1
                continue
            if not made.code:
                self.summary.skipped["map row without a target"] += 1
                continue
            walk = self._walk(made.name, made.system)
            self.load.link(
                walk,
                row[5],
                made.code,
                made.equivalence,
                part=made.part,
                priority=made.priority,
                note=made.note,
                key=row[0],
            )
            self.summary.links += 1
        for refset, count in unknown.items():
            self.summary.skipped[f"reference set {refset}, whose target is not known"] += count
        self._stage("touched_link", iter(touched), 1)

    def _walk(self, name: str, target: str) -> int:
        walk = self.walks.get((name, target))
        if walk is None:
            walk = self.walks[(name, target)] = self.load.crosswalk(self.release, name, SNOMED, target)
        return walk


LOADER = Loader("snomed", "SNOMED CT RF2: the zip or folder of an edition, or a delta", _fits, _load)
