"""Answers of pages as HTTP: HTML by templates, the same facts as JSON, parts for htmx, files, redirects.

In: a `Visit` and what its page answered. Out: a Starlette response. Everything in a template is escaped;
nothing of a message is ever put into a page as markup.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import StreamingResponse

from engine import __version__
from engine.console.answers import Answer, Download, Fragment, Goto, Leave, Page, Refused
from engine.console.hub import Hub
from engine.console.status import ago, number
from engine.console.visit import Visit
from engine.fhir import jsonio
from engine.kernel.clock import iso, now_ms

__all__ = ["NAVIGATION", "Rendering", "plain"]

NAVIGATION = (
    ("now", "/now", "Now", "see.status", "n"),
    ("critical", "/critical", "Critical", "see.messages", "r"),
    ("work", "/work", "Work", "see.messages", "w"),
    ("find", "/find", "Find", "see.messages", "f"),
    ("bench", "/bench", "Bench", "draft", "b"),
    ("maps", "/maps", "Maps", "see.maps", "m"),
    ("codes", "/codes", "Codes", "see.maps", "c"),
    ("senders", "/senders", "Senders", "see.senders", "s"),
    ("studies", "/studies", "Studies", "see.studies", "i"),
    ("deliveries", "/deliveries", "Deliveries", "see.status", "v"),
    ("changes", "/changes", "Changes", "see.maps", "g"),
    ("alerts", "/alerts", "Alerts", "see.status", "a"),
    ("admin", "/admin", "Admin", "", "d"),
)
"""Key, path, word, permission ("": one of the admin pages'), second key after `g`."""

_ADMIN = ("admin.users", "admin.keys", "admin.settings", "see.audit")
_SAFE_FRAME = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
_NOTICES = 500


@cache
def _version_of(name: str) -> str:
    body = files("engine.console").joinpath("static", name).read_bytes()
    return hashlib.sha256(body).hexdigest()[:12]


def static(name: str) -> str:
    """Return the address of a file of the package, which changes when the file does."""
    return f"/static/{name}?v={_version_of(name)}"


def _count(value: int, one: str, many: str = "") -> str:
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


class Rendering:
    """Renders for one hub; may be used by several threads."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = threading.Lock()
        self._notices: OrderedDict[str, str] = OrderedDict()
        self.paths: set[str] = set()  # what the door has, so that no page leads nowhere
        self.environment = Environment(
            loader=PackageLoader("engine.console", "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {"number": number, "ago": ago, "clock": iso}
        self.environment.globals |= {"static": static, "version": __version__, "counted": _count}

    def respond(self, visit: Visit, answer: Answer) -> Response:
        """Return the HTTP answer."""
        match answer:
            case Page():
                return self._page(visit, answer)
            case Fragment():
                html = self.html(visit, answer.template, answer.facts)
                return Response(html, answer.status, answer.headers, "text/html; charset=utf-8")
            case Goto():
                return self._goto(visit, answer)
            case Leave():
                leaving = Response(status_code=303, headers={"Location": answer.url})
                return _with(visit, leaving, answer.cookies)
            case Download():
                return _file(answer)
            case Refused():
                return self._refused(visit, answer)

    def html(self, visit: Visit, template: str, facts: dict[str, Any], title: str = "") -> str:
        """Render a template with what every page knows."""
        return self.environment.get_template(template).render(**self._known(visit, title), **facts)

    def _page(self, visit: Visit, page: Page) -> Response:
        if visit.json:
            return Response(
                jsonio.dumps_pretty(plain(page.facts)), page.status, page.headers, "application/json"
            )
        part = bool(page.fragment) and visit.htmx
        html = self.html(visit, page.fragment if part else page.template, page.facts, page.title)
        headers = {**page.headers, "Vary": "HX-Request"}
        return _with(visit, Response(html, page.status, headers, "text/html; charset=utf-8"), page.cookies)

    def _goto(self, visit: Visit, answer: Goto) -> Response:
        if not answer.path.startswith("/") or answer.path.startswith(("//", "/\\")):
            raise ValueError("a page may only lead to a page of the console")
        if answer.notice and visit.seat is not None:
            with self._lock:
                self._notices[visit.seat.session] = answer.notice
                while len(self._notices) > _NOTICES:
                    self._notices.popitem(last=False)
        if visit.htmx:
            response = Response(status_code=204, headers={"HX-Redirect": answer.path})
        else:
            response = Response(status_code=303, headers={"Location": answer.path})
        return _with(visit, response, answer.cookies)

    def _refused(self, visit: Visit, refused: Refused) -> Response:
        facts = {"status": refused.status, "text": refused.text, "remedy": refused.remedy}
        headers = {"Retry-After": "5"} if refused.status == 503 else {}
        if visit.json:
            return Response(
                jsonio.dumps({"error": refused.text, "remedy": refused.remedy}),
                refused.status,
                headers,
                "application/json",
            )
        if visit.htmx:
            headers |= {"HX-Retarget": "#notices", "HX-Reswap": "innerHTML"}
        template = "notice.html" if visit.htmx else "refused.html"
        html = self.html(visit, template, facts, "Not done")
        return Response(html, refused.status, headers, "text/html; charset=utf-8")

    def _known(self, visit: Visit, title: str) -> dict[str, Any]:
        seat, config = visit.seat, self._hub.config

        def csrf() -> Markup:
            token = seat.csrf if seat is not None else ""
            return Markup('<input type="hidden" name="csrf" value="{}">').format(token)

        notice = ""
        if seat is not None and not visit.htmx and not visit.json:
            with self._lock:
                notice = self._notices.pop(seat.session, "")
        return {
            "seat": seat,
            "person": seat.person if seat is not None else None,
            "may": visit.may if seat is not None else lambda *_: False,
            "csrf": csrf,
            "csrf_token": seat.csrf if seat is not None else "",
            "title": title,
            "brand": config.hub,
            "environment_name": config.environment,
            "profile": config.profile,
            "navigation": _navigation(visit, self.paths),
            "has": self.paths.__contains__,
            "here": visit.url.partition("?")[0],
            "url": visit.url,
            "theme": _theme(visit),
            "notice": notice,
            "now": now_ms(),
            "idle_minutes": config.console.sign_in.idle_minutes,
        }


def _with(visit: Visit, response: Response, cookies: tuple[tuple[str, str], ...]) -> Response:
    """Set cookies, or take them away; no script reads them."""
    secure = visit.base.startswith("https:")
    for name, value in cookies:
        if value:
            response.set_cookie(name, value, httponly=True, secure=secure, samesite="lax", path="/")
        else:
            response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")
    return response


def _navigation(visit: Visit, paths: set[str]) -> list[dict[str, Any]]:
    if visit.seat is None:
        return []
    here = visit.url.partition("?")[0].split("/")[1]
    shown = []
    for key, path, word, needs, letter in NAVIGATION:
        wanted = _ADMIN if not needs else (needs,)
        if path in paths and any(visit.seat.person.may(permission) for permission in wanted):
            shown.append({"key": key, "path": path, "word": word, "letter": letter, "here": here == key})
    return shown


def _theme(visit: Visit) -> str:
    chosen = visit.cookies.get("hub-theme", "")
    return chosen if chosen in ("light", "dark") else ""


def _file(answer: Download) -> Response:
    name = answer.filename
    plain_name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    how = "inline" if answer.inline else "attachment"
    headers = {
        "Content-Disposition": f"{how}; filename=\"{plain_name}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": _SAFE_FRAME,
        "X-Content-Type-Options": "nosniff",
    }
    if isinstance(answer.body, bytes):
        return Response(answer.body, 200, headers, answer.media)
    return StreamingResponse(answer.body, 200, headers, answer.media)


def plain(value: Any) -> Any:
    """Return facts as what JSON knows: dataclasses by their fields, keys as text, sets in order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if not f.name.startswith("_")}
    if isinstance(value, dict):
        return {_key(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def _key(key: Any) -> str:
    return ".".join(map(str, key)) if isinstance(key, tuple) else str(key)
