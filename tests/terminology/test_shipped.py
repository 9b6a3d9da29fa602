"""The tables that ship: every code they can produce exists, and is legal where FHIR allows nothing else."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from engine.terminology.translate import Terminology

ROOT = Path(__file__).parents[2]
TERMS = Terminology.open(ROOT / "terminology")
FHIR = "http://hl7.org/fhir/"

# tables that fill an element with a required binding -> the code system that binding allows (FHIR R4)
REQUIRED = {
    "AddressType": "address-type",
    "AddressUse": "address-use",
    "AdministrativeSex": "administrative-gender",
    "AllergenCategory": "allergy-intolerance-category",
    "AllergyCriticality": "allergy-intolerance-criticality",
    "AllergyReactionSeverity": "reaction-event-severity",
    "AllergyType": "allergy-intolerance-type",
    "DayOfWeek": "days-of-week",
    "EncounterStatusByClass": "encounter-status",
    "EncounterStatusByEvent": "encounter-status",
    "NameType": "name-use",
    "ObservationStatus": "observation-status",
    "OrderControlStatus": "request-status",
    "OrderStatus": "request-status",
    "ReportStatus": "diagnostic-report-status",
    "RequestPriority": "request-priority",
    "SegmentActionCode": "http-verb",
    "SpecimenAvailability": "specimen-status",
    "TelecomSystem": "contact-point-system",
    "TelecomUse": "contact-point-use",
}
UNITS_OF_TIME = {"s", "min", "h", "d", "wk", "mo", "a"}


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_required_bindings_get_legal_codes(name: str) -> None:
    allowed = TERMS.system(REQUIRED[name])
    targets = list(TERMS.table(name).targets())
    assert targets
    for system, code, line in targets:
        assert system == allowed.url, f"{name}.csv:{line}"
        assert code in allowed, f"{name}.csv:{line}"


def test_units_of_time_are_the_seven_that_fhir_allows() -> None:
    assert {c for _, c, _ in TERMS.table("DurationUnit").targets()} == UNITS_OF_TIME


def test_timing_events_are_those_that_fhir_allows() -> None:
    known = TERMS.system("v3-TimingEvent")
    targets = [c for _, c, _ in TERMS.table("EventRelatedPeriod").targets()]
    assert "AC" in targets
    assert all(c in known for c in targets)
    assert not {"IC", "ICM", "ICD", "ICV"} & set(targets)  # in the v3 system, not in FHIR's list


@pytest.mark.parametrize("name", sorted(TERMS.tables))
def test_every_target_is_a_code_of_its_system_and_has_its_display(name: str) -> None:
    table = TERMS.table(name)
    for row in table.rows:
        system = TERMS.by_url.get(row.target_system)
        if system is None or not row.target_code:
            continue
        assert row.target_code in system, f"{name}.csv:{row.line}"
        assert row.target_display == (system.display(row.target_code) or ""), f"{name}.csv:{row.line}"


@pytest.mark.parametrize("name", sorted(TERMS.tables.keys() - {"ucum"}))  # units.csv under another question
def test_every_row_of_a_table_that_translates_finds_itself(name: str) -> None:
    table = TERMS.table(name)
    for row in table.rows:
        if not row.pattern and (row.translates or row.drops):
            hit = table.translate(row.source_code, row.source_system)
            assert hit is not None, f"{name}.csv:{row.line}"
            assert (hit.code, hit.drop, hit.folded) == (row.target_code, row.drops, False), (
                f"{name}.csv:{row.line}"
            )


def test_no_code_system_has_broken_letters_or_empty_codes() -> None:
    for system in TERMS.code_systems.values():
        for code, display in system.displays.items():
            assert code.strip() == code != ""
            assert not re.search("Ã.|Â.|�", display), (system.name, code)


def test_systems_are_absolute_uris() -> None:
    for name in ("systems", "authorities"):
        for row in TERMS.table(name).rows:
            assert not row.target_code or re.fullmatch(
                r"(https?://|urn:(oid|iso|ietf|uuid):)\S+", row.target_code
            )


@pytest.mark.parametrize(
    ("system", "uri"),
    [
        ("LN", "http://loinc.org"),
        ("SCT", "http://snomed.info/sct"),
        ("UCUM", "http://unitsofmeasure.org"),
        ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"),
        ("CVX", "http://hl7.org/fhir/sid/cvx"),
        ("CDCREC", "urn:oid:2.16.840.1.113883.6.238"),
        ("HL70078", "http://terminology.hl7.org/CodeSystem/v2-0078"),
        ("2.16.840.1.113883.6.1", "http://loinc.org"),
        ("urn:oid:2.16.840.1.113883.6.96", "http://snomed.info/sct"),
        ("I9", ""),
        ("ATC", ""),
        ("L", ""),
    ],
)
def test_coding_system_ids(system: str, uri: str) -> None:
    assert TERMS.systems()(system) == uri


@pytest.mark.parametrize(
    ("table", "code", "target"),
    [
        ("ObservationStatus", "X", "cancelled"),
        ("ObservationStatus", "W", "entered-in-error"),
        ("ObservationStatus", "U", "final"),
        ("ReportStatus", "A", "partial"),
        ("ReportStatus", "M", "preliminary"),
        ("OrderStatus", "ER", "unknown"),
        ("NameType", "L", "official"),
        ("TelecomSystem", "CP", "phone"),
        ("MaritalStatus", "A", "A"),
        ("InterpretationCode", "HH", "HH"),
        ("EncounterClass", "I", "IMP"),
        ("PrimaryLanguage", "eng", "en"),
        ("PrimaryLanguage", "fre", "fr"),
        ("OmbRace", "2106-3", "2106-3"),
        ("OmbEthnicity", "H", "2135-2"),
    ],
)
def test_meanings_that_matter(table: str, code: str, target: str) -> None:
    hit = TERMS.table(table).translate(code)
    assert hit is not None
    assert hit.code == target


@pytest.mark.parametrize(
    ("table", "code"), [("ReportStatus", "Y"), ("ReportStatus", "Z"), ("EncounterStatusByEvent", "A08")]
)
def test_what_is_no_status_is_none(table: str, code: str) -> None:
    assert TERMS.table(table).translate(code) is None


def test_every_result_status_of_the_standard_is_decided() -> None:
    for code in TERMS.system("v2-0085").displays:
        assert TERMS.table("ObservationStatus").translate(code), code


def test_what_maps_name_exists() -> None:
    """Every `code:` table and every `=table#code` constant of the shipped maps."""
    for path in sorted((ROOT / "mappings").rglob("*.yaml")):
        text = re.sub(r"(?m)(?:^|\s)#.*$", "", path.read_text(encoding="utf-8"))
        text = text.split("\ntests:")[0]
        for name in re.findall(r"[{,]\s*code: ([A-Za-z_]\w*)(?=[,}\s])", text):
            location = name.isupper()  # `code: CWE` is a child element read from there
            assert location or name in TERMS.tables, (path.name, name)
        for table, code in re.findall(r"=([a-z][\w-]*)#([\w.+-]+)", text):
            assert code in TERMS.system(table), (path.name, table, code)


def test_the_files_end_lines_the_same_way() -> None:
    for path in sorted((ROOT / "terminology").rglob("*.csv")):
        if "releases" in path.parts:
            continue  # as their publishers ship them
        data = path.read_bytes()
        assert b"\r" not in data, path.name
        assert data.endswith(b"\n"), path.name
        rows = list(csv.reader(data.decode().splitlines()))
        assert len({tuple(r) for r in rows}) == len(rows), path.name
