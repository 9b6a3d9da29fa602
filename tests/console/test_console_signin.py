"""Signing in and out, one's own account, links, and broken glass: by the pages people see."""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyotp
import pytest
from console_signin import PASSWORD, Desk, desk_of, hidden
from hub_project import Hub, make_project

from engine.console import rendering
from engine.security.access import Grant


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def maker(proxy: str = "", **sign_in: Any) -> Desk:
        root = make_project(tmp_path_factory.mktemp("hub") / "project")
        if proxy:
            path = root / "config.yaml"
            path.write_text(path.read_text().replace("console: {", f"console: {{proxy: '{proxy}', "))
        if sign_in:
            path, words = root / "config.yaml", ", ".join(f"{k}: {v}" for k, v in sign_in.items())
            text = path.read_text().replace("console: {", f"console: {{sign_in: {{{words}}}, ")
            assert words in text
            path.write_text(text)
        made.append(desk_of(Hub.open(root)))
        return made[-1]

    yield maker
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make: Callable[..., Desk]) -> Desk:
    return make()


_STILL = (
    "/work/count",
    "/alerts/count",
    "/critical/count",
    "/admin/audit/verify",
    "/admin/backup",
    "/changes/{{ number }}/jobs",
)
"""What pages ask by themselves, where nothing else is asked."""


def jo(desk: Desk, *roles: str, name: str = "jlee") -> Any:
    return desk.staff.accounts.add(
        name, [Grant(role) for role in roles or ("viewer",)], "chief", display="Jo Lee", password=PASSWORD
    )


def code_of(desk: Desk, secret: str) -> str:
    desk.clock.forward(30)
    return pyotp.TOTP(secret).at(desk.clock.ms // 1000)


def enrol(desk: Desk, browser: Any) -> tuple[str, list[str]]:
    page = browser.get("/account/second")
    secret = re.search(r"<code>([A-Z2-7 ]{30,})</code>", page.text)[1].replace(" ", "")  # type: ignore[index]
    answer = browser.post(
        "/account/second", 200, token=hidden(page, "token"), code=pyotp.TOTP(secret).at(desk.clock.ms // 1000)
    )
    return secret, re.findall(r"\b[a-z2-9]{5}-[a-z2-9]{5}\b", answer.text)


def test_a_person_signs_in_looks_and_signs_out(desk: Desk) -> None:
    jo(desk)
    browser = desk.browser()
    assert browser.get("/now", 303).headers["location"] == "/signin"
    browser.get("/signin?back=/senders")
    answer = browser.post("/signin", name="JLee", password=PASSWORD, back="/senders")
    assert answer.headers["location"] == "/senders"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie
    assert desk.audit() == [("jlee", "console:signin", "account/1", "password 127.0.0.1")]
    assert "Jo Lee" in browser.get("/now").text
    assert browser.get("/signin", 303).headers["location"] == "/now"
    browser.get("/account")
    assert browser.post("/signout").headers["location"] == "/signedout"
    assert browser.cookie == ""
    browser.get("/now", 303)
    assert desk.audit()[0][:3] == ("jlee", "console:signout", "account/1")


def test_the_cookie_is_for_tls_only_where_there_is_tls(desk: Desk) -> None:
    jo(desk)
    from starlette.testclient import TestClient

    client = TestClient(desk.app, "https://hub.example", follow_redirects=False)
    answer = client.post("/signin", data={"name": "jlee", "password": PASSWORD})
    assert "; secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "back",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/signin", "javascript:x", "", "/a\r\nb"],
)
def test_signing_in_leads_nowhere_else(desk: Desk, back: str) -> None:
    jo(desk)
    answer = desk.browser().post("/signin", name="jlee", password=PASSWORD, back=back)
    assert answer.headers["location"] == "/now"


def test_refusals_say_one_thing_and_the_name_typed_is_written_nowhere(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    jo(desk)
    browser = desk.browser()
    with caplog.at_level(logging.DEBUG):
        known, unknown = (
            browser.sign_in(name, "hunter2 hunter2", 403).text for name in ("jlee", "my-secret-password")
        )
    strip = lambda text: re.sub(r'value="[^"]*"', "", text)  # noqa: E731
    assert strip(known) == strip(unknown)
    assert [row[:3] for row in desk.audit(2)] == [
        ("-", "console:signin-refused", "account/1"),
        ("-", "console:signin-refused", "signin"),
    ]
    ours = [r for r in caplog.records if r.name.startswith(("hub", "engine"))]
    assert not [r for r in ours if "hunter2" in r.getMessage() or "my-secret" in r.getMessage()]


def test_failed_tries_cannot_fill_the_audit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.console import letting_in

    monkeypatch.setattr(letting_in, "_RATE", letting_in._Rate())
    monkeypatch.setattr(letting_in.time, "monotonic", lambda: 100.0)
    browser, before = desk.browser(), desk.project.store.audit.head()[0]
    for _ in range(30):
        browser.post("/welcome", 403, code="made-up")
    assert desk.project.store.audit.head()[0] - before == 10
    monkeypatch.setattr(letting_in.time, "monotonic", lambda: 101.0)
    browser.post("/welcome", 403, code="made-up")
    assert desk.audit()[0][3] == "127.0.0.1; 20 more before it"


@pytest.mark.parametrize(
    "proxy,forwarded,seen",
    [
        ("", "203.0.113.9", "127.0.0.1"),
        ("https://hub.example", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("https://hub.example", "", ""),
    ],
)
def test_the_address_is_the_proxys_word_behind_the_proxy_only(
    make: Callable[..., Desk], proxy: str, forwarded: str, seen: str
) -> None:
    desk = make(proxy=proxy) if proxy else make()
    jo(desk)
    browser = desk.browser()
    if forwarded:
        browser.client.headers["X-Forwarded-For"] = forwarded
    browser.sign_in("jlee")
    assert [s.address for s in desk.staff.sessions.of(1)] == [seen]


def test_a_planted_session_is_not_taken_over(desk: Desk) -> None:
    jo(desk)
    browser = desk.browser()
    browser.client.cookies.set("hub-session", "a" * 43, domain="127.0.0.1", path="/")
    browser.sign_in("jlee")
    assert browser.cookie != "a" * 43
    thief = desk.browser()
    thief.client.cookies.set("hub-session", "a" * 43)
    thief.get("/now", 303)


def test_a_session_ends_by_itself_and_polling_does_not_keep_it(desk: Desk) -> None:
    jo(desk)
    browser = desk.browser()
    browser.sign_in("jlee")
    desk.clock.forward(14 * 60)
    browser.get("/account")
    desk.clock.forward(16 * 60)
    browser.get("/now", 303)


def test_what_a_page_asks_by_itself_keeps_no_session(desk: Desk) -> None:
    found = 0
    for file in Path(rendering.__file__).parent.joinpath("templates").glob("*.html"):
        text = file.read_text()
        for asks in re.finditer(r'hx-trigger="[^"]*\b(?:every|load)\b', text):
            tag = text[text.rindex("<", 0, asks.start()) : asks.start()]
            found += 1
            asked = re.search(r'hx-get="([^"]*)"', tag)
            assert asked is not None, (file.name, tag)
            assert 'id="asks-' in tag or asked[1].partition("?")[0] in _STILL, (file.name, tag)
    assert found >= 9
    jo(desk, "admin", "analyst", "auditor")
    browser = desk.browser()
    browser.sign_in("jlee")
    for path in _STILL:
        if "{" not in path:
            browser.get("/account")
            desk.clock.forward(14 * 60)
            browser.get(path)
            desk.clock.forward(2 * 60)
            browser.get("/now", 303)
            browser.get("/signin")
            browser.sign_in("jlee")
    desk.clock.forward(14 * 60)
    browser.client.get("/find", headers={"HX-Request": "true", "HX-Trigger": "asks-on"})
    desk.clock.forward(2 * 60)
    browser.get("/now", 303)


def test_disabling_somebody_shuts_them_out_at_once(desk: Desk) -> None:
    account = jo(desk)
    browser = desk.browser()
    browser.sign_in("jlee")
    browser.get("/now")
    desk.staff.accounts.disable(account.id)
    browser.get("/now", 303)
    browser.sign_in("jlee", status=403)


# -- links


def test_the_first_account_is_made_by_the_link_that_was_printed(desk: Desk) -> None:
    browser = desk.browser()
    assert "Nobody has an account yet" in browser.get("/signin").text
    link = desk.staff.links.for_first()
    browser.get("/welcome")
    assert "The first account" in browser.post("/welcome", 200, code=link).text
    weak = browser.post(
        "/welcome", 409, code=link, name="chief", password="password1234", again="password1234"
    )
    assert "easily guessed" in weak.text and "password1234" not in weak.text
    other = browser.post("/welcome", 409, code=link, name="chief", password=PASSWORD, again="x")
    assert "not the same" in other.text
    browser.post("/welcome", name="chief", display="The Chief", code=link, password=PASSWORD, again=PASSWORD)
    assert "The Chief" in browser.get("/now").text
    assert [row[1] for row in desk.audit(2)] == ["console:link-used", "console:signin"]
    assert desk.browser().post("/welcome", 403, code=link).status_code == 403
    assert desk.audit()[0][1] == "console:link-refused"


def test_a_link_does_not_stand_for_the_authenticator(desk: Desk) -> None:
    account = jo(desk)
    browser = desk.browser()
    browser.sign_in("jlee")
    enrol(desk, browser)
    link = desk.staff.links.for_account(account.id)
    other = desk.browser()
    answer = other.post("/welcome", code=link, password=PASSWORD, again=PASSWORD)
    assert answer.headers["location"] == "/signin" and other.cookie == ""


# -- the own account


def test_an_authenticator_is_set_up_and_asked_for(desk: Desk) -> None:
    jo(desk)
    browser = desk.browser()
    browser.sign_in("jlee")
    before = browser.cookie
    secret, codes = enrol(desk, browser)
    assert len(codes) == 10 and browser.cookie != before
    browser.post("/account/sessions", session="others")  # the form token of the new session is on the page
    second = desk.browser()
    step = hidden(second.sign_in("jlee", status=200), "step")
    assert second.cookie == ""
    assert second.post("/signin/code", 403, step=step, code="000000").status_code == 403
    second.post("/signin/code", step=step, code=code_of(desk, secret), back="/account")
    assert second.get("/account").status_code == 200
    third = desk.browser()
    step = hidden(third.sign_in("jlee", status=200), "step")
    third.post("/signin/code", step=step, code=codes[0])
    assert "9 recovery codes" in third.get("/account").text
    third.post("/account/second/forget", code=code_of(desk, secret))
    assert not desk.staff.accounts.named("jlee").second  # type: ignore[union-attr]
    actions = [row[1].partition(":")[2] for row in desk.audit(12)]
    assert {"authenticator-set", "authenticator-forgotten", "signin-refused"} <= set(actions)


def test_a_dangerous_thing_asks_again_who_it_is(desk: Desk) -> None:
    jo(desk)
    browser = desk.browser()
    browser.sign_in("jlee")
    desk.clock.forward(11 * 60)
    assert browser.get("/account/second", 303).headers["location"] == "/prove?back=/account/second"
    browser.get("/prove?back=/account/second")
    browser.post("/prove", 403, password="wrong", back="/account/second")
    before = browser.cookie
    answer = browser.post("/prove", password=PASSWORD, back="/account/second")
    assert answer.headers["location"] == "/account/second" and browser.cookie != before
    browser.get("/account/second")


def test_a_right_password_gives_no_free_guesses_of_the_code(desk: Desk) -> None:
    jo(desk)
    browser = desk.browser()
    browser.sign_in("jlee")
    secret, _ = enrol(desk, browser)
    desk.clock.forward(11 * 60)
    browser.get("/prove")
    for _ in range(5):
        browser.post("/prove", 403, password=PASSWORD, code="000000")
    right = pyotp.TOTP(secret).at(desk.clock.ms // 1000)
    browser.post("/prove", 403, password=PASSWORD, code=right)
    desk.clock.forward(10 * 60)
    browser.get("/account")
    browser.post("/prove", 303, password=PASSWORD, code=code_of(desk, secret))


def test_changing_the_password_signs_out_everywhere_else(desk: Desk) -> None:
    jo(desk)
    here, there = desk.browser(), desk.browser()
    here.sign_in("jlee")
    there.sign_in("jlee")
    there.get("/account")
    here.get("/account")
    new = "ladder quiet trombone"
    assert "not right" in here.post("/account/password", 409, old="wrong", password=new, again=new).text
    here.post("/account/password", old=PASSWORD, password=new, again=new)
    here.get("/account")
    there.get("/now", 303)
    desk.browser().sign_in("jlee", new)


def test_a_person_ends_a_session_of_theirs(desk: Desk) -> None:
    jo(desk)
    here, there = desk.browser(), desk.browser()
    there.sign_in("jlee")
    here.sign_in("jlee")
    sessions = here.get("/account.json").json()["sessions"]
    assert [s["here"] for s in sessions] == [True, False]
    here.get("/account")
    here.post("/account/sessions", session=str(sessions[1]["id"]))
    there.get("/now", 303)
    here.get("/now")


def test_who_needs_a_second_factor_may_nothing_before(make: Callable[..., Desk]) -> None:
    desk = make(second_factor="bodies")
    jo(desk, "operator")
    browser = desk.browser()
    browser.sign_in("jlee")
    assert browser.get("/now", 303).headers["location"] == "/account"
    assert browser.client.get("/now.json").status_code == 403
    assert "second factor" in html.unescape(browser.get("/account").text)
    enrol(desk, browser)
    browser.get("/now")


# -- broken glass


def test_breaking_the_glass_gives_the_session_another_cookie(desk: Desk) -> None:
    jo(desk, "admin")
    browser = desk.browser()
    browser.sign_in("jlee")
    browser.get("/glass")
    before = browser.cookie
    browser.post("/glass", channel="lab_oru", reason="Resuscitation in room 4, results missing")
    assert browser.cookie != before
    session = desk.staff.sessions.find(browser.cookie)
    assert session is not None and session.person.may("see.bodies", "lab_oru")
    browser.get("/glass")
    browser.post("/glass/close")
    session = desk.staff.sessions.find(browser.cookie)
    assert session is not None and not session.person.may("see.bodies", "lab_oru")
