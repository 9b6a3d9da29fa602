"""Concepts of SNOMED CT put together from its files, by the database: a million descriptions need no memory.

In: the staged rows of one load. Out: its concepts with display, parents and properties, and for a delta what
it left as it was.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.codes.loaders.summary import Summary
from engine.codes.writing import Load
from engine.kernel.errors import FormatError

__all__ = ["build", "carry_over", "make_stage"]

_US, _GB = 900000000000509007, 900000000000508004
_LANGUAGES = {"en-us": _US, "en-gb": _GB}
_STAGE = {
    "stage_concept": "code INTEGER PRIMARY KEY, active, effective, module, defined",
    "touched_name": "key TEXT PRIMARY KEY",
    "touched_edge": "child TEXT, parent TEXT, PRIMARY KEY (child, parent)",
    "touched_member": "component INTEGER, refset INTEGER, PRIMARY KEY (component, refset)",
    "touched_link": "key TEXT PRIMARY KEY",
    "best": "code TEXT PRIMARY KEY, value TEXT",
    "above": "child TEXT PRIMARY KEY, parents TEXT",
}
_LOST = 0.01  # descriptions or relationships without their concept: more, and a file was cut


def make_stage(load: Load) -> None:
    """Make the temporary tables, empty."""
    for name, columns in _STAGE.items():
        load.connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
        load.connection.execute(f"CREATE TEMP TABLE {name} ({columns})")


def carry_over(
    load: Load, release: int, base: int, base_load: int, walks: Mapping[tuple[str, str], int]
) -> None:
    """Take from the release `base` everything that the delta does not name."""
    run, n, b = load.connection.execute, load.number, base_load
    run("BEGIN IMMEDIATE")
    run(
        "INSERT OR IGNORE INTO temp.stage_concept SELECT CAST(code AS INTEGER), active, "
        "json_extract(properties, '$.effectiveTime'), json_extract(properties, '$.moduleId'), "
        "json_extract(properties, '$.sufficientlyDefined') = 'true' "
        f"FROM concept_{b} WHERE release = ?",
        (base,),
    )
    run(
        f"INSERT INTO name_{n} SELECT ?, code, value, language, use, key FROM name_{b} "
        "WHERE release = ? AND key NOT IN (SELECT key FROM temp.touched_name)",
        (release, base),
    )
    run(
        f"INSERT INTO edge_{n} SELECT ?, child, parent FROM edge_{b} e WHERE release = ? AND NOT EXISTS "
        "(SELECT 1 FROM temp.touched_edge t WHERE t.child = e.child AND t.parent = e.parent)",
        (release, base),
    )
    run(
        f"INSERT INTO member_{n} SELECT component, refset FROM member_{b} m WHERE NOT EXISTS (SELECT 1 "
        "FROM temp.touched_member t WHERE t.component = m.component AND t.refset = m.refset)"
    )
    old = run("SELECT id, name, source, target FROM crosswalk WHERE release = ?", (base,)).fetchall()
    for id_, name, source, target in old:
        walk = walks.get((name, target)) or load.crosswalk(release, name, source, target)
        run(
            f"INSERT INTO link_{n} SELECT ?, code, target, display, equivalence, part, priority, note, key "
            f"FROM link_{b} WHERE crosswalk = ? AND key NOT IN (SELECT key FROM temp.touched_link)",
            (walk, id_),
        )
    run("COMMIT")


def build(load: Load, release: int, language: str, summary: Summary, where: str) -> None:
    """Make the concepts. Raises FormatError where too many rows lack theirs."""
    run, n = load.connection.execute, load.number
    _nothing_lost(load, where, summary)
    refset = _refset(load, language, where)
    # each pass fills what the ones before have left: the preferred synonym, any preferred one, the FSN, any
    preferred = "EXISTS (SELECT 1 FROM member_{n} m WHERE m.component = CAST(a.key AS INTEGER){which})"
    run("BEGIN IMMEDIATE")
    for which in (
        f"use = 'synonym' AND {preferred.format(n=n, which=f' AND m.refset = {refset}')}",
        f"use = 'synonym' AND {preferred.format(n=n, which='')}",
        "use = 'fsn'",
        "1",
    ):
        run(f"INSERT OR IGNORE INTO temp.best SELECT code, value FROM name_{n} a WHERE {which}")
    run(
        "INSERT INTO temp.above SELECT child, group_concat(parent, char(10)) "
        f"FROM (SELECT DISTINCT child, parent FROM edge_{n} ORDER BY child, parent) GROUP BY child"
    )
    run(
        f"INSERT INTO concept_{n} SELECT NULL, ?, CAST(s.code AS TEXT), coalesce(b.value, s.code), s.active, "
        "json_object('effectiveTime', s.effective, 'moduleId', s.module, 'sufficientlyDefined', "
        "CASE s.defined WHEN 1 THEN 'true' ELSE 'false' END), coalesce(a.parents, '') "
        "FROM temp.stage_concept s LEFT JOIN temp.best b ON b.code = CAST(s.code AS TEXT) "
        "LEFT JOIN temp.above a ON a.child = CAST(s.code AS TEXT) ORDER BY s.code",
        (release,),
    )
    run("COMMIT")
    unnamed = run(f"SELECT count(*) FROM concept_{n} WHERE display = code").fetchone()[0]
    if unnamed:
        summary.notes.append(f"{unnamed} concepts have no description; their display is the code")
    for name in _STAGE:
        run(f"DROP TABLE temp.{name}")


def _nothing_lost(load: Load, where: str, summary: Summary) -> None:
    run, n = load.connection.execute, load.number
    for table, column, what in (("name", "code", "descriptions"), ("edge", "child", "relationships")):
        total, lost = run(
            f"SELECT count(*), coalesce(sum(s.code IS NULL), 0) FROM {table}_{n} a "
            f"LEFT JOIN temp.stage_concept s ON s.code = CAST(a.{column} AS INTEGER)"
        ).fetchone()
        if lost > total * _LOST:
            raise FormatError(
                f"has {lost} of {total} {what} without their concept",
                where=where,
                why="the concept file is cut short, or this is an extension without its edition",
                remedy="name the zip of the whole edition",
            )
        if lost:
            summary.skipped[f"{what} without a concept"] += lost
            run(
                f"DELETE FROM {table}_{n} WHERE CAST({column} AS INTEGER) NOT IN "
                "(SELECT code FROM temp.stage_concept)"
            )


def _refset(load: Load, language: str, where: str) -> int:
    """Choose the language reference set whose preferred terms are the displays."""
    there = [
        int(row[0])
        for row in load.connection.execute(
            # only descriptions have a language; their ids have 01 or 11 before the check digit
            f"SELECT refset FROM member_{load.number} WHERE component / 10 % 100 IN (1, 11) "
            "GROUP BY refset ORDER BY count(*) DESC, refset"
        )
    ]
    if not language:
        return next((one for one in (_US, *there) if one in there), _US)
    wanted = _LANGUAGES.get(language.lower()) or (int(language) if language.isdigit() else 0)
    if wanted not in there:
        raise FormatError(
            f"has no language reference set {language!r}",
            where=where,
            why=f"there are {', '.join(map(str, there)) or 'none'}",
            remedy="give one of them: --language",
        )
    return wanted
