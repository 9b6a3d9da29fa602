"""Sites over the standard maps: rows replaced, skipped and added, cases, guards, layers over layers."""

from __future__ import annotations

import pytest
from mapping_maker import maps_of, rows, run_segment

from engine.kernel.errors import MapError
from engine.mapping.project import Maps

BASE = rows(
    "identifier(list): PID-3\nname(legal): PID-5\ngender: {from: PID-8, code: AdministrativeSex}\n"
    "language: {by: PID-15.1, EN: =en, FR|CA: =fr, else: PID-15.1}"
)
TEXT = f"PID|1||77^^^N^MR||DOE^JO|||F{'|' * 7}CA"


def site(name: str, change: str, over: str = "standard", more: str = "") -> str:
    body = "".join(f"    {line}\n" for line in change.splitlines())
    return (
        f"site: {name}\nover: {over}\nmatch: {{MSH-3: {name.upper()}}}\n{more}change:\n  PID_Patient:\n{body}"
    )


def one(change: str) -> Maps:
    return maps_of(BASE, sites=[site("lab", change)])


def test_a_row_of_the_same_target_takes_the_place_of_the_base() -> None:
    maps = one("name(legal): PID-9\nbirthDate: PID-7")
    resolved = maps.program("lab").resolved["PID_Patient"]
    assert [(r.name, r.place.layer) for r in resolved.rows] == [
        ("identifier(list)", "standard"),
        ("name(legal)", "lab"),
        ("gender", "standard"),
        ("language", "standard"),
        ("birthDate", "lab"),
    ]
    assert "name" not in run_segment(maps, "PID_Patient", TEXT, "lab")
    assert "name" in run_segment(maps, "PID_Patient", TEXT)


def test_skip_takes_a_row_away_and_remembers_who() -> None:
    maps = one("gender: skip")
    assert "gender" not in run_segment(maps, "PID_Patient", TEXT, "lab")
    (row,) = [r for r in maps.program("lab").resolved["PID_Patient"].rows if r.name == "gender"]
    assert row.skip == "by lab" and row.place.layer == "lab"


def test_skipping_what_is_not_there_is_an_error() -> None:
    with pytest.raises(MapError) as e:
        one("gendr: skip").program("lab")
    assert e.value.where == "site.yaml:6"


def test_a_label_is_part_of_the_name() -> None:
    maps = one("name(other): PID-9")
    assert [r.name for r in maps.program("lab").resolved["PID_Patient"].rows].count("name(legal)") == 1
    assert len(run_segment(maps, "PID_Patient", "PID|1||||DOE||||ROE", "lab")["name"]) == 2


def language(maps: Maps, code: str) -> str | None:
    found: str | None = run_segment(maps, "PID_Patient", f"PID|1{'|' * 14}{code}", "lab").body.get("language")
    return found


def test_a_case_replaces_the_case_of_its_name_and_no_other() -> None:
    maps = one("language: {EN: =en-GB}")
    assert [language(maps, c) for c in ("EN", "FR", "DE")] == ["en-GB", "fr", "DE"]


def test_a_narrower_case_takes_its_value_out_of_the_wider_one() -> None:
    maps = one("language: {CA: =fr-CA}")
    assert [language(maps, c) for c in ("CA", "FR")] == ["fr-CA", "fr"]


def test_a_new_case_is_added() -> None:
    maps = one("language: {DE: =de-AT}")
    assert [language(maps, c) for c in ("DE", "IT")] == ["de-AT", "IT"]


def test_where_the_when_of_a_case_is_false_the_base_case_applies() -> None:
    maps = one("language: {EN: {value: =en-GB, when: PID-8 = F}}")
    assert language(maps, "EN") == "en"
    out = run_segment(maps, "PID_Patient", f"PID|1|||||||F{'|' * 7}EN", "lab")
    assert out["language"] == "en-GB"


def test_a_choice_may_be_changed_case_by_case() -> None:
    base = rows(
        "value[x]: {by: OBX-2, ST: {valueString: OBX-5}, NM: {valueQuantity: OBX-5}}", "Observation", "OBX"
    )
    text = "value[x]:\n  ST: {when: OBX-5 looks like number, valueQuantity: {from: OBX-5, as: NM_Quantity}}"
    maps = maps_of(base, sites=[site("lab", text).replace("PID_Patient", "OBX_Observation")])

    def value(kind: str, raw: str) -> list[str]:
        return list(run_segment(maps, "OBX_Observation", f"OBX|1|{kind}|X||{raw}", "lab").body)

    assert value("ST", "4.1") == ["valueQuantity"]
    assert value("ST", "HEMOLYZED") == ["valueString"]
    assert value("NM", "4.1") == ["valueQuantity"]


def test_layers_lie_over_each_other() -> None:
    realm = site(
        "realm", "gender: {from: PID-8, code: AdministrativeSex, default: =unknown}\nbirthDate: PID-7"
    )
    lab = site("lab", "birthDate: skip", over="realm")
    maps = maps_of(BASE, sites=[realm, lab])
    assert [s.name for s in maps.chain("lab")] == ["realm", "lab"]
    out = run_segment(maps, "PID_Patient", "PID|1||77||||1980", "lab")
    assert out["gender"] == "unknown" and "birthDate" not in out
    assert "gender" not in run_segment(maps, "PID_Patient", "PID|1||77||||1980")


def test_a_circle_of_layers_and_an_unknown_one_are_errors() -> None:
    with pytest.raises(MapError, match="lies over itself"):
        maps_of(BASE, sites=[site("lab", "gender: skip", over="lab")]).chain("lab")
    with pytest.raises(MapError, match="there is no site nowhere"):
        maps_of(BASE, sites=[site("lab", "gender: skip", over="nowhere")]).chain("lab")


def test_a_sender_is_recognised_by_its_header() -> None:
    maps = maps_of(
        BASE, sites=[site("lab", "gender: skip", more="").replace("MSH-3: LAB", "MSH-3: LAB, MSH-4: N*")]
    )
    assert maps.site_for({"MSH-3": "LAB", "MSH-4": "NORTH"}).name == "lab"
    assert maps.site_for({"MSH-3": "LAB", "MSH-4": "SOUTH"}).name == "standard"


def test_its_systems_zone_and_segments() -> None:
    more = "timezone: America/Chicago\nsystems: {N: https://n.example/mrn}\n"
    maps = maps_of(BASE, sites=[site("lab", "deceasedDateTime: PID-29", more=more)])
    out = run_segment(maps, "PID_Patient", f"PID|1||77^^^N^MR{'|' * 26}202605010830", "lab")
    assert out["identifier"][0]["system"] == "https://n.example/mrn"
    assert out["deceasedDateTime"] == "2026-05-01T08:30:00-05:00"
    assert "system" not in run_segment(maps, "PID_Patient", TEXT)["identifier"][0]


def test_the_revision_names_what_is_in_force() -> None:
    maps = one("gender: skip")
    same = one("gender: skip")
    other = one("gender: {from: PID-8, code: AdministrativeSex, unmapped: hold}")
    names = [m.program("lab").revision for m in (maps, same, other)]
    assert names[0] == names[1] != names[2]
    assert maps.program("lab").revision != maps.program("standard").revision
