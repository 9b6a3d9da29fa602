"""Rules of what is kept of devices: read from a channel's file, and what each makes of one measurement."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hub_project import HERE, shipped_maps

from engine.channels.definition import load_channels
from engine.channels.downsampling import Downsampling
from engine.channels.intervals import mark_intervals, without_store
from engine.cli.convert import convert_file
from engine.kernel.errors import ConfigError
from engine.kernel.message import Draft

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
PULSE, PRESSURE, TEMPERATURE = "8867-4", "8480-6", "8310-5"
RULES = """
  - {every: 15 minutes}
  - {loinc: 8867-4, every: 15 minutes, change: 10 /min}
  - {loinc: [8310-5], every: 1 hour, change: 0.5 Cel, abnormal: 5 minutes}
  - {code: "urn:iso:std:iso:11073:10101|150456", keep: all}
"""


def rules(root: Path, lines: str = RULES, critical: str = "") -> Downsampling:
    (root / "channels").mkdir(exist_ok=True)
    (root / "mappings").mkdir(exist_ok=True)
    (root / "channels" / "d.yaml").write_text(f"channel: d\ndownsample:{lines}")
    if critical:
        (root / "mappings" / "critical.yaml").write_text(critical)
    return load_channels(root)[0].downsample


def measured(loinc: str = PULSE, value: Any = 80, at: str = "10:00:00", **more: Any) -> Draft:
    unit = {PULSE: "/min", TEMPERATURE: "Cel"}.get(loinc, "mm[Hg]")
    body: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [{"coding": [{"code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": loinc}]},
        "subject": {"reference": "Patient/p1"},
        "device": {"reference": "Device/d1"},
        "effectiveDateTime": f"2026-05-01T{at}-05:00",
    }
    if value is not None:
        body["valueQuantity"] = {"value": value, "unit": unit, "code": unit, "system": UCUM}
    body.update(more)
    body = {name: held for name, held in body.items() if held is not None}
    number = repr(body)
    return Draft("measured", "Observation", number, body, (("urn:x", number),))


def together(root: Path, *drafts: Draft, lines: str = RULES, critical: str = "") -> int:
    """How many of these are written where nothing is stored yet."""
    mark_intervals(list(drafts), rules(root, lines, critical), "d")
    return len(without_store(list(drafts))[0])


def test_reading(tmp_path: Path) -> None:
    found = rules(tmp_path)
    assert found and found.for_all is not None and found.for_all.every_ms == 900_000
    pulse = found.of([(LOINC, PULSE)])
    assert pulse is not None and (pulse.change, pulse.unit) == (Decimal(10), "/min")
    assert pulse.text(False) == "one value in 15 minutes for every 10 /min is kept (channels/d.yaml:4)"
    heat = found.of([("urn:other", "x"), (LOINC, TEMPERATURE)])
    assert heat is not None and heat.text(True).startswith("one abnormal value in 5 minutes is kept")
    assert heat.text(False).startswith("one value in 1 hour for every 0.5 Cel is kept")
    assert found.of([("urn:iso:std:iso:11073:10101", "150456"), (LOINC, "59408-5")]) is None
    assert found.of([]) is found.for_all


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (" 15 minutes", "takes a list"),
        (" [15 minutes]", "a line takes"),
        (" [{}]", "needs every:"),
        (" [{every: often}]", "is not a time"),
        (" [{every: 2 days}]", "more than a day"),
        (" [{every: 1 hour, keep: first}]", "keep: all stands alone"),
        (" [{every: 1 hour, keep: all}]", "keep: all stands alone"),
        (" [{every: 1 hour, mean: true}]", "does not know 'mean'"),
        (" [{every: 1 hour, change: 5}]", "no amount with a unit"),
        (" [{every: 1 hour, change: 0 /min}]", "no amount with a unit"),
        (" [{every: 1 hour, change: NaN /min}]", "no amount with a unit"),
        (" [{every: 1 hour, change: 5 beats}]", "no amount with a unit"),
        (" [{code: 8867-4, every: 1 hour}]", "has no system"),
        (" [{loinc: [], every: 1 hour}]", "takes a code"),
        (" [{every: 1 hour}, {every: 2 hours}]", "two lines are for all codes"),
        (" [{loinc: [a, b], every: 1 hour}, {loinc: b, every: 2 hours}]", "two lines are for b"),
    ],
)
def test_what_is_no_rule_is_told_with_its_place(tmp_path: Path, lines: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as told:
        rules(tmp_path, lines)
    assert told.value.where.startswith("channels/d.yaml:2")


def quantity(value: Any, unit: str, **more: Any) -> dict[str, Any]:
    return {"valueQuantity": {"value": value, "unit": unit, "code": unit, "system": UCUM, **more}}


def said(code: str) -> list[dict[str, Any]]:
    return [{"coding": [{"system": "urn:x", "code": code}]}]


ONE = measured()
OF_DEVICE = [{"system": "urn:h/id/device-observation"}]
PRESSED = {"code": {"coding": [{"system": LOINC, "code": "85354-9"}]}}


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param(ONE, measured(at="10:14:59"), 1, id="one an interval"),
        pytest.param(ONE, measured(at="10:15:00"), 2, id="the next interval"),
        pytest.param(ONE, measured(at="09:59:59"), 2, id="the one before"),
        pytest.param(ONE, measured(value=89, at="10:01:00"), 1, id="the same step"),
        pytest.param(ONE, measured(value=91, at="10:01:00"), 2, id="changed by more than the step"),
        pytest.param(ONE, measured(value=79, at="10:01:00"), 2, id="below the step"),
        pytest.param(measured(value=-1), measured(value=1, at="10:01:00"), 2, id="zero parts steps"),
        pytest.param(
            measured(PRESSURE, 120), measured(PRESSURE, 180, "10:01:00"), 1, id="no step: any value"
        ),
        pytest.param(
            measured(PRESSURE, 120), measured(PRESSURE, 18, "10:01:00", **quantity(18, "kPa")), 2, id="units"
        ),
        pytest.param(
            measured(TEMPERATURE, Decimal("37.0")),
            measured(TEMPERATURE, at="10:30:00", **quantity(Decimal("98.7"), "[degF]")),
            1,
            id="units that convert are one step",
        ),
        pytest.param(
            ONE, measured(at="10:01:00", **quantity(80, "beats")), 2, id="a unit that does not convert"
        ),
        pytest.param(ONE, measured(value=80.5, at="10:01:00"), 1, id="a fraction"),
        pytest.param(ONE, measured(at="10:01:00", subject={"reference": "Patient/p2"}), 2, id="patients"),
        pytest.param(ONE, measured(at="10:01:00", device={"reference": "Device/d2"}), 2, id="devices"),
        pytest.param(ONE, measured(PRESSURE, at="10:01:00"), 2, id="codes"),
        pytest.param(ONE, measured(at="10:01:00", bodySite={"text": "left arm"}), 2, id="sites"),
        pytest.param(
            ONE,
            measured(
                at="10:01:00",
                extension=[
                    {"url": "http://hl7.org/fhir/StructureDefinition/observation-v2-subid", "x": "1.1.1.2"}
                ],
            ),
            2,
            id="places in the tree",
        ),
        pytest.param(
            ONE, measured(at="10:01:00", interpretation=said("N")), 1, id="called normal is as not called"
        ),
        pytest.param(ONE, measured(at="10:01:00", interpretation=said("H")), 2, id="abnormal: all"),
        pytest.param(ONE, measured(at="10:01:00", interpretation=[{"text": "!"}]), 2, id="called something"),
        pytest.param(
            measured(at="10:02:00", interpretation=said("H")),
            measured(at="10:01:00", interpretation=said("H")),
            2,
            id="every abnormal one",
        ),
        pytest.param(
            measured(TEMPERATURE, 39, interpretation=said("H")),
            measured(TEMPERATURE, 39, "10:04:00", interpretation=said("H")),
            1,
            id="abnormal: 5 minutes",
        ),
        pytest.param(
            measured(TEMPERATURE, 39),
            measured(TEMPERATURE, 39, "10:04:00", interpretation=said("H")),
            2,
            id="an abnormal one stands for no normal one",
        ),
        pytest.param(
            ONE,
            measured(at="10:01:00", referenceRange=[{"low": {"value": 90}}]),
            2,
            id="below what the sender calls normal",
        ),
        pytest.param(
            ONE,
            measured(
                at="10:01:00", referenceRange=[{"low": {"value": 50, "code": "/min"}, "high": {"value": 120}}]
            ),
            1,
            id="within",
        ),
        pytest.param(
            ONE,
            measured(at="10:01:00", referenceRange=[{"high": {"value": 120, "code": "Hz"}}]),
            2,
            id="a range in another unit",
        ),
        *(
            pytest.param(
                ONE, measured(value=value, at="10:01:00", referenceRange=[{"text": text}]), kept, id=text
            )
            for text, value, kept in [
                ("<85", 84, 1),
                ("<85", 85, 2),
                ("<= 85", 85, 1),
                (">84.5", 84, 2),
                ("up to 99", 84, 2),  # nobody can say: it may be outside
                ("60-", 84, 2),
            ]
        ),
        pytest.param(
            measured(device=None, identifier=OF_DEVICE),
            measured(at="10:01:00", device=None, identifier=OF_DEVICE),
            1,
            id="of which device, nobody says",
        ),
        pytest.param(
            measured(device={"reference": "#d"}),
            measured(at="10:01:00", device={"reference": "#d"}),
            2,
            id="what stands in the resource itself is not told from others",
        ),
        pytest.param(measured(subject=None), measured(at="10:01:00", subject=None), 2, id="nobody's"),
        pytest.param(ONE, measured(at="10:01:00", **quantity(80, "/min", comparator=">")), 2, id="beyond"),
        pytest.param(ONE, measured(at="10:01:00", status="corrected"), 2, id="corrected"),
        pytest.param(ONE, measured(at="10:01:00", status="entered-in-error"), 2, id="taken back"),
        pytest.param(ONE, measured(at="10:01:00", status="preliminary"), 1, id="not verified"),
        pytest.param(ONE, measured(at="10:01:00", effectiveDateTime="2026-05-01"), 2, id="a day is no time"),
        pytest.param(ONE, measured(effectiveDateTime="2026-05-01T10:05-05:00"), 1, id="minutes are"),
        pytest.param(ONE, measured(effectiveDateTime=None), 2, id="no time"),
        pytest.param(
            ONE,
            measured(effectiveDateTime=None, effectivePeriod={"start": "2026-05-01T10:05:00-05:00"}),
            1,
            id="the begin of a period",
        ),
        pytest.param(ONE, measured(at="10:01:00", category=None), 2, id="not known to be of a device"),
        pytest.param(
            ONE,
            measured(at="10:01:00", category=[{"coding": [{"code": "vital-signs"}, {"code": "laboratory"}]}]),
            2,
            id="never of a laboratory",
        ),
        pytest.param(
            measured(value=None, valueString="sinus rhythm"),
            measured(value=None, at="10:01:00", valueString="sinus rhythm"),
            1,
            id="the same words",
        ),
        pytest.param(
            measured(value=None, valueString="sinus rhythm"),
            measured(value=None, at="10:01:00", valueString="atrial fibrillation"),
            2,
            id="other words",
        ),
        pytest.param(
            ONE,
            measured(value=None, at="10:01:00", dataAbsentReason={"coding": [{"code": "error"}]}),
            2,
            id="no value is another thing than a value",
        ),
        pytest.param(
            measured(value=None, **PRESSED, component=[{**PRESSED, **quantity(120, "mm[Hg]")}]),
            measured(
                value=None, at="10:01:00", **PRESSED, component=[{**PRESSED, **quantity(121, "mm[Hg]")}]
            ),
            1,
            id="components",
        ),
        pytest.param(
            measured(value=None, **PRESSED, component=[{**PRESSED, **quantity(120, "mm[Hg]")}]),
            measured(
                value=None,
                at="10:01:00",
                **PRESSED,
                component=[{**PRESSED, **quantity(220, "mm[Hg]"), "interpretation": said("HH")}],
            ),
            2,
            id="an abnormal component",
        ),
        pytest.param(
            measured("59408-5", 97, identifier=[{"system": "urn:h/id/device-observation"}], category=None),
            measured(
                "59408-5",
                97,
                "10:01:00",
                identifier=[{"system": "urn:h/id/device-observation"}],
                category=None,
                device=None,
            ),
            2,
            id="by its number, without a device another series",
        ),
    ],
)
def test_two_of_one_message(tmp_path: Path, first: Draft, second: Draft, kept: int) -> None:
    assert together(tmp_path, first, second) == kept


def test_a_code_of_which_all_are_kept(tmp_path: Path) -> None:
    both = {"code": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "150456"}]}}
    assert together(tmp_path, measured(**both), measured(at="10:01:00", **both)) == 2


def test_what_a_rule_of_critical_results_names_is_always_written(tmp_path: Path) -> None:
    critical = "rules:\n  - {name: Slow, loinc: 8867-4, category: vital-signs, below: 84 /min}\n"
    drafts = [measured(value=86), measured(value=85, at="10:01:00"), measured(value=83, at="10:02:00")]
    assert together(tmp_path, *drafts, critical=critical) == 2
    assert drafts[2].interval is None and drafts[1].interval is not None


def test_what_a_rule_of_critical_results_cannot_judge_is_always_written(tmp_path: Path) -> None:
    critical = "rules:\n  - {name: Slow, loinc: 8867-4, category: vital-signs, below: 84 /min}\n"
    words: dict[str, Any] = {"valueQuantity": {"value": 20, "unit": "beats"}}
    drafts = [measured(**words), measured(at="10:01:00", **words)]
    assert together(tmp_path, *drafts, lines="\n  - {every: 1 hour}\n", critical=critical) == 2


def test_a_step_of_one_rule_is_no_step_of_another(tmp_path: Path) -> None:
    one, other = measured(value=125), measured(value=62)
    mark_intervals([one], rules(tmp_path), "d")
    finer = "\n  - {loinc: 8867-4, every: 15 minutes, change: 5 /min}\n"
    mark_intervals([other], rules(tmp_path, finer), "d")
    assert one.interval is not None and other.interval is not None
    assert one.interval.key != other.interval.key, "125 is the 12th step of 10, 62 the 12th of 5"


def test_a_number_that_nothing_can_count_with_is_always_written(tmp_path: Path) -> None:
    finer = "\n  - {loinc: 8867-4, every: 15 minutes, change: 0.001 /min}\n"
    huge = Decimal("1e999999")
    assert together(tmp_path, measured(value=huge), measured(value=huge, at="10:01:00"), lines=finer) == 2


def test_what_another_resource_refers_to_is_always_written(tmp_path: Path) -> None:
    one, other = measured(), measured(at="10:01:00")
    for number, draft in enumerate((one, other)):
        draft.id = f"o{number}"
    panel = {"resourceType": "Observation", "hasMember": [{"reference": "Observation/o1"}]}
    assert together(tmp_path, one, other, Draft("panel", "Observation", "o9", panel)) == 3


def test_of_one_message_the_one_measured_first_is_kept_and_the_rest_named(tmp_path: Path) -> None:
    drafts = [measured(at=f"10:{minute:02d}:00") for minute in (9, 3, 20, 5)]
    mark_intervals(drafts, rules(tmp_path), "d")
    kept, flags = without_store(drafts)
    assert kept == [drafts[1], drafts[2]]
    told = {flag.code: flag for flag in flags}
    assert told["downsampled"].where == "Observation[0], Observation[3]"
    assert "channels/d.yaml:4" in told["downsampled"].text
    assert told["interval"].where == "Observation[1], Observation[2]"
    assert not any(flag.work for flag in flags)


def test_files_are_converted_as_a_channel_reads_them(tmp_path: Path) -> None:
    channel = replace(load_channels(HERE)[0], map="PCD_ORU_R01", downsample=rules(tmp_path))
    body = (HERE / "sample_messages/devices/pcd01_monitor.hl7").read_bytes()
    later = body.replace(b"PCD0001", b"PCD0002").replace(b"20260501101500", b"20260501101600")
    done = list(convert_file(BytesIO(body + later + body), shipped_maps(), "", channel))
    kinds = [[e["resource"]["resourceType"] for e in (one.bundle or {})["entry"]] for one in done]
    # of the second minute only the saturation, of which all are kept; the third is the first again
    assert [found.count("Observation") for found in kinds] == [6, 1, 6]
    assert all("DiagnosticReport" not in found for found in kinds)
    (told,) = [w for w in done[1].report["warnings"] if w["code"] == "downsampled" and "yaml:3" in w["text"]]
    assert told["source"].count("Observation[") == 4


def test_a_unit_that_the_rule_cannot_compare_is_told(tmp_path: Path) -> None:
    flags = mark_intervals([measured(**quantity(80, "beats"))], rules(tmp_path), "d")
    assert [(flag.code, flag.work) for flag in flags] == [("not-compared", False)]
