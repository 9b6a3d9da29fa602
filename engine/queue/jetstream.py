"""The queue of many machines: NATS JetStream says which worker has which partition of the lanes.

In: the number of lanes, who this is. Out: lanes, rings and turns of one process. All workers tell each other
twice a second that they are there; nobody asks for more than his fair share, so that the broker, which gives
a partition to whoever asks first, spreads them evenly. A worker goes on with what it was given until it has
given it back or the store says that another has taken it: a broker that dies, or is out of reach, stops
nobody, and a worker that hears no rings looks at the journal as one box does. A turn has no such judge, so it
ends by our own clock before the broker can give it away.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import zlib
from collections.abc import Collection, Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from engine.kernel.queue_settings import QueueSettings
from engine.queue.broker import ApiError, Broker
from engine.queue.pins import Pin
from engine.queue.streams import ensure_consumer, ensure_stream, partition_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg

__all__ = ["JetStreamQueue"]

SWEEP = 0.5  # seconds after which a worker looks at the journal though nobody rang
_HERE = 0.5  # seconds between the words by which workers know of each other
_MOMENT = 0.05
_GONE = 2.0  # seconds after which one who said nothing is not counted any more


class JetStreamQueue:
    """Lanes and turns of one process; `lanes` 0: it asks for turns only. `had`: lanes that the store says are
    this name's: its process died, and goes on with them before the broker knows of it.
    """

    def __init__(self, settings: QueueSettings, name: str, lanes: int = 0, had: Collection[int] = ()) -> None:
        self.name = name
        self._lanes_all, self._partitions = lanes, min(settings.partitions, lanes)
        self._given: frozenset[int] = frozenset()
        self._bell = threading.Event()
        self._pins: dict[str, Pin] = {}
        self._turns: dict[str, Pin] = {}
        self._giving: list[Pin] = []
        self._kept = self._whole(had)  # partitions that are ours until another takes them, or we give them
        self._others: dict[str, float] = {}
        self._inbox = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._broker = Broker(settings, name, self._live)
        self._changed()
        self._broker.start()

    def _whole(self, had: Collection[int]) -> set[str]:
        """Return the partitions of which all lanes are there."""
        left = {partition_of(n, self._partitions) for n in range(self._lanes_all) if n not in had}
        return {partition_of(n, self._partitions) for n in had} - left

    # -- the process's side -------------------------------------------------

    def lanes(self) -> frozenset[int]:
        if self._giving:  # who asks is between two transactions, and hears now that these are not his
            giving, self._giving = self._giving, []
            self._broker.soon(lambda: self._spawn(_give(giving)))
        return self._given

    def wait(self, seconds: float, idle: bool = False) -> None:
        if idle and self._broker.connected:
            seconds = max(seconds, SWEEP)
        self._bell.wait(seconds)
        self._bell.clear()

    def lost(self, lanes: Iterable[int]) -> None:
        self._given = self._given - frozenset(lanes)
        names = {partition_of(lane, self._partitions) for lane in lanes}

        def forget() -> None:
            self._kept -= names
            for name in names & self._pins.keys():
                self._pins[name].forget()
            self._changed()

        self._broker.soon(forget)

    def turn(self, name: str) -> bool:
        pin = self._turns.get(name)
        if pin is None:
            self._broker.soon(lambda: self._ask_turn(name))
            return False
        return bool(pin.id) and time.monotonic() < pin.sure_until

    def close(self) -> None:
        self._given = frozenset()
        done = threading.Event()
        if self._broker.connected and self._broker.soon(lambda: self._spawn(self._leave(done))):
            done.wait(2)
        self._broker.close()

    # -- the broker's side --------------------------------------------------

    async def _live(self, broker: Broker) -> None:
        assert broker.client is not None
        self._inbox = broker.client.new_inbox()
        await broker.client.subscribe(f"{self._inbox}.*.*", cb=self._take)
        await broker.client.subscribe(self._here, cb=self._heard)
        await self._hello()
        names = [f"lane-{n}" for n in range(self._partitions)]
        while True:
            try:
                await ensure_stream(broker)
                for name in names:
                    await ensure_consumer(broker, name)
                break
            except ApiError as e:
                broker.tell(f"the stream {broker.settings.stream} cannot be used ({e})")
                await asyncio.sleep(0.5)
        broker.tell("")
        for name in names:
            self._pins[name] = self._begin(name)
        while True:
            self._balance()
            await asyncio.sleep(_HERE)
            await self._hello()

    @property
    def _here(self) -> str:
        return f"{self._broker.settings.stream}.here"

    def _begin(self, name: str) -> Pin:
        pin = Pin(self._broker, name, self._inbox, self._changed, self._bell.set)
        self._spawn(pin.live())
        return pin

    def _spawn(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, message: Msg) -> None:
        words = message.subject.split(".")
        name = words[-1] if words[-2] == "ring" else words[-2]
        pin = self._pins.get(name) or self._turns.get(name)
        if pin is not None:
            pin.take(message)

    async def _hello(self, leaving: bool = False) -> None:
        if self._partitions:
            said = {"name": self.name, "leaving": leaving}
            await self._broker.publish(self._here, json.dumps(said).encode())

    async def _heard(self, message: Msg) -> None:
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(message.data)
            if said["name"] == self.name:
                return
            new = said["name"] not in self._others
            if said["leaving"]:
                self._others.pop(said["name"], None)
            else:
                self._others[said["name"]] = time.monotonic()
            if (new or said["leaving"]) and self._pins:
                self._balance()

    def _balance(self) -> None:
        """Ask for more where this worker has less than its share, and give back what is above it."""
        if not self._pins:
            return
        now = time.monotonic()
        self._others = {name: at for name, at in self._others.items() if now - at < _GONE}
        share = -(-len(self._pins) // (1 + len(self._others)))
        held = sorted((pin for pin in self._pins.values() if pin.id), key=lambda pin: pin.won_at)
        surplus = held[share:] if self._broker.connected else []
        more = len(held) < share
        for pin in self._pins.values():
            pin.want((bool(pin.id) and pin not in surplus) or (more and not pin.id))
        if surplus:
            self._giving = surplus
            self._kept -= {pin.name for pin in surplus}
        self._changed()

    def _changed(self) -> None:
        """Say which lanes are ours, and wake the worker."""
        self._kept |= {name for name, pin in self._pins.items() if pin.id and pin.wanted}
        given = frozenset(
            n for n in range(self._lanes_all) if partition_of(n, self._partitions) in self._kept
        )
        if given != self._given:
            self._given = given
            self._bell.set()

    def _ask_turn(self, name: str) -> None:
        if name in self._turns or not self._inbox:
            return
        safe = re.sub(r"[^A-Za-z0-9_-]", "-", name)
        if safe != name:
            safe += f"-{zlib.crc32(name.encode()):08x}"
        self._turns[name] = pin = self._begin(f"turn-{safe}")
        self._turns[pin.name] = pin  # as answers name it
        pin.want(True)

    async def _leave(self, done: threading.Event) -> None:
        """Give everything back and say good-bye."""
        await self._hello(leaving=True)
        await asyncio.sleep(_MOMENT)  # others ask for it now
        pins = {*self._pins.values(), *self._turns.values()}
        self._kept.clear()
        await _give(pins)
        done.set()


async def _give(pins: Iterable[Pin]) -> None:
    await asyncio.gather(*(pin.give() for pin in pins))
