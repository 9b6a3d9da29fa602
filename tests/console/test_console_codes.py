"""Codes: listed, suggested, proposed, approved by another person, released; tables, look-up, files."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from console_people import Console, Someone, console_of, text_of
from hub_project import Hub, make_project
from openpyxl import load_workbook
from work_messages import form_of, look_again, oru

from engine.cli.termsload import load_all
from engine.codes.shipped import listed

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


def test_an_approval_reaches_no_channel_of_others(fresh_console: Callable[[], Console]) -> None:
    """What settles the code of another sender too, or a row that is there, is for who may on its channels."""
    console = with_code(fresh_console())
    console.project.receive("adt", oru(9).replace(b"ACMELIS|ACME|", b"ACMELIS|ACME2|"))
    console.project.work()
    look_again(console)
    analyst = console.as_("analyst")
    mine, other = sorted(
        (r for r in analyst.json("/codes.json")["rows"] if r["code"] == "ZZTOP"), key=lambda r: r["id"]
    )
    assert mine["table"] == other["table"]
    analyst.post(f"/codes/{mine['id']}/propose", {"code": "2345-7", "system": "loinc"})
    of_lab = console.as_("approver", channels=("lab*",), name="labby")
    of_lab.post("/codes/approve", {"number": str(mine["id"])}, 403)
    of_lab.post("/codes/approve", {"number": str(mine["id"]), "sure": "yes", "form": "f"}, 403)
    assert console.project.journal.head() == 4
    answer, _, _ = approve(console.as_("approver"), mine["id"])
    assert answer.headers["location"].startswith("/work")
    assert console.project.journal.head() > 4


def test_a_row_that_is_there_is_changed_by_who_may_on_every_channel(
    fresh_console: Callable[[], Console],
) -> None:
    console = with_code(fresh_console())
    analyst = console.as_("analyst")
    number = number_of(analyst)
    analyst.post(f"/codes/{number}/propose", {"code": "2345-7", "system": "loinc"})
    of_lab = console.as_("approver", channels=("lab*",), name="labby")
    of_lab.post("/codes/approve", {"number": str(number)}, 200)
    path = console.hub.config.root / "terminology/maps/acme_lab_to_loinc.csv"
    with path.open("a") as out:
        out.write("L,ZZTOP,Strange,equal,http://loinc.org,2951-2,,approved,ann,2026-11-21,\n")
    form = {"number": str(number), "sure": "yes", "form": "f", "change": "yes"}
    assert "on channel adt" in text_of(of_lab.post("/codes/approve", form, 403).text)
    assert console.as_("approver").post("/codes/approve", form).headers["location"].startswith("/work")


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


def test_tables_are_browsed_searched_and_tried(console: Console) -> None:
    viewer = console.as_("viewer")
    tables = {t["name"]: t for t in viewer.json("/codes/tables.json")["tables"]}
    assert tables["AdministrativeSex"]["rows"] >= 4
    found = viewer.json("/codes/tables/acme_lab_to_loinc.json?q=potassium")
    assert found["rows"] and found["count"] < found["all"]
    assert all("otassium" in r["source_display"] + r["target_display"] for r in found["rows"])
    page = viewer.get("/codes/tables/acme_lab_to_loinc").text
    assert found["version"] in page
    tried = viewer.post("/codes/tables/try", {"table": "AdministrativeSex", "code": "F"}, 200)
    assert "female" in text_of(tried.text)
    unknown = viewer.post("/codes/tables/try", {"table": "AdministrativeSex", "code": "<b>"}, 200)
    assert "does not know" in text_of(unknown.text) and "<b>" not in unknown.text.replace("<b>0", "")
    viewer.post("/codes/tables/try", {"table": "../../config", "code": "F"}, 404)
    viewer.get("/codes/tables/nowhere", 404)
    viewer.get("/codes/tables/acme_lab_to_loinc/file", 403)
    operator = console.as_("operator")
    own = (console.hub.config.root / "terminology/maps/acme_lab_to_loinc.csv").read_bytes()
    assert operator.get("/codes/tables/acme_lab_to_loinc/file").content == own
    book = operator.get("/codes/tables/acme_lab_to_loinc/file?form=xlsx").content
    sheet = load_workbook(io.BytesIO(book)).worksheets[0]
    assert sheet.cell(1, 2).value == "source_code" and sheet.cell(2, 2).data_type == "s"
    assert console.audit(1)[0][:3] == ("operator", "console:codes:table", "table/acme_lab_to_loinc")


def test_code_systems_and_what_they_say(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    viewer = console.as_("viewer")
    assert "No code system is loaded" in text_of(viewer.get("/codes/systems").text)
    root = console.hub.config.root
    jobs = [(s.path, s.loader, s.asked) for s in listed(root) if s.path.name == "loinc"]
    load_all(root, jobs, None, False, True)
    console.hub.codes()._due = 0.0  # a release is noticed within a second
    (release,) = viewer.json("/codes/systems.json")["releases"]
    assert release["system"] == LOINC and release["concepts"] > 50
    told = viewer.json("/codes/systems.json?system=loinc&q=2823-3")
    assert [c["code"] for c in told["found"]] == ["2823-3"] and "otassium" in told["found"][0]["display"]
    words = viewer.json("/codes/systems.json?system=loinc&q=potassium")["found"]
    assert "2823-3" in [c["code"] for c in words]
    with_code(console)
    analyst = console.as_("analyst")
    number = number_of(analyst)
    assert analyst.json(f"/codes/{number}.json")["suggestions"] is not None
    for n in range(2):
        console.project.receive("lab_oru", oru(50 + n, "OBX|1|NM|POTS^Potassium Serum^L||4|mmol/L|||||F"))
    console.project.work()
    row = next(r for r in analyst.json("/codes.json")["rows"] if r["code"] == "POTS")
    best = analyst.json(f"/codes/{row['id']}.json")["suggestions"][0]
    assert best["code"] == "2823-3" and best["score"] > 85 and best["reasons"]
    analyst.post("/codes/suggest", {"number": str(row["id"])})
    drafted = analyst.json("/codes.json?tab=draft")["rows"]
    assert [(r["code"], r["proposal"]["code"]) for r in drafted] == [("POTS", "2823-3")]


def test_lists_go_out_and_come_back(fresh_console: Callable[[], Console]) -> None:
    console = with_code(fresh_console())
    analyst = console.as_("analyst")
    number = number_of(analyst)
    given = analyst.post("/codes/export", {"form": "xlsx", "state": "all"}, 200)
    book = load_workbook(io.BytesIO(given.content))
    sheet = book.worksheets[0]
    head = [c.value for c in sheet[1]]
    at = next(
        r for r in range(2, sheet.max_row + 1) if sheet.cell(r, head.index("field") + 1).value == "OBX-3"
    )
    assert sheet.cell(at, head.index("source_code") + 1).value == "ZZTOP"
    assert console.audit(1)[0][1] == "console:codes:export"
    sheet.cell(at, head.index("target_code") + 1).value = "2345-7"
    out = io.BytesIO()
    book.save(out)
    files = {"file": ("codes.xlsx", out.getvalue())}
    tried = analyst.post("/codes/import", {}, 200, files=files)
    assert "1 would become drafts" in text_of(tried.text)
    assert analyst.json(f"/codes/{number}.json")["row"]["state"] == "open"
    analyst.post("/codes/import", {"sure": "yes"}, files=files)
    assert analyst.json(f"/codes/{number}.json")["row"]["proposal"]["code"] == "2345-7"
    sheet.cell(at, head.index("target_code") + 1).value = 93.3
    out = io.BytesIO()
    book.save(out)
    damaged = analyst.post(
        "/codes/import", {"sure": "yes"}, 409, files={"file": ("codes.xlsx", out.getvalue())}
    )
    assert "is no text but float" in text_of(damaged.text)
    for name, data in (("codes.xlsx", b"no workbook"), ("codes.exe", b"x"), ("codes.csv", b"\xff\xfe")):
        analyst.post("/codes/import", {"sure": "yes"}, 409, files={"file": (name, data)})
    analyst.post("/codes/import", {}, 400)
    console.as_("viewer").post("/codes/export", {"form": "csv"}, 403)
    elsewhere = console.as_("analyst", channels=("adt",))
    assert "ZZTOP" not in elsewhere.post("/codes/export", {"form": "csv"}, 200).text
    refused = elsewhere.post("/codes/import", {"sure": "yes"}, 200, files=files)
    assert "your roles do not cover its sender" in text_of(refused.text)


@pytest.mark.parametrize("path", ["/codes", "/codes/tables", "/codes/systems", "/codes/lists"])
def test_every_page_opens_for_each_role_that_may(console: Console, path: str) -> None:
    for role in ("viewer", "operator", "analyst", "approver", "admin"):
        assert "<h1>" in console.as_(role).get(path).text
    console.as_("auditor").get(path, 403)
