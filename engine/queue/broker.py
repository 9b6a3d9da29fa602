"""A connection to NATS that nobody waits for: it lives in a thread of its own and comes back by itself.

In: where the servers are, and a coroutine to run beside the connection. Out: publishing, and requests to
JetStream's interface (docs.nats.io/reference/reference-protocols/nats_api_reference), answered within two
seconds or not at all. What the servers do, or fail to do, is said in the log once and never raised into the
process: listeners and workers go on without them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from engine.kernel.errors import ConfigError
from engine.kernel.queue_settings import QueueSettings

if TYPE_CHECKING:
    from nats.aio.client import Client

__all__ = ["ApiError", "Broker", "check_client"]

log = logging.getLogger(__name__)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each connection that TLS refuses

PATIENCE = 2.0  # seconds a request may take
_PING = 1  # seconds between pings; two that are not answered end a connection
_CLOSING = 3.0  # seconds a close may take


class ApiError(Exception):
    """JetStream refused a request, or did not answer it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_client() -> None:
    """Refuse a queue for which nothing is installed. Raises ConfigError."""
    try:
        import nats  # noqa: F401
    except ImportError:
        raise ConfigError(
            "queue: needs a NATS client, which is not installed",
            where="config.yaml",
            remedy="type pip install 'hl7-hub[nats]'",
        ) from None


class Broker:
    """One connection. `main` runs in its thread once connected, until `close`."""

    def __init__(self, settings: QueueSettings, name: str, main: Callable[[Broker], Awaitable[None]]) -> None:
        self.settings, self.name = settings, name
        self.client: Client | None = None
        self._main = main
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Say whether a server is there now, as far as we know."""
        client = self.client
        return client is not None and client.is_connected

    def soon(self, what: Callable[[], object]) -> bool:
        """Have the thread call something; returns whether there is a thread that will."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return False
        with suppress(RuntimeError):  # it was closed just now
            loop.call_soon_threadsafe(what)
            return True
        return False

    def close(self) -> None:
        """End `main` and the connection."""
        self._closing = True
        self.soon(lambda: self._task.cancel() if self._task is not None else None)
        if self._thread.is_alive():
            self._thread.join(_CLOSING)

    # -- in the thread ------------------------------------------------------

    async def publish(self, subject: str, data: bytes = b"", reply: str = "") -> None:
        """Publish without waiting for anybody; while no server is there, nothing is kept for later."""
        if self.client is not None and self.client.is_connected:
            with suppress(Exception):  # lost on the way, as any ring may be
                await self.client.publish(subject, data, reply=reply)

    async def ask(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask JetStream and return its answer. Raises ApiError."""
        assert self.client is not None
        try:
            answer = await self.client.request(
                f"$JS.API.{what}", json.dumps(body or {}).encode(), timeout=PATIENCE
            )
        except Exception as e:  # no responders, time out, connection lost
            raise ApiError(0, type(e).__name__) from None
        found: dict[str, Any] = json.loads(answer.data)
        if error := found.get("error"):
            raise ApiError(int(error.get("err_code", error.get("code", 0))), str(error.get("description")))
        return found

    def tell(self, trouble: str) -> None:
        """Log what is wrong, once until it changes; empty: all is well again."""
        if trouble != self._said:
            self._said = trouble
            if trouble:
                log.warning("queue: %s; messages are taken and worked off without it", trouble)
            else:
                log.info("queue: connected as %s", self.name)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        while not self._closing:
            try:
                await self._connect()
            except Exception as e:
                self.tell(f"no server of {self.settings.url} can be used ({type(e).__name__}: {e})")
                await asyncio.sleep(0.5)
                continue
            self.tell("")
            try:
                await self._main(self)
            finally:
                assert self.client is not None
                with suppress(Exception):
                    await asyncio.wait_for(self.client.flush(), 1)
                with suppress(Exception):
                    await asyncio.wait_for(self.client.close(), 1)
            return

    async def _connect(self) -> None:
        import nats

        async def lost() -> None:
            if not self._closing:
                self.tell("the connection is lost")

        async def back() -> None:
            self.tell("")

        async def wrong(error: Exception) -> None:
            if not (self.connected or self._said or self._closing):  # the client tries on and on
                self.tell(f"no server of {self.settings.url} can be used ({type(error).__name__}: {error})")

        s = self.settings
        options: dict[str, Any] = {}
        if s.user:
            options |= {"user": s.user, "password": s.password}
        if s.credentials:
            options["user_credentials"] = s.credentials
        if s.url.startswith("tls:") or s.authority or s.certificate:
            context = ssl.create_default_context(cafile=s.authority or None)
            if s.certificate:
                context.load_cert_chain(s.certificate, s.key or None)
            options["tls"] = context
        self.client = await nats.connect(
            s.servers,
            name=self.name,
            connect_timeout=2,
            reconnect_time_wait=0.5,
            max_reconnect_attempts=-1,
            ping_interval=_PING,
            max_outstanding_pings=2,
            pending_size=1 << 20,
            disconnected_cb=lost,
            reconnected_cb=back,
            error_cb=wrong,
            **options,
        )
