"""Codes: listed, suggested, proposed, approved by another person, released; tables, look-up, files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console_people import Console, Someone, console_of, text_of
from hub_project import Hub, make_project
from test_console_work import form_of, look_again, oru

LOINC = "http://loinc.org"


def with_code(console: Console, count: int = 3) -> Console:
    for n in range(count):
        console.project.receive("lab_oru", oru(n))
    console.project.work()
    look_again(console)
    return console


def number_of(someone: Someone) -> int:
    (row,) = [r for r in someone.json("/codes.json")["rows"] if r["field"] == "OBX-3"]
    return int(row["id"])


def approve(someone: Someone, *numbers: int, **more: str) -> Any:
    """Go through the page that says what will happen."""
    page = someone.post("/codes/approve", {"number": [str(n) for n in numbers]}, 200).text
    form = {**form_of(page, "/codes/approve"), "number": [str(n) for n in numbers], **more}
    return someone.post("/codes/approve", form), form, page


def test_fixed_once_and_all_released(fresh_console: Callable[[], Console]) -> None:
    """Twenty messages with an unknown code: proposed, approved by another, and all twenty run again."""
    console = with_code(fresh_console(), 20)
    analyst, approver = console.as_("analyst"), console.as_("approver")
    (task,) = analyst.json("/work.json")["rows"]
    assert (task["count"], task["what"]) == (20, "OBX-3 ZZTOP unknown to acme_lab_to_loinc")
    number = task["gap"]
    assert f'href="/codes/{number}"' in analyst.get(f"/work/{task['id']}").text
    analyst.post(f"/codes/{number}/propose", {"code": "2345-7", "system": "loinc", "comment": "as before"})
    analyst.post("/codes/approve", {"number": str(number)}, 403)
    answer, form, page = approve(approver, number, comment="checked")
    assert "20 messages will run again" in text_of(page)
    there = answer.headers["location"]
    assert there.startswith("/work/releases/")
    assert approver.post("/codes/approve", form).headers["location"] == there  # pressed twice
    assert console.project.journal.head() == 40
    assert approver.json(f"{there}.json")["progress"]["asked"] == 20
    console.project.work()
    told = approver.json(f"{there}.json")
    assert (told["progress"]["done"], told["running"], told["progress"]["parked"]) == (20, 0, 0)
    assert [line["state"] for line in told["lines"]] == ["done"] * 20
    for line in told["lines"]:
        made = console.project.store.read("Observation", console.project.written(line["run"], "Observation"))
        assert made is not None and [c["code"] for c in made["code"]["coding"]] == ["2345-7", "ZZTOP"]
    look_again(console)
    assert analyst.json("/work.json")["rows"] == [] and analyst.json("/codes.json")["rows"] == []
    assert analyst.json(f"/work/{task['id']}.json")["releases"][0]["number"] == told["number"]
    actions = [row[:3] for row in console.audit(40)]
    for wanted in (
        ("analyst", "console:codes:propose", f"gap/{number}"),
        ("approver", "terms:approve", f"gap/{number}"),
        ("approver", "terms:release", "messages"),
    ):
        assert wanted in actions


def test_values_are_for_those_only_who_may_see_bodies(fresh_console: Callable[[], Console]) -> None:
    console = with_code(fresh_console())
    analyst, viewer = console.as_("analyst"), console.as_("viewer")
    number = number_of(analyst)
    told = analyst.json(f"/codes/{number}.json")
    assert (told["row"]["code"], told["row"]["text"], told["values"]) == ("ZZTOP", "Strange", ["5.5"])
    assert ("analyst", "console:codes:samples", f"gap/{number}") in [r[:3] for r in console.audit(5)]
    analyst.post(f"/codes/{number}/propose", {"code": "2345-7", "comment": "ZZTOP is glucose"})
    for path in ("/codes", "/codes.json", f"/codes/{number}", f"/codes/{number}.json"):
        text = viewer.get(path).text
        assert "ZZTOP" not in text and "Strange" not in text and "5.5" not in text, path
        assert "acme_lab_to_loinc" in text and "OBX-3" in text
    elsewhere = console.as_("analyst", channels=("adt",))
    assert elsewhere.json("/codes.json")["rows"] == []
    elsewhere.get(f"/codes/{number}", 404)
    elsewhere.post(f"/codes/{number}/propose", {"code": "2345-7"}, 404)
    elsewhere.post("/codes/suggest", {"number": str(number)}, 403)
    console.as_("approver", channels=("adt",)).post("/codes/approve", {"number": str(number)}, 403)
    for way in ("propose", "withdraw", "release"):
        viewer.post(f"/codes/{number}/{way}", {"code": "2345-7"}, 403)


def test_what_cannot_be_right_is_told_and_changes_nothing(fresh_console: Callable[[], Console]) -> None:
    console = with_code(fresh_console())
    analyst, approver = console.as_("analyst"), console.as_("approver")
    number = number_of(analyst)
    path = console.hub.config.root / "terminology/maps/acme_lab_to_loinc.csv"
    before = path.read_bytes()
    answer = analyst.post(f"/codes/{number}/propose", {"code": ""}, 409)
    assert "no target code" in text_of(answer.text)
    approver.post("/codes/approve", {"number": str(number)}, 409)  # no draft
    approver.post("/codes/approve", {}, 400)
    analyst.post(f"/codes/{number}/propose", {"code": "2345-7"})
    analyst.post(f"/codes/{number}/withdraw")
    assert analyst.json(f"/codes/{number}.json")["row"]["state"] == "open"
    analyst.post("/codes/99/propose", {"code": "2345-7"}, 404)
    assert path.read_bytes() == before and console.project.journal.head() == 3


def test_two_people_and_one_name(tmp_path: Any) -> None:
    root = make_project(tmp_path / "project")
    path = root / "config.yaml"
    path.write_text(path.read_text().replace("load_shipped: false", "load_shipped: false, two_people: true"))
    console = with_code(console_of(Hub.open(root)))
    both = console.as_("analyst", "approver", name="ann")
    number = number_of(both)
    console.hub.worklist().propose(number, "cli:ann", "2345-7", system=LOINC)
    page = both.post("/codes/approve", {"number": str(number)}, 200).text
    form = {**form_of(page, "/codes/approve"), "number": str(number)}
    assert "second person" in text_of(both.post("/codes/approve", form, 409).text)
    answer, _, _ = approve(console.as_("approver", name="bob"), number)
    assert answer.headers["location"].startswith("/work/releases/")
    console.close()
    console.project.close()


def test_a_row_written_by_hand_is_released_at_the_codes_page(fresh_console: Callable[[], Console]) -> None:
    console = with_code(fresh_console())
    operator = console.as_("operator")
    number = number_of(operator)
    path = console.hub.config.root / "terminology/maps/acme_lab_to_loinc.csv"
    with path.open("a") as out:
        out.write("L,ZZTOP,Strange,equal,http://loinc.org,2345-7,,approved,ann,2026-11-21,\n")
    page = operator.get(f"/codes/{number}").text
    assert "The table has it" in page
    form = form_of(page, f"/codes/{number}/release")
    there = operator.post(f"/codes/{number}/release", form).headers["location"]
    console.project.work()
    assert operator.json(f"{there}.json")["progress"]["done"] == 3
