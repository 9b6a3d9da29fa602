"""What results, vital signs, histories, goals, teams and coverage of a CDA document become together."""

from __future__ import annotations

import json
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from engine.cli.converted import Result, convert_others
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
LOINC, SNOMED = "2.16.840.1.113883.6.1", "2.16.840.1.113883.6.96"
TEMPLATE = "2.16.840.1.113883.10.20.22.4."


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def convert(data: bytes) -> Result:
    [result] = convert_others("cda", BytesIO(data), maps())
    assert result.error is None, result.error
    return result


@cache
def sample() -> list[Json]:
    return resources((ROOT / "sample_messages/cda/observations.xml").read_bytes())


def resources(data: bytes) -> list[Json]:
    bundle = convert(data).bundle
    assert bundle is not None
    plain = json.loads(json.dumps(bundle, default=str))
    return [{**e["resource"], "fullUrl": e["fullUrl"]} for e in plain["entry"]]


def of(kind: str, found: list[Json] | None = None) -> list[Json]:
    return [r for r in (sample() if found is None else found) if r["resourceType"] == kind]


def coded(code: str, found: list[Json] | None = None) -> list[Json]:
    return [
        r
        for r in of("Observation", found)
        if any(c.get("code") == code for c in r.get("code", {}).get("coding", ()))
    ]


def document(entries: str, code: str = "30954-2") -> bytes:
    return (
        '<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><typeId root="2.16.840.1.113883.1.3"'
        ' extension="POCD_HD000040"/><id root="1.2.3" extension="D-1"/>'
        f'<code code="34133-9" codeSystem="{LOINC}"/><title>Summary</title>'
        '<effectiveTime value="20200102101112+0000"/><recordTarget><patientRole>'
        '<id root="1.2.3.4" extension="H-1"/><patient><name><family>Sample</family></name></patient>'
        "</patientRole></recordTarget><component><structuredBody><component><section>"
        f'<code code="{code}" codeSystem="{LOINC}"/><title>Section</title><text>words</text>{entries}'
        "</section></component></structuredBody></component></ClinicalDocument>"
    ).encode()


def observation(code: str, inner: str, template: str = "2", attributes: str = "", id_: str = "") -> str:
    return (
        f'<observation classCode="OBS" moodCode="EVN"{attributes}>'
        f'<templateId root="{TEMPLATE}{template}"/>{id_}'
        f'<code code="{code}" codeSystem="{LOINC}"/><statusCode code="completed"/>{inner}</observation>'
    )


def number(value: str, unit: str = "mm[Hg]") -> str:
    return f'<value xsi:type="PQ" value="{value}" unit="{unit}"/>'


def panel(*observations: str, template: str = "26") -> str:
    inside = "".join(f"<component>{o}</component>" for o in observations)
    return (
        f'<entry><organizer classCode="CLUSTER" moodCode="EVN"><templateId root="{TEMPLATE}{template}"/>'
        f'<code code="46680005" codeSystem="{SNOMED}"/><statusCode code="completed"/>{inside}'
        "</organizer></entry>"
    )


def test_a_report_has_all_its_results_and_no_other() -> None:
    first, second = of("DiagnosticReport")
    results = {r["fullUrl"]: r for r in of("Observation")}
    assert len(first["result"]) == 12
    assert [results[r["reference"]]["code"]["coding"][0]["code"] for r in second["result"]] == ["2951-2"]


def test_one_id_on_two_results_makes_two_results() -> None:
    same = '<id root="1.2.3.5" extension="R"/>'
    found = resources(
        document(
            panel(
                observation("2823-3", number("4.1", "mmol/L"), id_=same),
                observation("2951-2", number("140", "mmol/L"), id_=same),
                template="1",
            )
        )
    )
    assert len(coded("2823-3", found)) == len(coded("2951-2", found)) == 1
    assert len(of("DiagnosticReport", found)[0]["result"]) == 2


def test_pressures_taken_together_are_one_observation_with_both_numbers() -> None:
    [pressure] = coded("85354-9")
    both = {c["code"]["coding"][0]["code"]: c["valueQuantity"]["value"] for c in pressure["component"]}
    assert both == {"8480-6": 132, "8462-4": 84} or both == {"8480-6": "132", "8462-4": "84"}
    assert not coded("8480-6") and not coded("8462-4")
    [vitals] = coded("46680005")
    assert pressure["fullUrl"] in {m["reference"] for m in vitals["hasMember"]}
    assert len(vitals["hasMember"]) == 3


@pytest.mark.parametrize(
    "diastolic",
    [
        observation("8462-4", '<effectiveTime value="20260311"/>' + number("84"), "27"),
        observation(
            "8462-4", '<effectiveTime value="20260310"/><value xsi:type="PQ" nullFlavor="NI"/>', "27"
        ),
        observation(
            "8462-4",
            '<effectiveTime value="20260310"/>' + number("84"),
            "27",
            attributes=' negationInd="true"',
        ),
        observation("8462-4", '<effectiveTime value="20260310"/>' + number("84"), "27")
        + "</component><component>"
        + observation("8462-4", '<effectiveTime value="20260310"/>' + number("90"), "27"),
    ],
    ids=["another time", "no value", "denied", "two of them"],
)
def test_pressures_that_may_not_belong_together_stay_apart(diastolic: str) -> None:
    systolic = observation("8480-6", '<effectiveTime value="20260310"/>' + number("132"), "27")
    found = resources(document(panel(systolic, diastolic), "8716-3"))
    assert len(coded("8480-6", found)) == 1
    assert len(coded("8462-4", found)) >= 1
    assert not coded("85354-9", found)


def test_a_denied_result_has_no_value_and_says_so() -> None:
    [denied] = [r for r in coded("718-7") if r["status"] == "cancelled"]
    assert not [k for k in denied if k.startswith("value")]
    assert denied["note"][0]["text"].startswith("Denied by the sender")


def test_a_goal_is_no_finding() -> None:
    assert [g["target"][0]["dueDate"] for g in of("Goal")] == ["2026-09-10"]
    assert not coded("3141-9")


@pytest.mark.parametrize("mood", ["INT", "RQO", "PRMS", "GOL"])
def test_what_is_planned_is_no_finding(mood: str) -> None:
    planned = observation("2823-3", "").replace('moodCode="EVN"', f'moodCode="{mood}"')
    assert not coded("2823-3", resources(document(f"<entry>{planned}</entry>")))


def test_the_pregnancy_has_its_estimated_delivery() -> None:
    [pregnancy] = coded("82810-3")
    assert pregnancy["valueCodeableConcept"]["coding"][0]["code"] == "77386006"
    assert [c["valueDateTime"] for c in pregnancy["component"]] == ["2026-09-18"]


def test_the_father_had_an_infarction_and_no_diabetes() -> None:
    [father] = of("FamilyMemberHistory")
    assert [c["code"]["coding"][0]["code"] for c in father["condition"]] == ["22298006"]
    assert str(father["condition"][0]["onsetAge"]["value"]) == "56"
    assert father["deceasedBoolean"] is True
    assert "Diabetes" in father["note"][0]["text"]


def test_a_scale_has_its_items() -> None:
    [scale], [item] = coded("38208-5"), coded("38209-3")
    assert [m["reference"] for m in scale["hasMember"]] == [item["fullUrl"]]


def test_a_denied_concern_is_refuted() -> None:
    status = {
        c["code"]["text"]: c.get("verificationStatus", {}).get("coding", [{}])[0].get("code")
        for c in of("Condition")
    }
    assert status == {"Afraid of falling on stairs": None, "Worried about money": "refuted"}


def test_an_observation_of_no_known_kind_is_one_all_the_same() -> None:
    [unknown] = coded("20227-6")
    assert str(unknown["valueQuantity"]["value"]) == "110"
    assert "category" not in unknown


def test_who_wrote_an_entry_is_told_of_what_became_of_it() -> None:
    note = next(r for r in of("DocumentReference") if r["type"]["coding"][0]["code"] == "11506-3")
    told = [p for p in of("Provenance") if [t["reference"] for t in p["target"]] == [note["fullUrl"]]]
    assert len(told) == 1


def test_no_author_no_provenance_of_nothing() -> None:
    author = '<author><time value="20260310"/></author>'
    entry = f'<act classCode="ACT" moodCode="EVN"><code code="1" codeSystem="1.2.3"/>{author}</act>'
    found = resources(document(f"<entry>{entry}</entry>", "99999-1"))
    assert all(p.get("target") and p.get("agent") for p in of("Provenance", found))


def test_a_null_result_makes_nothing() -> None:
    null = observation("2823-3", number("4", "mmol/L"), attributes=' nullFlavor="NI"')
    assert not coded("2823-3", resources(document(panel(null, template="1"))))


def test_a_battery_of_a_laboratory_report_is_a_report() -> None:
    found = resources((ROOT / "sample_messages/cda/lab_report.xml").read_bytes())
    [report] = of("DiagnosticReport", found)
    results = {r["fullUrl"]: r for r in of("Observation", found)}
    assert [results[r["reference"]]["code"]["coding"][0]["code"] for r in report["result"]] == [
        "718-7",
        "6690-2",
        "5196-1",
    ]


def test_each_policy_has_its_own_place_in_the_order() -> None:
    def policy(n: int) -> str:
        return (
            f'<entryRelationship typeCode="COMP"><sequenceNumber value="{n}"/>'
            f'<act classCode="ACT" moodCode="EVN"><templateId root="{TEMPLATE}61"/>'
            f'<id root="1.2.3.6" extension="G{n}"/></act></entryRelationship>'
        )

    act = f'<act classCode="ACT" moodCode="EVN"><templateId root="{TEMPLATE}60"/>{policy(2)}{policy(1)}</act>'
    found = resources(document(f"<entry>{act}</entry>", "48768-6"))
    assert sorted(c["order"] for c in of("Coverage", found)) == [1, 2]


def saturation(*parts: str) -> list[Json]:
    time = '<effectiveTime value="20260310"/>'
    main = observation("2708-6", time + number("98", "%"), "27")
    return resources(
        document(panel(main, observation("8867-4", time + number("72", "/min"), "27"), *parts), "8716-3")
    )


def test_what_was_breathed_is_part_of_the_oxygen_saturation() -> None:
    time = '<effectiveTime value="20260310"/>'
    found = saturation(
        observation("3151-8", time + number("6", "L/min"), "27"),
        observation("3150-0", time + number("35", "%"), "27"),
    )
    [main] = coded("2708-6", found)
    assert sorted(c["code"]["coding"][0]["code"] for c in main["component"]) == ["3150-0", "3151-8"]
    assert str(main["valueQuantity"]["value"]) == "98"
    assert not coded("3151-8", found) and not coded("3150-0", found)
    [vitals] = coded("46680005", found)
    assert len(vitals["hasMember"]) == 2


def test_what_was_breathed_another_time_stays_apart() -> None:
    found = saturation(
        observation("3151-8", '<effectiveTime value="20260311"/>' + number("6", "L/min"), "27")
    )
    assert "component" not in coded("2708-6", found)[0]
    assert len(coded("3151-8", found)) == 1
