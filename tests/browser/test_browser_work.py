"""Work and Codes in a real browser: keys do what they say, every page is clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console, console_of
from hub_project import Hub, make_project
from work_messages import NO_MAP, look_again, oru

from engine.cli.termsload import load_all
from engine.codes.shipped import listed

POTASSIUM = "OBX|1|NM|POTX^Potassium, Serum^L||4.1|mmol/L|||||F"


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A hub with twenty messages of an unknown code, and three that no map serves."""
    project = Hub.open(make_project(tmp_path_factory.mktemp("work") / "project"))
    jobs = [(s.path, s.loader, s.asked) for s in listed(project.root) if s.path.name == "loinc"]
    load_all(project.root, jobs, None, False, True)
    for n in range(20):
        project.receive("lab_oru", oru(n, POTASSIUM))
    for n in range(3):
        project.receive("lab_oru", NO_MAP % n)
    project.work()
    made = console_of(project)
    look_again(made)
    yield made
    made.close()
    project.close()


@pytest.fixture(scope="module")
def hub(waiting: Console) -> Iterator[Served]:
    with served(waiting) as made:
        yield made


def gap_of(console: Console) -> int:
    return next(s.id for s in console.project.store.gaps.all() if s.code == "POTX")


def clean(window: Any, name: str) -> None:
    """Hold a page against what every page must be."""
    window.shot(name)
    page = window.page
    assert page.locator("h1").count() == 1
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than the window"
    assert window.elsewhere == [] and window.errors == []
    assert window.axe() == []


@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize(
    "path",
    [
        *("/work", "/work/{task}", "/codes", "/codes/{gap}", "/codes/tables", "/codes/lists"),
        *("/codes/tables/acme_lab_to_loinc", "/codes/systems?system=loinc&q=potassium"),
    ],
)
def test_a_page_is_clean(hub: Served, tab: Callable[..., Any], path: str, width: int) -> None:
    console = hub.console
    window = hub.seat(tab(hub.base, width, dark=width == 1024), "analyst")
    task = console.as_("analyst").json("/work.json")["rows"][0]["id"]
    window.go(path.format(task=task, gap=gap_of(console)))
    clean(
        window,
        f"{path.partition('?')[0].strip('/').replace('/', '-').replace('{', '').replace('}', '')}-{width}",
    )


def test_a_line_is_taken_snoozed_and_commented_by_keys(hub: Served, tab: Callable[..., Any]) -> None:
    window = hub.seat(tab(hub.base), "operator")
    page = window.go("/work")
    for key in ("j", "a"):
        page.keyboard.press(key)
    page.wait_for_load_state()
    page.locator("#notices", has_text="Assigned to operator").wait_for()
    page = window.go("/work?tab=mine")
    assert page.locator("tbody tr").count() == 1
    for key in ("j", "s"):
        page.keyboard.press(key)
    page.locator("#notices", has_text="It sleeps for a day").wait_for()
    page = window.go("/work?tab=snoozed")
    for key in ("j", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**/work/*")
    page.fill("#f-text", "asked the vendor")
    page.click("#comment button")
    page.locator("#comment", has_text="asked the vendor").wait_for()
    page.click("text=Wake it")
    page.locator("#notices", has_text="It is awake").wait_for()
    page.click("text=Try again")
    page.locator("#tried", has_text="again: No map for this kind of message").wait_for()
    clean(window, "work-tried-1440")
