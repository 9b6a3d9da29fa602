"""Every sample message: it converts, is valid R4, hangs together, accounts for each leaf, invents nothing."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.cli.convert import convert_bytes
from engine.fhir.validate import validate
from engine.formats.hl7v2.leaves import leaves
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "sample_messages").rglob("*.hl7"))
NAMES = [p.relative_to(ROOT / "sample_messages").as_posix() for p in SAMPLES]
HUB = "https://hub.example.org"


class Sample(NamedTuple):
    """One message of a sample file: its leaves by address, and what it became."""

    leaves: dict[str, str]
    bundle: dict[str, Any]
    report: dict[str, Any]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Return the entries; a message that is refused has none."""
        found: list[dict[str, Any]] = self.bundle.get("entry", [])
        return found

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the resources of one type."""
        return [e["resource"] for e in self.entries if e["resource"]["resourceType"] == kind]


@cache
def maps() -> Maps:
    return Maps.open(ROOT, HUB)


@cache
def converted(name: str) -> tuple[Sample, ...]:
    data = (ROOT / "sample_messages" / name).read_bytes()
    found = []
    for record, result in zip(split_messages(data), convert_bytes(data, maps()), strict=True):
        assert result.error is None, result.error
        assert result.bundle is not None
        message = parse(bytes(record.data))
        found.append(
            Sample({leaf.address: leaf.value for leaf in leaves(message)}, result.bundle, result.report)
        )
    assert found
    return tuple(found)


def lab(name: str) -> Sample:
    return converted(f"lab/{name}.hl7")[0]


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give every object and value below, with its path."""
    yield path, value
    if isinstance(value, dict):
        for k, v in value.items():
            yield from walk(v, f"{path}.{k}" if path else k)
    elif isinstance(value, list):
        for v in value:
            yield from walk(v, path)


@pytest.mark.parametrize("name", NAMES)
def test_is_valid_r4(name: str) -> None:
    for sample in converted(name):
        assert sample.bundle["type"] == "transaction"
        assert [p for e in sample.entries for p in validate(e["resource"])] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_resolves(name: str) -> None:
    for sample in converted(name):
        urls = [e["fullUrl"] for e in sample.entries]
        assert len(urls) == len(set(urls))
        for entry in sample.entries:
            inside = {"#" + c["id"] for c in entry["resource"].get("contained", ())}
            for path, value in walk(entry["resource"]):
                if isinstance(value, dict) and "reference" in value:
                    assert value["reference"] in inside or value["reference"] in urls, path


@pytest.mark.parametrize("name", NAMES)
def test_every_leaf_is_accounted_for(name: str) -> None:
    for sample in converted(name):
        told = {m["source"] for m in sample.report["mapped"]}
        left = {u["source"] for u in sample.report["unmapped"]}
        assert set(sample.leaves) - told - left == set(), "neither mapped nor said to be left out"
        assert (told | left) - set(sample.leaves) == set(), "told of leaves that are not there"


@cache
def _translations() -> dict[str, set[tuple[str, str]]]:
    """Source code -> the (system, code) that an approved table row makes of it."""
    out: dict[str, set[tuple[str, str]]] = {}
    for path in (ROOT / "terminology/maps").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                out.setdefault(row["source_code"].casefold(), set()).add(
                    (row["target_system"], row["target_code"])
                )
    return out


@cache
def _constants() -> set[str]:
    """Codes that rows of the maps write as constants: `=v2-0203#PLAC`, `=d`."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "mappings").rglob("*.yaml"))
    return set(re.findall(r"=(?:[A-Za-z0-9.-]+#)?([A-Za-z0-9._-]+)", text))


@pytest.mark.parametrize("name", NAMES)
def test_no_code_is_invented(name: str) -> None:
    for sample in converted(name):
        sent = {v.strip() for v in sample.leaves.values()}
        translated = {t for v in sent for t in _translations().get(v.casefold(), ())}
        for entry in sample.entries:
            for path, value in walk(entry["resource"]):
                if isinstance(value, dict) and isinstance(value.get("code"), str) and "system" in value:
                    code = value["code"]
                    known = code in sent or code in _constants()
                    assert known or (value["system"], code) in translated, (path, code)


@pytest.mark.parametrize("name", NAMES)
def test_no_number_is_invented(name: str) -> None:
    for sample in converted(name):
        numbers = {Decimal(n) for v in sample.leaves.values() for n in re.findall(r"\d+(?:\.\d+)?", v)}
        for entry in sample.entries:
            for path, value in walk(entry["resource"]):
                if path.endswith("value") and isinstance(value, Decimal | int | float):
                    assert abs(Decimal(str(value))) in numbers, path


@pytest.mark.parametrize("name", NAMES)
def test_no_day_is_invented(name: str) -> None:
    for sample in converted(name):
        sent = " ".join(re.sub(r"\D", "", v) for v in sample.leaves.values())
        for entry in sample.entries:
            for path, value in walk(entry["resource"]):
                if (
                    isinstance(value, str)
                    and re.fullmatch(r"\d{4}(-\d\d(-\d\d(T.*)?)?)?", value)
                    and "-" in value
                ):
                    assert value[:10].replace("-", "") in sent, path


def test_a_number_has_its_unit_and_range() -> None:
    (o,) = lab("oru_potassium").all("Observation")
    quantity = o["valueQuantity"]
    assert (str(quantity["value"]), quantity["code"]) == ("4.1", "mmol/L")
    assert quantity["system"] == "http://unitsofmeasure.org"
    assert o["effectiveDateTime"] == "2026-05-01T08:30:00-05:00"
    (r,) = o["referenceRange"]
    assert (str(r["low"]["value"]), str(r["high"]["value"]), r["text"]) == ("3.5", "5.1", "3.5-5.1")
    assert [n["text"] for n in o["note"]] == ["Slight hemolysis"]


def test_digits_are_kept_and_a_panel_is_whole() -> None:
    sample = lab("oru_cmp")
    (report,) = sample.all("DiagnosticReport")
    assert len(report["result"]) == len(sample.all("Observation")) == 14
    assert [str(o["valueQuantity"]["value"]) for o in sample.all("Observation")][1] == "4.10"


def test_a_susceptibility_reaches_its_own_isolate() -> None:
    sample = lab("oru_micro")
    urls = {e["fullUrl"]: e["resource"] for e in sample.entries}
    found = {}
    for o in sample.all("Observation"):
        for parent in o.get("derivedFrom", ()):
            isolate = urls[parent["reference"]]["valueCodeableConcept"]["coding"][0]["code"]
            found[o["code"]["coding"][0]["code"]] = isolate
    staph, coli = "3092008", "112283007"
    assert found == {
        "18961-3": staph,
        "18993-6": staph,
        "19000-9": staph,
        "18862-3": coli,
        "18906-8": coli,
    }
    child = next(r for r in sample.all("ServiceRequest") if r["intent"] == "reflex-order")
    parent = urls[child["basedOn"][0]["reference"]]
    assert parent["code"]["coding"][0]["code"] == "6463-4"


def test_structured_numbers() -> None:
    values = [{k: v for k, v in o.items() if k.startswith("value")} for o in lab("oru_sn").all("Observation")]
    assert values[0]["valueQuantity"]["comparator"] == "<"
    assert values[1]["valueQuantity"]["comparator"] == ">="
    assert str(values[2]["valueRatio"]["denominator"]["value"]) == "128"
    assert str(values[3]["valueRange"]["high"]["value"]) == "10"
    assert values[4]["valueString"] == "2 +"
    assert "comparator" not in values[5]["valueQuantity"]
    assert values[6]["valueString"] == "<> 1"


def test_a_word_in_a_number_field_is_kept_and_flagged() -> None:
    sample = lab("oru_nm_text")
    values = {o["code"]["coding"][0]["code"]: o for o in sample.all("Observation")}
    assert values["718-7"]["valueString"] == "HEMOLYZED g/dL"
    assert values["14979-9"]["valueString"] == "1:40"
    assert values["2157-6"]["valueString"] == "1E3 U/L"
    assert values["2276-4"]["valueQuantity"]["comparator"] == ">"
    assert str(values["5902-2"]["valueQuantity"]["value"]) == "12.50"
    assert len([w for w in sample.report["warnings"] if w["code"] == "not-a-number"]) == 3


def test_report_lines_are_one_text() -> None:
    first, second = lab("oru_tx_report").all("Observation")
    assert first["valueString"].splitlines()[0] == "GROSS DESCRIPTION:"
    assert "Margins & base free." in first["valueString"]
    assert first["valueString"].endswith("Benign compound nevus.")
    assert second["valueString"].startswith("Changing mole\nleft shoulder")


def test_a_document_is_no_text() -> None:
    sample = lab("oru_ed_pdf")
    (document,) = sample.all("DocumentReference")
    attachment = document["content"][0]["attachment"]
    assert attachment["contentType"] == "application/pdf"
    assert attachment["data"].startswith("JVBERi0")
    (o,) = sample.all("Observation")
    assert not [k for k in o if k.startswith("value") or k == "dataAbsentReason"]
    url = next(e["fullUrl"] for e in sample.entries if e["resource"] is document)
    assert o["derivedFrom"] == [{"reference": url}]
    (pointer,) = lab("oru_rp").all("DocumentReference")
    assert pointer["content"][0]["attachment"]["url"].startswith("https://pacs.example.org/")


def test_repetitions_are_components_or_lines() -> None:
    codes, numbers, text, _ = lab("oru_repetitions").all("Observation")
    assert [c["valueCodeableConcept"]["coding"][0]["code"] for c in codes["component"]] == ["L-FEW", "L-ROD"]
    assert [str(c["valueQuantity"]["value"]) for c in numbers["component"]] == ["121", "124", "119"]
    assert {c["valueQuantity"]["code"] for c in numbers["component"]} == {"mm[Hg]"}
    assert not [k for k in (*codes, *numbers) if k.startswith("value")]
    assert text["valueString"] == "First line\nSecond line\nThird line"


def test_notes_stay_where_they_were_said() -> None:
    sample = lab("oru_notes")
    first, second = sample.all("Observation")
    assert [n["text"] for n in first["note"]] == ["Critical value.\nRead back by Nurse A."]
    assert "note" not in second
    (report,) = sample.all("DiagnosticReport")
    notes = [e["valueAnnotation"] for e in report["extension"] if "valueAnnotation" in e]
    assert [n["text"] for n in notes] == [
        "Specimen arrived late.\nResults may be affected.",
        "Ward informed by phone.",
    ]
    assert notes[1]["authorReference"] and notes[1]["time"] == "2026-05-01T13:50:00-05:00"
    (patient,) = sample.all("Patient")
    said = [e["valueAnnotation"]["text"] for e in patient["extension"] if "valueAnnotation" in e]
    assert said == ["Patient is hard of hearing."]


def test_three_versions_are_one_result() -> None:
    versions = [lab(f"oru_{v}") for v in ("preliminary", "final", "corrected")]
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest", "Patient"):
        urls = {e["fullUrl"] for v in versions for e in v.entries if e["resource"]["resourceType"] == kind}
        assert len(urls) == 1, kind
    assert [v.all("Observation")[0]["status"] for v in versions] == ["preliminary", "final", "corrected"]
    assert [str(v.all("Observation")[0]["valueQuantity"]["value"]) for v in versions] == [
        "11.9",
        "12.1",
        "13.4",
    ]


def test_a_cancelled_result_says_why_it_has_no_value() -> None:
    sample = lab("oru_cancelled")
    for o in sample.all("Observation"):
        assert o["status"] == "cancelled"
        assert o["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
        assert "valueQuantity" not in o
    assert sample.all("DiagnosticReport")[0]["status"] == "cancelled"
    assert sample.all("ServiceRequest")[0]["status"] == "revoked"


def test_a_report_has_only_its_own_specimens() -> None:
    sample = lab("oru_specimens")
    first, second = sample.all("DiagnosticReport")
    assert len(first["specimen"]) == 1 and len(second["specimen"]) == 2
    assert first["specimen"][0] not in second["specimen"]
    for o in sample.all("Observation")[1:]:
        assert o["specimen"]["identifier"]["value"].startswith("LAB16-")
    micro = lab("oru_micro")
    assert [len(r.get("specimen", ())) for r in micro.all("DiagnosticReport")] == [1, 0, 0]


def test_answers_at_ordering_support_the_order() -> None:
    sample = lab("oml_order_questions")
    (order,) = sample.all("ServiceRequest")
    assert len(order["supportingInfo"]) == 3 and len(order["specimen"]) == 1
    assert len(order["reasonReference"]) == 1
    assert (order["status"], order["intent"], order["priority"]) == ("active", "order", "stat")


def test_an_order_new_changed_and_cancelled_is_one() -> None:
    steps = [lab(f"orm_{v}") for v in ("new", "change", "cancel")]
    assert [s.all("ServiceRequest")[0]["status"] for s in steps] == ["active", "active", "revoked"]
    urls = {
        e["fullUrl"] for s in steps for e in s.entries if e["resource"]["resourceType"] == "ServiceRequest"
    }
    assert len(urls) == 1
    (order,) = steps[0].all("ServiceRequest")
    assert order["authoredOn"] == "2026-05-01T09:00:00-05:00"
    assert [n["text"] for n in order["note"]] == ["Difficult veins."]


def test_a_local_time_without_zone_keeps_its_day_only() -> None:
    first, second, third = lab("oru_dst").all("Observation")
    assert (first["effectiveDateTime"], second["effectiveDateTime"]) == ("2026-11-01", "2026-03-08")
    assert third["valueDateTime"] == "2026-10-30"


def test_old_message_without_order_segment() -> None:
    sample = lab("oru_v23")
    (specimen,) = sample.all("Specimen")
    assert specimen["type"]["coding"][0]["code"] == "BLD"
    (report,) = sample.all("DiagnosticReport")
    assert len(report["result"]) == 3 and len(report["specimen"]) == 1
    assert sample.all("ServiceRequest")[0]["status"] == "unknown"


def test_characters_of_windows_1252() -> None:
    sample = lab("oru_windows_1252")
    (patient,) = sample.all("Patient")
    assert patient["name"][0]["family"] == "Müller-Åström"
    assert sample.all("Observation")[0]["note"][0]["text"] == "Patient’s sample – 37 °C, 5 µL, cost 3 €"


def test_z_segments_are_reported_not_guessed() -> None:
    sample = lab("oru_z_segment")
    left = {u["source"] for u in sample.report["unmapped"]}
    assert {a for a in sample.leaves if a.startswith("Z")} <= left
    assert "VIP" not in str(sample.bundle)


def test_participants_have_their_places() -> None:
    sample = lab("oru_participants")
    urls = {e["fullUrl"]: e["resource"] for e in sample.entries}
    (o,) = sample.all("Observation")
    (report,) = sample.all("DiagnosticReport")
    (order,) = sample.all("ServiceRequest")
    assert urls[o["device"]["reference"]]["serialNumber"] == "S123"
    assert [urls[p["reference"]]["code"][0]["coding"][0]["code"] for p in o["performer"]] == ["RO"]
    assert [urls[p["reference"]]["code"][0]["coding"][0]["code"] for p in report["performer"]] == ["TN"]
    assert urls[order["requester"]["reference"]]["code"][0]["coding"][0]["code"] == "OP"


def test_a_batch_gives_one_bundle_a_message() -> None:
    assert len(converted("lab/batch_two_results.hl7")) == 2


def test_readme_names_every_lab_sample_once() -> None:
    text = (ROOT / "sample_messages/README.md").read_text(encoding="utf-8")
    for path in (ROOT / "sample_messages/lab").glob("*.hl7"):
        assert text.count(f"`lab/{path.name}`") == 1, path.name
