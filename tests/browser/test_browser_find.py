"""Find in a real browser: the box, keys through the hits, a search that opens messages and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console


@pytest.fixture(scope="module")
def hub(console: Console) -> Iterator[Served]:
    with served(console, working=False) as made:
        yield made


def test_a_patient_is_found_from_any_page(hub: Served, tab: Callable[..., Any]) -> None:
    window = hub.seat(tab(hub.base, 1440), "operator")
    page = window.go("/now")
    page.keyboard.press("/")
    page.keyboard.type("DOE or 101005")
    page.keyboard.press("Enter")
    page.wait_for_selector("table.hits tbody tr[data-row]")
    assert "DOE" not in page.url and "101005" not in page.url
    window.shot("find-hits-1440")
    assert window.axe() == []
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("tr[data-row]").nth(1).locator("a").first.inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/message/{second}")
    assert window.elsewhere == [] and window.errors == []


def test_messages_are_looked_into_and_it_can_be_stopped(
    hub: Served, tab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.console.pages.find._OPENED", 2)
    window = hub.seat(tab(hub.base, 1024, dark=True), "operator")
    page = window.go("/find")
    page.fill("#find-box", "OBX-5>0 not PID-8=X")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Look into").click()
    page.get_by_role("link", name="Stop").click()
    page.get_by_text("Stopped: looked into").wait_for()
    window.shot("find-stopped-1024")
    assert window.axe() == []
    page.get_by_role("link", name="Look on").click()
    page.get_by_text("Looked into 8 messages").wait_for()
    assert page.locator("tr[data-row]").count() >= 5
    assert window.elsewhere == [] and window.errors == []
