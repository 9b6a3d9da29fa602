"""The pages of critical results: what is shown to whom, taking over with one's name, what is not compared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_people import Console, text_of

from engine.channels.critical.watch import CriticalWatch
from engine.security.access import ROLES

RULES = """
rules:
  - {name: Potassium, loinc: 2823-3, above: 4 mmol/L, say: Call the ward}
  - {name: In another unit, loinc: 2823-3, above: 4 mg/dL}
"""


@pytest.fixture
def desk(fresh_console: Callable[[], Console]) -> Console:
    """A hub with one critical result and one rule that could not compare it."""
    made = fresh_console()
    hub = made.hub
    (hub.config.root / "mappings" / "critical.yaml").write_text("not_older_than: 9 years\n" + RULES)
    made.project.take("lab_oru", "lab/oru_potassium")
    CriticalWatch(hub.config, hub.keyring, hub.journal, hub.store, hub.staff).step()
    return made


def test_the_list_holds_nothing_of_a_patient(desk: Console) -> None:
    viewer = desk.as_("viewer")
    said = viewer.get("/critical").text
    assert "Potassium" in said and "Call the ward" in said and "Nobody is told" in said
    facts = viewer.json("/critical.json")
    assert [(r["rules"], r["kind"], r["by"]) for r in facts["rows"]] == [(["Potassium"], "new", None)]
    assert viewer.json("/critical/count.json") == {"count": 1}
    for path in ("/critical", "/critical.json", "/critical/1", "/critical/1.json", "/critical/rules"):
        text = viewer.get(path).text
        assert "Doe" not in text and "100234" not in text and "4.1" not in text
    assert "for those who may see messages" in text_of(viewer.get("/critical/1").text)


def test_who_may_see_bodies_sees_whose_it_is_and_that_is_in_the_audit(desk: Console) -> None:
    said = text_of(desk.as_("operator").get("/critical/1").text)
    for word in ("Jane Q Doe", "1980-01-01", "100234", "4.1 millimole per liter", "above the limit"):
        assert word in said
    who, action, what, detail = desk.audit()[0]
    assert (who, action, what) == ("operator", "console:critical", "critical/1")
    assert "Observation/" in detail and "Patient/" in detail


def test_taking_it_over(desk: Console) -> None:
    desk.as_("viewer").post("/critical/1/take", {"note": "x"}, status=403)
    operator = desk.as_("operator", name="anna")
    operator.post("/critical/1/take", {"note": "read back by Sister Jones"})
    assert desk.audit()[0][:3] == ("anna", "console:critical:take", "critical/1")
    assert operator.json("/critical.json")["rows"] == []
    assert "read back by Sister Jones" in operator.get("/critical/1").text
    viewer = desk.as_("viewer")
    assert "Jones" not in viewer.get("/critical/1").text + viewer.get("/critical/past.json").text
    again = desk.as_("operator", name="bert").post("/critical/1/take", {"note": ""})
    assert again.headers["location"].startswith("/critical/1")
    assert viewer.json("/critical/past.json")["rows"][0]["by"] == "anna"


def test_other_channels_are_not_shown(desk: Console) -> None:
    other = desk.as_("operator", channels=("adt",))
    assert other.json("/critical.json")["rows"] == []
    other.get("/critical/1", status=404)
    other.post("/critical/1/take", {"note": ""}, status=404)
    assert other.json("/critical/rules.json")["unjudged"] == []


def test_what_could_not_be_compared(desk: Console) -> None:
    operator = desk.as_("operator")
    (one,) = operator.json("/critical/rules.json")["unjudged"]
    assert (one["rule"], one["count"]) == ("In another unit", 1)
    said = {"rule": one["rule"], "channel": one["channel"], "why": one["why"]}
    operator.post("/critical/settled", said | {"rule": "no such rule"}, status=404)
    operator.post("/critical/settled", said)
    assert operator.json("/critical/rules.json")["unjudged"] == []


def test_rules_that_cannot_be_read_are_said(desk: Console) -> None:
    (desk.hub.config.root / "mappings" / "critical.yaml").write_text("rules: {}")
    assert "rules: takes a list" in desk.as_("viewer").get("/critical/rules").text


def test_who_manages_the_hub_takes_nothing_over() -> None:
    assert [role for role in ROLES if "critical.take" in ROLES[role]] == ["operator", "analyst"]
