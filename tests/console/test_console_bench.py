"""The bench and who may stand at it: trying, completing, saving, and tests about nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from console_people import Console, Someone, text_of

from engine.channels.drafts import Drafts

ROOT = Path(__file__).resolve().parents[2]
NAMES = "mappings/hl7v2/datatypes/XPN_HumanName.yaml"
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
SAMPLE = "lab/oru_potassium.hl7"


def message() -> str:
    return (ROOT / "sample_messages" / SAMPLE).read_text().replace("\r", "\n")


def family() -> str:
    """Return the surname in the sample."""
    return next(x for x in message().splitlines() if x.startswith("PID")).split("|")[5].split("^")[0]


def entry_of(console: Console, type: str = "ORU^R01") -> int:
    line = next(x for x in console.project.journal.search.page(limit=50) if x.message_type.startswith("ORU"))
    return line.id


def swapped() -> str:
    text = (ROOT / NAMES).read_text()
    assert "XPN.1.1" in text
    return text.replace("XPN.1.1", "XPN.2", 1)


def test_the_bench_shows_rows_with_values(console: Console) -> None:
    page = console.as_("analyst").post("/bench/try", {"sample": SAMPLE, "take": "sample", "open": PID}, 200)
    text = text_of(page.text)
    assert "PID_Patient" in text and family() in text and "Patient[0]" in text
    assert "does not hold: it is" in text


def test_pasted_text_and_an_edited_map_are_compared_with_live(console: Console) -> None:
    form = {"message": message(), "channel": "lab_oru", "file": NAMES, "text": swapped()}
    page = console.as_("analyst").post("/bench/try", form, 200, headers={"HX-Request": "true"})
    assert "<html" not in page.text and 'hx-swap-oob="true"' in page.text
    text = text_of(page.text)
    assert "1 difference to what is live" in text and "Patient[0].name[0].family" in text
    assert "XPN_HumanName" in text.split("Rows of the maps")[1][:200]


def test_a_mistake_is_named_with_its_line(console: Console) -> None:
    form = {"message": message(), "file": NAMES, "text": swapped().replace("XPN.2", "XPN..2", 1)}
    text = text_of(console.as_("analyst").post("/bench/try", form, 200).text)
    assert f"{NAMES}:7" in text and "is not a location" in text


def test_an_entry_is_shown_to_who_may_see_bodies_and_it_is_in_the_audit(console: Console) -> None:
    entry = entry_of(console)
    analyst = console.as_("analyst", name="ana")
    page = analyst.get(f"/bench?entry={entry}&file={PID}")
    assert "MSH|" in page.text
    assert [row for row in console.audit(1) if row[:3] == ("ana", "console:bench", f"entry/{entry}")]
    look = page.text.split('name="look" value="')[1].split('"')[0]
    before = len(console.audit(500))
    analyst.post("/bench/try", {"entry": str(entry), "look": look, "file": PID}, 200)
    assert len(console.audit(500)) == before
    analyst.post("/bench/try", {"entry": str(entry), "look": "", "file": PID}, 200)
    other = console.as_("analyst", name="ole")
    other.post("/bench/try", {"entry": str(entry), "look": look, "file": PID}, 200)
    assert [row[0] for row in console.audit(2)] == ["ana", "ole"]


@pytest.mark.parametrize(
    "path", ["/bench", "/bench.json", "/bench/try", "/bench/save", "/bench/lint.json", "/bench/test"]
)
def test_who_may_not_draft_is_refused(console: Console, path: str) -> None:
    for role in ("viewer", "operator", "approver", "auditor", "admin"):
        someone = console.as_(role)
        if path in ("/bench", "/bench.json"):
            someone.get(path, 403)
        else:
            someone.post(path, {"message": message()}, 403)


def test_a_message_of_another_channel_is_refused(console: Console) -> None:
    entry = entry_of(console)
    only_adt = console.as_("analyst", channels=("adt",))
    page = only_adt.get(f"/bench?entry={entry}", 403)
    assert "MSH|" not in page.text
    only_adt.post("/bench/try", {"entry": str(entry)}, 403)
    only_adt.post("/bench/try", {"channel": "lab_oru", "message": message()}, 403)


def test_completion_and_findings(console: Console) -> None:
    analyst = console.as_("analyst")
    text = "map: PID_Patient\nfrom: PID\nto: Patient\nrows:\n  name(legal).family: PID-5."
    form = {"path": PID, "text": text, "line": "5", "column": "28", "context": ""}
    found = analyst.post("/bench/complete.json", form, 200).json()
    assert found["from"] == 22 and "Family Name, FN" in {o["detail"] for o in found["options"]}
    bad = {"path": NAMES, "text": swapped().replace("  family:  ", "  fimaly:  ", 1)}
    findings = analyst.post("/bench/lint.json", bad, 200).json()["findings"]
    assert (findings[0]["line"], findings[0]["severity"]) == (7, "error") and findings[0]["remedy"]


def test_a_text_is_saved_in_a_new_draft_and_then_in_the_same(
    fresh_console: Callable[[], Console],
) -> None:
    console = fresh_console()
    analyst = console.as_("analyst", name="ana")
    seen = analyst.json(f"/bench.json?file={NAMES}")["scene"]["seen"]
    form = {"file": NAMES, "text": swapped(), "seen": seen, "once": "abc", "title": "surname first"}
    text = text_of(analyst.post("/bench/save", form, 200).text)
    assert "Saved in draft 1" in text
    analyst.post("/bench/save", form, 200)  # the same form again begins no other
    drafts = Drafts(console.hub.config, console.hub.staff)
    assert [d.number for d in drafts.all()] == [1]
    assert drafts.get(1).files[NAMES].text == swapped()
    again = {**form, "draft": "1", "of": "1", "text": swapped() + "# more\n", "seen": seen}
    assert "somebody else" in text_of(analyst.post("/bench/save", again, 200).text)
    now = analyst.json(f"/bench.json?file={NAMES}&draft=1")["scene"]["seen"]
    analyst.post("/bench/save", {**again, "seen": now}, 200)
    assert drafts.get(1).files[NAMES].text == swapped() + "# more\n"
    bad = text_of(analyst.post("/bench/save", {**form, "once": "x", "title": "a"}, 200).text)
    assert "needs a title" in bad


def test_what_is_no_map_cannot_be_opened(console: Console) -> None:
    for path in ("../config.yaml", "/etc/passwd", "config.yaml", "mappings/../config.yaml"):
        answer = console.as_("analyst").get(f"/bench?file={path}", 409)
        assert "a draft cannot change" in answer.text


def keep(analyst: Someone, **form: str) -> Any:
    return analyst.post("/bench/test", {"message": message(), "channel": "lab_oru", **form}, 200)


def test_a_test_about_nobody_goes_into_the_draft_and_runs(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    analyst = console.as_("analyst")
    page = keep(analyst)
    shown = page.text.split('name="test"')[1].split(">", 1)[1].split("</textarea>")[0]
    assert family() not in page.text and "100234" not in page.text and shown.startswith("MSH|")
    expect = page.text.split('name="expect"')[1].split(">", 1)[1].split("</textarea>")[0].strip()
    assert "Observation.count(): 1" in expect
    plain = shown.replace("&amp;", "&").replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    form = {"channel": "lab_oru", "test": plain, "expect": expect, "name": "a potassium is kept"}
    form |= {"title": "a test of potassium", "once": "t1"}
    refused = analyst.post("/bench/test/save", form, 200)
    assert "nothing in it is anybody" in text_of(refused.text)
    answer = analyst.post("/bench/test/save", {**form, "nobody": "yes"})
    assert answer.headers["location"].startswith("/bench?draft=1")
    assert "passes" in text_of(analyst.get("/bench?draft=1").text)
    drafts = Drafts(console.hub.config, console.hub.staff)
    text = drafts.get(1).files["channels/lab_oru.test.yaml"].text or ""
    assert "a potassium is kept" in text and "message: |" in text and family() not in text.split("tests:")[1]


def test_a_test_that_fails_says_so(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    analyst = console.as_("analyst")
    form = {"channel": "lab_oru", "send": f"sample_messages/{SAMPLE}", "title": "a wrong test", "once": "t2"}
    form |= {"name": "there are nine", "expect": "Observation.count(): 9"}
    analyst.post("/bench/test/save", form)
    assert "fails" in text_of(analyst.get("/bench?draft=1").text)
    bad = analyst.post("/bench/test/save", {**form, "draft": "1", "expect": "nonsense"}, 200)
    assert "cannot be written" in text_of(bad.text)
