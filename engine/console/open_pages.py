"""The routes without patient data: `/status`, `/status.json`, `/healthz`, `/health/live`,
`/health/ready`, `/metrics`, our public keys, and files.

In: requests. Out: HTML, JSON, Prometheus text. From this machine they need no token; from elsewhere they do
(bearer, or as the password a browser asks for), except that `/healthz` and
`/health/...` always say whether all is well, without the reasons; public keys are for everybody.
"""

from __future__ import annotations

import ipaddress
import re
import shutil
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from engine.channels.sharing import shared
from engine.console import exposition
from engine.console.figures import Figures, Gauge
from engine.console.guard import Guard
from engine.console.health import Health, health
from engine.console.status import facts, page
from engine.console.tokens import Tokens
from engine.fhir import jsonio
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.signing import FILE, SigningKeys

__all__ = ["JWKS", "add_open_pages", "is_local"]

JWKS = "/.well-known/jwks.json"
_JWKS_MEDIA = "application/jwk-set+json"

_FILE = re.compile(r"[A-Za-z0-9_-]+\.[a-z]+")

_MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def is_local(request: Request) -> bool:
    """Say whether somebody on this machine asks, by an address of this machine, and not through a proxy."""
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    host = request.url.hostname or ""  # a page elsewhere whose name points here has another host name
    return _loopback(request.client.host) and (host == "localhost" or _loopback(host))


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _json(value: Any, status: int = 200) -> Response:
    return Response(jsonio.dumps_pretty(value), status, media_type="application/json")


def add_open_pages(app: FastAPI, config: Config, gauge: Gauge, tokens: Tokens, guard: Guard) -> None:
    """Add the routes to an application."""

    def allowed(request: Request) -> bool:
        # Behind a proxy everybody comes from its address: nobody is taken for somebody on this machine.
        return (not config.console.proxy and is_local(request)) or tokens.who(
            request.headers.get("authorization", ""), basic=True
        ) is not None

    def challenge() -> Response:
        wanted = {"WWW-Authenticate": 'Basic realm="hub: any name, the token as password", charset="UTF-8"'}
        return Response("A token is needed from elsewhere than this machine.\n", 401, wanted, "text/plain")

    def look() -> tuple[Figures | None, Health]:
        found = health(config, gauge)
        try:
            return gauge.now(), found
        except HubError:
            return None, found  # `found` holds the reason

    @app.get("/status")
    async def status_page(request: Request) -> Response:
        if not allowed(request):
            return challenge()
        figures, found = await run_in_threadpool(look)
        web = config.console.proxy.rstrip("/") or str(request.base_url).rstrip("/")
        return Response(page(config, figures, found, web), media_type="text/html; charset=utf-8")

    @app.get("/status.json")
    async def status_json(request: Request) -> Response:
        if not allowed(request):
            return challenge()
        figures, found = await run_in_threadpool(look)
        return _json(facts(config, figures, found))

    @app.get("/healthz")
    async def healthz(request: Request) -> Response:
        _, found = await run_in_threadpool(look)
        told: dict[str, Any] = {"status": "ok" if found.ok else "trouble"}
        if allowed(request):
            told |= {"reasons": list(found.reasons), **found.facts}
        return _json(told, 200 if found.ok else 503)

    @app.get("/health/live")
    async def live() -> Response:
        return _json({"status": "ok"})

    @app.get("/health/ready")
    async def ready() -> Response:
        """Answer for the web side alone; /healthz is about the whole hub."""

        def databases() -> bool:
            try:
                gauge.now()
            except HubError:
                return False
            return True

        answer = await run_in_threadpool(databases)
        return _json({"status": "ok" if answer else "trouble"}, 200 if answer else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        if not allowed(request):
            return challenge()
        own = guard.counts.text()

        def text() -> str:
            texts, alive = exposition.read_files(config.metrics_dir)
            figures, _ = look()
            free = shutil.disk_usage(config.data_dir).free
            texts["console"] = own + exposition.backlog(figures, alive, free).text()
            return exposition.merged(texts, config.node_name if shared(config) else "")

        return Response(await run_in_threadpool(text), headers={"Content-Type": exposition.MEDIA})

    @app.get(JWKS)
    async def jwks() -> Response:
        keys = await run_in_threadpool(SigningKeys(config.data_dir / FILE).public)
        return Response(jsonio.dumps(keys), headers={"Cache-Control": "max-age=3600"}, media_type=_JWKS_MEDIA)

    @app.get("/static/{name}")
    async def static(name: str, v: str = "") -> Response:
        media = _MEDIA.get(name[name.rfind(".") :])
        if media is None or not _FILE.fullmatch(name):
            return Response("There is no such file.\n", 404, media_type="text/plain")
        try:
            body = files("engine.console").joinpath("static", name).read_bytes()
        except OSError:
            return Response("There is no such file.\n", 404, media_type="text/plain")
        # an address with a version names these bytes for ever
        kept = "public, max-age=31536000, immutable" if v else "no-cache"
        return Response(body, headers={"Cache-Control": kept}, media_type=media)
