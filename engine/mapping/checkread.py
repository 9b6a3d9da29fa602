"""Reading a project for the linter: each file on its own, so that one bad file does not hide the next.

In: a project folder. Out: the maps, sites and code tables that can be read, and a finding for each that
cannot, with the number of the rule that the reader's error is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from engine.kernel.errors import ConfigError, HubError, MapError
from engine.kernel.yamlfile import load
from engine.mapping.languages import LANGUAGES, Language, read_file
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.project import Maps
from engine.mapping.rules import Finding, finding
from engine.mapping.sites import Site, read_site
from engine.terminology.tables import COLUMNS, read_system, read_table
from engine.terminology.translate import Terminology

__all__ = ["named", "near", "open_what_can_be_read", "unreadable"]


def named(place: object, what: str, name: str, known: Iterable[str]) -> Finding:
    """Make a finding about a name that nothing has."""
    return finding("M19", place, what, near(name, known))


def near(name: str, known: Iterable[str]) -> str:
    """Return the names that may have been meant, `a or b`."""
    return " or ".join(get_close_matches(name, sorted(known), 3, 0.5))


def open_what_can_be_read(root: Path, identity_base: str = "urn:hub") -> tuple[Maps | None, list[Finding]]:
    """Open the maps of a project without the files that cannot be read, and say what is wrong there."""
    found: list[Finding] = []
    base = root / "mappings"
    if not base.is_dir():
        where = MapError(
            "there is no mappings folder", where=str(base), remedy="start in the project's folder"
        )
        return None, [unreadable(where)]
    terminology = _terminology(root / "terminology", found)
    sites: dict[str, Site] = {}
    for path in sorted((base / "sites").glob("*.yaml")):
        shown = path.relative_to(root).as_posix()
        try:
            site = read_site(load(path, name=shown), shown)
            sites[site.name] = site
        except HubError as e:
            found.append(unreadable(e, shown))
    every = {
        name: Maps(root, terminology, *_maps(root, language, found), sites, identity_base, language)
        for name, language in LANGUAGES.items()
    }
    return every["hl7v2"].together(every), found


def _maps(
    root: Path, language: Language, found: list[Finding]
) -> tuple[dict[str, MapDef], dict[str, MessageDef]]:
    """Read the maps of one format, each file on its own."""
    maps: dict[str, MapDef] = {}
    messages: dict[str, MessageDef] = {}
    for path in sorted((root / "mappings" / language.folder).glob("*/**/*.yaml")):
        shown = path.relative_to(root).as_posix()
        try:
            definition = read_file(path, shown, language)
            twice: MapDef | MessageDef | None
            if isinstance(definition, MessageDef):
                twice = messages.setdefault(definition.name, definition)
            else:
                twice = maps.setdefault(definition.name, definition)
            if twice is not definition and twice is not None:
                raise MapError(
                    f"map {definition.name} exists twice", where=shown, why=f"also in {twice.place.file}"
                )
            if path.stem != definition.name:
                what = f"the map is called {definition.name} and the file {path.name}"
                found.append(
                    finding(
                        "M19",
                        definition.place,
                        what,
                        f"name the file {definition.name}.yaml",
                        level="warning",
                    )
                )
        except HubError as e:
            found.append(unreadable(e, shown))
    return maps, messages


def _terminology(folder: Path, found: list[Finding]) -> Terminology:
    content: dict[str, bytes] = {}
    for kind in ("maps", "systems", "units"):
        for path in sorted((folder / kind).glob("*.csv")):
            name = f"{folder.name}/{kind}/{path.name}"
            try:
                data = path.read_bytes()
                if kind == "maps":
                    read_table(data, name)
                elif kind == "systems":
                    read_system(data, name, path.stem)
                content[f"{kind}/{path.name}"] = data
            except OSError as e:
                found.append(unreadable(ConfigError("cannot be read", where=name, why=e.strerror or "")))
            except HubError as e:
                found.append(unreadable(e, name))
                if kind == "maps":  # its name is known all the same
                    content[f"{kind}/{path.name}"] = _EMPTY
    try:
        return Terminology.of(content, folder.name)
    except HubError as e:
        found.append(unreadable(e))
        kept = "maps/", *(("systems/",) if "/units/" in e.where else ())
        return Terminology.of({k: v for k, v in content.items() if k.startswith(kept)}, folder.name)


_EMPTY = ",".join(COLUMNS).encode() + b"\n"
_DAMAGED = re.compile(r"has the (?:source|target)_code ")
_COMMA = "a comma inside a one-line { } cuts the row in two: write alternatives with |, lists with [ ]"
_CLASSES = (
    (_DAMAGED, "M18"),
    (re.compile(r"is not an element"), "M17"),
    (re.compile(r"says nothing$"), "M17"),
    (re.compile(r"unknown element|has no element"), "M01"),
    (re.compile(r"is not a location|a \w+ map reads only|names a segment, not a field"), "M02"),
    (re.compile(r"no usual way from|joined text cannot become"), "M03"),
    (re.compile(r"no such code|is not a code of|is not a boolean"), "M07"),
    (
        re.compile(r"no code table|no map |which is no map|there is no (?:map|site|message map)\b|no rule "),
        "M19",
    ),
    (re.compile(r"links to|links: "), "M20"),
    (re.compile(r"has no row .* to skip"), "M11"),
    (re.compile(r"^key"), "M13"),
)


def unreadable(e: HubError, file: str = "", rule: str = "M21") -> Finding:
    """Turn an error of a reader or of the compiler into a finding of the rule it is about."""
    number = next((n for pattern, n in _CLASSES if pattern.search(e.what)), rule)
    try_ = e.remedy
    if number == "M17":
        cut = ")" in e.what or "(" in e.what or re.search(r"'[A-Z][A-Z0-9]{1,2}[-.]|says nothing", e.what)
        number, try_ = ("M17", _COMMA) if cut else ("M01", e.remedy)
    elif number == "M21" and "is not understood" in e.what and e.what.count("(") != e.what.count(")"):
        number, try_ = "M17", _COMMA
    return finding(number, e.where or file, e.what, try_, why=e.why)
