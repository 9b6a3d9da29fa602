"""The message page in a real browser: a click traces without loading the page, keys do, it stays clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console

TABS = ("", "/fhir", "/lineage", "/timeline", "/compare", "/replay", "/edit")


@pytest.fixture(scope="module")
def hub(console: Console) -> Iterator[Served]:
    with served(console, working=False) as made:
        yield made


@pytest.fixture(scope="module")
def number(console: Console) -> int:
    return console.project.entries["lab/oru_corrected"]


@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize("tab_", TABS)
def test_a_tab_is_clean(hub: Served, tab: Callable[..., Any], number: int, tab_: str, width: int) -> None:
    window = hub.seat(tab(hub.base, width, dark=width == 1024), "analyst")
    path = f"/message/{number}{tab_}{f'?with={number - 1}' if tab_ == '/compare' else ''}"
    page = window.go(path)
    window.shot(f"message{tab_.replace('/', '-')}-{width}")
    assert page.locator("h1").count() == 1
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than the window"
    assert window.elsewhere == [] and window.errors == []
    assert window.axe() == []


def test_a_click_and_a_key_trace_a_value(hub: Served, tab: Callable[..., Any], number: int) -> None:
    window = hub.seat(tab(hub.base), "analyst")
    page = window.go(f"/message/{number}")
    page.evaluate("window.stays = true")
    page.click('a[title="OBX[1]-5[1].1"]')
    page.wait_for_selector("#trace h3")
    assert "Observation.valueQuantity.value" in page.inner_text("#trace")
    assert "at=OBX" in page.url and page.evaluate("window.stays") is True
    window.shot("message-traced-1440")
    assert window.axe() == []
    page.keyboard.press("j")
    page.keyboard.press("t")
    page.locator("#trace h2", has_text="MSH[1]").wait_for()
    page = window.go(f"/message/{number}?at=OBX[1]-5[1].1")
    page.click("#trace a[href*='/fhir?of=']")
    page.wait_for_load_state()
    assert "OBX[1]-5[1].1" in page.inner_text("#trace")
    assert window.errors == []


def test_a_replay_is_seen_before_it_is_done(
    hub: Served, tab: Callable[..., Any], console: Console, number: int
) -> None:
    window = hub.seat(tab(hub.base), "operator")
    page = window.go(f"/message/{number}/replay")
    before = console.project.journal.head()
    page.fill('input[name="why"]', "to see that nothing changes")
    page.click("button.main")
    page.wait_for_url("**/message/*")
    assert console.project.journal.head() == before + 1
    assert "is asked for" in page.inner_text("#notices")
    page = window.go("/replay")
    window.shot("replay-1440")
    assert window.axe() == []
    page.fill('input[name="since"]', "2020-01-01T00:00")
    page.click("button.main")
    page.wait_for_selector(".tiles")
    page.locator("progress").wait_for(state="detached", timeout=60_000)
    window.shot("replay-many-1440")
    assert window.axe() == []
    assert window.errors == [] and window.elsewhere == []
