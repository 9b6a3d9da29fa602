"""A change at the console in a real browser: from a draft to live and back, and every page of it clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console, console_of
from hub_project import Hub, make_project

from engine.channels import deciding

OBX = "mappings/hl7v2/segments/OBX_Observation.yaml"
ROW = "  interpretation:    {from: OBX-8, code: InterpretationCode}\n"


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A hub of its own: its files change. The checks themselves are tested elsewhere."""
    project = Hub.open(make_project(tmp_path_factory.mktemp("changes") / "project"))
    for name in ("potassium", "cmp"):
        project.take("lab_oru", f"lab/oru_{name}")
    console: Console = console_of(project)
    monkeypatch.setattr(deciding, "_looked", lambda root, base: ([], [], ""))
    with served(console) as made:
        yield made
    console.close()
    project.close()


def clean(window: Any, name: str) -> None:
    page = window.page
    page.wait_for_timeout(300)
    window.shot(name)
    assert page.locator("h1").count() == 1
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name} is wider than the window"
    assert window.elsewhere == [] and window.errors == []
    assert window.axe() == [], name


@pytest.mark.parametrize("width", [1024])
def test_from_a_draft_to_live_and_back(hub: Served, tab: Callable[..., Any], width: int) -> None:
    ana = hub.seat(tab(hub.base, width), "analyst", name="ana")
    cleo = hub.seat(tab(hub.base, width, dark=True), "approver", name="cleo")
    root = hub.console.project.root
    before = (root / OBX).read_text()
    page = ana.go("/changes")
    page.fill("#f-title", "Interpretation as it was sent")
    page.click("text=Begin")
    page.wait_for_url("**/changes/1")
    clean(ana, f"change-empty-{width}")
    page.fill("#f-path", OBX)
    page.locator("form", has=page.locator("#f-path")).get_by_role("button", name="Edit").click()
    page.locator("hub-editor .cm-content").wait_for()
    clean(ana, f"change-edit-{width}")
    page.evaluate(
        "row => { const e = document.querySelector('hub-editor');"
        " e.value = e.value.replace(row, '  interpretation: OBX-8\\n'); }",
        ROW,
    )
    page.click("text=Save in the draft")
    page.wait_for_url("**/changes/1")
    deciding.check(_drafts(hub), 1, "ana")
    page.get_by_role("button", name="Work out the impact").click()
    page.locator("h3", has_text="OBX_Observation/interpretation").wait_for(timeout=60_000)
    clean(ana, f"change-impact-{width}")
    page.fill("#f-text", "The receiver has its own table")
    page.get_by_role("button", name="Ask for approval").click()
    page.locator("text=nobody approves what he wrote").wait_for()
    other = cleo.go("/changes?tab=asked")
    clean(cleo, f"changes-asked-{width}")
    other.click("text=Interpretation as it was sent")
    other.get_by_role("button", name="Approve this content").click()
    other.get_by_role("button", name="Go live with 1 file").click()
    other.get_by_role("button", name="Roll back 1 file").wait_for()
    assert (root / OBX).read_text() == before.replace(ROW, "  interpretation: OBX-8\n")
    clean(cleo, f"change-live-{width}")
    other.get_by_role("button", name="Roll back 1 file").click()
    other.locator("h1", has_text="Change 1").wait_for()
    other.locator(".state", has_text="rolled back").first.wait_for()
    assert (root / OBX).read_text() == before
    cleo.go("/changes/history")
    clean(cleo, f"changes-history-{width}")


def _drafts(hub: Served) -> Any:
    from engine.channels.drafts import Drafts

    return Drafts(hub.console.hub.config, hub.console.hub.staff)
