"""The web side of the hub, one process: status page, health, metrics, the FHIR endpoint, the change feed and
DICOMweb.

In: HTTP. Out: pages and JSON. Store calls run in threads. `/fhir`, `/feed` and `/dicomweb` ask for a token
and record every access before they answer. Nothing is logged of a request: addresses and query strings may
hold identifiers.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from engine.channels.definition import Channel
from engine.channels.node.opening import Imaging
from engine.channels.opening import open_journal, open_staff, open_store
from engine.channels.profiling.watch import Watch as SenderWatch
from engine.channels.sharing import open_queue
from engine.channels.spans import traced_journal
from engine.console.callers import Callers
from engine.console.desk import Desk, outcome_reply, problem
from engine.console.dicomweb import DicomWeb, add_dicomweb
from engine.console.dicomweb_open import open_dicomweb
from engine.console.door import Door, Seats
from engine.console.endpoint import Endpoint
from engine.console.exchange import Ask, Reply
from engine.console.figures import Gauge
from engine.console.guard import Guard
from engine.console.hub import Hub
from engine.console.issuers import Issuers
from engine.console.open_pages import add_open_pages
from engine.console.providers import Web
from engine.console.recorder import Recorder
from engine.console.rendering import Rendering
from engine.console.seats import StaffSeats
from engine.console.site import add_pages
from engine.console.subscriptions import SubscriptionDesk
from engine.console.terminology import TerminologyDesk
from engine.console.tokens import Tokens
from engine.console.watching import Watching, watching
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.queue.protocol import WorkQueue
from engine.security.keys import Keyring
from engine.staff.staff import Staff
from engine.store.sql import SqlStore

__all__ = ["create_app", "run_console", "tls_settings"]


_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_FORM = "application/x-www-form-urlencoded"
_MOST_FORM, _MOST_PAIRS = 65_536, 100
_MOST_BODY = 1 << 20  # of an operation: a ValueSet may come with it
_LOOK_AGAIN = 0.2  # seconds between looks of a caller who waits for changes
_WAITING = 200  # callers who may wait at one time; others are answered at once


def create_app(
    config: Config,
    keyring: Keyring,
    store: SqlStore,
    gauge: Gauge,
    token: str,
    stopping: Callable[[], bool] = lambda: False,
    dicomweb: DicomWeb | None = None,
    console: tuple[Hub, Seats] | None = None,
) -> Guard:
    """Make the ASGI application; `token` is the text of the token file. Without `console` there are no pages
    for people."""
    tokens, recorder = Tokens.read(token), Recorder(store.audit)
    callers = Callers(tokens, console[0].staff if console is not None else None, _issuers(config))
    staff = console[0].staff if console is not None else None
    subscribing = SubscriptionDesk(store, staff.subscriptions, config.subscriptions) if staff else None
    endpoint = Endpoint(
        store, keyring, config.hub, TerminologyDesk(config), bool(config.console.issuers), subscribing
    )
    desk = Desk(store, callers, endpoint, recorder)
    app = FastAPI(title=config.hub, docs_url=None, redoc_url=None, openapi_url=None)
    guard = Guard(app)
    add_open_pages(app, config, gauge, tokens, guard)
    if dicomweb is not None:
        add_dicomweb(app, dicomweb, callers, recorder, config.console.proxy)
    if console is not None:
        hub, seats = console
        add_pages(Door(app, hub, seats, Rendering(hub)), stopping)
    waiting = 0

    @app.api_route("/fhir", methods=_METHODS)
    @app.api_route("/fhir/{path:path}", methods=_METHODS)
    async def fhir(request: Request, path: str = "") -> Response:
        ask = await _ask(request, tuple(p for p in path.split("/") if p), config.console.proxy)
        who = request.headers.get("authorization", "")
        return _response(await run_in_threadpool(desk.fhir, ask, who, _peer(request)))

    @app.get("/feed")
    async def feed(request: Request) -> Response:
        nonlocal waiting
        ask = await _ask(request, (), config.console.proxy)
        who = request.headers.get("authorization", "")
        loop = asyncio.get_running_loop()
        end = loop.time() + (_seconds(ask) if waiting < _WAITING else 0)
        waiting += 1
        try:
            while True:
                last = loop.time() >= end or stopping() or await request.is_disconnected()
                reply = await run_in_threadpool(desk.feed, ask, who, _peer(request), last)
                if reply is not None:
                    return _response(reply)
                await asyncio.sleep(min(_LOOK_AGAIN, max(0.0, end - loop.time())))
        finally:
            waiting -= 1

    @app.exception_handler(HTTPException)
    async def no_such_page(request: Request, e: Exception) -> Response:
        status = e.status_code if isinstance(e, HTTPException) else 500
        text = "the request is too long" if status == 413 else "there is nothing here, or not by this method"
        shape = outcome_reply if request.url.path.startswith("/fhir") else problem
        return _response(shape(status, text, {}))

    return guard


def _issuers(config: Config) -> Issuers | None:
    """Return the issuers whose access tokens are believed; none where none is set."""
    settings = config.console.issuers
    return Issuers(settings, config.root, Web(config.profile == "production")) if settings else None


async def _ask(request: Request, path: tuple[str, ...], proxy: str = "") -> Ask:
    query = _pairs(request.scope["query_string"].decode("latin-1"))
    form, body = None, b""
    is_form = request.headers.get("content-type", "").partition(";")[0].strip() == _FORM
    sends = (path and path[-1].startswith("$")) or (path[:1] == ("Subscription",) and not is_form)
    if (request.method == "POST" and (is_form or sends)) or (request.method == "PUT" and sends):
        async for part in request.stream():
            body += part
            if len(body) > (_MOST_FORM if is_form else _MOST_BODY):
                raise HTTPException(413)
        if is_form:
            form, body = _pairs(body.decode("utf-8", "replace")), b""
    base = (proxy or str(request.base_url)).rstrip("/") + "/fhir"
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Ask(request.method, path, query, headers, form, body, base)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PAIRS))
    except ValueError:
        raise HTTPException(413) from None


def _seconds(ask: Ask) -> float:
    text = dict(ask.query).get("wait", "")
    return min(float(text), 30.0) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _response(reply: Reply) -> Response:
    headers = {"Content-Type": reply.media, **reply.headers} if reply.status != 304 else reply.headers
    return Response(reply.body, reply.status, headers)


class _Server(uvicorn.Server):
    """Says when the port is open."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._ready("")


def run_console(
    config: Config,
    keyring: Keyring,
    channels: Sequence[Channel],
    host: str,
    port: int,
    token: str,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM; `ready("")` is called once the port is open. Raises HubError."""
    listening = _listen(host, port)
    journal: SqlJournal | None = None
    store: SqlStore | None = None
    staff: Staff | None = None
    looking: Watching | None = None
    imaging: Imaging | None = None
    learning: SenderWatch | None = None
    queue: WorkQueue | None = None
    try:
        journal = traced_journal(config, "console", open_journal(config, keyring))
        store = open_store(config, keyring)
        staff = open_staff(config, keyring)
        looking = watching(config, keyring, journal, store, staff, channels)
        queue = open_queue(config, "console")
        turn = queue.turn
        looking.watch.start(lambda: turn("alarms"))
        server: list[_Server] = []
        web, imaging = open_dicomweb(config, keyring, channels, journal)
        hub = Hub(config, keyring, journal, store, staff, looking.gauge, channels, imaging)
        hub.rates = looking.rates
        learning = SenderWatch(journal, staff.senders, hub.maps, hub.channels, config.senders)
        learning.start(lambda: turn("senders"))
        app = create_app(
            config,
            keyring,
            store,
            looking.gauge,
            token,
            lambda: bool(server) and server[0].should_exit,
            web,
            (hub, StaffSeats(staff)),
        )
        settings: dict[str, Any] = {
            "access_log": False,  # it would hold query strings
            "log_config": None,
            "server_header": False,
            "proxy_headers": False,
            "lifespan": "off",
            "timeout_graceful_shutdown": 5,
            "limit_concurrency": 500,
        }
        settings |= tls_settings(config)
        server.append(_Server(uvicorn.Config(app, **settings), ready))
        signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when it has stopped
        server[0].run(sockets=[listening])
    finally:
        listening.close()
        for one in (queue, learning, looking, imaging, staff, store, journal):
            if one is not None:
                one.close()


def tls_settings(config: Config) -> dict[str, Any]:
    """Return uvicorn's settings for TLS, none without it. Raises ConfigError where a file cannot be used."""
    tls = config.console.tls
    if tls is None:
        return {}
    certificate, key = config.below_root(tls.certificate), config.below_root(tls.key)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as e:
        raise ConfigError(
            "the certificate or key of the web side cannot be used",
            where=config.at("console.tls"),
            why="it is no PEM file, or they do not fit" if isinstance(e, ssl.SSLError) else e.strerror or "",
        ) from None
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with its protocol named, asyncio switches Nagle's wait off: it cost 40 ms an answer
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as e:
        listening.close()
        raise ConfigError(
            f"port {port} on {host} cannot be opened",
            where="console: listen: in config.yaml",
            why=(e.strerror or "").lower(),
            remedy="set another port there, or stop what uses it",
        ) from None
    return listening
