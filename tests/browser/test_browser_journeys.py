"""The journeys that matter, as an analyst makes them: in a browser, on a hub that works meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from browser_hub import served
from console_people import Console, console_of, received
from hub_project import Hub, make_project

PATIENT = ("Finch", "Lea", "101005", "19990909", "13.4")


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console to change."""
    made = console_of(Hub.open(make_project(tmp_path_factory.mktemp("journey") / "project")))
    yield made
    made.close()
    made.project.close()


def oru(n: int, code: str = "ZZTOP^Strange^L", value: str = "5.5") -> bytes:
    return (
        f"MSH|^~\\&|ACMELIS|ACME|HUB|HOSP|20260501120000||ORU^R01^ORU_R01|M{n}|P|2.5.1\r"
        f"PID|1||7{n}^^^NORTH^MR||DOE^JANE||19800101|F\r"
        f"OBR|1|P{n}|F{n}|24323-8^CMP^LN|||20260501110000|||||||||||||||20260501||LAB|F\r"
        f"OBX|1|NM|{code}||{value}|mg/dL|||||F\r"
    ).encode()


def cookies_of(page: Any) -> dict[str, str]:
    return {c["name"]: c["value"] for c in page.context.cookies()}


def until(wanted: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    over = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < over, "it never came"
        time.sleep(0.05)


def test_find_a_patients_result_and_explain_one_value(own: Console, tab: Callable[..., Any]) -> None:
    received(own.project)
    with served(own, working=False) as hub:
        window = hub.seat(tab(hub.base), "analyst")
        page = window.go("/now")
        page.keyboard.press("/")
        page.keyboard.type("101005 718-7")
        page.keyboard.press("Enter")
        page.wait_for_url("**/find**")
        assert "101005" not in page.url  # an address holds no number of a patient
        page.wait_for_selector("[data-rows] tr a")
        window.shot("journey-find-1440")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url("**/message/**")
        page.locator("a", has_text=re.compile(r"^13\.4$")).first.click()
        trace = page.locator("#trace", has_text="Observation.valueQuantity.value")
        trace.wait_for()
        text = trace.inner_text()
        assert "OBX[1]-5" in text and re.search(r"mappings/\S+\.yaml:\d+", text), text
        page.locator("#trace a[href*='/fhir?of=']").first.click()
        page.locator("#trace", has_text="Came from").wait_for()
        assert window.errors == [] and window.elsewhere == []
    assert any("718-7" in detail for _, action, _, detail in own.audit(12) if "find" in action)


def test_an_unknown_code_is_fixed_once_and_twenty_messages_are_released(
    own: Console, tab: Callable[..., Any]
) -> None:
    for n in range(20):
        own.project.receive("lab_oru", oru(n))
    with served(own) as hub:
        until(lambda: sum(gap.parked + gap.flagged for gap in own.project.store.gaps.all()) == 20)
        window = hub.seat(tab(hub.base), "analyst")
        page = window.go("/work")
        page.locator("tr", has_text="ZZTOP").locator("a").first.click()
        page.get_by_text("Say what the code means").click()
        page.fill("#f-code", "2345-7")
        page.fill("#f-system", "loinc")
        page.get_by_role("button", name="Write a draft").click()
        page.wait_for_load_state()
        window.shot("journey-code-1440")
        other = hub.seat(tab(hub.base), "approver", name="second")
        page = other.go("/codes")
        page.locator("tr", has_text="ZZTOP").locator("a").first.click()
        page.get_by_role("button", name=re.compile("^Approve")).first.click()
        page.get_by_text("20 messages will run again").first.wait_for()
        page.get_by_role("button", name=re.compile("20 messages|^Approve")).last.click()
        page.wait_for_url("**/work/releases/**")
        page.locator("#asks-release .tiles", has_text="20").wait_for()
        page.locator(".tiles > div", has_text=re.compile(r"^20\s*done")).wait_for(timeout=30_000)  # live
        other.shot("journey-released-1440")
        assert other.axe() == [] and other.errors == [] and window.errors == []
    for entry in range(21, 41):
        outcome = own.project.store.outcome(entry)
        assert outcome is not None and outcome.status == "done"


def test_a_day_is_replayed_after_a_dry_run(own: Console, tab: Callable[..., Any]) -> None:
    for n in range(6):
        own.project.receive("lab_oru", oru(n, code="GLUF^Glucose^L", value=str(90 + n)))
    own.project.work()
    before = own.project.journal.head()
    table = own.hub.config.root / "terminology/maps/acme_lab_to_loinc.csv"
    rows = table.read_text("utf-8").replace("1558-6", "1557-8")
    assert rows != table.read_text("utf-8")
    table.write_text(rows, "utf-8")
    with served(own, working=False) as hub:
        window = hub.seat(tab(hub.base), "analyst")
        page = window.go("/replay")
        page.fill("#f-since", time.strftime("%Y-%m-%dT00:00", time.gmtime()))
        page.get_by_role("button", name="Try them all").click()
        page.wait_for_url("**/replay/**")
        page.get_by_text("would come out different").wait_for()
        page.get_by_label("Why").wait_for(timeout=30_000)
        assert own.project.journal.head() == before  # nothing was written
        window.shot("journey-dry-run-1440")
        assert "code" in page.locator("table", has_text="What would be different").inner_text()
        page.get_by_label("Why").fill("the table named the wrong glucose")
        page.get_by_role("button", name=re.compile("^Run 6 messages again")).dblclick()
        page.get_by_text("6 replays were asked for").wait_for()
        assert own.project.journal.head() == before + 6  # a double click asks once
        assert window.axe() == [] and window.errors == []


def test_a_viewer_sees_no_body_anywhere(own: Console, tab: Callable[..., Any]) -> None:
    received(own.project)
    entry = own.project.entries["lab/oru_corrected"]
    places = [
        *(
            "/now",
            "/work",
            "/find",
            "/codes",
            "/senders",
            "/alerts",
            "/changes",
            "/maps",
            "/bench",
            "/studies",
            "/deliveries",
            "/critical",
        ),
        *(
            f"/message/{entry}{part}"
            for part in ("", "/fhir", "/lineage", "/timeline", "/compare", "/replay")
        ),
    ]
    with served(own, working=False) as hub:
        window = hub.seat(tab(hub.base), "viewer")
        page = window.page
        for place in places:
            window.go(place)
            for word in PATIENT:
                assert word not in page.content(), (place, word)
        for place in (f"/message/{entry}", f"/message/{entry}/fhir", "/find", "/now", "/work", "/senders"):
            text = page.request.get(f"{hub.base}{place}.json").text()
            assert not [word for word in PATIENT if word in text], place
        window.go("/find")
        page.locator("main input[name=q]").fill("Finch")
        page.locator("main button", has_text="Find").first.click()
        page.wait_for_load_state()
        hits = page.content()  # what was typed stands there again, and nothing that it found
        assert not [word for word in PATIENT[1:] if word in hits] and f'href="/message/{entry}"' not in hits
        token = page.evaluate("document.querySelector('meta[name=csrf]').content")
        for path in ("/find/export", f"/message/{entry}/edit", f"/message/{entry}/replay"):
            answer = page.request.post(hub.base + path, form={"csrf": token, "as": "csv", "t": ""})
            assert answer.status in (400, 403, 404), (path, answer.status)
        with httpx.stream("GET", hub.base + "/now/events", cookies=cookies_of(page), timeout=10) as events:
            part = next(events.iter_text())
        assert "lab_oru" in part and not [word for word in PATIENT if word in part]
    refused = [row for row in own.audit(60) if row[1] == "console:refused"]
    assert refused and {row[0] for row in refused} == {"viewer"}


WAS = "    note:    {each"
BECOMES = "    effectiveDateTime: [OBX-14, OBR-22, OBR-7]\n    note:    {each"


def test_a_row_is_changed_judged_approved_live_and_taken_back(own: Console, tab: Callable[..., Any]) -> None:
    for n in range(1000):
        own.project.receive("lab_oru", oru(n, code="GLUF^Glucose^L", value=str(90 + n % 50)))
    own.project.work()
    path = "mappings/sites/acme_lab.yaml"
    live = own.hub.config.root / path
    before = live.read_bytes()

    def dated(entry: int) -> str:
        made = own.project.store.read("Observation", own.project.written(entry, "Observation"))
        assert made is not None
        return str(made["effectiveDateTime"])

    assert dated(1).startswith("2026-05-01T11:00")
    with served(own) as hub:
        window = hub.seat(tab(hub.base), "analyst", name="ann")
        page = window.go("/bench?entry=1")
        page.fill("#f-open", path)
        page.get_by_role("button", name="Open").click()
        page.wait_for_function("customElements.get('hub-editor') && document.querySelector('#f-text')")
        page.wait_for_function('document.querySelector("hub-editor[path]")?.view')
        page.evaluate(
            "([was, becomes]) => { const e = document.querySelector('hub-editor[path]');"
            " e.value = e.value.replace(was, becomes) }",
            [WAS, BECOMES],
        )
        page.locator("#bench-fhir", has_text="2026-05-01T11:00").wait_for()  # what differs, as it is typed
        window.shot("journey-bench-1440")
        page.fill("#f-title", "results are dated by the report")
        page.get_by_role("button", name="Save in a new draft").click()
        page.get_by_text("The draft").click()
        page.wait_for_url("**/changes/1")
        page.get_by_role("button", name="Run checks and tests").click()
        page.locator("#jobs", has_text="tests pass").wait_for(timeout=400_000)
        page.get_by_role("button", name="Work out the impact").click()
        page.get_by_text("1\u202f000 of 1\u202f000 messages").wait_for(timeout=400_000)
        page.locator("#jobs", has_text="effectiveDateTime").wait_for(timeout=60_000)  # it counts first
        text = page.locator("#jobs").inner_text()
        assert "effectiveDateTime" in text and re.search(rf"{path}:\d+", text), text
        window.shot("journey-impact-1440")
        page.reload()
        page.fill("textarea[name=text]", "the laboratory asks for it")
        page.get_by_role("button", name="Ask for approval").click()
        assert page.get_by_role("button", name="Approve this content").count() == 0
        other = hub.seat(tab(hub.base), "approver", name="ben")
        page = other.go("/changes/1")
        other.shot("journey-approval-1440")
        assert other.axe() == []
        page.get_by_role("button", name="Approve this content").click()
        page.get_by_role("button", name="Go live with 1 file").click()
        page.get_by_role("button", name="Roll back 1 file").wait_for()
        assert BECOMES in live.read_text("utf-8")
        own.project.receive("lab_oru", oru(2001, code="GLUF^Glucose^L"))
        until(lambda: own.project.store.outcome(1001) is not None)
        assert dated(1001).startswith("2026-05-01") and not dated(1001).startswith("2026-05-01T11:00")
        page.get_by_role("button", name="Roll back 1 file").click()
        page.get_by_text("rolled back").first.wait_for()
        assert live.read_bytes() == before
        own.project.receive("lab_oru", oru(2002, code="GLUF^Glucose^L"))
        until(lambda: own.project.store.outcome(1002) is not None)
        assert dated(1002).startswith("2026-05-01T11:00")
        assert window.errors == [] and other.errors == []
    done = [(who, action) for who, action, _, _ in own.audit(60)]
    assert any(who == "ben" and "change" in action for who, action in done), done
