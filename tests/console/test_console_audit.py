"""The audit in the console: by person, action and day, by patient, as AuditEvents; every look is in it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from console_people import Console, text_of
from test_console_admin import finished

from engine.fhir.validate import validate
from engine.kernel.clock import iso, now_ms
from engine.store.audit import Access

TODAY = iso(now_ms())[:10]


def test_rows_by_person_action_and_day(console: Console) -> None:
    record = console.project.store.audit.record
    record(Access("zoe", "fhir:read", "Patient/z", "200"), Access("zoe", "msg:open", "entry/1"))
    auditor = console.as_("auditor")
    rows = auditor.json("/admin/audit.json?who=zoe")["rows"]
    assert [(r["action"], r["what"]) for r in rows] == [("msg:open", "entry/1"), ("fhir:read", "Patient/z")]
    assert [r["what"] for r in auditor.json("/admin/audit.json?who=zoe&action=fhir")["rows"]] == ["Patient/z"]
    assert auditor.json(f"/admin/audit.json?who=zoe&since={TODAY}&until={TODAY}")["rows"]
    assert auditor.json("/admin/audit.json?who=zoe&until=2001-01-01")["rows"] == []
    assert console.audit()[0][:3] == ("auditor", "console:audit:list", "audit")
    newest = rows[0]["id"]
    assert [r["id"] for r in auditor.json(f"/admin/audit.json?who=zoe&before={newest}")["rows"]] == [
        newest - 1
    ]


@pytest.mark.parametrize("query", ["since=yesterday", "who=a%20b", "action=%3Cscript%3E"])
def test_filters_that_are_none(console: Console, query: str) -> None:
    console.as_("auditor").get(f"/admin/audit?{query}", 400)


class TestWhoLookedAtThisPatient:
    @pytest.fixture
    def looked(self, console: Console) -> tuple[str, str, str]:
        """Three people looked at one patient in three ways; return its number, id and family name."""
        store = console.project.store
        patient = store.search("Patient", [], 1).resources[0]
        number, family = patient["identifier"][0]["value"], patient["name"][0]["family"]
        observation = store.search("Observation", [("patient", patient["id"])], 1).resources[0]["id"]
        entry = store.find("patient", number)[0]
        store.audit.record(
            Access("rita", "fhir:search", "Observation", f"200 code=x found 1: {observation}"),
            Access("otto", "console:message", f"entry/{entry}", "raw"),
            Access("nora", "console:find", "messages", f"{family} found 0:"),
            Access("else", "fhir:read", "Patient/00000000-0000-0000-0000-000000000000", "404"),
        )
        return number, patient["id"], family

    @pytest.mark.parametrize("known_by", [0, 1])
    def test_by_number_and_by_id(self, console: Console, looked: tuple[str, str, str], known_by: int) -> None:
        auditor = console.as_("auditor")
        to = auditor.post("/admin/audit/patient", {"patient": looked[known_by]}).headers["location"]
        assert looked[0] not in to and looked[1] not in to  # the address holds it sealed
        facts = auditor.json(to.replace("/patient?", "/patient.json?"))
        how = {(r["who"], r["how"]) for r in facts["rows"]}
        assert {("rita", "record"), ("otto", "record"), ("nora", "name")} <= how
        assert "else" not in facts["people"] and facts["patients"] >= 1
        said = text_of(auditor.get(to).text)
        assert "it may have meant a namesake" in said and "rita" in said

    def test_that_somebody_asked_is_in_the_audit(
        self, console: Console, looked: tuple[str, str, str]
    ) -> None:
        auditor = console.as_("auditor")
        to = auditor.post("/admin/audit/patient", {"patient": looked[0]}).headers["location"]
        auditor.get(to)
        rows = console.audit(2)
        assert [row[1] for row in rows] == ["console:audit:patient-asked", "console:audit:patient"]
        assert all(row[2] == "audit" and looked[0] in row[3] for row in rows)

    def test_page_by_page(self, console: Console, looked: tuple[str, str, str]) -> None:
        auditor = console.as_("auditor")
        many = [Access("loop", "fhir:read", f"Patient/{looked[1]}", "200") for _ in range(150)]
        console.project.store.audit.record(*many)
        to = auditor.post("/admin/audit/patient", {"patient": looked[1]}).headers["location"]
        to = to.replace("/patient?", "/patient.json?")
        first = auditor.json(to)
        second = auditor.json(f"{to}&before={first['more']}")
        assert len(first["rows"]) == 100 and first["rows"][-1]["id"] > second["rows"][0]["id"]

    @pytest.mark.parametrize("word", ["", "x" * 101])
    def test_nothing_to_look_for(self, console: Console, word: str) -> None:
        console.as_("auditor").post("/admin/audit/patient", {"patient": word}, 400)

    def test_a_link_of_another_hub(self, console: Console) -> None:
        console.as_("auditor").get("/admin/audit/patient?q=AAAA", 400)


def test_rows_as_audit_events(console: Console) -> None:
    auditor = console.as_("auditor")
    answer = auditor.get("/admin/audit/export?who=")
    events = [json.loads(line) for line in answer.text.splitlines()]
    assert events and [found for e in events if (found := validate(e))] == []
    assert answer.headers["content-type"].startswith("application/fhir+ndjson")
    assert (
        events[-1]["subtype"][0]["code"] == "console:audit:export"
    )  # that they were taken out is among them
    made = auditor.get("/admin/audit/export?as=bundle").json()
    assert made["type"] == "collection" and len(made["entry"]) >= len(events)
    console.as_("admin").get("/admin/audit/export", 403)  # sees the audit, and may not take it out


def test_proving_the_chain(fresh_console: Callable[[], Console]) -> None:
    desk = fresh_console()
    desk.project.store.audit.record(*[Access("ann", "fhir:read", f"Patient/{n}") for n in range(30)])
    auditor = desk.as_("auditor")
    assert "Nobody has asked" in text_of(auditor.get("/admin/audit/verify").text)
    auditor.post("/admin/audit/verify")
    assert finished(auditor, "/admin/audit/verify")["result"].startswith("The chain is whole: ")
    with desk.project.store._database.write() as session:
        session.run("DELETE FROM audit WHERE id = 7")
    auditor.post("/admin/audit/verify")
    assert "BROKEN at row 7: it was taken out" in finished(auditor, "/admin/audit/verify")["result"]
    assert "BROKEN" in text_of(auditor.get("/admin/audit/verify", headers={"HX-Request": "true"}).text)
