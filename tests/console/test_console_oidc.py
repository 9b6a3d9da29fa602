"""Signing in at an OpenID provider: who gets in, with which roles, and who does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from console_signin import PASSWORD, Browser, Desk, desk_of
from hub_project import Hub, make_project
from provider_side import CLIENT, SECRET, Provider

from engine.security.access import Grant

JO = {
    "sub": "4711",
    "preferred_username": "JLee",
    "name": "Jo Lee",
    "email": "jo@mercy.example",
    "realm": {"roles": ["lab-analysts", "everybody"]},
}
ROLES = "{lab-analysts: [{role: analyst, channels: [lab_oru]}], chiefs: [{role: admin}]}"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def fresh(provider: Provider) -> None:
    provider.person, provider.lie, provider.down = dict(JO), {}, False


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def maker(more: str = "") -> Desk:
        root = make_project(tmp_path_factory.mktemp("hub") / "project")
        path = root / "config.yaml"
        oidc = (
            f"oidc: {{issuer: '{provider.issuer}', client: {CLIENT}, secret: '{SECRET}', "
            f"name: Mercy account, roles_claim: realm.roles, roles: {ROLES}{more}}}"
        )
        text = path.read_text().replace("console: {", f"console: {{{oidc}, ")
        assert oidc in text
        path.write_text(text)
        made.append(desk_of(Hub.open(root)))
        return made[-1]

    yield maker
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make: Callable[..., Desk]) -> Desk:
    return make()


def there(browser: Browser, path: str = "/signin/with") -> str:
    return str(browser.get(path, 303).headers["location"])


def back(browser: Browser, address: str, status: int = 303) -> Any:
    parts = urlsplit(address)
    return browser.get(f"{parts.path}?{parts.query}", status)


def test_an_account_is_made_at_the_first_sign_in(desk: Desk, provider: Provider) -> None:
    browser = desk.browser()
    assert "Sign in with Mercy account" in browser.get("/signin?back=/account").text
    answer = back(browser, provider.sign_in(there(browser, "/signin/with?back=/account")))
    assert answer.headers["location"] == "/account"
    assert "Jo Lee" in browser.get("/account").text
    account = desk.staff.accounts.named("jlee")
    assert account is not None and account.person().may("draft", "lab_oru")
    assert not account.local and not account.person().may("draft", "adt")
    assert (account.issuer, account.subject, account.email) == (provider.issuer, "4711", "jo@mercy.example")
    assert [row[:2] for row in desk.audit(2)] == [
        ("jlee", "console:account-made"),
        ("jlee", "console:signin"),
    ]
    desk.browser().sign_in("jlee", "", 403)  # there is no password here


def test_roles_follow_the_groups_at_every_sign_in(desk: Desk, provider: Provider) -> None:
    browser = desk.browser()
    back(browser, provider.sign_in(there(browser)))
    provider.person["realm"] = {"roles": ["chiefs"]}
    provider.person["name"] = "Jo Lee-Smith"
    other = desk.browser()
    back(other, provider.sign_in(there(other)))
    account = desk.staff.accounts.named("jlee")
    assert account is not None and account.grants == (Grant("admin"),) and account.display == "Jo Lee-Smith"
    browser.get("/now", 303)  # with the old roles nobody goes on


@pytest.mark.parametrize("roles", [[], ["everybody"], "everybody", None, {"x": 1}])
def test_who_has_no_group_here_is_not_let_in(desk: Desk, provider: Provider, roles: Any) -> None:
    provider.person["realm"] = {"roles": roles}
    browser = desk.browser()
    answer = back(browser, provider.sign_in(there(browser)), 403)
    assert "nothing here is for you" in answer.text and browser.cookie == ""
    assert desk.staff.accounts.all() == []
    assert desk.audit()[0][1] == "console:signin-refused"


def test_a_disabled_account_stays_out(desk: Desk, provider: Provider) -> None:
    account = desk.staff.accounts.add(
        "jlee", [Grant("viewer")], "chief", issuer=provider.issuer, subject="4711"
    )
    desk.staff.accounts.disable(account.id)
    browser = desk.browser()
    assert "disabled" in back(browser, provider.sign_in(there(browser)), 403).text


def test_a_name_is_not_taken_over(desk: Desk, provider: Provider) -> None:
    desk.staff.accounts.add("jlee", [Grant("admin")], "chief", password=PASSWORD)
    browser = desk.browser()
    assert "another account" in back(browser, provider.sign_in(there(browser)), 403).text
    assert desk.staff.accounts.named("jlee").issuer == ""  # type: ignore[union-attr]


def test_an_account_that_waits_for_its_person_is_theirs(desk: Desk, provider: Provider) -> None:
    made = desk.staff.accounts.add("jlee", [Grant("viewer")], "chief")
    browser = desk.browser()
    back(browser, provider.sign_in(there(browser)))
    account = desk.staff.accounts.of_subject(provider.issuer, "4711")
    assert account is not None and account.id == made.id


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"exp": None},
        {"iat": 99_999_999_999},
        {"sub": None},
    ],
)
def test_id_tokens_that_are_not_believed(desk: Desk, provider: Provider, lie: dict[str, Any]) -> None:
    provider.lie = lie
    browser = desk.browser()
    assert "cannot be believed" in back(browser, provider.sign_in(there(browser)), 403).text
    assert browser.cookie == ""


def test_an_answer_belongs_to_the_browser_that_asked_and_is_good_once(desk: Desk, provider: Provider) -> None:
    browser, other = desk.browser(), desk.browser()
    address = provider.sign_in(there(browser))
    assert "begun elsewhere" in back(other, address, 403).text
    there(other)
    assert "begun elsewhere" in back(other, address, 403).text  # it asked, too, but for another
    kept = browser.client.cookies.get("hub-elsewhere")
    back(browser, address)
    browser.client.cookies.set("hub-elsewhere", kept, domain="127.0.0.1", path="/")
    assert "used before" in back(browser, address, 403).text
    wrong = provider.sign_in(there(desk_browser := desk.browser())).replace("state=", "state=x")
    assert "begun elsewhere" in back(desk_browser, wrong, 403).text


def test_who_is_refused_there_is_told_so(desk: Desk) -> None:
    browser = desk.browser()
    state = parse_qs(urlsplit(there(browser)).query)["state"][0]
    answer = browser.get(f"/signin/back?error=access_denied&error_description=<b>x</b>&state={state}", 403)
    assert "did not let you in" in answer.text and "<b>x" not in answer.text


def test_a_provider_that_is_down_is_said(desk: Desk, provider: Provider) -> None:
    provider.down = True
    browser = desk.browser()
    assert "cannot be used" in browser.get("/signin/with", 503).text


@pytest.mark.parametrize(
    "claims,let_in",
    [
        ({}, False),
        ({"amr": ["pwd"]}, False),
        ({"amr": ["pwd", "otp"]}, True),
        ({"amr": ["mfa"]}, True),
        ({"acr": "silver"}, False),
        ({"acr": "gold"}, True),
    ],
)
def test_a_second_factor_may_be_asked_for(
    make: Callable[..., Desk], provider: Provider, claims: dict[str, Any], let_in: bool
) -> None:
    desk = make(", second_factor: true, acr: [gold]")
    provider.person |= claims
    browser = desk.browser()
    url = there(browser)
    assert parse_qs(urlsplit(url).query)["acr_values"] == ["gold"]
    answer = back(browser, provider.sign_in(url), 303 if let_in else 403)
    assert let_in or "second factor" in answer.text


def test_signing_out_here_offers_to_sign_out_there(desk: Desk, provider: Provider) -> None:
    browser = desk.browser()
    back(browser, provider.sign_in(there(browser)))
    browser.get("/account")
    address = browser.post("/signout").headers["location"]
    page = browser.get(address)
    assert "Sign out there, too" in page.text
    leave = browser.get(address.replace("/signedout", "/signin/leave"), 303).headers["location"]
    asked = parse_qs(urlsplit(leave).query)
    assert leave.startswith(f"{provider.issuer}/logout?") and asked["id_token_hint"][0].count(".") == 2


def test_a_new_proof_is_a_new_sign_in(desk: Desk, provider: Provider) -> None:
    browser = desk.browser()
    back(browser, provider.sign_in(there(browser)))
    desk.clock.forward(11 * 60)
    assert (
        browser.get("/prove?back=/account", 303).headers["location"] == "/signin/with?again=1&back=/account"
    )
    url = there(browser, "/signin/with?again=1&back=/account")
    assert parse_qs(urlsplit(url).query)["prompt"] == ["login"]
    provider.lie = {"auth_time": 1}
    assert "cannot be believed" in back(browser, provider.sign_in(url), 403).text
    provider.lie = {}
    url = there(browser, "/signin/with?again=1&back=/account")
    assert back(browser, provider.sign_in(url)).headers["location"] == "/account"
