"""Senders as `mappings/sites/` describes them: how their messages are recognised and what differs.

In: the YAML files of that folder. Out: `Site` records by name. What a site changes in the maps is laid over
them by layers.py; which site a message is of, `Site.matches` says of its header's values.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map, load, plain
from engine.mapping.model import TestDef
from engine.mapping.quantities import UnitWish, read_units
from engine.mapping.readtests import read_tests

__all__ = ["FORMATS", "Site", "Sites", "authority_of_site", "read_site", "read_sites"]

FORMATS = ("hl7v2", "x12", "cda", "ncpdp", "dicom", "fhir")
"""What a site's messages may be; SCRIPT goes by the name of its standard's body."""

SITE_WORDS = {
    "site",
    "over",
    "match",
    "timezone",
    "charset",
    "authority",
    "systems",
    "segments",
    "change",
    "ignore",
    "tests",
    "note",
    "replaces",
    "translated",
    "units",
    "format",
}


@dataclass(slots=True)
class Site:
    """One sender (or realm): how its messages are recognised and what differs."""

    name: str
    over: str = "standard"
    format: str = "hl7v2"
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    zone: str = ""
    charset: str = ""
    authority: str = ""
    translated: str = ""  # where a translated coding stands: first | second
    units: UnitWish | None = None
    own_systems: dict[str, str] = field(default_factory=dict)
    segments: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    change: Map | None = None
    ignore: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tests: tuple[TestDef, ...] = ()
    file: str = ""
    digest: str = ""
    replaces: Map | None = None  # map -> row -> hash of the standard row that a change was written for

    def matches(self, headers: Mapping[str, str]) -> bool:
        """Say whether a message with these header values comes from here; patterns may hold `*`."""
        return bool(self.match) and all(
            any(fnmatch.fnmatchcase(headers.get(k, ""), p) for p in patterns) for k, patterns in self.match
        )


Sites = dict[str, Site]


def read_sites(root: Path) -> Sites:
    """Read `mappings/sites/` below the project's root. Raises MapError or ConfigError with file:line."""
    sites: Sites = {}
    for path in sorted((root / "mappings/sites").glob("*.yaml")):
        shown = path.relative_to(root).as_posix()
        site = read_site(load(path, name=shown), shown)
        sites[site.name] = site
    return sites


def authority_of_site(sites: Sites, site: str) -> str:
    """Return the assigning authority that stands in for an empty CX-4: the site's own, else of what it lies
    over."""
    seen: set[str] = set()
    while site in sites and site not in seen:
        seen.add(site)
        if sites[site].authority:
            return sites[site].authority
        site = sites[site].over
    return ""


def read_site(m: Any, file: str) -> Site:
    if not isinstance(m, Map) or "site" not in m:
        raise MapError("is not a site", where=file, remedy="start the file with site: NAME")
    for k in m:
        if k not in SITE_WORDS:
            raise MapError(
                f"does not know the word {k!r}",
                where=f"{file}:{m.key_lines[k]}",
                remedy=f"known here: {', '.join(sorted(SITE_WORDS))}",
            )
    match = tuple(
        (
            str(k).replace(".", "-"),
            tuple(str(x) for x in v) if isinstance(v, list) else tuple(str(v).split("|")),
        )
        for k, v in (m.get("match") or {}).items()
    )
    segments = {}
    for name, fields in (m.get("segments") or {}).items():
        segments[str(name)] = tuple(tuple((str(f) + " ST").split()[:2]) for f in fields)
    zone = str(m.get("timezone") or "")
    if zone and zone[0] not in "+-Z":
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise MapError(
                f"timezone {zone} is not known",
                where=f"{file}:{m.key_lines['timezone']}",
                remedy="use an IANA name such as America/Chicago",
            ) from None
    translated = str(m.get("translated") or "")
    if translated not in ("", "first", "second"):
        raise MapError(
            f"translated: {translated}",
            where=f"{file}:{m.key_lines['translated']}",
            remedy="use first (before the codes as sent) or second (behind them)",
        )
    return Site(
        name=str(m["site"]),
        format=str(m.get("format") or "hl7v2"),
        over=str(m.get("over") or "standard"),
        match=match,
        zone=zone,
        charset=str(m.get("charset") or ""),
        authority=str(m.get("authority") or ""),
        translated=translated,
        units=read_units(m.get("units"), f"{file}:{m.key_lines.get('units', 1)}"),
        own_systems={str(k): str(v) for k, v in (m.get("systems") or {}).items()},
        segments=segments,  # type: ignore[arg-type]
        change=m.get("change"),
        ignore={str(k): tuple(str(x) for x in v) for k, v in (m.get("ignore") or {}).items()},
        tests=read_tests(m.get("tests"), file, str(m["site"])),
        file=file,
        digest=hashlib.sha256(repr(plain(m)).encode()).hexdigest(),
        replaces=m.get("replaces"),
    )
