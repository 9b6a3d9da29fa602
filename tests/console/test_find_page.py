"""The page Find: what was asked stays out of addresses, hits are those of the person, searches are kept."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from console_people import Console, Someone, text_of

PATIENT_DATA = ("Doe", "Jane", "100234", "19800101", "Thistledown")
PHI = ("DOE", "100234", "name:doe", "PID-3.1=100234", "OBX-5>1", "2823-3", "born:1980-01-01")


def find(who: Someone, q: str, status: int = 303) -> Any:
    """Type a search and return the page it leads to."""
    answer = who.post("/find", {"q": q}, status)
    return who.get(answer.headers["location"]) if status == 303 else answer


def facts(who: Someone, q: str) -> Any:
    """Return the JSON twin of a search."""
    path = who.post("/find", {"q": q}).headers["location"]
    return who.json(path.replace("/find?", "/find.json?"))


def entries(who: Someone, q: str) -> list[int]:
    return [hit["entry"] for hit in facts(who, q)["hits"]]


def test_a_search_leads_to_hits_and_stays_out_of_the_address(console: Console) -> None:
    operator = console.as_("operator")
    answer = operator.post("/find", {"q": "DOE 100234"})
    where = answer.headers["location"]
    assert where.startswith("/find?t=") and "DOE" not in where and "100234" not in where
    page = operator.get(where)
    assert 'href="/message/2"' in page.text and "Doe, Jane" in page.text
    who, action, what, detail = console.audit(1)[0]
    assert (who, action, what) == ("operator", "console:find", "messages")
    assert detail.startswith("DOE 100234: ") and "2" in detail.split(": ")[1].split()
    assert "known under “DOE”" in html.unescape(page.text)


def test_links_of_other_pages_ask_for_what_lists_show(console: Console) -> None:
    viewer = console.as_("viewer")
    assert {hit["channel"] for hit in viewer.json("/find.json?channel=adt")["hits"]} == {"adt"}
    assert [hit["status"] for hit in viewer.json("/find.json?state=parked&channel=lab_oru")["hits"]] == [
        "parked"
    ]
    assert viewer.json("/find.json?q=DOE")["q"] == ""  # words of a patient are not taken from an address
    assert len(viewer.json("/find.json")["hits"]) == 8


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_who_may_not_see_bodies_sees_no_patient(console: Console, role: str) -> None:
    someone = console.as_(role)
    page = someone.get("/find")
    for text in (page.text, someone.get("/find.json").text):
        assert not any(word in text for word in PATIENT_DATA)
    for q in PHI:
        made = facts(someone, q)
        assert made["hits"] == [] and made["found"]["to_look"] == 0 and made["wider"] == [], q
    assert entries(someone, "LAB0001") == [2]
    half = console.as_("operator", channels=("adt",), name="adt only")
    assert entries(half, "100234") == [] and entries(half, "Thistledown") == [1]
    assert {hit["channel"] for hit in half.json("/find.json")["hits"]} == {"adt"}


def test_somebody_elses_search_about_patients_is_not_shown(console: Console) -> None:
    operator, viewer = console.as_("operator"), console.as_("viewer")
    link = operator.post("/find", {"q": "name:doe"}).headers["location"]
    refused = viewer.get(link, 403)
    assert "doe" not in text_of(refused.text).lower()
    assert viewer.get(operator.post("/find", {"q": "parked"}).headers["location"])
    analyst = console.as_("analyst")
    assert "Doe, Jane" in analyst.get(link).text
    broken = console.as_("approver", channels=("adt",), name="glass", glass=("lab_oru",))
    assert facts(broken, "100234")["hits"] == []  # to look, not to list: the role covers adt alone


def test_what_cannot_be_read_says_where(console: Console) -> None:
    made = facts(console.as_("operator"), "parked and (OBX-5>x)")
    assert made["problem"]["at"] == 18 and made["hits"] == []
    page = find(console.as_("operator"), "parked and (OBX-5>x)")
    assert "<mark>x)</mark>" in page.text and "only numbers are more or less" in page.text
    assert not console.audit(1)[0][3].startswith("parked and (")


def test_nothing_is_found_and_what_would_be(console: Console) -> None:
    made = facts(console.as_("operator"), "DOE and channel:adt and before 2020-01-01")
    assert made["hits"] == [] and made["hints"]
    two = facts(console.as_("operator"), "DOE channel:adt")
    assert [one["without"] for one in two["wider"]] == ["known under “DOE”", "of channel “adt”"]
    path = two["wider"][1]["link"]
    assert console.as_("operator").json(path.replace("/find?", "/find.json?"))["hits"]


def test_messages_are_opened_when_somebody_says_so(console: Console) -> None:
    operator = console.as_("operator")
    made = facts(operator, "OBX-5>4 and channel:lab_oru")
    assert made["hits"] == [] and made["found"]["to_look"] == 7
    page = operator.get(made["links"]["look"])
    assert "Looked into" in text_of(page.text)
    looked = operator.json(made["links"]["look"].replace("/find?", "/find.json?"))
    assert 2 in [hit["entry"] for hit in looked["hits"]] and looked["opened"] == 7


def test_pages_go_on_where_they_ended(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.console.pages.find._LIMIT", 3)
    operator = console.as_("operator")
    made = operator.json("/find.json")
    seen = [hit["entry"] for hit in made["hits"]]
    while made["links"]["on"]:
        part = operator.get(made["links"]["on"], headers={"HX-Request": "true"}).text
        assert "<html" not in part and part.count("data-row") <= 3
        made = operator.json(made["links"]["on"].replace("/find?", "/find.json?"))
        seen += [hit["entry"] for hit in made["hits"]]
    assert seen == list(range(8, 0, -1))
    monkeypatch.setattr("engine.console.pages.find._OPENED", 2)
    look = facts(operator, "OBX-5>0")["links"]["look"]
    first = operator.json(look.replace("/find?", "/find.json?"))
    assert first["opened"] == 2 and first["total"] == 8
    stopped = operator.json(first["links"]["stop"].replace("/find?", "/find.json?"))
    assert stopped["hits"] == [] and stopped["opened"] == 2
    on = operator.json(stopped["links"]["on"].replace("/find?", "/find.json?"))
    assert on["opened"] == 4


def test_searches_are_kept_shared_renamed_and_deleted(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    console.project.take("lab_oru", "lab/oru_potassium")
    operator, analyst, viewer = console.as_("operator"), console.as_("analyst"), console.as_("viewer")

    def token(who: Someone, q: str) -> str:
        return who.post("/find", {"q": q}).headers["location"].partition("t=")[2]

    operator.post("/find/saved", {"t": token(operator, "DOE"), "name": "Mrs Doe"})
    operator.post("/find/saved", {"t": token(operator, "parked"), "name": "Night shift", "shared": "1"})
    operator.post("/find/saved", {"t": token(operator, "name:doe"), "name": "One patient", "shared": "1"})
    names = {one["name"] for one in operator.json("/find.json")["saved"]}
    assert names == {"Mrs Doe", "Night shift", "One patient"}
    assert {one["name"] for one in analyst.json("/find.json")["saved"]} == {"Night shift", "One patient"}
    assert {one["name"] for one in viewer.json("/find.json")["saved"]} == {"Night shift"}
    mine = {one["name"]: one["id"] for one in operator.json("/find.json")["saved"]}
    assert analyst.get(f"/find?saved={mine['Night shift']}")
    analyst.get(f"/find?saved={mine['Mrs Doe']}", 409)
    viewer.get(f"/find?saved={mine['One patient']}", 403)
    analyst.post(f"/find/saved/{mine['Night shift']}", {"name": "Mine now"}, 409)
    analyst.post(f"/find/saved/{mine['Night shift']}/delete", {}, 409)
    operator.post(f"/find/saved/{mine['Night shift']}", {"name": "Days"})
    assert {one["name"] for one in analyst.json("/find.json")["saved"]} == {"One patient"}
    operator.post(f"/find/saved/{mine['Mrs Doe']}/delete", {})
    assert {one["name"] for one in operator.json("/find.json")["saved"]} == {"Days", "One patient"}
    operator.post("/find/saved", {"t": token(operator, "a and"), "name": "broken"}, 400)
    operator.post("/find/saved", {"t": token(operator, "parked"), "name": " "}, 409)
    content = b"".join(p.read_bytes() for p in console.project.config.data_dir.glob("staff.db*"))
    assert b"Mrs Doe" not in content and b"name:doe" not in content


def test_hits_are_taken_out_as_a_file(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    console.project.take("lab_oru", "lab/oru_potassium", {"Doe^Jane": "=cmd()^Jane"})
    console.project.take("adt", "adt/adt_a01_admit")
    operator, viewer, auditor = console.as_("operator"), console.as_("viewer"), console.as_("auditor")
    form = {"t": operator.get("/find").text.partition("/find.json?t=")[2].partition('"')[0]}
    answer = operator.post("/find/export", {**form, "as": "csv"}, 200)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["entry"] for row in rows] == ["2", "1"]
    assert rows[1]["patient"] == "'=cmd(), Jane" and rows[1]["number"] == "100234"
    assert console.audit(1)[0][1:] == ("console:find:export", "messages", ": 2 1")
    made = json.loads(operator.post("/find/export", {**form, "as": "json"}, 200).text)
    assert [row["entry"] for row in made] == [2, 1]
    lab = console.as_("operator", channels=("lab_oru",), name="lab")
    assert [row["entry"] for row in json.loads(lab.post("/find/export", {"as": "json"}, 200).text)] == [1]
    operator.post("/find/export", {"as": "exe"}, 400)
    viewer.post("/find/export", {"as": "csv"}, 403)
    assert json.loads(auditor.post("/find/export", {"as": "json"}, 200).text) == []


def test_the_page_is_in_order(console: Console) -> None:
    page = find(console.as_("operator"), "parked or done").text
    assert page.count('id="find-box"') == 1
    assert [int(n) for n in re.findall(r"<h(\d)", page)] == sorted(
        int(n) for n in re.findall(r"<h(\d)", page)
    )
    assert "style=" not in page.replace("stylesheet", "") and "onclick" not in page
    other = console.as_("operator").get("/now").text
    assert 'action="/find"' in other and other.count('id="find-box"') == 1
