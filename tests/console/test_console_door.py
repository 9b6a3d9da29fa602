"""The door of the console: nobody passes without a session, a permission, a token and an audit row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from console_people import Console, received, text_of
from fastapi import Request

from engine.console.answers import Download, Goto, Page, Refused
from engine.console.door import COOKIE
from engine.console.rendering import plain
from engine.kernel.errors import HubError, StoreUnavailable
from engine.security.access import PERMISSIONS, PHI, ROLES

OUTSIDE = {
    "/fhir",
    "/fhir/{path:path}",
    "/feed",
    "/status",
    "/status.json",
    "/healthz",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/static/{name}",
}
"""Routes that ask for a token of their own, or need none: their own tests say so."""


def filled(path: str) -> str:
    out = path.replace(":path", "")
    while "{" in out:
        before, _, rest = out.partition("{")
        out = before + "1" + rest.partition("}")[2]
    return out


def ways(console: Console) -> list[tuple[str, str, str]]:
    found = []
    for route in console.app._app.routes:
        path = route.path
        if path in OUTSIDE or path.startswith(("/dicomweb", "/.well-known")):
            continue
        needs = getattr(route.endpoint, "needs", None)
        found += [(method, path, needs) for method in route.methods if method != "HEAD"]
    return found


def test_every_route_says_what_it_needs(console: Console) -> None:
    found = ways(console)
    assert len(found) >= 4
    for method, path, needs in found:
        assert needs in PERMISSIONS, f"{method} {path} declares no permission: use door.get or door.post"


def test_every_role_passes_where_it_may_and_nowhere_else(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()  # what is sent may change something
    received(console.project)
    books = 0
    for role, permissions in ROLES.items():
        someone = console.as_(role)
        for method, path, needs in ways(console):
            if path.endswith("/events") or needs in ("open", "self"):
                continue
            if path == "/maps/book.xlsx" and needs in permissions:
                books += 1
                if books > 1:
                    continue  # the workbook of all maps takes seconds, and is the same for all who may
            answer = (
                someone.client.get(filled(path), follow_redirects=False)
                if method == "GET"
                else someone.client.post(filled(path), data={"csrf": someone.csrf}, follow_redirects=False)
            )
            if needs in permissions:
                assert answer.status_code not in (401, 500), (role, method, path, text_of(answer.text)[:500])
            else:
                assert answer.status_code == 403, (role, method, path, answer.status_code)


def test_a_stranger_sees_nothing(console: Console) -> None:
    stranger = console.stranger()
    for method, path, needs in ways(console):
        if needs == "open":
            continue
        if method == "GET":
            answer = stranger.get(filled(path), follow_redirects=False)
            assert answer.status_code in (303, 401), (path, answer.status_code)
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/signin")
        else:
            assert stranger.post(filled(path), follow_redirects=False).status_code == 401, path


def test_a_form_of_another_site_is_refused(console: Console) -> None:
    someone = console.as_("analyst")
    path = "/session/stir"
    assert someone.client.post(path).status_code == 403
    assert someone.client.post(path, data={"csrf": "wrong"}).status_code == 403
    assert someone.client.post(path, data={"csrf": "ü"}).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert someone.client.post(path, data={"csrf": someone.csrf}, headers=headers).status_code == 403
    assert someone.client.post(path, data={"csrf": someone.csrf}).status_code == 200
    assert someone.client.post(path, headers={"X-CSRF-Token": someone.csrf}).status_code == 200


def test_a_form_has_its_limits(console: Console) -> None:
    someone = console.as_("viewer")
    assert (
        someone.client.post("/session/stir", data={"csrf": someone.csrf, "x": "y" * (1 << 21)}).status_code
        == 413
    )
    assert someone.client.post("/session/stir", json={}).status_code == 415


def test_pages_are_strict(console: Console) -> None:
    page = console.as_("viewer").get("/now")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store" and page.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page.text and "style=" not in page.text and " onclick" not in page.text


def test_now_says_how_each_channel_is(console: Console) -> None:
    told = console.as_("viewer").json("/now.json")
    lab = next(line for line in told["lines"] if line["name"] == "lab_oru")
    assert (lab["word"], lab["received"], lab["parked"]) == ("parked", 7, 1)
    assert told["lines"][0]["word"] == "parked"  # trouble first
    words = text_of(console.as_("viewer").get("/now").text)
    assert "lab_oru" in words and "Refused, and the sender was told" in words
    for patient in ("Doe", "100234", "THISTLEDOWN", "LAB0001"):
        assert patient not in words


def test_a_person_sees_the_channels_of_their_roles_only(console: Console) -> None:
    told = console.as_("viewer", channels=("adt",)).json("/now.json")
    assert [line["name"] for line in told["lines"]] == ["adt"] and told["parked"] == 0
    assert told["causes"] == []


@pytest.fixture
def odd(console: Console) -> Any:
    """Pages that misbehave."""
    from engine.console.door import Door
    from engine.console.rendering import Rendering

    door = Door(console.app._app, console.hub, console.seated, Rendering(console.hub))

    def page(name: str, needs: str, function: Any) -> None:
        if f"/odd/{name}" not in {r.path for r in console.app._app.routes}:
            function.__doc__, function.__name__ = "Odd.", name
            door.get(f"/odd/{name}", needs=needs)(function)

    yield page
    routes = console.app._app.router.routes
    routes[:] = [r for r in routes if not getattr(r, "path", "").startswith("/odd/")]


def test_what_shows_patient_data_is_in_the_audit_before_it_leaves(
    console: Console, odd: Any, monkeypatch: Any
) -> None:
    def seen(visit: Any) -> Page:
        visit.require("see.bodies", "lab_oru")
        visit.saw("message", "entry/5", "what was asked")
        return Page("notice.html", {"status": 200, "text": "SECRET", "remedy": ""})

    def forgetful(visit: Any) -> Page:
        return Page("notice.html", {"status": 200, "text": "SECRET", "remedy": ""})

    odd("seen", "see.bodies", seen)
    odd("forgetful", "see.bodies", forgetful)
    someone = console.as_("operator", name="ann")
    assert "SECRET" in someone.get("/odd/seen").text
    assert console.audit()[0] == ("ann", "console:message", "entry/5", "what was asked")
    someone.get("/odd/forgetful.json")
    assert console.audit()[0][:3] == ("ann", "console:forgetful", "odd/forgetful.json")
    console.as_("viewer", name="bob").get("/odd/seen", 403)
    assert console.audit()[0][:3] == ("bob", "console:refused", "see.bodies")
    console.as_("operator", name="cy", channels=("adt",)).get("/odd/seen", 403)
    assert console.audit()[0][:3] == ("cy", "console:refused", "see.bodies channel/lab_oru")
    glass = console.as_("operator", name="dee", channels=("adt",), glass=("lab_oru",))
    glass.get("/odd/seen")
    assert console.audit()[0][:2] == ("dee", "console:message:glass")

    def broken(*_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(console.project.store.audit, "record", broken)
    answer = someone.get("/odd/seen", 503)
    assert "SECRET" not in answer.text


def test_faults_and_refusals_have_a_page(console: Console, odd: Any, caplog: Any) -> None:
    def fault(visit: Any) -> Page:
        raise ValueError("Doe^Jane")

    def mistake(visit: Any) -> Page:
        raise HubError("this cannot be", where="channels/x.yaml:3", remedy="write another")

    def refused(visit: Any) -> Refused:
        return Refused(404, "There is no such thing.")

    def away(visit: Any) -> Goto:
        return Goto("//evil.example")

    for function in (fault, mistake, refused, away):
        odd(function.__name__, "self", function)
    someone = console.as_("viewer")
    assert "Doe" not in someone.get("/odd/fault", 500).text and "Doe" not in caplog.text
    assert "channels/x.yaml:3" in someone.get("/odd/mistake", 409).text
    assert someone.json("/odd/refused.json", 404)["error"] == "There is no such thing."
    assert someone.get("/odd/away", 500)
    htmx = someone.get("/odd/refused", 404, headers={"HX-Request": "true"})
    assert htmx.headers["hx-retarget"] == "#notices" and "<html" not in htmx.text


def test_a_number_larger_than_any_is_of_nothing(console: Console) -> None:
    someone = console.as_("analyst")
    large = "9" * 40
    for path in (
        f"/message/{large}",
        f"/find?saved={large}",
        f"/changes?before={large}",
        f"/bench?entry={large}",
    ):
        someone.get(path, 404)
    for said in (large, "%C2%B2"):
        someone.get(f"/message/2/compare?with={said}", 400)


def test_one_person_cannot_take_every_stream(console: Console) -> None:
    class Asked(Request):
        async def is_disconnected(self) -> bool:
            return False

    def asked(name: str) -> Request:
        cookie = console.as_("viewer", name=name).client.cookies[COOKIE]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/now/events",
            "query_string": b"",
            "server": ("x", 1),
        }
        return Asked({**scope, "headers": [(b"cookie", f"{COOKIE}={cookie}".encode())]})

    (stream,) = [r.endpoint for r in console.app._app.routes if getattr(r, "path", "") == "/now/events"]

    async def many() -> list[int]:
        open_now, said = [], []
        for name in ("greedy",) * 10 + ("other",):
            answer = await stream(asked(name))
            said.append(answer.status_code)
            if answer.status_code == 200:
                await anext(answer.body_iterator)
                open_now.append(answer.body_iterator)
        for one in open_now[:1]:
            await one.aclose()
        said.append((await stream(asked("greedy"))).status_code)
        for one in open_now[1:]:
            await one.aclose()
        return said

    assert asyncio.run(many()) == [200] * 8 + [503] * 2 + [200, 200]


def test_files_do_nothing_in_the_browser(console: Console, odd: Any) -> None:
    def file(visit: Any) -> Download:
        return Download(b"<script>1</script>", "text/html", 'a"b\r\nü.html', inline=True)

    odd("file", "self", file)
    answer = console.as_("viewer").get("/odd/file")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (
        "\n" not in answer.headers["content-disposition"]
        and 'a"b' not in answer.headers["content-disposition"]
    )


def test_sealed_links_open_here_only(console: Console) -> None:
    token = console.hub.seal({"q": "Doe"})
    assert "Doe" not in token and console.hub.unseal(token) == {"q": "Doe"}
    for broken in ("", "x", token[:-2], token + "A", "ü"):
        with pytest.raises(Refused):
            console.hub.unseal(broken)


def test_plain_facts() -> None:
    assert plain({("a", 1): {3, 1}, "b": (b"x",)}) == {"a.1": [1, 3], "b": ["x"]}


def test_phi_permissions_are_permissions() -> None:
    assert set(PERMISSIONS) >= PHI and all(set(PERMISSIONS) >= r for r in ROLES.values())
