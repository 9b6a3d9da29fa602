"""Work: the list by cause, who does it, try, release, close; and who may see and do what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console_people import Console, Someone, text_of
from work_messages import NO_MAP, OBX, form_of, look_again, oru


def tasks(someone: Someone, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = someone.json(f"/work.json{query}")["rows"]
    return found


def parked(console: Console, count: int = 3) -> Console:
    for n in range(count):
        console.project.receive("lab_oru", NO_MAP % n)
    console.project.work()
    look_again(console)
    return console


def test_the_list_stands_by_cause(fresh_console: Callable[[], Console]) -> None:
    console = parked(fresh_console())
    for n in range(4):
        console.project.receive("lab_oru", oru(n))
    console.project.work()
    look_again(console)
    operator, viewer = console.as_("operator"), console.as_("viewer")
    rows = tasks(operator)
    assert [(r["cause"], r["count"], r["what"]) for r in rows] == [
        ("no-map", 3, "MSH-9"),
        ("unmapped-code", 4, "OBX-3 ZZTOP unknown to acme_lab_to_loinc"),
    ]
    assert console.audit(1)[0][:3] == ("operator", "console:work:codes", "codes")
    page = text_of(operator.get("/work").text)
    assert "No map for this kind of message" in page and "ZZTOP" in page and "SECRETNAME" not in page
    seen = viewer.get("/work").text + viewer.get("/work.json").text
    assert "ZZTOP" not in seen and "OBX-3 a code unknown to acme_lab_to_loinc" in seen
    assert "ZZTOP" not in viewer.get(f"/work/{rows[1]['id']}").text
    assert tasks(console.as_("operator", channels=("adt",))) == []
    assert operator.json("/work/count.json")["count"] == 2
    assert operator.get("/work/count", headers={"HX-Request": "true"}).text.strip() == "2"


def test_one_takes_snoozes_and_comments(fresh_console: Callable[[], Console]) -> None:
    console = parked(fresh_console())
    operator, viewer = console.as_("operator"), console.as_("viewer")
    (row,) = tasks(operator)
    at = f"/work/{row['id']}"
    assert (
        operator.post(f"{at}/assign", {"to": "me", "back": "/work?tab=mine"}).headers["location"]
        == "/work?tab=mine"
    )
    assert (
        operator.post(f"{at}/assign", {"to": "me", "back": "https://evil.example"}).headers["location"] == at
    )
    assert [r["assignee"] for r in tasks(operator, "?tab=mine")] == ["operator"]
    assert tasks(console.as_("analyst"), "?tab=mine") == []
    operator.post(f"{at}/comment", {"text": "The ward says it is SECRETNAME"})
    operator.post(f"{at}/snooze", {"for": "1d", "text": "asked the vendor"})
    assert tasks(operator) == [] and len(tasks(operator, "?tab=snoozed")) == 1
    assert operator.json("/work/count.json")["count"] == 0
    operator.post(f"{at}/wake")
    operator.post(f"{at}/assign", {"to": "nosuchperson"}, 400)
    operator.post(f"{at}/snooze", {"for": "for ever"}, 400)
    operator.post(f"{at}/comment", {"text": " "}, 400)
    told = operator.json(f"{at}.json")
    assert [(n["what"], n["to"]) for n in told["notes"]] == [
        *[("assigned", "operator")] * 2, ("comment", ""), ("snoozed", ""), ("woken", ""),
    ]  # fmt: skip
    assert "SECRETNAME" in operator.get(at).text
    assert ("operator", "console:work:notes", f"task/{row['id']}") in [r[:3] for r in console.audit(9)]
    assert "SECRETNAME" not in viewer.get(at).text + viewer.get(f"{at}.json").text
    for way in ("assign", "snooze", "wake", "comment", "try", "release", "close"):
        viewer.post(f"{at}/{way}", {"text": "x"}, 403)
    assert b"SECRETNAME" not in (console.hub.config.data_dir / "staff.db").read_bytes()


def test_only_the_channels_of_ones_roles(fresh_console: Callable[[], Console]) -> None:
    console = parked(fresh_console())
    (row,) = tasks(console.as_("operator"))
    other = console.as_("operator", channels=("adt",))
    other.get(f"/work/{row['id']}", 403)
    for way in ("assign", "comment", "try", "release", "close"):
        other.post(f"/work/{row['id']}/{way}", {"text": "x", "why": "x", "form": "x"}, 403)
    other.get("/work/0123456789abcdef", 404)
    assert console.project.journal.head() == 3


def test_try_then_release_then_see_what_changed(fresh_console: Callable[[], Console]) -> None:
    console = parked(fresh_console())
    operator = console.as_("operator")
    (row,) = tasks(operator)
    at = f"/work/{row['id']}"
    page = operator.get(at).text
    tried = operator.post(f"{at}/try", status=200, headers={"HX-Request": "true"})
    assert "3 messages of 3 tried" in text_of(tried.text) and "parked again" in text_of(tried.text)
    assert console.project.journal.head() == 3
    form = form_of(page, f"{at}/release")
    operator.post(f"{at}/release", {**form, "why": " "}, 400)
    there = operator.post(f"{at}/release", {**form, "why": "map written"}).headers["location"]
    again = operator.post(f"{at}/release", {**form, "why": "map written"}).headers["location"]
    assert there == again and console.project.journal.head() == 6  # pressed twice, run once
    second = form_of(page.replace(form["form"], "0" * 24), f"{at}/release")
    operator.post(f"{at}/release", {**second, "why": "map written"}, 409)
    told = operator.json(f"{there}.json")
    assert (told["entries"], told["running"], told["live"], told["reason"]) == (3, 3, True, "map written")
    console.project.work()
    part = operator.get(there, headers={"HX-Request": "true"}).text
    assert "<html" not in part and text_of(part).count("parked again") == 4
    told = operator.json(f"{there}.json?show=parked again")
    assert [(line["entry"], line["run"], line["state"]) for line in told["lines"]] == [
        (1, 4, "parked again"), (2, 5, "parked again"), (3, 6, "parked again"),
    ]  # fmt: skip
    assert operator.json(f"{there}.json?show=done")["lines"] == []
    viewer = console.as_("viewer")
    assert viewer.json(f"{there}.json")["reason"] == "" and "map written" not in viewer.get(there).text
    console.as_("operator", channels=("adt",)).get(there, 403)
    operator.get("/work/releases/99", 404)
    operator.get("/work/releases/x", 404)


def test_close_and_open_again(fresh_console: Callable[[], Console]) -> None:
    console = parked(fresh_console())
    operator = console.as_("operator")
    (row,) = tasks(operator)
    at = f"/work/{row['id']}"
    form = form_of(operator.get(at).text, f"{at}/close")
    there = operator.post(f"{at}/close", {**form, "why": "tests of the vendor"}).headers["location"]
    assert operator.post(f"{at}/close", {**form, "why": "tests of the vendor"}).headers["location"] == there
    assert tasks(operator) == [] and operator.json(f"{there}.json")["progress"]["closed"] == 3
    page = operator.get(at).text
    assert "Nothing waits for this any more" in page and "tests of the vendor" in page
    assert operator.post(f"{there}/reopen", {"why": "they were real"}).headers["location"] == at
    assert tasks(operator)[0]["count"] == 3
    assert [line["state"] for line in operator.json(f"{there}.json")["lines"]] == ["waits again"] * 3
    console.as_("viewer").post(f"{there}/reopen", {"why": "x"}, 403)


def test_pages_hold_no_markup_of_senders(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    console.project.receive("lab_oru", oru(1, OBX.replace("ZZTOP^Strange", "<script>x</script>^<b>y</b>")))
    console.project.work()
    look_again(console)
    operator = console.as_("operator")
    (row,) = tasks(operator)
    pages = operator.get("/work").text + operator.get(f"/work/{row['id']}").text
    assert "&lt;script&gt;" in pages and "<script>x" not in pages
