"""Admin: people, keys, backup, settings and health, each for whom it is, and each change in the audit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from console_people import Console, Someone, text_of

from engine.kernel.clock import now_ms
from engine.security.access import Grant

PAGES = {
    "/admin": {"auditor", "admin"},
    "/admin/users": {"admin"},
    "/admin/keys": {"admin"},
    "/admin/audit": {"auditor", "admin"},
    "/admin/audit/patient": {"auditor", "admin"},
    "/admin/audit/verify": {"auditor", "admin"},
    "/admin/glass": {"auditor", "admin"},
    "/admin/health": {"admin"},
    "/admin/certificates": {"admin"},
    "/admin/settings": {"admin"},
    "/admin/retention": {"admin"},
    "/admin/backup": {"admin"},
}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("role", ["viewer", "operator", "analyst", "approver", "auditor", "admin"])
def test_each_page_is_for_whom_it_is(console: Console, role: str, path: str) -> None:
    someone = console.as_(role)
    status = 200 if role in PAGES[path] else 403
    page = someone.get(path, status)
    someone.get(f"{path}.json", status)
    if status == 200:
        assert page.text.count("<h1") == 1 and "style=" not in page.text


@pytest.fixture
def desk(fresh_console: Callable[[], Console]) -> Console:
    return fresh_console()


def proven(desk: Console, role: str = "admin", minutes: int = 0) -> Someone:
    """Return somebody who has proven so long ago who they are."""
    someone = desk.as_(role)
    for cookie, seat in desk.seated.seats.items():
        desk.seated.seats[cookie] = replace(seat, at=now_ms() - minutes * 60_000)
    return someone


class TestPeople:
    FORM = {"name": "olga", "display": "Olga", "role": "operator", "channels": "lab_*"}

    def test_a_new_person_gets_a_link_that_is_shown_once(self, desk: Console) -> None:
        admin = proven(desk)
        page = admin.post("/admin/users", self.FORM, 200)
        code = re.search(r"/welcome#([\w-]{20,})", page.text)
        assert code and page.headers["cache-control"] == "no-store"
        account = desk.hub.staff.accounts.named("olga")
        assert account is not None and account.grants == (Grant("operator", ("lab_*",)),)
        assert desk.hub.staff.links.whose(code[1]) == account
        rows = desk.audit(1)
        assert rows[0][:3] == ("admin", "console:account:add", f"account/{account.id}")
        assert code[1] not in str(rows) and code[1] not in admin.get("/admin/users").text

    def test_who_proved_it_too_long_ago_is_asked_first(self, desk: Console) -> None:
        admin = proven(desk, minutes=11)
        for path in ("/admin/users", "/admin/keys"):
            answer = admin.post(path, {**self.FORM, "scopes": "feed"})
            assert answer.headers["location"].startswith("/prove")
        assert desk.hub.staff.accounts.all() == [] and desk.hub.staff.keys.all() == []

    def test_roles_locks_links_and_ends(self, desk: Console) -> None:
        admin, staff = proven(desk), desk.hub.staff
        for name, role in (("root", "admin"), ("olga", "operator")):
            admin.post("/admin/users", {"name": name, "role": role, "channels": ""}, 200)
        olga = staff.accounts.named("olga")
        assert olga is not None
        at = f"/admin/users/{olga.id}"
        admin.post(f"{at}/grants", {"role": ["analyst", "auditor", ""], "channels": ["adt lab_*", "*", ""]})
        assert set(staff.accounts.named("olga").grants) == {  # type: ignore[union-attr]
            Grant("analyst", ("adt", "lab_*")),
            Grant("auditor", ("*",)),
        }
        for word, done in (("disable", "disabled"), ("enable", "ok"), ("unlock", "ok"), ("second", "ok")):
            admin.post(f"{at}/{word}")
            assert admin.json(f"{at}.json")["account"]["state"] == done
            assert "analyst" in text_of(admin.get(at).text)
        admin.post(f"{at}/link", status=200)
        admin.post(f"{at}/sessions")
        said = [row[1].removeprefix("console:account:") for row in desk.audit(7)]
        assert said == ["grant", "disable", "enable", "unlock", "second-reset", "link", "sessions-end"]
        assert "analyst on adt lab_*" in text_of(admin.get("/admin/users").text)

    def test_the_last_who_manages_the_hub_stays(self, desk: Console) -> None:
        admin = proven(desk)
        admin.post("/admin/users", {"name": "root", "role": "admin", "channels": "*"}, 200)
        number = desk.hub.staff.accounts.all()[0].id
        admin.post(f"/admin/users/{number}/disable", status=409)
        admin.post(f"/admin/users/{number}/grants", {"role": "viewer", "channels": "*"}, 409)
        assert desk.hub.staff.accounts.all()[0].grants == (Grant("admin"),)

    @pytest.mark.parametrize("role", ["viewer", "analyst", "auditor"])
    def test_nobody_else_changes_anybody(self, desk: Console, role: str) -> None:
        someone = proven(desk, role)
        for path in ("/admin/users", "/admin/users/1/grants", "/admin/users/1/link", "/admin/keys"):
            someone.post(path, self.FORM, 403)

    def test_who_does_not_exist(self, desk: Console) -> None:
        admin = proven(desk)
        for number in ("9", "x", "1e9"):
            admin.get(f"/admin/users/{number}", 404)
            admin.post(f"/admin/users/{number}/disable", status=404)


class TestKeys:
    def test_a_key_is_shown_once_and_taken_back(self, desk: Console) -> None:
        admin = proven(desk)
        form = {"name": "warehouse", "scopes": "system/*.rs, feed", "channels": "*", "days": "90"}
        page = admin.post("/admin/keys", form, 200)
        text = re.search(r"hub_[a-z2-7]{8}_[\w-]{40,}", page.text)
        assert text is not None and desk.hub.staff.keys.find(text[0]) is not None
        assert text[0] not in admin.get("/admin/keys").text and text[0] not in str(desk.audit(2))
        (key,) = admin.json("/admin/keys.json")["keys"]
        assert (key["scopes"], key["state"], key["made_by"]) == (["system/*.rs", "feed"], "ok", "admin")
        admin.post("/admin/keys/warehouse/revoke")
        assert desk.hub.staff.keys.find(text[0]) is None
        assert [row[1] for row in desk.audit(2)] == ["console:key:add", "console:key:revoke"]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"name": "Ware House"}, 409),
            ({"scopes": "everything"}, 409),
            ({"days": "0"}, 400),
            ({"days": "x"}, 400),
        ],
    )
    def test_what_cannot_be_a_key(self, desk: Console, change: dict[str, str], status: int) -> None:
        form = {"name": "warehouse", "scopes": "feed", "days": "30"} | change
        proven(desk).post("/admin/keys", form, status)
        assert desk.hub.staff.keys.all() == []


def test_broken_glass_is_looked_into_by_somebody_else(desk: Console) -> None:
    account = desk.hub.staff.accounts.add("auditor", [Grant("auditor")], "admin")
    desk.hub.staff.glass.break_(account, ["lab_oru"], "resuscitation in room 4", 30)
    auditor, admin = desk.as_("auditor"), desk.as_("admin")
    assert "resuscitation in room 4" in text_of(admin.get("/admin/glass").text)
    auditor.post("/admin/glass/1/acknowledge", status=409)
    admin.post("/admin/glass/1/acknowledge")
    assert desk.hub.staff.glass.open()[0].acknowledged_by == "admin"
    admin.post("/admin/glass/9/acknowledge", status=409)


def finished(someone: Someone, path: str) -> dict[str, str]:
    """Wait until the work of a page is done and return it."""
    for _ in range(600):
        facts = someone.json(f"{path}.json")
        if not facts["running"]:
            return dict(facts["job"])
        time.sleep(0.05)
    raise AssertionError("it did not end")


class TestBackup:
    def test_back_up_now(self, desk: Console) -> None:
        admin = desk.as_("admin")
        assert "No backup was made" in text_of(admin.get("/admin/backup").text)
        admin.post("/admin/backup")
        job = finished(admin, "/admin/backup")
        assert "whole" in job["result"] and job["trouble"] == ""
        (made,) = desk.hub.staff.backups.newest()
        assert made.verified and made.who == "admin" and Path(made.place).is_dir()
        assert desk.audit()[0][1] == "console:backup:make"
        assert "whole" in text_of(admin.get("/admin/backup", headers={"HX-Request": "true"}).text)

    def test_one_that_was_made_elsewhere_is_told(self, desk: Console) -> None:
        admin = desk.as_("admin")
        admin.post("/admin/backup/told", {"place": "pg_dump on db1"})
        admin.post("/admin/backup/told", {"place": " "}, 400)
        assert [b.place for b in desk.hub.staff.backups.newest(5)] == ["pg_dump on db1"]


def test_health_says_what_production_would_refuse(console: Console) -> None:
    facts = console.as_("admin").json("/admin/health.json")
    assert any("key: is empty" in w["what"] for w in facts["weak"])
    assert {d["name"] for d in facts["databases"]} == {"journal", "core", "imaging", "staff"}
    assert facts["disk"]["free"] > 0 and not facts["ok"]  # no process reports in this test


def test_settings_with_their_place_and_no_secret(console: Console) -> None:
    page = console.as_("admin").get("/admin/settings").text
    assert "disk_reserve_mb" in page and "config.yaml:" in page
    key = console.project.config.key_file.read_text().split()[-1]
    assert key not in page


def test_retention_tells_what_comes_in_a_day(console: Console) -> None:
    facts = console.as_("admin").json("/admin/retention.json")
    assert [k["what"] for k in facts["keep"]] == ["messages", "imaging", "audit"]
    lab = next(a for a in facts["amounts"] if a["channel"] == "lab_oru")
    assert lab["entries"] >= 7 and lab["bytes"] > 1000 and facts["next"] is None
