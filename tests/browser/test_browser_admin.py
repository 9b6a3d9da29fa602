"""Alarms and admin in a real browser: pages with something on them are clean; acknowledge, back up, look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console

from engine.kernel.alert_settings import AlertSettings
from engine.security.access import Grant
from engine.staff.alarms import Condition
from engine.store.audit import Access

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HELD = Condition("lab_oru|held", "held", "12 messages parked (alarm above 10)", "lab_oru", "look", 12)
DISK = Condition("disk|x", "disk", "1,210 MB are free on the disk of var/", value=1210, urgent=True)


@pytest.fixture(scope="module")
def hub(console: Console) -> Iterator[Served]:
    """A hub on which something is wrong, with people, a key and a notice that does not arrive."""
    mail = {"host": "localhost", "sender": "hub@a.example", "to": ["it@a.example"]}
    alerts = AlertSettings.model_validate({"mail": mail, "quiet_hours": "22:00-06:30"})
    console.hub.config = console.hub.config.model_copy(update={"alerts": alerts})
    staff = console.hub.staff
    staff.alarms.settle([HELD, DISK], {"held", "disk"}, 0)
    staff.silences.make("adt", "silent", 60, "the registration moves tonight", "olga")
    staff.notices.make(1, "raised", ["mail:it@a.example"])
    for notice in staff.notices.take():
        staff.notices.done(notice, False, "localhost:587: the mail server did not take it")
    olga = staff.accounts.add("olga", [Grant("operator", ("lab_*",))], "root", display="Olga")
    staff.glass.break_(olga, ["adt"], "resuscitation in room 4", 30)
    staff.keys.add("warehouse", ["system/*.rs"], "root")
    patient = console.project.store.search("Patient", [], 1).resources[0]["id"]
    console.project.store.audit.record(Access("rita", "fhir:read", f"Patient/{patient}", "200"))
    with served(console, working=False) as made:
        yield made


@pytest.mark.parametrize("width", [1440, 1024])
def test_pages_with_something_on_them_are_clean(
    hub: Served, console: Console, tab: Callable[..., Any], width: int
) -> None:
    patient = console.project.store.search("Patient", [], 1).resources[0]["id"]
    asked = console.hub.seal({"audit of": patient})
    window = hub.seat(tab(hub.base, width, dark=width == 1024), "admin", "auditor")
    paths = (
        *("/alerts", "/alerts/1", "/alerts/notices", "/admin", "/admin/users", "/admin/users/1"),
        *("/admin/keys", "/admin/glass", "/admin/audit", f"/admin/audit/patient?q={asked}"),
    )
    for path in paths:
        page = window.go(path)
        window.shot(f"{path.partition('?')[0].strip('/').replace('/', '-')}-full-{width}")
        assert page.locator("h1").count() == 1, path
        assert page.evaluate(WIDER) <= 0, f"{path} is wider than the window"
        assert window.axe() == [], path
    assert window.elsewhere == [] and window.errors == []


def test_somebody_looks_after_an_alarm(hub: Served, console: Console, tab: Callable[..., Any]) -> None:
    page = hub.seat(tab(hub.base), "operator").go("/alerts")
    page.get_by_role("button", name="Acknowledge: 12 messages parked").click()
    page.get_by_text("You look after it").wait_for()
    held = next(a for a in console.hub.staff.alarms.open() if a.kind == "held")
    assert held.acknowledged_by is not None


def test_a_backup_is_followed_while_it_is_made(
    hub: Served, console: Console, tab: Callable[..., Any]
) -> None:
    page = hub.seat(tab(hub.base), "admin").go("/admin/backup")
    page.get_by_role("button", name="Back up now").click()
    page.get_by_text("whole,").wait_for(timeout=30_000)
    assert console.hub.staff.backups.newest()[0].verified


def test_the_audit_is_proven_while_one_looks(hub: Served, tab: Callable[..., Any]) -> None:
    page = hub.seat(tab(hub.base), "auditor").go("/admin/audit")
    page.get_by_role("button", name="Prove it now").click()
    page.get_by_text("The chain is whole").wait_for(timeout=30_000)
