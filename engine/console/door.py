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
from typing import Protocol
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from engine.console.answers import Answer, Goto, Refused
from engine.console.hub import Hub
from engine.console.intake import Given, read_form
from engine.console.rendering import Rendering
from engine.console.streams import add_stream
from engine.console.visit import Seat, Visit
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.security.access import OPEN, PERMISSIONS, PHI, SELF

__all__ = ["COOKIE", "Door", "Seats", "Way"]

log = logging.getLogger("hub.console")

COOKIE = "hub-session"
_NO_STORE = Refused(503, "The store does not answer.", "Try again in a moment.")
_NO_AUDIT = Refused(503, "The audit cannot be written, so nothing is shown.")
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")

PageFunction = Callable[[Visit], Answer]


class Seats(Protocol):
    """What knows sessions."""

    def seat(self, cookie: str, *, stirs: bool = True) -> Seat | None:
        """Return whose session a cookie is, None where there is none (any more).

        `stirs`: a person did something, so the session goes on; what a page asks by itself does not count.
        """


@dataclass(frozen=True, slots=True)
class Way:
    """A route of the console, for those who check them all."""

    method: str
    path: str
    needs: str
    twin: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    needs: str
    json: bool
    records: bool
    most: int
    stirs: bool


class Door:
    """Adds pages to an application."""

    def __init__(self, app: FastAPI, hub: Hub, seats: Seats, rendering: Rendering) -> None:
        self.app, self.hub, self.rendering = app, hub, rendering
        self._seats = seats
        self.ways: list[Way] = []
        self.stopping: Callable[[], bool] = lambda: False

    def get(
        self, path: str, *, needs: str, twin: bool = True, records: bool | None = None, stirs: bool = True
    ) -> Callable[[PageFunction], PageFunction]:
        """Declare a page, and its JSON twin at `<path>.json`.

        `records`: whether it must note what was seen; as a rule where its permission shows patient data.
        `stirs`: no for what pages ask by themselves; so is what an element asks whose id begins with `asks-`.
        """
        return self._way("GET", path, needs, twin, records, 0, stirs)

    def post(
        self, path: str, *, needs: str, twin: bool = False, records: bool | None = None, most: int = 1 << 20
    ) -> Callable[[PageFunction], PageFunction]:
        """Declare what a form is sent to; `most` bytes of it are read."""
        return self._way("POST", path, needs, twin, records, most)

    def _way(
        self,
        method: str,
        path: str,
        needs: str,
        twin: bool,
        records: bool | None,
        most: int,
        stirs: bool = True,
    ) -> Callable[[PageFunction], PageFunction]:
        if needs not in PERMISSIONS:
            raise ValueError(f"{method} {path} needs {needs!r}, which is no permission")
        must = needs in PHI if records is None else records

        def declared(page: PageFunction) -> PageFunction:
            # the twin first: `/work/{task}` would take `/work/1.json` for a task
            for json in (True, False) if twin else (path.endswith(".json"),):
                at = path if not twin or not json else f"{path}.json"
                self._route(method, at, page, _Rule(needs, json, must, most, stirs))
            self.ways.append(Way(method, path, needs, twin))
            self.rendering.paths.add(path)
            return page

        return declared

    def _route(self, method: str, path: str, page: PageFunction, rule: _Rule) -> None:
        async def answer(request: Request) -> Response:
            return await self._answer(request, page, rule)

        answer.needs = rule.needs  # type: ignore[attr-defined]
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(path)
        ]
        self.app.add_api_route(
            path,
            answer,
            methods=[method],
            name=f"{page.__module__.rpartition('.')[2]}.{page.__name__}{'.json' if rule.json else ''}",
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

    async def _answer(self, request: Request, page: PageFunction, rule: _Rule) -> Response:
        try:
            seat = await run_in_threadpool(self.seat, request, rule.stirs and not _by_itself(request))
        except StoreUnavailable as e:
            log.error("%s", e)
            return self.rendering.respond(self.visit(request, None, rule.json), _NO_STORE)
        visit = self.visit(request, seat, rule.json)
        try:
            if seat is None and rule.needs != OPEN:
                return self._stranger(visit)
            given = await read_form(request, rule.most) if request.method == "POST" else Given()
        except Refused as refused:
            return self.rendering.respond(visit, refused)
        visit.form, visit.forms, visit.files = given.last, given.every, given.files
        return await run_in_threadpool(self._done, request, visit, page, rule)

    def seat(self, request: Request, stirs: bool = True) -> Seat | None:
        """Return whose session a request is of."""
        return self._seats.seat(request.cookies.get(COOKIE, ""), stirs=stirs)

    def _done(self, request: Request, visit: Visit, page: PageFunction, rule: _Rule) -> Response:
        try:
            answer: Answer
            try:
                if request.method == "POST":
                    self._ours(request, visit)
                if visit.seat is not None and visit.seat.must and rule.needs not in (OPEN, SELF):
                    return self.rendering.respond(visit, _first(visit))
                visit.require(rule.needs)
                answer = page(visit)
                if rule.records and not visit.accesses:
                    visit.saw(page.__name__, visit.url.partition("?")[0].strip("/") or "console")
            except Refused as refused:
                answer = refused
            except StoreUnavailable as e:
                log.error("%s", e)
                answer = _NO_STORE
            except HubError as e:
                answer = Refused(409, str(e))
            except OverflowError:  # no number of ours is so large, and no database takes it
                answer = Refused(404, "There is nothing with so large a number.")
            if visit.accesses:
                self.hub.store.audit.record(*visit.audit_rows())
            return self.rendering.respond(visit, answer)
        except StoreUnavailable as e:
            log.error("%s", e)
            return self.rendering.respond(visit, _NO_AUDIT)
        except Exception as e:
            place = place_of(e)
            log.error("internal error %s", place)
            return self.rendering.respond(
                visit, Refused(500, f"A fault of the hub ({place}).", "Please report it.")
            )

    def _ours(self, request: Request, visit: Visit) -> None:
        """Refuse a form that no page of ours made (cross-site request forgery)."""
        origin = request.headers.get("origin", "")
        site = request.headers.get("sec-fetch-site", "")
        same = not origin or urlsplit(origin).netloc == urlsplit(visit.base).netloc
        if origin == "null":  # as some browsers write where they keep the address to themselves
            same = site == "same-origin"
        if not same or site not in ("same-origin", "none", ""):
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

    def live(self, path: str, *, needs: str, look: Callable[[Visit], str]) -> None:
        """Declare a stream of server-sent events: what `look` gives (HTML), whenever it is another."""
        add_stream(self, path, needs, look, lambda: self.stopping())
        self.ways.append(Way("GET", path, needs, False))

    def visit(self, request: Request, seat: Seat | None, json: bool = False) -> Visit:
        """Return a request as page functions are given it."""
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
            peer=_peer(request, bool(self.hub.config.console.proxy)),
            agent=request.headers.get("user-agent", ""),
            htmx=request.headers.get("hx-request") == "true" and "hx-boosted" not in request.headers,
            json=json,
            base=base.rstrip("/"),
        )


def _by_itself(request: Request) -> bool:
    """Say whether a part of a page asks, and nobody who sits before it."""
    return request.method == "GET" and request.headers.get("hx-trigger", "").startswith("asks-")


def _first(visit: Visit) -> Answer:
    """Lead somebody to what they have to do before anything else."""
    if visit.json or visit.method != "GET":
        return Refused(403, "Your account asks for something first.", "Open /account.")
    return Goto("/account")


def _peer(request: Request, proxied: bool) -> str:
    """Return the address a request came from; behind the proxy of the settings, what that says of it."""
    if proxied:  # the last one is the proxy's own word; those before it are the browser's
        return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()[:64]
    return request.client.host if request.client else ""
