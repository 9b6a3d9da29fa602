"""LOINC as Regenstrief ships it: `Loinc.csv` and, where they are there, MapTo, panels, answers, translations.

In: the zip (`Loinc_2.81.zip`), its folder, or `Loinc.csv` alone. Out: one release. Columns are read by name,
since they come, go and move between versions (LOINC Users' Guide, appendix A). Everything a row says is kept
under LOINC's own names and unchanged, as the licence asks; related names are searched only. Displays are the
LONG_COMMON_NAME. ACTIVE, TRIAL and DISCOURAGED terms are active, DEPRECATED ones are not; MapTo leads from
them to what replaces them. A panel is no class of what it contains, so panels are a property, not parents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import AGAIN, csv_table
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import LOINC
from engine.codes.writing import Load
from engine.kernel.errors import FormatError
from engine.terminology.damage import check_cell

__all__ = ["LOADER", "version_in"]

_MAIN = ("/loinctable/loinc.csv", "/loinc.csv", "/loinctablecore.csv")
_NEEDS = ("LOINC_NUM", "COMPONENT", "PROPERTY", "SYSTEM", "SCALE_TYP", "STATUS", "LONG_COMMON_NAME")
_STATUS = frozenset({"ACTIVE", "TRIAL", "DISCOURAGED", "DEPRECATED"})
_SEARCHED = ("SHORTNAME", "CONSUMER_NAME", "DisplayName", "RELATEDNAMES2")
_VERSION = re.compile(r"loinc[ _-]?v?(\d\.\d\d?)(?!\d)", re.I)
_CHANGED = re.compile(r"\d\.\d\d?")


def _fits(files: Files) -> bool:
    return files.find(*_MAIN) is not None


def version_in(name: str) -> str:
    """Return the version that a file or folder name says: `Loinc_2.81.zip` -> `2.81`."""
    found = _VERSION.search(name)
    return found[1] if found else ""


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    main = files.find(*_MAIN)
    assert main is not None  # _fits
    extra = {name: files.find(f"/{name}") for name in ("mapto.csv", "panelsandforms.csv", "answerlist.csv")}
    answer_links = files.find("/loincanswerlistlink.csv")
    variants = files.matching(lambda m: "linguisticvariants/" in m.name.lower() and _tongue(m))
    files.expect([main, *(m for m in (*extra.values(), answer_links) if m), *variants])
    panels = _panels(files, extra["panelsandforms.csv"], summary)
    answers = _answers(files, answer_links, summary)
    release = load.release(LOINC, "", asked.effective)
    newest, known = _terms(files, main, load, release, summary, panels, answers)
    version = asked.version or version_in(files.path.name) or version_in(main.name)
    if not version:
        version = newest
        summary.notes.append(f"the version is taken from the newest term: {newest}; --release says it better")
    load.rename(release, version)
    if (lists := extra["answerlist.csv"]) is not None:
        _answer_codes(files, lists, load, release, summary)
    if (replaced := extra["mapto.csv"]) is not None:
        _replaced(files, replaced, load, release, summary, known)
    for variant in variants:
        _translated(files, variant, load, release, summary, known)


def _terms(
    files: Files,
    main: Member,
    load: Load,
    release: int,
    summary: Summary,
    panels: dict[str, str],
    answers: dict[str, str],
) -> tuple[str, set[str]]:
    table = csv_table(files, main, _NEEDS)
    code_at, name_at, status_at = table.at("LOINC_NUM"), table.at("LONG_COMMON_NAME"), table.at("STATUS")
    newest_at = table.at("VersionLastChanged") if "VersionLastChanged" in table else -1
    kept = [(n, name) for n, name in enumerate(table.header) if name not in ("LOINC_NUM", "RELATEDNAMES2")]
    searched = [(table.at(name), name) for name in _SEARCHED if name in table]
    known: set[str] = set()
    newest = (0, 0)
    for line, row in table.rows:
        code, where = row[code_at], files.where(main, line)
        check_cell(code, code, LOINC, where, "LOINC_NUM")
        if code in known:
            raise FormatError(f"has {code} a second time", where=where, remedy=AGAIN)
        if row[status_at] not in _STATUS:
            raise FormatError(
                f"has the STATUS {row[status_at]!r}", where=where, why="its columns are shifted", remedy=AGAIN
            )
        known.add(code)
        properties = {name: row[n] for n, name in kept if row[n]}
        if code in panels:
            properties["panel-members"] = panels[code]
        if code in answers:
            properties["answer-list"] = answers[code]
        display = row[name_at] or row[table.at("COMPONENT")]
        load.concept(release, code, display, row[status_at] != "DEPRECATED", properties)
        for n, use in searched:
            if row[n] and row[n] != display:
                load.name(release, code, row[n], "en-US", use)
        if newest_at >= 0 and _CHANGED.fullmatch(row[newest_at]):
            major, _, minor = row[newest_at].partition(".")
            newest = max(newest, (int(major), int(minor)))
    summary.rows[main.base] += len(known)
    return (f"{newest[0]}.{newest[1]:02d}" if newest[0] else "unknown"), known


def _panels(files: Files, member: Member | None, summary: Summary) -> dict[str, str]:
    """Read which terms a panel contains, in order."""
    contains: dict[str, list[str]] = {}
    for parent, child in _pairs(files, member, "ParentLoinc", "Loinc", summary):
        if parent != child and child not in contains.setdefault(parent, []):
            contains[parent].append(child)
    return {parent: "\n".join(children) for parent, children in contains.items()}


def _answers(files: Files, member: Member | None, summary: Summary) -> dict[str, str]:
    """Read which answer lists a term has."""
    lists: dict[str, list[str]] = {}
    for code, list_ in _pairs(files, member, "LoincNumber", "AnswerListId", summary):
        if list_ not in lists.setdefault(code, []):
            lists[code].append(list_)
    return {code: "\n".join(ids) for code, ids in lists.items()}


def _pairs(
    files: Files, member: Member | None, first: str, second: str, summary: Summary
) -> Iterator[tuple[str, str]]:
    if member is None:
        return
    table = csv_table(files, member, (first, second))
    a, b = table.at(first), table.at(second)
    for _, row in table.rows:
        summary.rows[member.base] += 1
        if row[a] and row[b]:
            yield row[a], row[b]


def _answer_codes(files: Files, member: Member, load: Load, release: int, summary: Summary) -> None:
    """Read the answers (LA codes), and under each list (LL code) what it contains."""
    table = csv_table(files, member, ("AnswerListId", "AnswerStringId", "DisplayText"))
    list_at, answer_at, text_at = (
        table.at(name) for name in ("AnswerListId", "AnswerStringId", "DisplayText")
    )
    name_at = table.at("AnswerListName") if "AnswerListName" in table else -1
    lists: dict[str, tuple[str, list[str]]] = {}
    texts: dict[str, str] = {}
    for _, row in table.rows:
        summary.rows[member.base] += 1
        name, members = lists.setdefault(row[list_at], (row[name_at] if name_at >= 0 else "", []))
        if not row[answer_at]:
            summary.skipped["answer list whose answers are elsewhere"] += 1
            continue
        members.append(row[answer_at])
        texts.setdefault(row[answer_at], row[text_at])
    for code, text in texts.items():
        load.concept(release, code, text)
    for code, (name, members) in lists.items():
        load.concept(release, code, name or code, True, {"answers": "\n".join(members)} if members else None)


def _replaced(
    files: Files, member: Member, load: Load, release: int, summary: Summary, known: set[str]
) -> None:
    """Read what replaces a deprecated term. Several targets, or a comment, leave the choice to people."""
    table = csv_table(files, member, ("LOINC", "MAP_TO"))
    from_at, to_at = table.at("LOINC"), table.at("MAP_TO")
    note_at = table.at("COMMENT") if "COMMENT" in table else -1
    found: dict[str, list[tuple[str, str]]] = {}
    for _, row in table.rows:
        summary.rows[member.base] += 1
        if row[from_at] in known and row[to_at] in known:
            found.setdefault(row[from_at], []).append((row[to_at], row[note_at] if note_at >= 0 else ""))
        else:
            summary.skipped["MapTo names a term that is not in Loinc.csv"] += 1
    walk = load.crosswalk(release, "LOINC MapTo", LOINC, LOINC)
    for code, targets in found.items():
        for n, (target, note) in enumerate(targets):
            sure = len(targets) == 1 and not note
            load.link(walk, code, target, "equivalent" if sure else "inexact", note=note, priority=n)
            summary.links += 1


def _tongue(member: Member) -> re.Match[str] | None:
    """Match `LinguisticVariants/deDE15LinguisticVariant.csv`."""
    return re.fullmatch(r"([a-z]{2})([A-Z]{2})\d+LinguisticVariant\.csv", member.base)


def _translated(
    files: Files, member: Member, load: Load, release: int, summary: Summary, known: set[str]
) -> None:
    """Read the names of terms in another language."""
    found = _tongue(member)
    assert found is not None
    language = f"{found[1]}-{found[2]}"
    table = csv_table(files, member, ("LOINC_NUM", "LONG_COMMON_NAME"))
    columns = [
        (table.at(name), name)
        for name in ("LONG_COMMON_NAME", "SHORTNAME", "LinguisticVariantDisplayName")
        if name in table
    ]
    code_at = table.at("LOINC_NUM")
    for _, row in table.rows:
        summary.rows[member.base] += 1
        if row[code_at] not in known:
            summary.skipped["translation of a term that is not in Loinc.csv"] += 1
            continue
        for n, use in columns:
            if row[n]:
                load.name(release, row[code_at], row[n], language, use)


LOADER = Loader("loinc", "LOINC: Loinc_2.xx.zip, its folder, or Loinc.csv", _fits, _load)
