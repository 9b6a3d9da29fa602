"""Every page in a real browser: nothing asked of other hosts, no script error, nothing axe-core objects to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console

from engine.console.rendering import NAVIGATION

PLACES = [path for _, path, *_ in NAVIGATION]


@pytest.fixture(scope="module")
def hub(console: Console) -> Iterator[Served]:
    with served(console, working=False) as made:
        yield made


@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize("path", PLACES)
def test_a_page_is_clean(hub: Served, tab: Callable[..., Any], path: str, width: int) -> None:
    window = hub.seat(tab(hub.base, width, dark=width == 1024), "analyst", "approver", "auditor", "admin")
    page = window.go(path)
    name = path.strip("/").replace("/", "-")
    window.shot(f"{name}-{width}")
    assert page.locator("h1").count() == 1
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than the window"
    assert window.elsewhere == [] and window.errors == []
    assert window.axe() == []
