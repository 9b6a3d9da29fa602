"""Results: nothing lost, doubled or invented; the newest word counts, what was taken back stays so."""

from __future__ import annotations

import pytest
from safety_hub import Hub, obx, oru, who

NA = "2951-2^Sodium^LN"
CL = "2075-0^Chloride^LN"


def values(hub: Hub) -> list[str]:
    return [str(r["valueQuantity"]["value"]) for r in hub.all("Observation") if "valueQuantity" in r]


def test_preliminary_final_corrected_are_one_result(hub: Hub) -> None:
    for value, status in (("4.0", "P"), ("4.1", "F"), ("4.2", "C")):
        hub.lab(oru(who(), obx(value, status), status=status))
    result = hub.one("Observation")
    assert (str(result["valueQuantity"]["value"]), result["status"]) == ("4.2", "corrected")
    assert len(hub.store.history("Observation", result["id"])) == 3
    assert hub.one("DiagnosticReport")["status"] == "corrected"


def test_replaying_the_preliminary_changes_nothing(hub: Hub) -> None:
    hub.lab(oru(who(), obx("9.9", "P", flag="HH"), status="P"))
    hub.lab(oru(who(), obx("4.1", "F"), status="F"))
    before = hub.one("Observation"), hub.one("DiagnosticReport")
    assert hub.replay(1).status == "done"
    assert (hub.one("Observation"), hub.one("DiagnosticReport")) == before


def test_a_resend_doubles_nothing(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1"), obx("140", code=NA)))
    outcome = hub.lab(oru(who(), obx("4.1"), obx("140", code=NA)))
    assert outcome.status == "done"
    assert values(hub) == ["4.1", "140"]


def test_flags_range_and_comments_of_a_wrong_value_go_with_it(hub: Hub) -> None:
    hub.lab(oru(who(), obx("7.9", "P", flag="HH", span="3.5-5.1"), "NTE|1|L|Called to the ward"))
    hub.lab(oru(who(), obx("4.1", "C")))
    result = hub.one("Observation")
    assert "interpretation" not in result
    assert "referenceRange" not in result
    assert "note" not in result


def test_the_same_value_keeps_what_was_said_about_it(hub: Hub) -> None:
    hub.lab(oru(who(), obx("7.9", "P", flag="HH", span="3.5-5.1"), "NTE|1|L|Called to the ward"))
    hub.lab(oru(who(), obx("7.9", "F")))
    result = hub.one("Observation")
    assert result["status"] == "final"
    assert result["interpretation"][0]["coding"][0]["code"] == "HH"
    assert result["note"][0]["text"] == "Called to the ward"


def test_components_do_not_stay_beside_a_single_value(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4~5", "P")))
    assert len(hub.one("Observation")["component"]) == 2
    hub.lab(oru(who(), obx("4.4", "C")))
    assert "component" not in hub.one("Observation")
    hub.lab(oru(who(), obx("4~6", "C")))
    assert "valueQuantity" not in hub.one("Observation")


def test_a_report_does_not_lose_the_results_a_correction_does_not_repeat(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1"), obx("140", code=NA), obx("101", code=CL)))
    hub.lab(oru(who(), obx("141", "C", code=NA), status="C"))
    assert len(hub.one("DiagnosticReport")["result"]) == 3
    assert sorted(values(hub)) == ["101", "141", "4.1"]


def test_a_resend_may_add_a_result(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1")))
    hub.lab(oru(who(), obx("4.1"), obx("140", code=NA)))
    assert values(hub) == ["4.1", "140"]
    assert len(hub.one("DiagnosticReport")["result"]) == 2


@pytest.mark.parametrize(
    ("status", "fhir", "value", "reason"),
    [
        ("C", "corrected", False, "unknown"),
        ("F", "final", False, "unknown"),
        ("W", "entered-in-error", True, ""),
        ("D", "entered-in-error", True, ""),
        ("X", "cancelled", False, "not-performed"),
        ("N", "cancelled", False, "not-asked"),
        ("I", "registered", False, "temp-unknown"),
        ("U", "final", True, ""),
        ("", "preliminary", True, ""),
    ],
)
def test_a_result_without_a_value(hub: Hub, status: str, fhir: str, value: bool, reason: str) -> None:
    hub.lab(oru(who(), obx("7.9", "P")))
    hub.lab(oru(who(), obx("", status)))
    result = hub.one("Observation")
    assert result["status"] == fhir
    assert ("valueQuantity" in result) is value
    assert result.get("dataAbsentReason", {"coding": [{"code": ""}]})["coding"][0]["code"] == reason


def test_a_value_without_a_status_is_not_called_final(hub: Hub) -> None:
    hub.lab(oru(who(), obx("7.9", "F")))
    hub.lab(oru(who(), obx("4.1", "")))
    assert hub.one("Observation")["status"] == "unknown"


def test_a_report_without_a_status_keeps_its_own(hub: Hub) -> None:
    hub.lab(oru(status="F"))
    hub.lab(oru(status=""))
    assert hub.one("DiagnosticReport")["status"] == "final"


@pytest.mark.parametrize("where", ["obx", "report"])
def test_a_status_nobody_knows_is_parked(hub: Hub, where: str) -> None:
    message = oru(who(), obx("4.1", "Q")) if where == "obx" else oru(status="Q")
    assert hub.lab(message).cause == "unmapped-code"
    assert hub.store.head() == 0


@pytest.mark.parametrize("kind", ["NM", "ST", "CWE"])
def test_an_explicit_delete_of_a_value_is_parked(hub: Hub, kind: str) -> None:
    hub.lab(oru(who(), obx("4.1")))
    assert hub.lab(oru(who(), obx('""', kind=kind))).cause == "delete-of-result"
    assert values(hub) == ["4.1"]


def test_a_result_taken_back_may_delete_its_value_too(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1")))
    assert hub.lab(oru(who(), obx('""', "W"))).status == "done"
    assert hub.one("Observation")["status"] == "entered-in-error"


def test_two_results_of_one_code_are_both_kept(hub: Hub) -> None:
    outcome = hub.lab(oru(who(), obx("4.1"), obx("4.2")))
    assert values(hub) == ["4.1", "4.2"]
    assert "duplicate-key" in [f.code for f in outcome.flags]
    hub.lab(oru(who(), obx("4.1"), obx("4.2")))
    assert values(hub) == ["4.1", "4.2"]


def test_sub_ids_tell_results_of_one_code_apart(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", sub="1"), obx("4.2", sub="2")))
    hub.lab(oru(who(), obx("4.3", "C", sub="2")))
    assert values(hub) == ["4.1", "4.3"]


def test_one_accession_number_on_two_panels_is_two_reports(hub: Hub) -> None:
    second = oru(who(), obx("140", code=NA)).split("\n", 2)[2].replace("24320-4^Panel", "600-7^Culture")
    hub.lab(oru(who(), obx("4.1")) + "\n" + second)
    assert len(hub.all("DiagnosticReport")) == 2
    assert values(hub) == ["4.1", "140"]


@pytest.mark.parametrize(
    ("kind", "sent", "element", "stored"),
    [
        ("NM", "POSITIVE", "valueString", "POSITIVE mmol/L"),
        ("NM", "4,5", "valueString", "4,5 mmol/L"),
        ("NM", "1 000", "valueString", "1 000 mmol/L"),
        ("SN", "<>^4", "valueString", "<> 4 mmol/L"),
        ("ST", "a\\T\\b\\S\\c\\F\\d\\E\\e\\.br\\f", "valueString", "a&b^c|d\\e\nf"),
        ("DT", "20260230", "valueString", "20260230"),
        ("ZZ", "7.7", "valueString", "7.7"),
    ],
)
def test_what_does_not_fit_its_type_is_kept_in_words(
    hub: Hub, kind: str, sent: str, element: str, stored: str
) -> None:
    assert hub.lab(oru(who(), obx(sent, kind=kind))).status == "done"
    assert hub.one("Observation")[element] == stored


def test_below_a_limit_is_not_the_limit(hub: Hub) -> None:
    hub.lab(oru(who(), obx("<0.010")))
    quantity = hub.one("Observation")["valueQuantity"]
    assert (quantity["comparator"], str(quantity["value"])) == ("<", "0.010")


@pytest.mark.parametrize("code", ["N^Negative^L", "260415000^Not detected^SCT", "^Not detected"])
def test_a_negative_stays_a_negative(hub: Hub, code: str) -> None:
    hub.lab(oru(who(), obx(code, kind="CWE", unit="")))
    concept = hub.one("Observation")["valueCodeableConcept"]
    assert concept["text"] == code.split("^")[1]
    assert concept["coding"][0].get("code", "") == code.split("^")[0]


def test_a_time_without_a_zone_keeps_its_day_and_says_so(hub: Hub) -> None:
    outcome = hub.lab(oru(who(), obx("20261101013000", kind="TS", unit="")))
    assert hub.one("Observation")["valueDateTime"] == "2026-11-01"
    assert "no-zone" in [f.code for f in outcome.flags]
