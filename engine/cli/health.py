"""The health process of `hub serve`: /health/live, /health/ready and /metrics of this node, where asked for.

In: the addresses of `health:`, a judge of the roles, the metrics files. Out: 200 or 503 with the reasons as
JSON, Prometheus text. It is a process of its own, so that what it says of the others does not hang with them;
it is the last to stop. From elsewhere than this machine reasons and metrics need a token.
"""

from __future__ import annotations

import ipaddress
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from engine.channels.restarts import bind
from engine.channels.sharing import shared
from engine.cli.board import READY, Board
from engine.cli.nodehealth import NodeHealth, role_of
from engine.console.exposition import MEDIA, merged, read_files
from engine.console.tokens import Tokens
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.listeners.metrics import Metrics

__all__ = ["HealthPort", "run_health", "tls_of"]

_AT_ONCE = 32  # callers; more wait at the door
_PATIENCE = 5.0  # seconds a caller has to say what he wants


class HealthPort(ThreadingHTTPServer):
    """One address, answering for some roles."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        listening: socket.socket,
        roles: tuple[str, ...],
        judge: NodeHealth,
        tokens: Tokens,
        config: Config,
    ) -> None:
        self.address_family = listening.family
        super().__init__(listening.getsockname()[:2], _Asked, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = listening.getsockname()[:2]
        self.roles, self.judge, self.tokens, self.config = roles, judge, tokens, config
        self._seats = threading.BoundedSemaphore(_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, only so many at one time."""
        if not self._seats.acquire(timeout=_PATIENCE):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one caller."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._seats.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who hangs up is nobody's trouble."""

    def metrics(self) -> str:
        """Return the metrics of these roles' processes on this node."""
        texts, _ = read_files(self.config.metrics_dir)
        mine = {name: text for name, text in texts.items() if role_of(name) in self.roles}
        mine["health"] = _own(self.judge.board, self.roles)
        return merged(mine, self.config.node_name if shared(self.config) else "")


class _Asked(BaseHTTPRequestHandler):
    server: HealthPort
    timeout = _PATIENCE
    server_version, sys_version = "hub", ""

    def setup(self) -> None:
        """Bound what a caller may take, the handshake with it."""
        self.request.settimeout(_PATIENCE)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        judge, roles = self.server.judge, self.server.roles
        if path in ("/health/live", "/health/ready"):
            reasons = judge.live(roles) if path.endswith("live") else judge.ready(roles)
            told: dict[str, Any] = {"status": "ok" if not reasons else "trouble"}
            if self._known():
                told |= {"roles": list(roles), "reasons": reasons}
            self._say(503 if reasons else 200, orjson.dumps(told), "application/json")
        elif path == "/metrics" and not self._known():
            self._say(401, b"A token is needed from elsewhere than this machine.\n", "text/plain")
        elif path == "/metrics":
            self._say(200, self.server.metrics().encode(), MEDIA)
        else:
            self._say(404, b"There is nothing here.\n", "text/plain")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged of a request."""

    def _known(self) -> bool:
        passed_on = "x-forwarded-for" in self.headers or "forwarded" in self.headers
        if ipaddress.ip_address(self.client_address[0]).is_loopback and not passed_on:
            return True
        return self.server.tokens.who(self.headers.get("authorization", ""), basic=True) is not None

    def _say(self, status: int, body: bytes, media: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def run_health(
    config: Config,
    judge: NodeHealth,
    parts: tuple[str, ...],
    token: str,
    ready: Callable[[str], None],
) -> None:
    """Answer until told to stop. Raises ConfigError where an address cannot be opened."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    tokens, context = Tokens.read(token), tls_of(config)
    ports, said = [], []
    for address, roles in config.health.addresses().items():
        mine = tuple(role for role in roles if role in parts)
        if not mine:
            continue
        host, _, number = address.rpartition(":")
        try:
            listening = bind(host.strip("[]"), int(number))
        except OSError as e:
            raise ConfigError(
                f"port {number} on {host} cannot be opened",
                where=config.at("health"),
                why=(e.strerror or "").lower(),
                remedy="set another port there, or stop what uses it",
            ) from None
        listening.listen(HealthPort.request_queue_size)
        if context is not None:
            listening = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        ports.append(HealthPort(listening, mine, judge, tokens, config))
        said.append(f"health:{','.join(mine)}={_shown(listening, context is not None)}")
    for port in ports:
        threading.Thread(target=port.serve_forever, daemon=True).start()
    ready(" ".join(said))
    stopping.wait()


def _shown(listening: socket.socket, tls: bool) -> str:
    host, port = listening.getsockname()[:2]
    return f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{port}/health/ready"


def tls_of(config: Config) -> ssl.SSLContext | None:
    """Return what these ports speak TLS with; None without it. Raises ConfigError."""
    tls = config.health.tls
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.below_root(tls.certificate), config.below_root(tls.key))
    except (OSError, ssl.SSLError) as e:
        raise ConfigError(
            "the certificate or key of the health ports cannot be used",
            where=config.at("health.tls"),
            why="it is no PEM file, or they do not fit" if isinstance(e, ssl.SSLError) else e.strerror or "",
        ) from None
    return context


def _own(board: Board, roles: tuple[str, ...]) -> str:
    """Return what the supervisor knows, as metrics."""
    metrics = Metrics()
    metrics.gauge("hub_process_ready", "1 while a process of this node runs and has begun its work.")
    for name, state in board.states().items():
        if role_of(name) in roles:
            metrics.set("hub_process_ready", state == READY, (("name", name),))
    metrics.gauge("hub_node_draining", "1 from when this node is told to stop.")
    metrics.set("hub_node_draining", board.draining)
    return metrics.text()
