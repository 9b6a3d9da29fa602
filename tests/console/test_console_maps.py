"""Maps: sheets without values, cells and workbooks into drafts."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from console_people import Console, text_of
from openpyxl import load_workbook

from engine.channels.drafts import Drafts

ROOT = Path(__file__).resolve().parents[2]
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
ACME = "mappings/sites/acme_lab.yaml"


def test_the_list_counts_rows_tests_and_sites(console: Console) -> None:
    viewer = console.as_("viewer")
    text = text_of(viewer.get("/maps").text)
    assert "PID_Patient" in text and "ORU_R01" in text and "acme_lab" in text
    facts = viewer.json("/maps.json?format=cda&q=allergy")
    assert facts["maps"] and all("llergy" in f"{m['name']} {m['to']}" for m in facts["maps"])
    viewer.get("/maps?format=nothing", 404)


def test_a_sheet_says_who_set_which_row_where(console: Console) -> None:
    viewer = console.as_("viewer")
    rows = viewer.json("/maps/PID_Patient.json?site=acme_lab")["rows"]
    assert next(r["layer"] for r in rows if r["element"] == "gender") == "us_core"
    rows = viewer.json("/maps/PID_Patient.json")["rows"]
    gender = next(r for r in rows if r["element"] == "gender")
    assert (gender["words"]["from"], gender["layer"], gender["file"]) == ("PID-8", "standard", PID)
    assert "Administrative Sex" in gender["named"] and gender["line"] == 36
    page = viewer.get("/maps/PID_Patient?site=acme_lab").text
    assert "/cell" not in page and 'href="/bench' not in page  # a viewer reads
    assert "/cell" in console.as_("analyst").get("/maps/PID_Patient").text
    viewer.get("/maps/NoSuchMap", 404)
    viewer.get("/maps/PID_Patient?site=nobody", 404)


@pytest.mark.parametrize("path", ["/maps/ORU_R01", "/maps/CWE_CodeableConcept", "/maps/PL_Location"])
def test_every_kind_of_map_has_a_page(console: Console, path: str) -> None:
    assert "Not done" not in console.as_("viewer").get(path).text


def test_maps_of_documents_have_sheets_too(console: Console) -> None:
    viewer = console.as_("viewer")
    for format in ("cda", "x12", "ncpdp", "dicom"):
        name = viewer.json(f"/maps.json?format={format}")["maps"][0]["name"]
        viewer.get(f"/maps/{name}")


def test_why(console: Console) -> None:
    text = text_of(console.as_("viewer").get("/maps/why?what=PID-8").text)
    assert "PID_Patient" in text and "gender" in text
    assert "No row sets or reads" in console.as_("viewer").get("/maps/why?what=PID-99").text


def stamp_and_spot(console: Console, element: str, query: str = "") -> tuple[str, str]:
    facts = console.as_("analyst").json(f"/maps/PID_Patient.json{query}")
    return facts["stamp"], next(r["spot"] for r in facts["rows"] if r["element"] == element)


def test_a_cell_becomes_a_delta_in_a_draft(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    analyst = console.as_("analyst", name="ana")
    stamp, spot = stamp_and_spot(console, "gender", "?site=acme_lab")
    form = {"site": "acme_lab", "draft": "", "stamp": stamp, "spot": spot, "from": "PID-16"}
    answer = analyst.post("/maps/PID_Patient/cell", {**form, "code": "AdministrativeSex", "when": ""})
    assert answer.headers["location"] == "/maps/PID_Patient?site=acme_lab&draft=1"
    draft = Drafts(console.hub.config, console.hub.staff).get(1)
    assert list(draft.files) == [ACME] and "PID-16" in (draft.files[ACME].text or "")
    page = text_of(analyst.get(answer.headers["location"]).text)
    assert "1 row otherwise than live" in page and "PID-16" in page
    assert ("ana", "console:draft-written", "draft/1", ACME) in console.audit(5)
    bad = {**form, "draft": "1", "code": "NoSuchTable"}
    bad["stamp"], bad["spot"] = stamp_and_spot(console, "gender", "?site=acme_lab&draft=1")
    assert "NoSuchTable" in analyst.post("/maps/PID_Patient/cell", bad, 409).text
    old = analyst.post("/maps/PID_Patient/cell", {**form, "draft": "1", "from": "PID-8"}, 409)
    assert "has changed since" in old.text


def test_rows_come_and_go_in_the_grid(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    analyst = console.as_("analyst")
    stamp, spot = stamp_and_spot(console, "gender")
    form = {"site": "standard", "stamp": stamp}
    analyst.post("/maps/PID_Patient/row", {**form, "element": "telecom(pager)", "from": "PID-40"})
    stamp, spot = stamp_and_spot(console, "gender", "?draft=1")
    form = {"site": "standard", "stamp": stamp, "draft": "1", "spot": spot}
    analyst.post("/maps/PID_Patient/drop", form)
    text = Drafts(console.hub.config, console.hub.staff).get(1).files[PID].text or ""
    assert "telecom(pager):" in text and "\n  gender:" not in text


def test_the_signed_sheet_comes_back_as_a_draft(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    analyst = console.as_("analyst")
    answer = console.as_("viewer").get("/maps/PID_Patient/sheet.xlsx?site=acme_lab")
    assert answer.content[:2] == b"PK" and "acme_lab" in answer.headers["content-disposition"]
    book = load_workbook(io.BytesIO(answer.content))
    sheet = book["PID_Patient"]
    head = {row[0].value: row[1].value for row in sheet.iter_rows(max_row=8)}
    assert head["as"] == "acme_lab" and len(head["revision"]) == 12 and len(head["rows"]) == 12
    row = next(r for r in sheet.iter_rows() if r[1].value == "gender")
    row[2].value = "PID-16"
    out = io.BytesIO()
    book.save(out)
    files = {"book": ("signed.xlsx", out.getvalue(), "application/octet-stream")}
    text = text_of(analyst.post("/maps/import", {"title": "the signed sheet"}, 200, files=files).text)
    assert "1 edit" in text and "PID-8" in text and "PID-16" in text and "draft 1" in text
    assert "PID-16" in (Drafts(console.hub.config, console.hub.staff).get(1).files[ACME].text or "")
    again = text_of(analyst.post("/maps/import", {"draft": "1"}, 200, files=files).text)
    assert "has changed since this sheet was written" in again
    junk = {"book": ("x.xlsx", b"junk", "application/octet-stream")}
    assert "is no workbook" in analyst.post("/maps/import", {}, 200, files=junk).text


def test_who_may_not_draft_edits_nothing(console: Console) -> None:
    stamp, spot = stamp_and_spot(console, "gender")
    for role in ("viewer", "operator", "approver", "admin"):
        someone = console.as_(role)
        for path in ("cell", "row", "drop"):
            someone.post(f"/maps/PID_Patient/{path}", {"stamp": stamp, "spot": spot}, 403)
        someone.post("/maps/import", {}, 403)
        someone.get("/maps/import", 403)
    console.as_("auditor").get("/maps", 403)
    console.as_("auditor").get("/maps/PID_Patient/sheet.xlsx", 403)


def test_sheets_hold_no_value_of_any_message(console: Console) -> None:
    viewer = console.as_("viewer")
    for path in ("/maps/PID_Patient", "/maps/PID_Patient.json", "/maps/ORU_R01"):
        page = viewer.get(path).text
        assert "100234" not in page and "THISTLEDOWN" not in page
