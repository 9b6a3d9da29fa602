"""The maps of a project: found, read, laid over each other for every sender, compiled once, named by their
content.

In: the `mappings/` and `terminology/` folders. Out: `Maps`, which gives for one message the program of its
sender's site and the plan of its message type, and a revision: the hash of the resolved rows, tables and
engine version.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import __version__
from engine.kernel.errors import MapError
from engine.kernel.uncollected import uncollected
from engine.kernel.yamlfile import Map, load, place_of, plain
from engine.mapping import types as T
from engine.mapping.build import MessagePlan
from engine.mapping.compile import Program
from engine.mapping.emit import Library
from engine.mapping.layers import apply_change
from engine.mapping.model import MapDef, MessageDef, TestDef
from engine.mapping.quantities import Quantities, UnitWish, read_units, tables_with
from engine.mapping.read import read_map, read_tests
from engine.mapping.readmessage import read_message
from engine.terminology.concepts import CodeService
from engine.terminology.translate import Terminology

__all__ = ["Maps", "Site", "Sites", "authority_of_site", "read_sites"]

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
}


@dataclass(slots=True)
class Site:
    """One sender (or realm): how its messages are recognised and what differs."""

    name: str
    over: str = "standard"
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
        """Say whether a message with these MSH fields comes from here; patterns may hold `*`."""
        return bool(self.match) and all(
            any(fnmatch.fnmatchcase(headers.get(k, ""), p) for p in patterns) for k, patterns in self.match
        )


class SenderView:
    """A site's settings as a run reads them."""

    def __init__(
        self, site: Site, terminology: Terminology, chain: list[Site], authority: str = "", own: str = ""
    ) -> None:
        self.own = own
        systems: dict[str, str] = {}
        for s in chain:
            systems.update(s.own_systems)
        self.name = site.name
        self.zone = next((s.zone for s in reversed(chain) if s.zone), "")
        self.authority = authority or next((s.authority for s in reversed(chain) if s.authority), "")
        self.translated = next((s.translated for s in reversed(chain) if s.translated), "first")
        self.system = terminology.systems(systems)
        self.authority_uri = terminology.authorities(systems)
        self._by_url = terminology.by_url

    def has_code(self, system: str, code: str) -> bool:
        """Say whether a code is in a code system; True where the system's codes are not at hand."""
        known = self._by_url.get(system)
        return known is None or code in known


Sites = dict[str, Site]


class Maps:
    """All maps of a project. `codes`, where somebody sets it, answers questions about code systems."""

    codes: CodeService | None = None

    def __init__(
        self,
        root: Path,
        terminology: Terminology,
        maps: dict[str, MapDef],
        messages: dict[str, MessageDef],
        sites: Sites,
        identity_base: str,
    ) -> None:
        self.root, self.terminology = root, terminology
        self.maps, self.messages, self.sites = maps, messages, sites
        self.identity_base = identity_base
        self.triggers = {t: m for m in messages.values() for t in m.triggers}
        self._views: dict[tuple[str, bool], SiteProgram] = {}

    @classmethod
    @uncollected()
    def open(cls, root: Path, identity_base: str = "urn:hub:own") -> Maps:
        """Read `mappings/` and `terminology/` below the project's root. Raises MapError or ConfigError with
        file:line."""
        base = root / "mappings"
        if not base.is_dir():
            raise MapError(
                "there is no mappings folder",
                where=str(base),
                remedy="start in the project's folder, where config.yaml is",
            )
        terminology = Terminology.open(root / "terminology")
        maps: dict[str, MapDef] = {}
        messages: dict[str, MessageDef] = {}
        for path in sorted((base / "hl7v2").glob("*/**/*.yaml")):
            shown = path.relative_to(root).as_posix()
            data = load(path, name=shown)
            if not isinstance(data, Map) or "map" not in data:
                raise MapError("is not a map", where=shown, remedy="start the file with map: NAME")
            if "resources" in data:
                m = read_message(data, shown, "standard")
                if m.name in messages:
                    raise MapError(
                        f"map {m.name} exists twice",
                        where=shown,
                        why=f"also in {messages[m.name].place.file}",
                    )
                messages[m.name] = m
            else:
                d = read_map(data, shown, "standard", T.has_child)
                if d.name in maps:
                    raise MapError(
                        f"map {d.name} exists twice", where=shown, why=f"also in {maps[d.name].place.file}"
                    )
                maps[d.name] = d
        return cls(root, terminology, maps, messages, read_sites(root), identity_base)

    def renew(self, terminology: Terminology) -> None:
        """Take over code tables whose rows have changed: the maps stay compiled. Raises MapError where they
        would have to be compiled again."""
        was = self.terminology
        if was.tables.keys() != terminology.tables.keys() or was.code_systems != terminology.code_systems:
            raise MapError(
                "there are other tables or code systems than before",
                where="terminology",
                remedy="start the hub again",
            )
        self.terminology = terminology
        for view in self._views.values():
            view.forget()

    def site_for(self, headers: Mapping[str, str]) -> Site:
        """Return the site whose `match` fits the message's MSH fields (`{"MSH-3": ..}`), else the standard
        one."""
        for site in self.sites.values():
            if site.matches(headers):
                return site
        return Site("standard")

    def program(self, site: str = "standard", trace: bool = False) -> SiteProgram:
        """Return the compiled view of one site."""
        key = (site, trace)
        if key not in self._views:
            self._views[key] = SiteProgram(self, site, trace)
        return self._views[key]

    def chain(self, site: str) -> list[Site]:
        """Return the layers of a site, lowest first."""
        out: list[Site] = []
        at = site
        while at and at != "standard":
            found = self.sites.get(at)
            if found is None:
                raise MapError(
                    f"there is no site {at}", remedy=f"sites are: {', '.join(self.sites) or 'none'}"
                )
            if found in out:
                raise MapError(f"site {at} lies over itself", where=found.file)
            out.append(found)
            at = found.over
        return out[::-1]


class SiteProgram:
    """The maps as one site sees them, compiled when first used."""

    def __init__(self, maps: Maps, site: str, trace: bool) -> None:
        self.maps, self.name, self.trace = maps, site, trace
        self.layers = maps.chain(site)
        resolved = dict(maps.maps)
        z: dict[str, tuple[tuple[str, str], ...]] = {}
        for layer in self.layers:
            z.update(layer.segments)
            for name, change in (layer.change or {}).items():
                base = resolved.get(name)
                if base is None:
                    raise MapError(
                        f"site {layer.name} changes {name}, which is no map",
                        where=place_of(change, layer.file),
                    )
                resolved[name] = apply_change(base, change, layer.file, layer.name, T.has_child)
            for name, extra in layer.ignore.items():
                if name in resolved:
                    resolved[name] = replace(resolved[name], ignore=resolved[name].ignore + extra)
        self.resolved = resolved
        terms = maps.terminology

        def constant(table: str, code: str) -> dict[str, str] | None:
            system = terms.code_systems.get(table)
            if system is None:
                return None
            display = system.display(code)
            if display is None:
                return None
            return {"system": system.url, "code": code, **({"display": display} if display else {})}

        self.library = Library(resolved, frozenset(terms.tables), constant, maps.identity_base, z)
        self.program = Program(self.library, trace)
        self._plans: dict[str, MessagePlan] = {}
        self._senders: dict[str, SenderView] = {}
        self._memories: dict[Any, tuple[dict[Any, Any], set[int]]] = {}
        self.forget()

    def memory(self, delims: Any) -> tuple[dict[Any, Any], set[int]]:
        """Return the values that texts with these delimiters gave before (maps are pure, so they give them
        again), and the hashes of texts met once."""
        if delims not in self._memories and len(self._memories) > 16:
            self._memories.clear()
        return self._memories.setdefault(delims, ({}, set()))

    def plan(self, name: str) -> MessagePlan:
        """Return the plan of a message map by its name."""
        if name not in self._plans:
            message = self.maps.messages.get(name)
            if message is None:
                raise MapError(
                    f"there is no message map {name}",
                    remedy=f"there are: {', '.join(sorted(self.maps.messages))}",
                )
            with uncollected():
                self._plans[name] = MessagePlan(self.program, message)
        return self._plans[name]

    def plan_for(self, code: str, event: str) -> MessagePlan | None:
        """Return the plan that serves MSH-9.1 and MSH-9.2, or None."""
        found = self.maps.triggers.get((code, event)) or self.maps.triggers.get((code, ""))
        return self.plan(found.name) if found else None

    def sender(self, authority: str) -> SenderView:
        """Return the sender's settings; `authority` is its private name space where the site names none."""
        if authority not in self._senders:
            site = self.layers[-1] if self.layers else Site("standard")
            own = next((s.authority for s in reversed(self.layers) if s.authority), "")
            self._senders[authority] = SenderView(
                site,
                self.maps.terminology,
                self.layers,
                own or authority,
                f"{self.maps.identity_base}/id/",
            )
        return self._senders[authority]

    def forget(self) -> None:
        """Forget what the code tables said so far."""
        self._memories.clear()
        self._senders.clear()
        self._revision = ""
        maps, wishes = self.maps, [s.units for s in self.layers if s.units is not None]
        self.tables = tables_with(maps.terminology, wishes)
        self.quantities = Quantities(maps.terminology.measures, wishes, maps.codes, maps.identity_base)

    @property
    def revision(self) -> str:
        """Content hash of the resolved rows, message maps, tables and engine version: 12 hex digits."""
        cached = self._revision
        if not cached:
            h = hashlib.sha256(__version__.encode())
            for part in (sorted(self.resolved.items()), sorted(self.maps.messages.items())):
                h.update(repr(part).encode())
            h.update(
                repr(
                    [
                        (
                            s.name,
                            s.zone,
                            s.charset,
                            s.authority,
                            s.translated,
                            s.units,
                            sorted(s.own_systems.items()),
                            s.segments,
                        )
                        for s in self.layers
                    ]
                ).encode()
            )
            h.update(self.maps.terminology.digest.encode())
            cached = self._revision = h.hexdigest()[:12]
        return cached


def read_sites(root: Path) -> Sites:
    """Read `mappings/sites/` below the project's root. Raises MapError or ConfigError with file:line."""
    sites: Sites = {}
    for path in sorted((root / "mappings/sites").glob("*.yaml")):
        shown = path.relative_to(root).as_posix()
        site = _read_site(load(path, name=shown), shown)
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


def _read_site(m: Any, file: str) -> Site:
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
