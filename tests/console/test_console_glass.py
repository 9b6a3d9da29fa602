"""Break-glass: patient data for a while, for a reason, with an alarm and marked in the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from console_people import Console, received
from starlette.testclient import TestClient

from engine.console.app import create_app
from engine.console.door import COOKIE
from engine.console.seats import StaffSeats
from engine.security.access import Grant


@pytest.fixture
def real(fresh_console: Callable[[], Console]) -> Iterator[tuple[Console, TestClient, str]]:
    """A console with real sessions, and somebody who sees bodies of another channel only."""
    console = fresh_console()
    received(console.project)
    p, staff = console.project, console.hub.staff
    account = staff.accounts.add(
        "dee", [Grant("operator", ("adt",))], "a test", password="correct horse battery staple"
    )
    cookie = staff.sessions.start(account, "password")
    app = create_app(
        p.config,
        p.keyring,
        p.store,
        console.gauge,
        p.config.token_file.read_text(),
        console=(console.hub, StaffSeats(staff)),
    )
    found = staff.sessions.find(cookie)
    assert found is not None
    yield console, TestClient(app, console.base, cookies={COOKIE: cookie}), found.csrf


def test_it_opens_one_channel_for_a_while(real: tuple[Console, TestClient, str]) -> None:
    console, dee, csrf = real
    page = dee.get("/glass.json").json()
    assert page["channels"] == ["lab_oru"] and page["open"] == []
    form = {"csrf": csrf, "channel": "lab_oru", "reason": "an unknown unconscious patient in the ER"}
    assert dee.post("/glass", data=form | {"reason": "help"}, follow_redirects=False).status_code == 409
    assert dee.post("/glass", data=form | {"channel": "nowhere"}, follow_redirects=False).status_code == 400
    done = dee.post("/glass", data=form | {"back": "/now"}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/now")
    who, action, what, detail = console.audit()[0]
    assert (who, action, what) == (
        "dee",
        "console:break-glass",
        "channel/lab_oru",
    ) and "unconscious" in detail
    assert dee.get("/glass.json").json()["open"] == ["lab_oru"]
    assert [b.person for b in console.hub.staff.glass.open()] == ["dee"]  # what the alarm is about
    assert "Break-glass is open for lab_oru" in dee.get("/now").text
    opened = console.hub.staff.sessions.find(str(done.cookies[COOKIE]))
    assert opened is not None and opened.csrf != csrf  # more rights, another session
    dee.post("/glass/close", data={"csrf": opened.csrf})
    assert dee.get("/glass.json").json()["open"] == []


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nb"])
def test_it_leads_nowhere_else(real: tuple[Console, TestClient, str], back: str) -> None:
    _, dee, csrf = real
    form = {"csrf": csrf, "channel": "lab_oru", "reason": "a reason long enough", "back": back}
    assert dee.post("/glass", data=form, follow_redirects=False).headers["location"] == "/now"


def test_sessions_of_the_staff_are_seats(real: tuple[Console, TestClient, str]) -> None:
    console, dee, _ = real
    assert dee.get("/now", follow_redirects=False).status_code == 200
    staff = console.hub.staff
    account = staff.accounts.named("dee")
    assert account is not None
    staff.sessions.end_all(account.id)
    assert dee.get("/now", follow_redirects=False).status_code == 303
