"""The message page: what it shows of one entry, where a click leads, what is recorded."""

from __future__ import annotations

import re

import pytest
from console_people import Console, text_of


def entry(console: Console, name: str) -> int:
    return console.project.entries[name]


def test_the_body_with_names_addresses_and_bytes(console: Console) -> None:
    number = entry(console, "lab/oru_potassium")
    someone = console.as_("operator")
    page = someone.get(f"/message/{number}").text
    assert 'title="OBX[1]-5[1].1"' in page
    assert "Observation Value · NM" in text_of(page)
    facts = someone.json(f"/message/{number}.json")
    assert facts["about"]["state"] == "done" and facts["about"]["channel"] == "lab_oru"
    body = console.project.sample("lab/oru_potassium")
    values = [v for s in facts["shown"]["segments"] for f in s["fields"] for v in f["values"]]
    (value,) = [v for v in values if v["address"] == "OBX[1]-5[1].1"]
    assert body[value["begin"] : value["end"]].decode() == value["value"] == "4.1"
    assert console.audit()[-1][:3] == ("operator", "console:message:open", f"entry/{number}")


def test_a_click_on_a_value_says_where_it_went(console: Console) -> None:
    number = entry(console, "lab/oru_potassium")
    someone = console.as_("operator")
    part = someone.get(f"/message/{number}?at=OBX[1]-5[1].1", headers={"HX-Request": "true"}).text
    assert "<html" not in part and "Observation.valueQuantity.value" in part
    assert re.search(r"mappings/hl7v2/segments/\w+\.yaml:\d+", part)
    whole = someone.get(f"/message/{number}?at=OBX[1]-5[1].1").text
    assert "<html" in whole and "Observation.valueQuantity.value" in whole  # the same without scripts
    facts = someone.json(f"/message/{number}.json?at=OBX[1]-5[1].1")["trace"]
    assert facts["same_revision"] is True
    assert {r["value"] for r in facts["reached"] if r["to"]["path"] == "valueQuantity.value"} == {"4.1"}
    nowhere = someone.json(f"/message/{number}.json?at=MSH[1]-3")["trace"]["nowhere"]
    assert nowhere[0]["state"] == "ignored"


def test_a_click_on_an_element_says_where_it_came_from(console: Console) -> None:
    number = entry(console, "lab/oru_potassium")
    someone = console.as_("operator")
    made = someone.json(f"/message/{number}/fhir.json")["versions"]
    (one,) = [v for v in made if v["type"] == "Observation"]
    assert one["op"] == "create" and one["version"] == 1
    assert {"path": "valueQuantity.value", "value": "4.1"}.items() <= next(
        line for line in one["lines"] if line["path"] == "valueQuantity.value"
    ).items()
    name = f"Observation/{one['id']}.valueQuantity.value"
    sources = someone.json(f"/message/{number}/fhir.json?of={name}")["trace"]["sources"]
    assert [s["location"] for s in sources] == ["OBX[1]-5[1].1"]
    assert "OBX[1]-5[1].1" in someone.get(f"/message/{number}/fhir?of={name}").text


def test_a_correction_shows_what_it_changed(console: Console) -> None:
    made = console.as_("operator").json(f"/message/{entry(console, 'lab/oru_corrected')}/fhir.json")[
        "versions"
    ]
    changed = {d["path"] for v in made for d in v["differences"]}
    assert any(path.endswith(".status") for path in changed)


def test_a_parked_one_shows_what_it_would_make(console: Console) -> None:
    number = next(o.entry for o in console.project.store.outcomes(status="parked"))
    facts = console.as_("operator").json(f"/message/{number}/fhir.json")
    assert facts["dry_run"]["state"] == "done" and {v["op"] for v in facts["versions"]} <= {"new", "changed"}
    page = text_of(console.as_("operator").get(f"/message/{number}").text)
    assert "Refused, and the sender was told" in page


def test_lineage_of_all_with_counts(console: Console) -> None:
    number = entry(console, "lab/oru_potassium")
    facts = console.as_("operator").json(f"/message/{number}/lineage.json")
    assert facts["counts"]["mapped"] > 20 and sum(facts["counts"].values()) == len(facts["rows"])
    only = console.as_("operator").json(f"/message/{number}/lineage.json?state=ignored")
    assert {row["state"] for row in only["rows"]} == {"ignored"}


def test_the_timeline_is_for_all_who_see_messages(console: Console) -> None:
    number = entry(console, "lab/oru_final")
    facts = console.as_("viewer").json(f"/message/{number}/timeline.json")
    assert [e["what"] for e in facts["events"]] == ["received", "answered", "mapped and written"]
    mine = console.as_("operator").json(f"/message/{number}/timeline.json")["links"]
    assert {"the same order"} <= {link["why"] for link in mine}
    assert facts["links"] == []  # whose order it is stands in the body


def test_who_looked_at_it(console: Console) -> None:
    number = entry(console, "lab/oru_cmp")
    console.as_("operator", name="olga").get(f"/message/{number}")
    console.project.store.audit.names.catch_up()
    facts = console.as_("admin").json(f"/message/{number}/timeline.json")
    assert "olga" in {e["who"] for e in facts["events"] if e["what"] == "looked at"}
    others = console.as_("operator").json(f"/message/{number}/timeline.json")
    assert "looked at" not in {e["what"] for e in others["events"]}


def test_two_messages_field_by_field(console: Console) -> None:
    one, two = entry(console, "lab/oru_preliminary"), entry(console, "lab/oru_final")
    facts = console.as_("operator").json(f"/message/{one}/compare.json?with={two}")
    assert {"changed"} <= {line["kind"] for line in facts["comparison"]["lines"]}
    assert {row[2] for row in console.audit(2)} == {f"entry/{one}", f"entry/{two}"}
    someone = console.as_("operator")
    someone.get(f"/message/{one}/compare?with=999", 404)
    someone.get(f"/message/{one}/compare?with=x", 400)
    assert someone.json(f"/message/{one}/compare.json")["comparison"] is None


def test_the_other_ones_channel_counts_too(console: Console) -> None:
    lab, adt = entry(console, "lab/oru_final"), entry(console, "adt/adt_a01_admit")
    console.as_("operator", channels=("lab*",)).get(f"/message/{lab}/compare?with={adt}", 403)


@pytest.mark.parametrize(
    "path", ["/message/999", "/message/999.json", "/message/999/fhir", "/message/999/replay"]
)
def test_what_there_is_not(console: Console, path: str) -> None:
    console.as_("analyst").get(path, 404)


def test_no_address_of_a_page_holds_a_value_of_a_message(console: Console) -> None:
    someone = console.as_("analyst")
    for name in ("adt/adt_a01_admit", "lab/oru_potassium"):
        for tab in ("", "/fhir", "/lineage", "/timeline", "/compare", "/replay", "/edit"):
            page = someone.get(f"/message/{entry(console, name)}{tab}").text
            for link in re.findall(r'(?:href|hx-get|action|src)="([^"]*)"', page):
                for value in ("Thistle", "100234", "Doe", "19800101", "LAB0001"):
                    assert value not in link, link


def test_an_empty_adress_or_a_wrong_page_number(console: Console) -> None:
    number = entry(console, "lab/oru_potassium")
    console.as_("operator").get(f"/message/{number}?from=x", 400)
    assert "Nothing stands there" in text_of(console.as_("operator").get(f"/message/{number}?at=ZZZ[9]").text)
