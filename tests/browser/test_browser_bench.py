"""The bench and the sheets in a real browser: rows follow the keyboard, pages stay clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import Console

NAMES = "mappings/hl7v2/datatypes/XPN_HumanName.yaml"
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
PAGES = {
    "maps": "/maps",
    "sheet": "/maps/XPN_HumanName",
    "sheet-site": "/maps/PID_Patient?site=acme_lab",
    "message-map": "/maps/ORU_R01",
    "why": "/maps/why?what=PID-8",
    "import": "/maps/import",
    "bench-empty": "/bench",
    "bench": f"/bench?sample=lab/oru_potassium.hl7&file={PID}",
}


@pytest.fixture(scope="module")
def hub(console: Console) -> Iterator[Served]:
    with served(console, working=False) as made:
        yield made


@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_clean(hub: Served, tab: Callable[..., Any], name: str, width: int) -> None:
    window = hub.seat(tab(hub.base, width, dark=width == 1024), "analyst")
    page = window.go(PAGES[name])
    page.wait_for_timeout(300)
    window.shot(f"{name}-{width}")
    assert page.locator("h1").count() == 1
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than the window"
    assert window.elsewhere == [] and window.errors == []
    assert window.axe() == []


def editor_of(page: Any, path: str) -> Any:
    return page.locator(f'hub-editor[path="{path}"] .cm-content')


def test_rows_and_fhir_follow_what_is_typed(hub: Served, tab: Callable[..., Any]) -> None:
    window = hub.seat(tab(hub.base), "analyst")
    page = window.go(f"/bench?sample=lab/oru_potassium.hl7&file={NAMES}")
    page.locator("#bench-rows", has_text="XPN_HumanName").wait_for()
    page.evaluate("window.stays = true")
    page.evaluate(
        "() => { const e = document.querySelector('hub-editor[language=yaml]');"
        " e.value = e.value.replace('XPN.1.1', 'XPN.2'); }"
    )
    page.locator("#bench-fhir", has_text="1 difference to what is live").wait_for()
    assert "Patient[0].name[0].family" in page.inner_text("#bench-fhir")
    page.evaluate(
        "() => { const e = document.querySelector('hub-editor[language=yaml]');"
        " e.value = e.value.replace('XPN.2', 'XPN..2'); }"
    )
    page.locator("#bench-rows", has_text="is not a location").wait_for()
    page.click("#bench-rows .notice [data-line]")
    assert page.evaluate("document.activeElement.tagName") == "HUB-EDITOR"
    assert page.evaluate("window.stays") is True
    window.shot("bench-fault-1440")
    assert window.errors == [] and window.elsewhere == []
    assert window.axe() == []


def test_completion_knows_the_fields(hub: Served, tab: Callable[..., Any]) -> None:
    window = hub.seat(tab(hub.base), "analyst")
    page = window.go(f"/bench?file={PID}")
    editor = editor_of(page, PID)
    editor.click()
    page.keyboard.press("Control+End")
    page.evaluate(
        "() => { const e = document.querySelector('hub-editor[language=yaml]');"
        " e.value = 'map: PID_Patient\\nfrom: PID\\nto: Patient\\nrows:\\n  name.family: '; }"
    )
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("PID-5.")
    page.wait_for_timeout(500)
    page.keyboard.press("Control+Space")
    page.locator(".cm-tooltip-autocomplete", has_text="Family Name").wait_for()
    window.shot("bench-completion-1440")


def test_a_cell_of_the_grid_goes_into_a_draft(hub: Served, tab: Callable[..., Any]) -> None:
    window = hub.seat(tab(hub.base), "analyst")
    page = window.go("/maps/XPN_HumanName")
    row = page.locator("tr", has=page.locator("th", has_text="family").first).first
    row.locator("summary").click()
    row.locator('input[name="from"]').fill("XPN.2")
    row.locator("button.main").click()
    page.locator("h2", has_text="1 row otherwise than live").wait_for()
    window.shot("sheet-draft-1440")
    assert "draft=" in page.url and window.errors == []
    assert window.axe() == []
