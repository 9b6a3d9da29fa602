"""Rings for workers on other machines when something has come into the journal.

In: the lanes of what was appended, and the newest number. Out: one small message for each partition of them,
from another thread. Rings of one moment are one: at most fifty a second leave a process for one partition.
Nobody waits: while no server is there, what is to be said is dropped, and workers find it by looking.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable

from engine.kernel.queue_settings import QueueSettings
from engine.queue.broker import Broker
from engine.queue.streams import partition_of, subject_of

__all__ = ["JetStreamBell"]

_PAUSE = 0.02  # seconds between rings


class JetStreamBell:
    """The bell of one process that appends."""

    def __init__(self, settings: QueueSettings, name: str) -> None:
        self._partitions = settings.partitions
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting: dict[int, int] = {}
        self._called = False
        self._last = 0.0
        self._wake: asyncio.Event | None = None
        self._broker = Broker(settings, name, self._live)
        self._broker.start()

    def ring(self, lanes: Iterable[int], newest: int) -> None:
        with self._lock:
            for lane in lanes:
                self._waiting[lane % self._partitions] = newest
            called, self._called = self._called, True
        if not called and (self._wake is None or not self._broker.soon(self._wake.set)):
            with self._lock:
                self._waiting.clear()
                self._called = False

    def close(self) -> None:
        self._broker.close()

    async def _live(self, broker: Broker) -> None:
        self._wake = asyncio.Event()
        try:
            while True:
                await self._wake.wait()
                late = self._last + _PAUSE - time.monotonic()
                if late > 0:
                    await asyncio.sleep(late)
                await self._say()
        finally:
            self._wake = None
            await self._say()

    async def _say(self) -> None:
        if self._wake is not None:
            self._wake.clear()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._called = False
        self._last = time.monotonic()
        for partition, newest in waiting.items():
            name = partition_of(partition, self._partitions)
            await self._broker.publish(subject_of(self._settings, name), b"%d" % newest)
