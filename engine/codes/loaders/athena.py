"""OMOP vocabularies from Athena: many code systems and the links between them in one download.

In: the zip or folder (`CONCEPT.csv`, `CONCEPT_RELATIONSHIP.csv`, `VOCABULARY.csv`, `CONCEPT_SYNONYM.csv`:
tabs, a header, no quoting). Out: a release of every vocabulary that has a URI of its own, `Is a` as the
hierarchy, `Maps to` and `Concept replaced by` as crosswalks. OMOP CDM 5.4, standardized vocabularies.

`Maps to` leads to the same or a wider meaning, so it is `wider`: true, and perhaps saying less.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import csv_table
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import (
    CPT,
    CVX,
    HCPCS,
    ICD9CM,
    ICD10,
    ICD10CM,
    ICD10PCS,
    LOINC,
    NDC,
    RXNORM,
    SNOMED,
)
from engine.codes.writing import Load
from engine.kernel.errors import FormatError

__all__ = ["LOADER"]

_SYSTEMS = {
    "LOINC": LOINC,
    "SNOMED": SNOMED,
    "RxNorm": RXNORM,
    "NDC": NDC,
    "CVX": CVX,
    "CPT4": CPT,
    "HCPCS": HCPCS,
    "ICD10": ICD10,
    "ICD10CM": ICD10CM,
    "ICD10PCS": ICD10PCS,
    "ICD9CM": ICD9CM,
    "ICD9Proc": ICD9CM,
    "ATC": "http://www.whocc.no/atc",
    "UCUM": "http://unitsofmeasure.org",
}
_WALKS = {
    "Maps to": ("OMOP Maps to", "wider"),
    "Concept replaced by": ("OMOP Concept replaced by", "equivalent"),
}
_STAGE = (
    "DROP TABLE IF EXISTS temp.omop",
    "CREATE TEMP TABLE omop (id INTEGER PRIMARY KEY, release, code, display, active, properties)",
    "DROP TABLE IF EXISTS temp.omop_link",
    "CREATE TEMP TABLE omop_link (a INTEGER, b INTEGER, kind TEXT)",
    "DROP TABLE IF EXISTS temp.omop_name",
    "CREATE TEMP TABLE omop_name (id INTEGER, value TEXT)",
)


def _fits(files: Files) -> bool:
    return files.find("/concept.csv") is not None and files.find("/vocabulary.csv") is not None


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    concept, vocabulary = files.find("/concept.csv"), files.find("/vocabulary.csv")
    if concept is None or vocabulary is None:
        raise FormatError(
            "has no CONCEPT.csv or no VOCABULARY.csv",
            where=files.path.name,
            remedy="name the zip from Athena, or the folder it unpacks to",
        )
    relation, synonym = files.find("/concept_relationship.csv"), files.find("/concept_synonym.csv")
    files.expect([m for m in (concept, vocabulary, relation, synonym) if m])
    run = load.connection.execute
    for sql in _STAGE:
        run(sql)
    releases = _releases(files, vocabulary, load, asked, summary)
    _stage(load, "omop", 6, _concepts(files, concept, releases, summary))
    if relation is not None:
        _stage(load, "omop_link", 3, _relations(files, relation, summary))
    if synonym is not None:
        _stage(load, "omop_name", 2, _synonyms(files, synonym, summary))
    files.stage("putting vocabularies together")
    _build(load, releases, summary)


def _releases(
    files: Files, member: Member, load: Load, asked: Asked, summary: Summary
) -> dict[str, tuple[int, str]]:
    """Begin a release for each vocabulary with a URI: vocabulary -> (release, system)."""
    table = csv_table(files, member, ("vocabulary_id", "vocabulary_version"), delimiter="\t", quoting=False)
    versions = {row[table.at("vocabulary_id")]: row[table.at("vocabulary_version")] for _, row in table.rows}
    summary.rows[member.base] += len(versions)
    made: dict[str, tuple[int, str]] = {}
    begun: dict[str, int] = {}
    for name, system in _SYSTEMS.items():
        if name in versions:
            if system not in begun:
                version = asked.version or versions[name] or "unversioned"
                begun[system] = load.release(system, f"OMOP {version}", asked.effective)
            made[name] = (begun[system], system)
    if not made:
        raise FormatError(
            "has none of the vocabularies this hub knows",
            where=files.where(member),
            remedy=f"choose among {', '.join(_SYSTEMS)}",
        )
    return made


def _stage(load: Load, table: str, places: int, rows: Iterator[tuple[object, ...]]) -> None:
    load.connection.execute("BEGIN")
    load.connection.executemany(f"INSERT OR IGNORE INTO temp.{table} VALUES ({','.join('?' * places)})", rows)
    load.connection.execute("COMMIT")


def _concepts(
    files: Files, member: Member, releases: dict[str, tuple[int, str]], summary: Summary
) -> Iterator[tuple[object, ...]]:
    names = ("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_class_id", "concept_code")
    table = csv_table(files, member, (*names, "invalid_reason"), delimiter="\t", quoting=False)
    id_at, name_at, domain_at, vocabulary_at, class_at, code_at = (table.at(name) for name in names)
    invalid_at = table.at("invalid_reason")
    for number, row in table.rows:
        summary.rows[member.base] += 1
        known = releases.get(row[vocabulary_at])
        if known is None:
            summary.skipped[f"vocabulary {row[vocabulary_at]}"] += 1
            continue
        if not row[id_at].isdigit() or not row[code_at]:
            raise FormatError(
                "has no concept_id or no code", where=files.where(member, number), why="damaged"
            )
        said = {"domain": row[domain_at], "class": row[class_at], "concept_id": row[id_at]}
        properties = orjson.dumps(said).decode()
        code = row[code_at]
        yield int(row[id_at]), known[0], code, row[name_at] or code, int(not row[invalid_at]), properties


def _relations(files: Files, member: Member, summary: Summary) -> Iterator[tuple[object, ...]]:
    names = ("concept_id_1", "concept_id_2", "relationship_id", "invalid_reason")
    table = csv_table(files, member, names, delimiter="\t", quoting=False)
    a, b, kind_at, invalid_at = (table.at(name) for name in names)
    for _, row in table.rows:
        summary.rows[member.base] += 1
        kind = row[kind_at]
        if row[invalid_at] or (kind != "Is a" and kind not in _WALKS) or row[a] == row[b]:
            summary.skipped["relationship that is not kept"] += 1
        else:
            yield int(row[a]), int(row[b]), kind


def _synonyms(files: Files, member: Member, summary: Summary) -> Iterator[tuple[object, ...]]:
    table = csv_table(files, member, ("concept_id", "concept_synonym_name"), delimiter="\t", quoting=False)
    for _, row in table.rows:
        summary.rows[member.base] += 1
        yield int(row[table.at("concept_id")]), row[table.at("concept_synonym_name")]


def _build(load: Load, releases: dict[str, tuple[int, str]], summary: Summary) -> None:
    run, n = load.connection.execute, load.number
    load.flush()
    run("BEGIN IMMEDIATE")
    run(
        f"INSERT INTO edge_{n} SELECT DISTINCT a.release, a.code, b.code FROM temp.omop_link l "
        "JOIN temp.omop a ON a.id = l.a JOIN temp.omop b ON b.id = l.b AND b.release = a.release "
        "WHERE l.kind = 'Is a'"
    )
    run(
        f"INSERT INTO name_{n} SELECT o.release, o.code, s.value, '', 'synonym', '' FROM temp.omop_name s "
        "JOIN temp.omop o ON o.id = s.id AND o.display <> s.value"
    )
    run("CREATE TEMP TABLE omop_above (release, child, parents, PRIMARY KEY (release, child))")
    run(
        "INSERT INTO temp.omop_above SELECT release, child, group_concat(parent, char(10)) "
        f"FROM (SELECT release, child, parent FROM edge_{n} ORDER BY 1, 2, 3) GROUP BY release, child"
    )
    run(
        f"INSERT INTO concept_{n} SELECT NULL, o.release, o.code, o.display, o.active, o.properties, "
        "coalesce(a.parents, '') FROM temp.omop o LEFT JOIN temp.omop_above a "
        "ON a.release = o.release AND a.child = o.code WHERE o.id IN "  # codes that two vocabularies share
        "(SELECT min(id) FROM temp.omop GROUP BY release, code) ORDER BY o.id"
    )
    systems = dict(releases.values())
    for kind, (name, equivalence) in _WALKS.items():
        pairs = run(
            "SELECT DISTINCT a.release, b.release FROM temp.omop_link l JOIN temp.omop a ON a.id = l.a "
            "JOIN temp.omop b ON b.id = l.b WHERE l.kind = ?",
            (kind,),
        ).fetchall()
        for source, target in pairs:
            walk = load.crosswalk(source, name, systems[source], systems[target])
            cursor = run(
                f"INSERT INTO link_{n} SELECT DISTINCT ?, a.code, b.code, b.display, ?, 0, 0, '', '' "
                "FROM temp.omop_link l JOIN temp.omop a ON a.id = l.a AND a.release = ? "
                "JOIN temp.omop b ON b.id = l.b AND b.release = ? WHERE l.kind = ?",
                (walk, equivalence, source, target, kind),
            )
            summary.links += cursor.rowcount
    run("COMMIT")
    for table in ("omop", "omop_link", "omop_name", "omop_above"):
        run(f"DROP TABLE temp.{table}")


LOADER = Loader("athena", "OMOP vocabularies: the zip from Athena, or its folder", _fits, _load)
