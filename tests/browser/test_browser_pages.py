"""Every page in a real browser: nothing asked of other hosts, no script error, nothing axe-core objects to,
and no page wider than a small laptop's window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console

from engine.channels.profiling.watch import Watch

ROLES = ("analyst", "approver", "auditor", "admin")
PARTS = ("/events", "/count", ".json", ".xlsx", "/export", "/thumbnail", "/download", "/picture", "/callback")
PERSONAL = ("/account", "/prove", "/session")  # the seats of these tests have no account
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def places(console: Console) -> list[str]:
    """Return the addresses of all pages without a parameter, and some of those with one."""
    found = set()
    for route in console.app._app.routes:
        needs = getattr(getattr(route, "endpoint", None), "needs", None)
        if needs is None or "GET" not in route.methods or "{" in route.path or route.path == "/":
            continue
        if not any(part in route.path for part in PARTS):
            found.add(route.path)
    number = console.project.entries["lab/oru_corrected"]
    (task,) = console.as_("analyst").json("/work.json")["rows"][:1]
    sender = console.as_("analyst").json("/senders.json")["senders"][0]["id"]
    of_sender = [
        f"/senders/{sender}{part}" for part in ("", "/fields", "/drift", "/coverage", "/specification")
    ]
    more = (
        *of_sender,
        f"/bench?entry={number}",
        "/maps/PID_Patient",
        "/codes/tables/acme_lab_to_loinc",
        f"/work/{task['id']}",
    )
    return sorted(found) + list(more)


@pytest.fixture(scope="module")
def hub(console: Console) -> Iterator[Served]:
    hub = console.hub
    watch = Watch(hub.journal, hub.staff.senders, hub.maps, hub.channels, hub.config.senders)
    while watch._reading.step():
        pass
    watch._cover()
    with served(console, working=False) as made:
        yield made


def test_every_page_is_clean(hub: Served, tab: Callable[..., Any]) -> None:
    window = hub.seat(tab(hub.base), *ROLES)
    dark = hub.seat(tab(hub.base, 1024, dark=True), *ROLES)
    wrong: list[str] = []
    found = places(hub.console)
    assert len(found) >= 30
    for path in found:
        name = path.strip("/").replace("/", "-").replace("?", "-")
        for one, width in ((window, 1440), (dark, 1024)):
            page = one.go(path)
            page.wait_for_timeout(50)
            one.shot(f"{name}-{width}")
            if page.locator("h1").count() != 1:
                wrong.append(f"{path}: {page.locator('h1').count()} headings of the first order")
            if page.evaluate(WIDER) > 0:
                wrong.append(f"{path}: wider than {width}")
            if not path.startswith(PERSONAL):
                wrong += [f"{path}: {e}" for e in one.errors]
            one.errors.clear()
            wrong += [f"{path}: asks {url}" for url in one.elsewhere]
            wrong += [f"{path} at {width}: {found}" for found in one.axe()]
    assert wrong == [], "\n".join(wrong)
