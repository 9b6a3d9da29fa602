"""A console at which people sign in, at a time that the test sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hub_project import Hub as Project
from starlette.testclient import TestClient

from engine.console.app import create_app
from engine.console.door import COOKIE
from engine.console.figures import Gauge
from engine.console.hub import Hub
from engine.console.seats import StaffSeats
from engine.staff.staff import Staff

BASE = "http://127.0.0.1:8080"
PASSWORD = "trombone quiet ladder"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_780_000_000_000

    def __call__(self) -> int:
        return self.ms

    def forward(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@dataclass
class Desk:
    """The console of a hub and its staff."""

    project: Project
    staff: Staff
    hub: Hub
    app: Any
    clock: Clock

    def browser(self) -> Browser:
        return Browser(TestClient(self.app, BASE, client=("127.0.0.1", 50020), follow_redirects=False))

    def audit(self, count: int = 1) -> list[tuple[str, str, str, str]]:
        newest, _ = self.project.store.audit.head()
        rows = self.project.store.audit.rows(max(0, newest - count), count)
        return [(r.who, r.action, r.what, r.detail) for r in rows]

    def close(self) -> None:
        self.hub.gauge.close()
        self.staff.close()
        self.project.close()


@dataclass
class Browser:
    """Somebody's browser: keeps cookies, sends the form token of the page it saw last."""

    client: TestClient
    csrf: str = ""

    @property
    def cookie(self) -> str:
        return self.client.cookies.get(COOKIE) or ""

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        return self._seen(self.client.get(path, headers=headers), status)

    def post(self, path: str, status: int = 303, **form: Any) -> Any:
        return self._seen(self.client.post(path, data={"csrf": self.csrf, **form}), status)

    def sign_in(self, name: str, password: str = PASSWORD, status: int = 303) -> Any:
        return self.post("/signin", status, name=name, password=password)

    def _seen(self, answer: Any, status: int) -> Any:
        assert answer.status_code == status, (answer.status_code, answer.headers.get("location"), answer.text)
        found = re.search(r'name="csrf" (?:content|value)="([^"]*)"', answer.text)
        if found:
            self.csrf = found[1]
        elif answer.status_code == 303 and not answer.headers["location"].startswith("http"):
            self.csrf = ""  # the next page has it
        return answer


def desk_of(project: Project) -> Desk:
    config, keyring = project.config, project.keyring
    clock = Clock()
    staff = Staff.open(config.staff_url, keyring, clock, config.console.sign_in)
    gauge = Gauge(project.channels, project.journal, config.core_url)
    hub = Hub(config, keyring, project.journal, project.store, staff, gauge, project.channels)
    app = create_app(
        config, keyring, project.store, gauge, config.token_file.read_text(), console=(hub, StaffSeats(staff))
    )
    return Desk(project, staff, hub, app, clock)


def hidden(answer: Any, name: str) -> str:
    """Return the value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found, f"no field {name}"
    return found[1]
