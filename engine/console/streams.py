"""Server-sent events: a part of a page that follows what happens.

In: a function that renders the part. Out: a stream that sends it when it has changed, for as long as the
session lasts; an open page does not keep a session alive.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from engine.console.visit import Visit
from engine.kernel.errors import HubError, place_of

if TYPE_CHECKING:
    from engine.console.door import Door

__all__ = ["add_stream"]

log = logging.getLogger("hub.console")

_EVERY = 2.0  # seconds between looks
_STREAMS, _MINE = 100, 8  # at one time, of everybody and of one person
_SILENT = 15  # looks without news before a comment tells proxies that all is well
_BROKEN = "look:broken"


def add_stream(
    door: Door, path: str, needs: str, look: Callable[[Visit], str], stopping: Callable[[], bool]
) -> None:
    """Add the route."""
    open_now: Counter[str] = Counter()

    def seen(request: Request) -> str | None:
        """Return the part; None where the session is over."""
        seat = door.seat(request, stirs=False)
        if seat is None or not seat.person.may(needs):
            return None
        try:
            return look(door.visit(request, seat))
        except HubError as e:
            log.warning("%s", e.what)
            return _BROKEN
        except Exception as e:
            log.error("internal error %s", place_of(e))
            return _BROKEN

    async def parts(request: Request, who: str) -> AsyncIterator[str]:
        open_now[who] += 1
        try:
            before, silent = "", 0
            while not stopping() and not await request.is_disconnected():
                part = await run_in_threadpool(seen, request)
                if part is None:
                    yield "event: end\ndata: signed out\n\n"
                    return
                if part not in (before, _BROKEN):
                    before, silent = part, 0
                    lines = "".join(f"data: {line}\n" for line in part.splitlines())
                    yield f"event: part\n{lines}\n"
                elif (silent := silent + 1) >= _SILENT:
                    silent = 0
                    yield ": all is well\n\n"
                await asyncio.sleep(_EVERY)
        finally:
            open_now[who] -= 1
            if not open_now[who]:
                del open_now[who]

    async def stream(request: Request) -> Response:
        seat = await run_in_threadpool(door.seat, request, False)
        if seat is None:
            return Response("Nobody is signed in.\n", 401, media_type="text/plain")
        if not seat.person.may(needs):
            return Response("Your roles do not let you see this.\n", 403, media_type="text/plain")
        who = seat.person.name
        if open_now[who] >= _MINE or open_now.total() >= _STREAMS:
            return Response("Too many open pages.\n", 503, {"Retry-After": "30"}, "text/plain")
        return StreamingResponse(parts(request, who), media_type="text/event-stream")

    stream.needs = needs  # type: ignore[attr-defined]
    door.app.add_api_route(path, stream, methods=["GET"], operation_id=f"get {path}", include_in_schema=False)
