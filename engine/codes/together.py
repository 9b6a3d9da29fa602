"""The loaded releases first, a terminology server for the systems that are not loaded.

In: the embedded store, the settings of a server. Out: answers of `CodeService`. A server that is away is as
if it had nothing: whoever asks goes on without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from engine.codes.remote import RemoteCodes
from engine.codes.store import CodeStore
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.terminology.concepts import CodeService, Concept, Match, Release, Subsumption

__all__ = ["Together", "codes_of"]

log = logging.getLogger(__name__)
_NONE: Mapping[str, str] = {}
T = TypeVar("T")


def codes_of(config: Config) -> CodeService:
    """Return what a project knows of codes: its code store, and its terminology server where it has one."""
    store = CodeStore(config.data_dir / "codes.db")
    settings = config.terminology
    if not settings.server:
        return store
    return Together(store, RemoteCodes(settings.server, settings.token, settings.timeout_seconds))


class Together:
    """Two services as one."""

    def __init__(self, here: CodeService, server: CodeService) -> None:
        self.here, self.server = here, server

    def releases(self) -> list[Release]:
        """List what is loaded here, then the systems that only the server has."""
        here = self.here.releases()
        known = {r.system for r in here}
        none: list[Release] = []
        return here + [r for r in self._asked(self.server.releases, none) if r.system not in known]

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        """Return a concept; None when nobody who answers has it."""
        if self._here(system, version):
            return self.here.lookup(system, code, version)
        return self._asked(lambda: self.server.lookup(system, code, version), None)

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> tuple[bool, str]:
        """Tell whether a code is known and active, and what there is to say about it."""
        if self._here(system, version):
            return self.here.validate(system, code, display, version)
        away = (False, f"nobody who answers has {system}")
        return self._asked(lambda: self.server.validate(system, code, display, version), away)

    def subsumes(self, system: str, a: str, b: str, version: str = "") -> Subsumption | None:
        """Tell how `a` stands to `b`; None when either is not known."""
        if self._here(system, version):
            return self.here.subsumes(system, a, b, version)
        return self._asked(lambda: self.server.subsumes(system, a, b, version), None)

    def translate(self, system: str, code: str, target: str, version: str = "") -> list[Match]:
        """Return what the crosswalks here say, and where they say nothing, the server's."""
        found = self.here.translate(system, code, target, version)
        return found or self._asked(lambda: self.server.translate(system, code, target, version), [])

    def search(
        self, system: str, text: str, limit: int = 50, offset: int = 0, properties: Mapping[str, str] = _NONE
    ) -> list[Concept]:
        """Find concepts by words of their names."""
        if self._here(system, ""):
            return self.here.search(system, text, limit, offset, properties)
        return self._asked(lambda: self.server.search(system, text, limit, offset, properties), [])

    def _here(self, system: str, version: str) -> bool:
        return any(r.system == system and version in ("", r.version) for r in self.here.releases())

    def _asked(self, ask: Callable[[], T], away: T) -> T:
        try:
            return ask()
        except HubError as e:
            log.warning("%s", e)
            return away
