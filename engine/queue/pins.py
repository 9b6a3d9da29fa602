"""One partition, or one turn, as this process sees it: whether it wants it, whether it has it, and
until when.

In: whether it is wanted; what the broker answers. Out: pulls, one a second, with the id of our pin while
we have one (ADR-42: header `Nats-Pin-Id`; status 423 where another is pinned). A process that wants what
it does not have knocks: a pin is given with a message only, and nobody may have rung for hours.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from engine.queue.broker import ApiError, Broker
from engine.queue.streams import GROUP, TTL, ensure_consumer, ensure_stream, subject_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg

__all__ = ["Pin"]

EXPIRES = 1.0  # seconds a pull waits for rings
_HEARTBEAT = 0.4
_BATCH = 64  # rings a pull takes at most


class Pin:
    """One consumer; lives in the broker's thread. `changed` is called when it is won or lost, `rang` for
    every ring."""

    def __init__(
        self, broker: Broker, name: str, inbox: str, changed: Callable[[], None], rang: Callable[[], None]
    ) -> None:
        self.name, self.id = name, ""
        self.wanted = False
        self.won_at = 0.0
        self.sure_until = 0.0  # by our clock: nobody else can have been pinned before
        self._broker, self._inbox, self._changed, self._rang = broker, inbox, changed, rang
        self._subject = subject_of(broker.settings, name)
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{broker.settings.stream}.{name}"
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._woken = asyncio.Event()
        self._giving: asyncio.Future[None] | None = None
        self._number = 0

    def want(self, on: bool) -> None:
        """Ask for it from now on, or no more."""
        if on != self.wanted:
            self.wanted = on
            self._woken.set()

    def forget(self) -> None:
        """Have it no more; whoever asks is given it anew."""
        if self.id:
            self.id, self.sure_until = "", 0.0
            self._changed()

    def take(self, message: Msg) -> None:
        """Take what came to our inbox."""
        self._arrived.put_nowait(message)

    async def give(self) -> None:
        """Give it back, so that the next who asks has it at once."""
        self.wanted = False
        if self.id:
            self.forget()
            with suppress(ApiError):
                stream = self._broker.settings.stream
                await self._broker.ask(f"CONSUMER.UNPIN.{stream}.{self.name}", {"group": GROUP})
                await self._knock()  # whoever waits for it has it now

    async def live(self) -> None:
        """Ask for it while it is wanted."""
        while True:
            if not self.wanted:
                self._woken.clear()
                await self._woken.wait()
                continue
            if not self._broker.connected:
                await asyncio.sleep(0.1)
                continue
            had = self.id
            if await self._pull():
                await asyncio.sleep(0.3)
                with suppress(ApiError):
                    await ensure_stream(self._broker)
                    await ensure_consumer(self._broker, self.name)
            elif not self.id and not had and self.wanted:
                await self._knock()

    async def _knock(self) -> None:
        await self._broker.publish(self._subject)

    async def _pull(self) -> bool:
        """Pull once and take what comes; returns whether the consumer was not there."""
        sent = time.monotonic()
        self._number += 1
        mine = f"{self._inbox}.{self.name}.{self._number}"
        body: dict[str, object] = {
            "batch": _BATCH,
            "expires": int(EXPIRES * 1e9),
            "idle_heartbeat": int(_HEARTBEAT * 1e9),
            "group": GROUP,
        }
        if self.id:
            body["id"] = self.id
        await self._broker.publish(self._next, json.dumps(body).encode(), reply=mine)
        taken = 0
        while taken < _BATCH:
            try:
                message = await asyncio.wait_for(self._arrived.get(), EXPIRES + 0.5)
            except TimeoutError:
                return False  # cut off, or the servers choose a leader: what we have stays ours till we hear
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                taken += 1
                self._ring(headers.get("Nats-Pin-Id", ""), sent)
            elif message.subject != mine:
                continue  # of a pull that we gave up
            elif status == "100":
                self._sure(sent)
            elif status == "408":
                self._sure(sent)
                return False
            else:
                if status == "423":
                    self.forget()
                    return False
                return True
        return False

    def _ring(self, id: str, sent: float) -> None:
        if id and id != self.id:
            self.id, self.won_at = id, time.monotonic()
            if self.wanted:
                self._changed()
            else:  # it came after we had stopped asking
                self._giving = asyncio.ensure_future(self.give())
        self._sure(sent)
        self._rang()

    def _sure(self, sent: float) -> None:
        if self.id:
            self.sure_until = sent + TTL - 0.5
