"""The maps of a project with a few files changed: only these are read anew, only what they reach is compiled
anew.

In: maps that are open, and the texts of files that shall be otherwise (None: gone), by their path in the
project. Out: other `Maps`; those given stay as they are. Drafts and texts that nobody has saved are tried so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import loads
from engine.mapping.languages import Language, read_text
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.project import Maps
from engine.mapping.sites import Sites, read_site
from engine.terminology.translate import Terminology

__all__ = ["derived"]

SITES = "mappings/sites/"


def derived(maps: Maps, changed: Mapping[str, str | None], root: Path | None = None) -> Maps:
    """Return the maps with some files otherwise; `root` is a folder where all other changes stand, such as a
    draft's. Raises MapError or ConfigError with file:line.
    """
    root = root or maps.root
    base = maps.of("hl7v2")
    terminology = base.terminology
    if any(path.startswith("terminology/") for path in changed):
        terminology = Terminology.open(root / "terminology")
    sites = _sites(base.all_sites, changed)
    every: dict[str, Maps] = {}
    for old in base.opened:
        language = old.language
        mine = {p: t for p, t in changed.items() if _folder(p, language)}
        if not mine and sites is base.all_sites and terminology is base.terminology:
            every[language.format] = old
            continue
        defs, messages = _defs(old, mine, language)
        new = Maps(root, terminology, defs, messages, sites, old.identity_base, language)
        new.codes, new.base = old.codes, old
        every[language.format] = new
    if "hl7v2" not in every or every["hl7v2"] is base:
        new = Maps(root, terminology, base.maps, base.messages, sites, base.identity_base)
        new.codes, new.base = base.codes, base
        every["hl7v2"] = new
    for one in every.values():
        if one.base is not None:
            one.together(every)
    return every["hl7v2"]


def _folder(path: str, language: Language) -> bool:
    return path.startswith(f"mappings/{language.folder}/") and path.endswith(".yaml")


def _sites(sites: Sites, changed: Mapping[str, str | None]) -> Sites:
    """Return the sites with those of changed files read anew."""
    mine = {p: t for p, t in changed.items() if p.startswith(SITES) and p.endswith(".yaml")}
    if not mine:
        return sites
    out = {name: s for name, s in sites.items() if s.file not in mine}
    for path, text in mine.items():
        if text is not None:
            site = read_site(loads(text, path), path)
            out[site.name] = site
    return dict(sorted(out.items(), key=lambda item: item[1].file))


def _defs(
    old: Maps, changed: Mapping[str, str | None], language: Language
) -> tuple[dict[str, MapDef], dict[str, MessageDef]]:
    maps = {n: m for n, m in old.maps.items() if m.place.file not in changed}
    messages = {n: m for n, m in old.messages.items() if m.place.file not in changed}
    for path, text in changed.items():
        if text is None:
            continue
        one = read_text(text, path, language)
        twice = messages.get(one.name) if isinstance(one, MessageDef) else maps.get(one.name)
        if twice is not None:
            raise MapError(f"map {one.name} exists twice", where=path, why=f"also in {twice.place.file}")
        if isinstance(one, MessageDef):
            messages[one.name] = one
        else:
            maps[one.name] = one
    return _in_order(maps), _in_order(messages)


def _in_order(found: dict[str, Any]) -> dict[str, Any]:
    """Put maps in the order of their files, as they are read from a folder."""
    return dict(sorted(found.items(), key=lambda item: item[1].place.file))
