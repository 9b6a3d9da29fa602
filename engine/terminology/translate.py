"""Looks codes up: a sender's code and coding system go in, the FHIR code (or nothing) comes out.

`Terminology.open(folder)` reads `maps/*.csv` and `systems/*.csv`; a `Table` translates codes;
`Terminology.systems` turns the coding-system ids of HL7 table 0396, and what a site says it means by its own,
into FHIR URIs. Only approved rows translate, case is changed only where nothing else fits, and both are told.
HL7 v2.9 ch. 2C table 0396; FHIR R4 ConceptMap/$translate for the meaning of the equivalences.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from engine.kernel.errors import ConfigError
from engine.terminology.measures import Measures
from engine.terminology.tables import CodeSystem, TableRow, read_system, read_table

__all__ = ["WELL_KNOWN", "Hit", "Resolver", "Table", "Terminology"]

Resolver = Callable[[str], str]
"""A coding-system id or assigning authority as written -> its URI, or "" when nobody has said what it is."""

WELL_KNOWN = frozenset(
    {
        "http://loinc.org",
        "http://snomed.info/sct",
        "http://www.nlm.nih.gov/research/umls/rxnorm",
        "http://hl7.org/fhir/sid/cvx",
        "http://hl7.org/fhir/sid/ndc",
        "http://hl7.org/fhir/sid/icd-10",
        "http://hl7.org/fhir/sid/icd-10-cm",
        "http://www.cms.gov/Medicare/Coding/ICD10",
        "http://www.ama-assn.org/go/cpt",
        "http://www.whocc.no/atc",
    }
)
"""Where local codes are translated to; a table without rows yet is taken to lead to all of them."""

_URI = re.compile(r"(?:https?://|urn:[a-z0-9][a-z0-9-]{0,31}:)\S+", re.I)


@dataclass(frozen=True, slots=True)
class Hit:
    """What a table says of one code. `drop`: leave it out; `folded`: found in another case than sent."""

    system: str
    code: str
    display: str
    equivalence: str
    where: str
    source: str = ""  # the coding system of the code that was looked up, where the table names one
    drop: bool = False
    folded: bool = False


@dataclass(slots=True)
class Table:
    """One code table, indexed by (source system, code)."""

    name: str
    rows: tuple[TableRow, ...]
    canonical: Resolver = field(default=lambda system: system)
    version: str = ""  # hash of the file's content, 12 hex digits
    _exact: dict[tuple[str, str], Hit] = field(default_factory=dict)
    _alone: dict[str, Hit | None] = field(default_factory=dict)
    _folded: dict[tuple[str, str], Hit | None] | None = None
    _patterns: list[tuple[str, re.Pattern[str], TableRow]] = field(default_factory=list)

    target_systems: frozenset[str] = WELL_KNOWN
    """The systems that its rows lead to."""

    def __post_init__(self) -> None:
        targets = frozenset(r.target_system for r in self.rows if r.translates and r.target_system)
        self.target_systems = targets or WELL_KNOWN
        named: dict[str, tuple[str, str]] = {}
        for row in self.rows:
            if not (row.translates or row.drops):
                continue
            system = self._key(row.source_system)
            if row.pattern:
                before, _, after = row.source_code.partition("*")
                self._patterns.append(
                    (system, re.compile(rf"{re.escape(before)}(\d{{4}}){re.escape(after)}", re.I), row)
                )
                continue
            code = row.source_code
            hit = self._hit(row)
            self._exact[system, code] = hit
            meaning = (hit.system, hit.code)
            if named.setdefault(code, meaning) != meaning:
                self._alone[code] = None  # the systems disagree: a bare code says nothing
            elif code not in self._alone:
                self._alone[code] = hit

    def translate(
        self, code: str, system: str = "", uri: str = "", *, any_system: bool = False
    ) -> Hit | None:
        """Translate one code; None = the table does not know it.

        `system` is the coding system as the sender wrote it (`L`, `HL70001`), `uri` what it resolves to, if
        anything. Without either, the field says the system and a code that means one thing in this table is
        enough. `any_system` goes on to that when the sender's system is not in the table: for elements whose
        code set the field fixes (administrative sex), never where a code is read as what its system says.
        """
        systems = [self._key(s) for s in (system, uri) if s]
        if not systems:
            if hit := self._alone.get(code):
                return hit
        else:
            for s in (*systems, ""):
                if hit := self._exact.get((s, code)):
                    return hit
            if any_system and (hit := self._alone.get(code)):
                return hit
        return self._by_pattern(code, systems) or self._by_case(code, systems, any_system)

    def targets(self) -> Iterable[tuple[str, str, int]]:
        """Give (system, code, line) of every code this table can produce."""
        return ((r.target_system, r.target_code, r.line) for r in self.rows if r.translates and not r.pattern)

    def _key(self, system: str) -> str:
        return (self.canonical(system) or system.upper()) if system else ""

    def _hit(self, row: TableRow) -> Hit:
        where = f"{self.name}.csv:{row.line}"
        source, target = row.source_system, row.target_system
        return Hit(target, row.target_code, row.target_display, row.equivalence, where, source, row.drops)

    def _by_pattern(self, code: str, systems: list[str]) -> Hit | None:
        for system, pattern, row in self._patterns:
            if (not system or not systems or system in systems) and (m := pattern.fullmatch(code)):
                target = row.target_code.replace("*", m[1])
                return replace(self._hit(row), code=target)
        return None

    def _by_case(self, code: str, systems: list[str], any_system: bool) -> Hit | None:
        if self._folded is None:
            folded: dict[tuple[str, str], Hit | None] = {}
            for (system, known), found in self._exact.items():
                for s in {system, "*"}:
                    other = folded.setdefault((s, known.casefold()), found)
                    if other is not None and (other.system, other.code) != (found.system, found.code):
                        folded[s, known.casefold()] = None  # the table tells these two apart by case
            self._folded = folded
        low = code.strip().casefold()
        for s in ([*systems, ""] + (["*"] if any_system else [])) if systems else ["*"]:
            if hit := self._folded.get((s, low)):
                return replace(hit, folded=True)
        return None


@dataclass(slots=True)
class Terminology:
    """Every table and code system of one folder, and the hash of their content."""

    folder: str
    digest: str
    tables: dict[str, Table]
    code_systems: dict[str, CodeSystem]
    by_url: dict[str, CodeSystem]
    measures: Measures = field(default_factory=Measures)

    @classmethod
    def open(cls, folder: Path) -> Terminology:
        """Read `maps/`, `systems/` and `units/` of a folder: damage is told at start. Raises ConfigError."""
        if not folder.is_dir():
            raise ConfigError(
                "there is no terminology folder",
                where=str(folder),
                remedy="it stands beside config.yaml and ships with the hub",
            )
        content: dict[str, bytes] = {}
        for kind in ("maps", "systems", "units"):
            for path in sorted((folder / kind).glob("*.csv")):
                try:
                    content[f"{kind}/{path.name}"] = path.read_bytes()
                except OSError as e:
                    raise ConfigError(
                        "cannot be read", where=str(path), why=e.strerror or type(e).__name__
                    ) from None
        return cls.of(content, folder.name)

    @classmethod
    def of(cls, content: Mapping[str, bytes], folder: str = "terminology") -> Terminology:
        """Make a terminology of `maps/`, `systems/`, `units/<name>.csv` -> content. Raises ConfigError."""
        digest = hashlib.sha256()
        rows: dict[str, tuple[TableRow, ...]] = {}
        versions: dict[str, str] = {}
        code_systems: dict[str, CodeSystem] = {}
        by_url: dict[str, CodeSystem] = {}
        for path in sorted(content):
            data = content[path]
            digest.update(f"{path}\0{len(data)}\0".encode())
            digest.update(data)
            kind, _, file = path.partition("/")
            stem = file.removesuffix(".csv")
            if kind == "maps":
                rows[stem] = read_table(data, f"{folder}/{path}")
                versions[stem] = hashlib.sha256(data).hexdigest()[:12]
                continue
            if kind == "units":
                continue
            system = read_system(data, f"{folder}/{path}", stem)
            if system.url in by_url:
                raise ConfigError(
                    f"is the same system as {by_url[system.url].name}.csv",
                    where=f"{folder}/{path}:1",
                    remedy="remove one of them",
                )
            code_systems[stem] = by_url[system.url] = system
        canonical = _resolver(Table("systems", rows.get("systems", ())))
        tables = {name: Table(name, r, canonical, versions[name]) for name, r in rows.items()}
        from engine.terminology.units import measures_of, unit_tables

        tables |= unit_tables(rows.get("units", ()), versions.get("units", ""), content, folder)
        return cls(folder, digest.hexdigest(), tables, code_systems, by_url, measures_of(content, folder))

    def table(self, name: str) -> Table:
        """Return a table by name; raises ConfigError naming the nearest there is."""
        try:
            return self.tables[name]
        except KeyError:
            raise self._missing("table", name, self.tables, "maps") from None

    def system(self, name: str) -> CodeSystem:
        """Return a code system by file name or URL; raises ConfigError naming the nearest there is."""
        found = self.code_systems.get(name) or self.by_url.get(name)
        if found is None:
            raise self._missing("code system", name, self.code_systems, "systems")
        return found

    def systems(self, site: Mapping[str, str] | None = None) -> Resolver:
        """Make the resolver of coding-system ids for one sender: its own `systems:`, then HL7 table 0396."""
        return _resolver(self.tables.get("systems"), site or {})

    def authorities(self, site: Mapping[str, str] | None = None) -> Resolver:
        """Make the resolver of assigning authorities: the sender's `systems:`, then the world-known few."""
        return _resolver(self.tables.get("authorities"), site or {})

    def _missing(self, what: str, name: str, have: Iterable[str], kind: str) -> ConfigError:
        from difflib import get_close_matches

        near = get_close_matches(name, list(have), n=1, cutoff=0.5)
        return ConfigError(
            f"there is no {what} {name!r}",
            where=f"{self.folder}/{kind}/{name}.csv",
            remedy=f"did you mean {near[0]}?" if near else "add the file, or correct the name",
        )


def _resolver(table: Table | None, site: Mapping[str, str] | None = None) -> Resolver:
    own = dict(site or {})
    folded = {k.casefold(): v for k, v in own.items()}

    @lru_cache(maxsize=4096)
    def resolve(system: str) -> str:
        if not system:
            return ""
        if (uri := own.get(system)) or (uri := folded.get(system.casefold())):
            return uri
        if table is not None and (hit := table.translate(system)) is not None:
            return hit.code
        return system if _URI.fullmatch(system) else ""

    return resolve
