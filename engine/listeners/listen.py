"""The listener process: every MLLP and HTTP channel of the hub in one Twisted reactor, until told to stop.

In: the channels, a way to open the journal (each process opens its own), and where to write its metrics. Out:
nothing but what the journal holds; `ready` is called with the addresses once all of them are open. SIGTERM
and SIGINT stop it gracefully: no new connections, everything taken is answered, then it ends. The supervisor
starts it in a process of its own, because a Twisted reactor runs once in a process.
"""

from __future__ import annotations

import gc
import logging
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from engine.listeners.ack_rules import Strict
from engine.listeners.http_port import HttpPort
from engine.listeners.http_settings import HttpChannel
from engine.listeners.intake import Appends, Budget, Intake
from engine.listeners.metrics import Metrics
from engine.listeners.mllp import MllpPort
from engine.listeners.mllp_settings import MllpChannel
from engine.listeners.validating import standard

__all__ = ["ListenSettings", "Listening", "run"]

log = logging.getLogger(__name__)


class ListenSettings(BaseModel):
    """What holds for every listener of this process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: str = Field(
        default="listeners",
        description="Name of the process; its metrics file is called so.",
        examples=["listeners"],
    )
    metrics: Path | None = Field(
        default=None,
        description="Folder of the metrics files. Empty: none is written.",
        examples=["var/metrics"],
    )
    metrics_seconds: float = Field(
        default=5, gt=0, description="How often the metrics file is replaced.", examples=[5]
    )
    journal_disk: Path | None = Field(
        default=None, description="A folder on the disk of the journal.", examples=["var"]
    )
    disk_reserve_bytes: int = Field(
        default=512 << 20,
        ge=0,
        description="Below this much free space on the journal's disk no message is answered: "
        "senders keep it and send again.",
        examples=[536_870_912],
    )
    stop_seconds: float = Field(
        default=10,
        ge=0,
        description="How long a stop waits for frames that were begun, and for answers to be read.",
        examples=[10],
    )


class Listening:
    """All ports of one process on one reactor; `run` is this with a process around it."""

    def __init__(
        self,
        settings: ListenSettings,
        channels: Sequence[MllpChannel | HttpChannel],
        journal: Appends,
        reactor: Any,
        strict: Strict | None = None,
        conceal: Callable[[str], str] | None = None,
    ) -> None:
        self.metrics = Metrics()
        self._settings = settings
        self._reactor = reactor
        self._room: tuple[float, bool] = (-1e9, True)
        self.intake = Intake(
            journal,
            lambda flush: reactor.callLater(0, flush),
            self.metrics,
            time.monotonic,
            room_on_disk=self._room_on_disk,
        )
        budget = Budget()
        given = (self.intake, self.metrics, reactor.seconds, budget, strict, conceal)
        self.ports: list[MllpPort | HttpPort] = [
            HttpPort(c, *given) if isinstance(c, HttpChannel) else MllpPort(c, *given) for c in channels
        ]

    def start(self) -> list[str]:
        """Open every port and return their addresses, in the order of the channels. Raises ConfigError."""
        addresses = []
        try:
            for port in self.ports:
                addresses.append(port.listen(self._reactor))
        except BaseException:
            self.stop()
            raise
        self._tick()
        self._write_metrics()
        return addresses

    def stop(self) -> Any:
        """Stop every port; the result (a Deferred) comes when the last connection is closed."""
        from twisted.internet import defer

        late = self._reactor.callLater(self._settings.stop_seconds, self._abandon)

        def done(result: Any) -> Any:
            if late.active():
                late.cancel()
            return result

        return defer.DeferredList([port.stop() for port in self.ports]).addBoth(done)

    def _abandon(self) -> None:
        for port in self.ports:
            port.abandon()

    def _tick(self) -> None:
        if all(port.stopping for port in self.ports):
            return
        self._reactor.callLater(1, self._tick)
        for port in self.ports:
            port.sweep()

    def _write_metrics(self) -> None:
        if self._settings.metrics is None:
            return
        self._reactor.callLater(self._settings.metrics_seconds, self._write_metrics)
        try:
            self.metrics.write(self._settings.metrics / f"{self._settings.process}.prom")
        except OSError as e:
            log.error("the metrics file cannot be written: %s", e.strerror)

    def _room_on_disk(self) -> bool:
        if self._settings.journal_disk is None or not self._settings.disk_reserve_bytes:
            return True
        now = time.monotonic()
        if now - self._room[0] > 1:
            free = shutil.disk_usage(self._settings.journal_disk).free
            self._room = (now, free >= self._settings.disk_reserve_bytes)
        return self._room[1]


def run(
    settings: ListenSettings,
    channels: Sequence[MllpChannel | HttpChannel],
    open_journal: Callable[[], Appends],
    *,
    ready: Callable[[list[str]], None] = lambda addresses: None,
    strict: Strict | None = None,
    conceal: Callable[[str], str] | None = None,
) -> None:
    """Listen for these channels until SIGTERM or SIGINT. Raises ConfigError before anything is answered.

    `conceal` makes the words that stand for a sender whose name may hold patient data.
    """
    from twisted.internet import reactor

    _raise_file_limit()
    journal = open_journal()
    try:
        if any(channel.rules.strict for channel in channels):
            strict = strict or _standard()
        listening = Listening(settings, channels, journal, reactor, strict, conceal)
        addresses = listening.start()
        reactor.addSystemEventTrigger("before", "shutdown", listening.stop)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked at again
        reactor.callWhenRunning(ready, addresses)
        reactor.run()
    finally:
        close = getattr(journal, "close", None)
        if close is not None:
            close()


def _standard() -> Strict:
    """Load the strict validator, which takes a second, only where a channel asks for it."""
    return standard()


def _raise_file_limit() -> None:
    """Allow as many connections as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
