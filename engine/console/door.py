"""The way in to every page of the console: who is it, may they, and the audit before the answer.

In: page functions with the permission each needs. Out: routes. A page function is plain and synchronous, and
is given a `Visit`; the door finds the session, refuses who may not, checks that a form came from a page of
ours (token of the session and, where a browser says it, the origin), runs the function in a thread, writes
what was seen into the audit and only then answers: HTML, the same facts as JSON at `<path>.json`, or a part
of a page for htmx. Where the audit cannot be written nobody is shown anything.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from engine.console.answers import Answer, Goto, Refused
from engine.console.hub import Hub
from engine.console.intake import Given, read_form
from engine.console.rendering import Rendering
from engine.console.visit import Seat, Visit
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.security.access import OPEN, PERMISSIONS, PHI

__all__ = ["COOKIE", "Door", "Seats", "Way"]

log = logging.getLogger("hub.console")

COOKIE = "hub_session"
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")

PageFunction = Callable[[Visit], Answer]


class Seats(Protocol):
    """What knows sessions."""

    def seat(self, cookie: str) -> Seat | None:
        """Return whose session a cookie is, None where there is none (any more)."""


@dataclass(frozen=True, slots=True)
class Way:
    """A route of the console, for those who check them all."""

    method: str
    path: str
    needs: str
    twin: bool


class Door:
    """Adds pages to an application."""

    def __init__(self, app: FastAPI, hub: Hub, seats: Seats, rendering: Rendering) -> None:
        self.app, self.hub, self.rendering = app, hub, rendering
        self._seats = seats
        self.ways: list[Way] = []

    def get(
        self, path: str, *, needs: str, twin: bool = True, records: bool | None = None
    ) -> Callable[[PageFunction], PageFunction]:
        """Declare a page, and its JSON twin at `<path>.json`.

        `records`: whether it must note what was seen; as a rule where its permission shows patient data.
        """
        return self._way("GET", path, needs, twin, records, 0)

    def post(
        self, path: str, *, needs: str, twin: bool = False, records: bool | None = None, most: int = 1 << 20
    ) -> Callable[[PageFunction], PageFunction]:
        """Declare what a form is sent to; `most` bytes of it are read."""
        return self._way("POST", path, needs, twin, records, most)

    def _way(
        self, method: str, path: str, needs: str, twin: bool, records: bool | None, most: int
    ) -> Callable[[PageFunction], PageFunction]:
        if needs not in PERMISSIONS:
            raise ValueError(f"{method} {path} needs {needs!r}, which is no permission")
        must = needs in PHI if records is None else records

        def declared(page: PageFunction) -> PageFunction:
            for json in (False, True) if twin else (path.endswith(".json"),):
                at = path if not twin or not json else f"{path}.json"
                self._route(method, at, page, needs, json, must, most)
            self.ways.append(Way(method, path, needs, twin))
            return page

        return declared

    def _route(
        self, method: str, path: str, page: PageFunction, needs: str, json: bool, must: bool, most: int
    ) -> None:
        async def answer(request: Request) -> Response:
            return await self._answer(request, page, needs, json, must, most)

        answer.needs = needs  # type: ignore[attr-defined]
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(path)
        ]
        self.app.add_api_route(
            path,
            answer,
            methods=[method],
            name=f"{page.__module__.rpartition('.')[2]}.{page.__name__}{'.json' if json else ''}",
            operation_id=f"{method.lower()} {path}",
            summary=(page.__doc__ or "").strip().splitlines()[0] if page.__doc__ else None,
            openapi_extra={"parameters": parameters} if parameters else None,
            response_class=Response,
            responses={
                code: {"description": text}
                for code, text in (
                    *((200, "shown"), (303, "go there"), (400, "cannot be understood")),
                    *((401, "nobody is signed in"), (403, "not permitted"), (404, "there is no such thing")),
                    *((409, "cannot be done now"), (413, "too long"), (503, "the store does not answer")),
                )
            },
        )

    async def _answer(
        self, request: Request, page: PageFunction, needs: str, json: bool, must: bool, most: int
    ) -> Response:
        seat = await run_in_threadpool(self._seats.seat, request.cookies.get(COOKIE, ""))
        visit = self._visit(request, seat, json)
        try:
            if seat is None and needs != OPEN:
                return self._stranger(visit)
            given = await read_form(request, most) if request.method == "POST" else Given()
        except Refused as refused:
            return self.rendering.respond(visit, refused)
        visit.form, visit.forms, visit.files = given.last, given.every, given.files
        return await run_in_threadpool(self._done, request, visit, page, needs, must)

    def _done(self, request: Request, visit: Visit, page: PageFunction, needs: str, must: bool) -> Response:
        try:
            answer: Answer
            try:
                if request.method == "POST":
                    self._ours(request, visit)
                visit.require(needs)
                answer = page(visit)
                if must and not visit.accesses:
                    visit.saw(page.__name__, visit.url.partition("?")[0].strip("/") or "console")
            except Refused as refused:
                answer = refused
            except StoreUnavailable as e:
                log.error("%s", e)
                answer = Refused(503, "The store does not answer.", "Try again in a moment.")
            except HubError as e:
                answer = Refused(409, str(e))
            if visit.accesses:
                self.hub.store.audit.record(*visit.audit_rows())
            return self.rendering.respond(visit, answer)
        except StoreUnavailable as e:
            log.error("%s", e)
            return self.rendering.respond(visit, Refused(503, "The audit cannot be written, so nothing is shown."))
        except Exception as e:
            place = place_of(e)
            log.error("internal error %s", place)
            return self.rendering.respond(visit, Refused(500, f"A fault of the hub ({place}).", "Please report it."))

    def _ours(self, request: Request, visit: Visit) -> None:
        """Refuse a form that no page of ours made (cross-site request forgery)."""
        origin = request.headers.get("origin", "")
        site = request.headers.get("sec-fetch-site", "same-origin")
        same = not origin or urlsplit(origin).netloc == urlsplit(visit.base).netloc
        if not same or site not in ("same-origin", "none"):
            raise Refused(403, "This form came from another site.")
        if visit.seat is None:
            return  # a page open to anybody; what it does is guarded by what it asks for
        token = request.headers.get("x-csrf-token") or visit.form.get("csrf", "")
        if not hmac.compare_digest(token.encode(), visit.seat.csrf.encode()):
            raise Refused(403, "This form is too old.", "Load the page again.")

    def _stranger(self, visit: Visit) -> Response:
        if visit.json or visit.method != "GET":
            return self.rendering.respond(visit, Refused(401, "Nobody is signed in.", "Sign in at /signin."))
        back = "" if visit.url in ("/", "/now") else f"?back={quote(visit.url, safe='/')}"
        if visit.htmx:
            return Response(status_code=401, headers={"HX-Redirect": f"/signin{back}"})
        return self.rendering.respond(visit, Goto(f"/signin{back}"))

    def _visit(self, request: Request, seat: Seat | None, json: bool) -> Visit:
        query = dict(request.query_params)
        base = self.hub.config.console.proxy or str(request.base_url)
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Visit(
            self.hub,
            seat,
            request.method,
            url,
            dict(request.path_params),
            query,
            cookies=request.cookies,
            peer=request.client.host if request.client else "",
            htmx=request.headers.get("hx-request") == "true" and "hx-boosted" not in request.headers,
            json=json,
            base=base.rstrip("/"),
        )
