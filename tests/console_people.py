"""People at the console of one hub in this process, each with a role, without signing in."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

from hub_project import Hub as Project
from hub_project import maps_of
from starlette.testclient import TestClient

from engine.console.app import create_app
from engine.console.door import COOKIE
from engine.console.figures import Gauge
from engine.console.hub import Hub, _stamp_of
from engine.console.visit import Seat
from engine.security.access import Grant, Person
from engine.staff.staff import Staff

BASE = "http://127.0.0.1:8080"


@dataclass
class Seated:
    """Sessions as a test says they are: cookie -> seat."""

    seats: dict[str, Seat] = field(default_factory=dict)

    def seat(self, cookie: str, *, stirs: bool = True) -> Seat | None:
        return self.seats.get(cookie)


@dataclass
class Someone:
    """One person's browser."""

    client: TestClient
    name: str
    csrf: str

    def get(self, path: str, status: int = 200, **more: Any) -> Any:
        """Get a page, whose status must be this."""
        answer = self.client.get(path, follow_redirects=False, **more)
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:2000])
        return answer

    def json(self, path: str, status: int = 200) -> Any:
        """Get a page's JSON twin."""
        return self.get(path, status).json()

    def post(self, path: str, form: dict[str, Any] | None = None, status: int = 303, **more: Any) -> Any:
        """Send a form with the session's token, the answer's status must be this."""
        data = {"csrf": self.csrf, **(form or {})}
        answer = self.client.post(path, data=data, follow_redirects=False, **more)
        assert answer.status_code == status, (path, answer.status_code, text_of(answer.text)[:2000])
        return answer


@dataclass
class Console:
    """The console of a hub, and people at it."""

    project: Project
    hub: Hub
    gauge: Gauge
    app: Any
    seated: Seated
    base: str = BASE

    def as_(
        self, *roles: str, channels: tuple[str, ...] = ("*",), name: str = "", glass: tuple[str, ...] = ()
    ) -> Someone:
        """Return somebody with these roles (on these channels)."""
        name = name or "-".join(roles) or "nobody"
        person = Person(name, name.title(), tuple(Grant(role, channels) for role in roles), glass)
        cookie, csrf = f"cookie-{name}-{'-'.join(channels)}-{'-'.join(glass)}", f"csrf-{name}"
        self.seated.seats[cookie] = Seat(person, csrf, cookie)
        client = TestClient(self.app, self.base, client=("127.0.0.1", 50010), cookies={COOKIE: cookie})
        return Someone(client, name, csrf)

    def stranger(self) -> TestClient:
        """Return a browser nobody is signed in at."""
        return TestClient(self.app, self.base, client=("127.0.0.1", 50011))

    def look_again(self) -> None:
        """Let the figures be taken anew."""
        self.gauge._last = None

    def audit(self, count: int = 1) -> list[tuple[str, str, str, str]]:
        """Return the newest audit rows as (who, action, what, detail), oldest first."""
        newest, _ = self.project.store.audit.head()
        rows = self.project.store.audit.rows(max(0, newest - count), count)
        return [(r.who, r.action, r.what, r.detail) for r in rows]

    def close(self) -> None:
        """Close what was opened."""
        self.gauge.close()
        self.hub.staff.close()


def console_of(project: Project) -> Console:
    """Make the console of a project."""
    config, keyring = project.config, project.keyring
    gauge = Gauge(project.channels, project.journal, config.core_url)
    staff = Staff.open(config.staff_url, keyring)
    hub = Hub(config, keyring, project.journal, project.store, staff, gauge, project.channels)
    hub._stamp, hub._maps = _stamp_of(config.root), maps_of(config.root, config.identity_base)
    hub._maps.codes = hub.codes()
    seated = Seated()
    app = create_app(
        config, keyring, project.store, gauge, config.token_file.read_text(), console=(hub, seated)
    )
    return Console(project, hub, gauge, app, seated)


def text_of(page: str) -> str:
    """Return the words of a page, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def received(project: Project) -> Project:
    """Let a hub receive something of most kinds, and work it off."""
    project.take("adt", "adt/adt_a01_admit")
    for name in ("potassium", "preliminary", "final", "corrected", "cmp", "sn"):
        project.take("lab_oru", f"lab/oru_{name}")
    project.receive("lab_oru", project.sample("lab/oru_rp"), "refused", "this channel does not accept it")
    project.work()
    return project
