"""Whether the roles of one node live and are ready, judged by what their processes renew.

In: the supervisor's board, the metrics files of this node, the web side's own answer. Out: reasons by role,
none when all is well. A process that waits for a database that is down is alive and not ready: starting it
again would help nobody. No patient data.
"""

from __future__ import annotations

import http.client
import re
import shutil
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.channels.processes import STALE, age
from engine.cli.board import READY, Board
from engine.kernel.config import Config

__all__ = ["NodeHealth", "role_of", "web_answer"]

HUNG = 2 * STALE
"""Seconds without a sign after which a process that renews its figures whatever happens has hung."""

_STEADY = ("listeners", "files", "worker")
_DOWN = re.compile(r"^hub_(?:mllp_)?store_down(?:\{[^}]*\})? 1$", re.M)
_SILENT = "does not answer"
_PATIENCE = 3.0  # seconds the web side has for an answer


def role_of(name: str) -> str:
    """Return the role that a process belongs to."""
    if name == "files":
        return "listeners"
    if name.startswith("worker-") or name in ("keeper", "codes"):
        return "workers"
    return name


@dataclass(slots=True)
class NodeHealth:
    """Judges the roles of this node; `web` asks the web side, and is replaced in tests."""

    config: Config
    board: Board
    web: Callable[[], str] = field(default=lambda: "")
    _answered: float = field(default_factory=time.monotonic)

    def live(self, roles: tuple[str, ...]) -> list[str]:
        """Return why these roles should be started anew."""
        reasons = []
        for name, state in self._states(roles).items():
            if name == "console" and state == READY:
                now = time.monotonic()
                if self.web() != _SILENT:
                    self._answered = now
                elif now - self._answered > HUNG:
                    reasons.append(f"console {_SILENT}")
            elif state == READY and name.startswith(_STEADY):
                seconds = age(self.config.metrics_dir / f"{name}.prom")
                if seconds is not None and seconds > HUNG:
                    reasons.append(f"{name} has given no sign for {seconds:.0f} s")
        return reasons

    def ready(self, roles: tuple[str, ...]) -> list[str]:
        """Return why these roles should be given no work now."""
        if self.board.draining:
            return ["this node is stopping"]
        states = self._states(roles)
        reasons = [f"{name} is not running yet" for name, state in states.items() if state != READY]
        for name, state in states.items():
            if state == READY:
                reasons += [f"{name} {why}" for why in [self._unready(name)] if why]
        if "listeners" in roles:
            reasons += self._room()
        return reasons

    def _states(self, roles: tuple[str, ...]) -> dict[str, int]:
        """Return how these roles' processes are; what ends by itself, or works at night, does not count."""
        return {
            name: state
            for name, state in self.board.states().items()
            if role_of(name) in roles and name not in ("codes", "keeper")
        }

    def _unready(self, name: str) -> str:
        if name == "console":
            return self.web()
        path = self.config.metrics_dir / f"{name}.prom"
        seconds = age(path)
        if seconds is None:
            return "" if not name.startswith(_STEADY) else "has given no sign yet"
        if seconds > STALE:
            return f"has given no sign for {seconds:.0f} s"
        try:
            down = _DOWN.search(path.read_text("utf-8")) is not None
        except OSError:
            return "has given no sign"
        return "waits for its database" if down else ""

    def _room(self) -> list[str]:
        if not self.config.journal_url.startswith("sqlite"):
            return []
        free = shutil.disk_usage(self.config.data_dir).free
        low = free < self.config.disk_reserve_mb << 20
        return ["the disk is below disk_reserve_mb: no message is answered"] if low else []


def web_answer(config: Config, host: str, port: int) -> str:
    """Ask the web side of this node whether it is ready; return why not, nothing when it is."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection: http.client.HTTPConnection
    if config.console.tls is None:
        connection = http.client.HTTPConnection(here, port, timeout=_PATIENCE)
    else:  # its own certificate names another host than this address; nothing secret is sent or believed
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(here, port, timeout=_PATIENCE, context=context)
    try:
        connection.request("GET", "/health/ready")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return _SILENT
    finally:
        connection.close()
    return "" if status == 200 else "waits for its database"
