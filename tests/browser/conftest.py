"""A running hub, people with passwords, and Debian's Chromium.

The hub is `hub serve` as a process, on ports of its own; the browser is asked for every request to another
host (there must be none) and for accessibility by axe-core. Without Chromium or axe these tests are skipped
and say so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from console_people import Console, console_of, received
from hub_project import Hub, make_project

AXE = Path(__file__).parents[1] / "node/node_modules/axe-core/axe.min.js"
CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-dev-shm-usage"),
]
SHOTS = os.environ.get("HUB_SCREENSHOTS", "")  # a folder: every page is kept there as a picture


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.skip("there is no chromium: apt-get install chromium"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for the tests of a file: while it runs, its event loop does, and others have none of their
    own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console of a hub that has received something of most kinds."""
    project = received(Hub.open(make_project(tmp_path_factory.mktemp("browser") / "project")))
    made = console_of(project)
    yield made
    made.close()
    project.close()


class Tab:
    """One person's browser window: remembers what was asked of other hosts, and errors of scripts."""

    def __init__(self, context: Any, base: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(120_000)  # other tests run beside it
        self.base = base
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:", "about:")):
            self.elsewhere.append(request.url)

    def go(self, path: str) -> Any:
        """Open a page of the hub."""
        self.page.goto(self.base + path, wait_until="load")
        return self.page

    def shot(self, name: str) -> None:
        """Keep a picture of the page, where somebody wants to look at it."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)

    def axe(self, *, rules: tuple[str, ...] = ()) -> list[str]:
        """Return what axe-core finds against WCAG 2.2 A and AA, one line each."""
        if not AXE.exists():
            pytest.skip("axe-core is not here: npm ci --prefix tests/node")
        # by the protocol of the browser's own tools: the page's policy lets no script in
        self.page.evaluate(AXE.read_text("utf-8"))
        found = self.page.evaluate(
            "async () => (await axe.run(document, {runOnly: {type: 'tag', values: "
            "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}})).violations"
        )
        return [
            f"{v['id']}: {v['help']}: {n['html'][:160]}: {n.get('failureSummary', '')[:200]}"
            for v in found
            for n in v["nodes"]
            if v["id"] not in rules
        ]


@pytest.fixture
def tab(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """A maker of windows: `tab(base, width=1440)`."""
    contexts = []

    def maker(base: str, width: int = 1440, dark: bool = False) -> Tab:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        return Tab(context, base)

    yield maker
    for context in contexts:
        context.close()
