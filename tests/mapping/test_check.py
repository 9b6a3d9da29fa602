"""The linter: each rule fires on its bad example, not on its good one; the shipped maps are clean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from mapping_maker import maps_of, rows

from engine.cli.check import check_project
from engine.mapping.check import check_maps
from engine.mapping.checkread import open_what_can_be_read
from engine.mapping.checksites import row_hash
from engine.mapping.project import Maps
from engine.mapping.rules import RULES, Finding

ROOT = Path(__file__).parents[2]


def told(
    maps: Maps, files: Iterable[str] = ("small.yaml", "site.yaml"), tests: bool = False
) -> list[Finding]:
    return [f for f in check_maps(maps, tests) if f.place.split(":")[0] in files]


def of(text: str, to: str = "Patient", source: str = "PID", **top: str) -> list[str]:
    return [f.rule for f in told(maps_of(rows(text, to, source, **top)))]


def test_the_shipped_project_has_no_errors_and_no_warnings() -> None:
    assert [str(f) for f in check_project(ROOT) if f.level != "info"] == []


def test_a_path_that_no_document_has_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "mappings/cda/entries"
    folder.mkdir(parents=True)
    (tmp_path / "terminology").mkdir()
    (folder / "x_Observation.yaml").write_text(
        "map:  x_Observation\nfrom: observation\nto:   Observation\nrows:\n"
        "  status: {value: =final, when: status = completed, assumed: a test}\n"
        "  issued: author/tme\n  note(a).text: text\n"
    )
    maps, _ = open_what_can_be_read(tmp_path)
    assert maps is not None
    found = [f for f in check_maps(maps) if f.rule == "M02"]
    assert [(f.place.rpartition(":")[2], f.try_.split(" ")[0]) for f in found] == [
        ("5", "statusCode"),
        ("6", "time"),
    ]


def test_the_history_of_a_visit_is_the_stores() -> None:
    assert "M26" in of("statusHistory(old): {status: =planned, period.start: PV1-44}", "Encounter", "PV1")
    assert "M26" in of("classHistory(old): {class: {from: PV1-2, code: EncounterClass}}", "Encounter", "PV1")
    assert "M26" not in of("status: {value: =planned, assumed: a test}", "Encounter", "PV1")


def test_every_finding_says_where_what_why_and_what_to_try() -> None:
    (f,) = told(maps_of(rows("famly: PID-5")))
    assert (f.rule, f.level, f.place) == ("M01", "error", "small.yaml:5")
    assert "has no element famly" in f.what
    (g,) = told(maps_of(rows("gendr: PID-8")))
    assert g.try_ == "gender" and str(g).startswith("small.yaml:5: error M01: gendr")


BAD_AND_GOOD = [
    ("M01", "gendr: PID-8", "gender: {from: PID-8, code: AdministrativeSex}"),
    ("M01", "name(legal): {from: PID-5, famly: PID-6}", "name(legal): {from: PID-5, family: PID-6(1)}"),
    ("M01", "deceased: PID-30", "deceasedBoolean: PID-30"),
    ("M02", "language: PID-99", "language: PID-15.1"),
    ("M02", "language: ZZ9-1", "language: PID-15"),
    ("M02", "language: PID-15.44", "language: PID-15.4"),
    (
        "M02",
        "language: {from: PID-2(1), when: PID-77 valued}",
        "language: {from: PID-2(1), when: PID-7 valued}",
    ),
    ("M02", "name(called): {given: XPN.15}", "name(called): {given: PID-5.15}"),
    ("M03", "contact: PID-5", "name: PID-5"),
    ("M04", "birthDate: PID-13", "birthDate: PID-7"),
    ("M04", "identifier(a): {value: PID-3.1}", "identifier(a): {value: PID-3(1).1}"),
    ("M04", "identifier(a): {value: PID-3.1}", "identifier(a): {from: PID-3, value: PID-3.1}"),
    ("M06", "gender: PID-8", "gender: {from: PID-8, code: AdministrativeSex}"),
    (
        "M06",
        "gender: {from: PID-8, code: AdministrativeSex, unmapped: keep}",
        "gender: {from: PID-8, code: AdministrativeSex, unmapped: drop}",
    ),
    ("M07", "gender: {value: =man, assumed: x}", "gender: {value: =male, assumed: x}"),
    (
        "M07",
        "maritalStatus: {value: =v2-0002#QQ, assumed: x}",
        "maritalStatus: {value: =v2-0002#M, assumed: x}",
    ),
    ("M07", "active: {value: =yes, assumed: x}", "active: {value: =true, assumed: x}"),
    ("M07", "meta.tag(a): =word", "meta.tag(a): =v2-0103#P"),
    (
        "M08",
        "language: {from: PID-15, when: PID-8.1 = M and PID-8.1 = F}",
        "language: {from: PID-15, when: PID-8 = M|F}",
    ),
    (
        "M08",
        "language: {from: PID-15, when: PID-8 valued or PID-8 not valued}",
        "language: {from: PID-15, when: PID-8 valued}",
    ),
    (
        "M08",
        "extension(a): {when: PID-6 valued, url: =u:x, valueString: {from: PID-2.1, when: PID-6 not valued}}",
        "extension(a): {when: PID-6 valued, url: =u:x, valueString: {from: PID-2.1, when: PID-2 valued}}",
    ),
    (
        "M09",
        "language(a): PID-15\nlanguage(b): PID-16",
        "language(a): PID-15\nlanguage(b): {from: PID-16, when: PID-15 not valued}",
    ),
    (
        "M09",
        "deceasedDateTime: PID-29\ndeceasedBoolean: PID-30",
        "deceasedDateTime: PID-29\ndeceasedBoolean: {from: PID-30, when: PID-29 not valued}",
    ),
    (
        "M09",
        "language(a): {from: PID-15, when: PID-2 valued}\nlanguage(b): {from: PID-16, when: PID-1 valued}",
        "language(a): {from: PID-15, when: PID-2.1 = A}\nlanguage(b): {from: PID-16, when: PID-2.1 = B}",
    ),
    (
        "M09",
        "language(a): PID-15\nlanguage(b): PID-16",
        "language(a): PID-15\nlanguage(b): {from: PID-16, when: language not set}",
    ),
    ("M14", "active: =true", "active: {value: =true, assumed: every patient sent is active}"),
    ("M14", "maritalStatus: =v2-0002#M", "maritalStatus: {value: =v2-0002#M, when: PID-16.1 = X}"),
    ("M14", "communication: {preferred: =true, language: PID-15(1)}", "communication: {language: PID-15(1)}"),
    ("M16", "name(a): PID-5\nname: PID-9", "name(a): PID-5\nname(b): PID-9"),
    ("M16", "name: PID-5\nname(b): PID-9", "name: PID-5"),
    ("M19", "name(a): {from: PID-5, as: XPN_Humaname}", "name(a): {from: PID-5, as: XPN_HumanName}"),
    ("M19", "gender: {from: PID-8, code: AdminSex}", "gender: {from: PID-8, code: AdministrativeSex}"),
    (
        "M19",
        "generalPractitioner: {from: PID-5, make: XPN_Practitioner}",
        "generalPractitioner: {from: PV1-7, make: XCN_Practitioner}",
    ),
    (
        "M25",
        "telecom(kin): {each: NK1, action: NK1-30, from: NK1-5}",
        "telecom(kin): {each: NK1, action: NK1-30, known_by: [NK1-33, NK1-1], from: NK1-5}",
    ),
    ("M25", "telecom(kin): {known_by: NK1-1, from: NK1-5}", "telecom(kin): {from: NK1-5}"),
]


@pytest.mark.parametrize(("rule", "bad", "good"), BAD_AND_GOOD)
def test_rows(rule: str, bad: str, good: str) -> None:
    assert rule in of(bad)
    assert of(good) == []


def test_m10_a_field_that_is_mapped_and_ignored() -> None:
    assert of("birthDate: PID-7", ignore="[PID-7]") == ["M10"]
    assert of("birthDate: PID-7", ignore="[PID-1]") == []
    assert of("birthDate: {from: PID-7, when: PID-1 valued}", ignore="[PID-1]") == []
    assert of("language: PID-15.1", ignore="[PID-15.2]") == []
    assert of("birthDate: PID-7", ignore="[PID-99]") == ["M02"]


@pytest.mark.parametrize(
    ("key", "rules"),
    [
        ("PID-3", ["M13"]),
        ("[PID-3(5=MR), PID-3]", ["M13"]),
        ("PID-3(only)", []),
        ("PID-3(4.1=MRN and 5=MR)", []),
        ("identifier(list)", ["M13"]),
        ("identifier(account)", []),
        ("identifier(acount)", ["M13"]),
        ("identifier", ["M13"]),
        ("identifier(account) | identifier(own)", []),
    ],
)
def test_m13_a_key_names_one_identifier(key: str, rules: list[str]) -> None:
    text = "identifier(list): PID-3\nidentifier(account): PID-18\nidentifier(own): {value: PID-1}"
    assert of(text, key=key) == rules


MESSAGE = """
map: ADT_A01
from: ADT_A01
for: [ADT^A01]
to: Bundle
resources:
  patient:   {per: ., rows: [PID_Patient]}
  encounter: {per: ., rows: [PV1_Encounter], links: {subject: patient}}
write: merge
"""
PATIENT = rows("identifier(list): PID-3", key="PID-3(only)")
ENCOUNTER = rows(
    "status: {value: =finished, assumed: x}\nclass: {from: PV1-2, code: EncounterClass}", "Encounter", "PV1"
)


def message(old: str = "", new: str = "", encounter: str = ENCOUNTER) -> list[str]:
    assert old in MESSAGE
    return [f.rule for f in told(maps_of(PATIENT, encounter, MESSAGE.replace(old, new, 1)))]


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        ("", "", []),
        ("subject: patient", "subject: patiennt", ["M20"]),
        ("subject: patient", "sujbect: patient", ["M20"]),
        ("subject: patient", "status: patient", ["M20"]),
        ("subject: patient", "serviceProvider: patient", ["M20"]),
        ("subject: patient", "patient.link(x): me", ["M20"]),
        ("subject: patient", "participant(a).individual: patient", ["M20"]),
        ("rows: [PID_Patient]", "rows: [PID_Patiennt]", ["M19"]),
        ("per: .", "per: PATIENT_RESULT", ["M19"]),
        ("per: .", "per: INSURANCE", []),
        ("per: .", "per: NK1", []),
        ("from: ADT_A01", "from: ADT_X99", ["M19"]),
        ("write: merge", "mend: [make it nice]", ["M19"]),
        ("write: merge", "mend: [NTE directly after OBX belongs to that OBX]", []),
        ("write: merge", "refuse: [everything]", ["M19"]),
        ("write: merge", "ignore: [here]", ["M02"]),
    ],
)
def test_message_maps(old: str, new: str, rules: list[str]) -> None:
    assert message(old, new) == rules


def test_m05_what_fhir_demands_is_set_by_a_row_or_a_link() -> None:
    assert message(encounter=rows("class: {from: PV1-2, code: EncounterClass}", "Encounter", "PV1")) == [
        "M05"
    ]
    coverage = MESSAGE.replace("PV1_Encounter], links: {subject", "PV1_Coverage], links: {beneficiary")
    text = rows("status: {value: =active, assumed: x}\npayor: {display: PV1-20(1).1}", "Coverage", "PV1")
    assert told(maps_of(PATIENT, text, coverage)) == []
    lonely = coverage.replace(", links: {beneficiary: patient}", "")
    assert [f.what for f in told(maps_of(PATIENT, text, lonely))] == [
        "encounter: nothing ever sets Coverage.beneficiary"
    ]


def test_m19_two_maps_for_one_trigger() -> None:
    other = MESSAGE.replace("map: ADT_A01", "map: ADT_A02")
    assert [f.rule for f in told(maps_of(PATIENT, ENCOUNTER, MESSAGE, other))] == ["M19"]


SITE = "site: lab\nover: standard\nmatch: {MSH-3: LAB}\nchange:\n  PID_Patient:\n"
BASE = rows("gender: {from: PID-8, code: AdministrativeSex}\nidentifier(account): PID-18\nbirthDate: PID-7")


def site(change: str, more: str = "", base: str = BASE) -> list[Finding]:
    body = "".join(f"    {line}\n" for line in change.splitlines())
    return [f for f in told(maps_of(base, sites=[SITE + body + more])) if f.place.startswith("site.yaml")]


def test_m11_a_row_that_is_gone() -> None:
    assert [f.rule for f in site("telecom(home): skip")] == ["M11"]
    assert site("gender: skip") == []
    assert [f.rule for f in site("gender: skip", "replaces: {PID_Patient: {telecom(home): 123456}}")] == [
        "M11"
    ]


def test_m12_the_base_row_changed_since_the_change_was_written() -> None:
    base = maps_of(BASE).maps["PID_Patient"].rows[0]
    written = row_hash(base)
    assert site("gender: skip", f"replaces: {{PID_Patient: {{gender: {written}}}}}") == []
    moved = BASE.replace("rows:\n", "rows:\n  # a comment moves the row\n")
    assert site("gender: skip", f"replaces: {{PID_Patient: {{gender: {written}}}}}", moved) == []
    changed = BASE.replace("code: AdministrativeSex}", "code: AdministrativeSex, unmapped: hold}")
    (f,) = site("gender: skip", f"replaces: {{PID_Patient: {{gender: {written}}}}}", changed)
    assert (f.rule, f.level) == ("M12", "warning")
    now = maps_of(changed).maps["PID_Patient"].rows[0]
    assert row_hash(now) in f.try_


def test_m23_a_mistyped_label() -> None:
    assert [f.rule for f in site("identifier(acount): PID-18")] == ["M23"]
    assert site("identifier(account): {from: PID-18, as: CX_Identifier}") == []
    assert site("identifier(licence): {from: PID-20(1), as: DLN_Identifier}") == []


def test_a_site_is_checked_as_it_lies_over_its_base() -> None:
    assert [f.rule for f in site("gendr: PID-8")] == ["M01"]
    assert [f.rule for f in site("gender(b): {value: =male, assumed: x}")] == ["M09"]
    assert site("gender: {from: PID-8, code: AdministrativeSex, unmapped: hold}") == []


@pytest.mark.parametrize(
    "text",
    [
        "site: lab\nover: nowhere\n",
        "site: lab\nchange: {PID_Patiennt: {gender: skip}}\n",
        "site: lab\nignore: {PID_Patiennt: [PID-1]}\n",
        "site: lab\ntests:\n  - {map: PID_Patiennt, in: 'PID|1', out: {gender: absent}}\n",
        "site: lab\nreplaces: {PID_Patiennt: {gender: 123456}}\nchange: {PID_Patient: {gender: skip}}\n",
    ],
)
def test_m19_unknown_names_in_sites(text: str) -> None:
    assert [f.rule for f in told(maps_of(BASE, sites=[text]))] == ["M19"]


def test_a_sites_own_segments_are_known() -> None:
    z = rows("valueString: ZLR-2\nstatus: {value: =final, assumed: x}", "Observation", "ZLR")
    assert [f.rule for f in told(maps_of(z))][:1] == ["M02"]


def test_m15_only_rows_that_no_test_touches() -> None:
    text = (
        rows("birthDate: PID-7\nlanguage: PID-15")
        + "tests:\n  - {in: 'PID|1||||||1980', out: {birthDate: set}}\n"
    )
    (f,) = told(maps_of(text), tests=True)
    assert (f.rule, f.level) == ("M15", "info")
    assert "language" in f.what


def test_m24_a_table_gives_what_the_element_does_not_allow() -> None:
    text = rows("gender: {from: PID-8, code: MaritalStatus}")
    found = [f for f in check_maps(maps_of(text), False) if f.rule == "M24"]
    assert found and all(f.place.startswith("terminology/maps/MaritalStatus.csv:") for f in found)
    assert [f for f in check_maps(maps_of(BASE), False) if f.rule == "M24"] == []


# -- files ------------------------------------------------------------------------------------------


def project(tmp_path: Path, **files: str) -> Path:
    for folder in (
        "mappings/hl7v2/segments",
        "mappings/sites",
        "terminology/maps",
        "terminology/systems",
        "channels",
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "config.yaml").write_text("hub: Test\n")
    for kind in ("maps", "systems"):
        for path in (ROOT / "terminology" / kind).glob("*.csv"):
            (tmp_path / "terminology" / kind / path.name).write_bytes(path.read_bytes())
    for name, text in files.items():
        (tmp_path / name.replace("__", "/")).write_text(text)
    return tmp_path


def files(tmp_path: Path, **texts: str) -> list[tuple[str, str]]:
    return [(f.rule, f.place) for f in check_project(project(tmp_path, **texts)) if f.level != "info"]


GOOD = rows("birthDate: PID-7")
HEAD = "map: PID_Patient\nfrom: PID\nto: Patient\nrows:\n"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            HEAD + "  language: {from: PID-15, when: PID-8 in (M, F)}",
            "M17",
        ),
        (HEAD + "  language: {from: PID-15, PID-16}", "M17"),
        (HEAD + "  language: {from: PID-15, code: }", "M17"),
        (
            HEAD + "  language: {from: PID-15, when: PID-8 valuedd}",
            "M21",
        ),
        ("map: PID_Patient\nfrom: PID\nto: Patient\nrows: [\n", "M21"),
        ("rows: {}\n", "M21"),
        ("map: PID_Patient\nto: Patient\n", "M21"),
    ],
)
def test_a_file_that_cannot_be_read_does_not_hide_the_next(tmp_path: Path, text: str, rule: str) -> None:
    bad = GOOD.replace("PID_Patient", "PID_Other").replace("birthDate", "brithDate")
    found = files(
        tmp_path,
        **{
            "mappings__hl7v2__segments__PID_Patient.yaml": text,
            "mappings__hl7v2__segments__PID_Other.yaml": bad,
        },
    )
    assert [r for r, p in found if "PID_Patient" in p] == [rule]
    assert [r for r, p in found if "PID_Other" in p] == ["M01"]


def test_m18_a_cell_that_excel_has_eaten(tmp_path: Path) -> None:
    root = project(tmp_path, **{"mappings__hl7v2__segments__PID_Patient.yaml": GOOD})
    table = root / "terminology/maps/AdministrativeSex.csv"
    head = table.read_text().splitlines()[0]
    table.write_text(f"{head}\nL,Mar-93,,equivalent,http://loinc.org,2093-3,,approved,me,2026-01-01,\n")
    found = [f for f in check_project(root) if f.level == "error"]
    assert [(f.rule, f.place) for f in found] == [("M18", "terminology/maps/AdministrativeSex.csv:2")]


def test_names_in_channels(tmp_path: Path) -> None:
    channel = "channel: lab\nsender: nowhere\nreceive: {mllp: {port: 2599}}\nsteps:\n  - map: NO_MAP\n"
    found = files(
        tmp_path,
        **{
            "mappings__hl7v2__segments__PID_Patient.yaml": GOOD,
            "channels__lab.yaml": channel,
            "channels__lab.test.yaml": "channel: lba\ntests:\n  - {send: none.hl7, expect: {answer: AA}}\n",
        },
    )
    assert [r for r, _ in found] == ["M19"] * 4
    assert {p.split(":")[0] for _, p in found} == {"channels/lab.yaml", "channels/lab.test.yaml"}


def test_a_map_is_in_the_file_of_its_name(tmp_path: Path) -> None:
    found = files(tmp_path, **{"mappings__hl7v2__segments__Other.yaml": GOOD})
    assert [r for r, _ in found] == ["M19"]


def test_no_folder_is_a_finding(tmp_path: Path) -> None:
    maps, found = open_what_can_be_read(tmp_path)
    assert maps is None and [f.rule for f in found] == ["M21"]


def test_every_rule_has_a_test_here() -> None:
    text = Path(__file__).read_text()
    assert [r for r in RULES if f'"{r}"' not in text and r != "M22"] == []


def test_m22_the_compiler_has_the_last_word() -> None:
    found = told(
        maps_of(
            rows("value[x]: {by: OBX-2, NM: {valueQuantity: {join: [OBX-5, OBX-6]}}}", "Observation", "OBX")
        )
    )
    assert [f.level for f in found] == ["error"]
