"""What a rule says of a result: never by a guess, and never silently nothing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from engine.channels.critical.ages import Age, Band, may_be_in
from engine.channels.critical.judging import Judged, judge
from engine.channels.critical.rules import INTERPRETATION, LOINC, Rules, read_rules
from engine.kernel.yamlfile import loads
from engine.terminology.ucum import SYSTEM

TODAY = date(2026, 5, 2)


def rules(line: str) -> Rules:
    return read_rules(loads(f"rules:\n  - {line}\n", "mappings/critical.yaml"))


def observed(value: str = "", unit: str = "mmol/L", comparator: str = "", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Observation", "status": "final"}
    made["code"] = {"coding": [{"system": LOINC, "code": "2823-3"}]}
    if value:
        made["valueQuantity"] = {"value": Decimal(value)}
        if unit:
            made["valueQuantity"] |= {"unit": unit, "system": SYSTEM, "code": unit}
        if comparator:
            made["valueQuantity"]["comparator"] = comparator
    return made | more


def said(line: str, observation: dict[str, Any], birth: str = "", channel: str = "lab") -> Judged:
    return judge(rules(line), observation, channel, birth, TODAY)


K = "{name: K, loinc: 2823-3, above: 6.2 mmol/L, below: 2.8 mmol/L}"


@pytest.mark.parametrize(
    ("line", "value", "unit", "comparator", "why"),
    [
        (K, "6.3", "mmol/L", "", "above the limit"),
        (K, "6.2", "mmol/L", "", ""),
        (K, "2.7", "mmol/L", "", "below the limit"),
        (K, "2.8", "mmol/L", "", ""),
        (K, "6300", "umol/L", "", "above the limit"),
        (K, "6200.0001", "umol/L", "", "above the limit"),
        (K, "6200", "umol/L", "", ""),
        (K, "6.0", "mmol/L", ">", "may be above the limit"),
        (K, "7", "mmol/L", ">", "above the limit"),
        (K, "2.0", "mmol/L", "<", "below the limit"),
        (K, "4.0", "mmol/L", "<", "may be below the limit"),
        ("{name: K, loinc: 2823-3, at_least: 6.5 mmol/L}", "6.5", "mmol/L", "", "at least the limit"),
        ("{name: K, loinc: 2823-3, at_most: 2.5 mmol/L}", "2.5", "mmol/L", "", "at most the limit"),
        ("{name: T, loinc: 2823-3, above: 41 Cel}", "106", "[degF]", "", "above the limit"),
        ("{name: T, loinc: 2823-3, above: 41 Cel}", "105.7", "[degF]", "", ""),
        ("{name: INR, loinc: 2823-3, above: 5}", "5.1", "", "", "above the limit"),
        ("{name: INR, loinc: 2823-3, above: 5}", "5.1", "1", "", "above the limit"),
        ("{name: K, loinc: 2823-3, above: [6 mmol/L, 6 meq/L]}", "6.1", "meq/L", "", "above the limit"),
    ],
)
def test_limits(line: str, value: str, unit: str, comparator: str, why: str) -> None:
    judged = said(line, observed(value, unit, comparator))
    assert [m.why for m in judged.matches] == ([why] if why else [])
    assert judged.unjudged == ()


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        (observed("24.6", "mg/dL"), "mg/dL does not convert to mmol/L"),
        (observed("9.9", "meq/L"), "meq/L does not convert to mmol/L"),
        (observed("9.9", ""), "the value has no UCUM unit"),
        (observed(valueString="9.9 mmol/L"), "the value is no number"),
        (observed(valueQuantity={"value": 9, "unit": "mmol/L"}), "the value has no UCUM unit"),
    ],
)
def test_what_cannot_be_compared_is_said(observation: dict[str, Any], why: str) -> None:
    judged = said(K, observation)
    assert judged.matches == ()
    assert len(judged.unjudged) == 1 and judged.unjudged[0].why.startswith(why)


def test_a_result_without_a_value_is_nothing() -> None:
    assert said(K, observed(dataAbsentReason={"text": "hemolysed"})) == Judged()


def test_a_range_that_reaches_beyond() -> None:
    def end(text: str) -> dict[str, Any]:
        return {"value": Decimal(text), "system": SYSTEM, "code": "mmol/L"}

    assert said(K, observed(valueRange={"low": end("5"), "high": end("7")})).matches[0].why == (
        "may be above the limit"
    )
    assert said(K, observed(valueRange={"low": end("5"), "high": end("6")})) == Judged()


def flagged(code: str, system: str = INTERPRETATION) -> list[dict[str, Any]]:
    return [{"coding": [{"system": system, "code": code}]}]


@pytest.mark.parametrize(
    ("line", "code", "system", "hit"),
    [
        ("{name: F, interpretation: [HH, LL]}", "HH", INTERPRETATION, True),
        ("{name: F, interpretation: [HH, LL]}", "H", INTERPRETATION, False),
        ("{name: F, interpretation: [HH, LL]}", "HH", "urn:other", False),
        ("{name: F, interpretation: ['>']}", ">", INTERPRETATION, True),
        ("{name: F, loinc: 718-7, interpretation: HH}", "HH", INTERPRETATION, False),
    ],
)
def test_interpretations(line: str, code: str, system: str, hit: bool) -> None:
    assert bool(said(line, observed("4", interpretation=flagged(code, system))).matches) is hit


@pytest.mark.parametrize(
    ("status", "line", "hit"),
    [
        ("preliminary", K, True),
        ("preliminary", "{name: K, loinc: 2823-3, above: 6 mmol/L, preliminary: false}", False),
        ("corrected", "{name: K, loinc: 2823-3, above: 6 mmol/L, preliminary: false}", True),
        ("registered", K, False),
        ("cancelled", K, False),
        ("entered-in-error", K, False),
    ],
)
def test_status(status: str, line: str, hit: bool) -> None:
    assert bool(said(line, observed("7", status=status)).matches) is hit


def test_what_the_bedside_measures_is_for_rules_that_name_it() -> None:
    vital = observed("7", category=[{"coding": [{"code": "vital-signs"}]}])
    assert not said(K, vital).matches
    assert said("{name: K, loinc: 2823-3, above: 6 mmol/L, category: vital-signs}", vital).matches
    assert not said("{name: K, loinc: 2823-3, above: 6 mmol/L, category: vital-signs}", observed("7")).matches


def test_so_is_what_a_device_measured_that_is_no_vital_sign() -> None:
    number = [{"system": "urn:hub:own/id/device-observation", "value": "x"}]
    assert not said(K, observed("7", identifier=number)).matches
    assert said(
        "{name: K, loinc: 2823-3, above: 6 mmol/L, category: device}", observed("7", identifier=number)
    ).matches


def test_a_component_is_judged_by_its_own_code() -> None:
    part = {k: v for k, v in observed("7").items() if k in ("code", "valueQuantity")}
    whole = {"resourceType": "Observation", "status": "final", "code": {"text": "panel"}, "component": [part]}
    assert said(K, whole).matches[0].why == "above the limit"


def test_channels() -> None:
    line = "{name: K, loinc: 2823-3, every: true, channels: [lab_*]}"
    assert said(line, observed("4"), channel="lab_oru").matches
    assert not said(line, observed("4"), channel="adt").matches


NEWBORN, GROWN = Band(under=Age(days=28)), Band(least=Age(months=216))


@pytest.mark.parametrize(
    ("band", "birth", "inside"),
    [
        (NEWBORN, "2026-04-05", True),  # 27 days
        (NEWBORN, "2026-04-04", False),  # 28 days
        (NEWBORN, "2026-04", True),  # may be either
        (NEWBORN, "2026-03", False),
        (NEWBORN, "", True),
        (GROWN, "2008-05-02", True),
        (GROWN, "2008-05-03", False),
        (GROWN, "2008", True),
        (GROWN, "2009", False),
        (GROWN, "0000", True),  # no date at all
        (Band(least=Age(months=1)), "2026-03-31", True),
    ],
)
def test_ages(band: Band, birth: str, inside: bool) -> None:
    assert may_be_in(band, birth, TODAY) is inside
