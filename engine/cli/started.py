"""What the processes of `hub serve` were started with, and what is in force when one of them starts again.

In: channels and maps as they were read before forking. Out: the same to a process that starts while nothing
has changed; read anew from the project's files where a change went live since. A project that cannot be read
leaves what the hub started with in force, and says so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from engine.channels.definition import Channel
from engine.channels.renewal import alone, announced_project, opened, project_digest, tell
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.mapping.project import Maps

__all__ = ["Started"]

log = logging.getLogger("hub")


@dataclass(frozen=True, slots=True)
class Started:
    """The project as the hub started with it; `listen` replaces the address of all listeners."""

    config: Config
    channels: list[Channel]
    maps: Maps
    digest: str
    listen: str | None = None

    def now(self, process: str) -> tuple[list[Channel], Maps]:
        """Return channels and maps for a process that starts now."""
        if announced_project(self.config) in ("", self.digest):
            tell(self.config, process, self.digest)
            return self.channels, self.maps
        try:
            with alone(self.config, shared=True):
                digest = project_digest(self.config.root)
                maps, channels = opened(self.config, self.listen)
        except HubError as e:
            log.error("%s: what was changed cannot be used; it starts with what was before: %s", process, e)
            tell(self.config, process, self.digest, str(e))
            return self.channels, self.maps
        maps.codes = self.maps.codes
        tell(self.config, process, digest)
        return channels, maps
