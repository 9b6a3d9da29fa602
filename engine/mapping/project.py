"""The maps of a project: found, read, laid over each other for every sender, compiled once, named by their
content.

In: the `mappings/` and `terminology/` folders. Out: `Maps`, which gives for one message the program of its
sender's site and the plan of its message type, and a revision: the hash of the resolved rows, tables and
engine version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import __version__
from engine.kernel.errors import MapError
from engine.kernel.uncollected import uncollected
from engine.kernel.yamlfile import place_of
from engine.mapping import types as T
from engine.mapping.build import MessagePlan
from engine.mapping.compile import Program
from engine.mapping.emit import Library
from engine.mapping.languages import LANGUAGES, Language, read_maps
from engine.mapping.layers import apply_change
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.quantities import Quantities, tables_with
from engine.mapping.sites import Site, Sites, read_sites
from engine.mapping.watch import WatchedProgram, take_over
from engine.terminology.concepts import CodeService
from engine.terminology.translate import Terminology

__all__ = ["Maps", "SenderView", "SiteProgram"]

Z_SEGMENTS: dict[str, tuple[tuple[str, str], ...]] = {"ZDS": (("UID", "RP"),)}
"""Z-segments that a standard describes: ZDS-1, the Study Instance UID of an imaging order (IHE RAD TF-2
4.4.4.1.2.3). A site may say otherwise."""


_MOST = 4096
_texts: dict[int, tuple[MapDef | MessageDef, str]] = {}


def _shown(one: MapDef | MessageDef) -> str:
    """Return the representation of a map, made once: maps never change."""
    known = _texts.get(id(one))
    if known is None:
        if len(_texts) >= _MOST:
            _texts.clear()
        known = _texts[id(one)] = (one, repr(one))
    return known[1]


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
        language: Language = LANGUAGES["hl7v2"],
    ) -> None:
        self.root, self.terminology, self.language = root, terminology, language
        self.maps, self.messages = maps, messages
        self.all_sites = sites
        self.sites = {name: s for name, s in sites.items() if s.format == language.format}
        self._beside: dict[str, Maps] = {language.format: self}
        self.identity_base = identity_base
        self.triggers = {t: m for m in messages.values() for t in m.triggers}
        self._views: dict[tuple[str, bool, bool], SiteProgram] = {}
        self.base: Maps | None = None  # the maps these differ from in a few files (derived.py)

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
        return cls._of(
            root, LANGUAGES["hl7v2"], Terminology.open(root / "terminology"), read_sites(root), identity_base
        )

    @classmethod
    def _of(
        cls, root: Path, language: Language, terminology: Terminology, sites: Sites, identity_base: str
    ) -> Maps:
        maps, messages = read_maps(root, language)
        return cls(root, terminology, maps, messages, sites, identity_base, language)

    def together(self, every: dict[str, Maps]) -> Maps:
        """Take the maps of other formats that somebody read already."""
        for maps in every.values():
            maps._beside = every
        return self

    @property
    def opened(self) -> list[Maps]:
        """The maps of all formats that were asked for so far."""
        return list(self._beside.values())

    def opened_programs(self) -> list[SiteProgram]:
        """The compiled views that were asked for so far."""
        return list(self._views.values())

    def of(self, format: str) -> Maps:
        """Return the maps of another format: its own names and sites, the same tables. Raises MapError."""
        if format == self.language.format:
            return self
        if format not in self._beside:
            language = LANGUAGES[format]
            with uncollected():
                other = Maps._of(self.root, language, self.terminology, self.all_sites, self.identity_base)
            other.codes, other._beside = self.codes, self._beside
            self._beside[format] = other
        return self._beside[format]

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
        for maps in self._beside.values():
            maps.terminology = terminology
            for view in maps._views.values():
                view.forget()

    def site_for(self, headers: Mapping[str, str]) -> Site:
        """Return the site whose `match` fits the message's MSH fields (`{"MSH-3": ..}`), else the standard
        one."""
        for site in self.sites.values():
            if site.matches(headers):
                return site
        return Site("standard")

    def program(self, site: str = "standard", trace: bool = False, watch: bool = False) -> SiteProgram:
        """Return the compiled view of one site; `watch`: its traced twin that reports of every row."""
        key = (site, trace or watch, watch)
        if key not in self._views:
            self._views[key] = SiteProgram(self, *key)
        return self._views[key]

    def has(self, site: str) -> bool:
        """Say whether there is such a site."""
        return site in ("", "standard") or site in self.sites

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

    def __init__(self, maps: Maps, site: str, trace: bool, watch: bool = False) -> None:
        self.maps, self.name, self.trace = maps, site, trace
        self.layers = maps.chain(site)
        resolved = dict(maps.maps)
        z = dict(Z_SEGMENTS)
        for layer in self.layers:
            z.update(layer.segments)
            for name, change in (layer.change or {}).items():
                base = resolved.get(name)
                if base is None:
                    raise MapError(
                        f"site {layer.name} changes {name}, which is no map",
                        where=place_of(change, layer.file),
                    )
                resolved[name] = apply_change(
                    base, change, layer.file, layer.name, T.has_child, maps.language.parse
                )
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

        said = maps.language
        self.library = Library(
            resolved,
            frozenset(terms.tables),
            constant,
            maps.identity_base,
            z,
            types=said.types,
            tree=said.tree,
            functions=said.functions,
        )
        self.program = WatchedProgram(self.library) if watch else Program(self.library, trace)
        kin = maps.base
        if isinstance(self.program, WatchedProgram) and kin is not None and kin.has(site):
            compiled = kin.program(site, watch=True).program
            if isinstance(compiled, WatchedProgram) and maps.terminology is kin.terminology:
                take_over(self.program, compiled)
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

    @property
    def planned(self) -> list[str]:
        """Return the message maps whose plans were made so far."""
        return list(self._plans)

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
                shown = ", ".join(f"({name!r}, {_shown(one)})" for name, one in part)
                h.update(f"[{shown}]".encode())
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
