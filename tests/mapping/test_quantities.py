"""Units in a mapped result: the sent quantity stays, conversions stand beside it, contradictions are told."""

from __future__ import annotations

import shutil
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.fhir.validate import validate
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import ConfigError, MapError
from engine.kernel.yamlfile import loads
from engine.mapping.build import Built
from engine.mapping.checkread import open_what_can_be_read
from engine.mapping.convert import map_message, trace_message, unkeyed
from engine.mapping.project import Maps
from engine.mapping.quantities import TRANSLATION, UnitWish, read_units
from engine.mapping.sites import Site
from engine.terminology.concepts import Concept, Release

ROOT = Path(__file__).parents[2]
UCUM = "http://unitsofmeasure.org"


class Loinc:
    """Answers for three codes, as a loaded LOINC release would."""

    properties = {
        "2345-7": {"PROPERTY": "MCnc", "COMPONENT": "Glucose"},
        "14749-6": {"PROPERTY": "SCnc", "COMPONENT": "Glucose"},
        "17861-6": {"PROPERTY": "MCnc", "COMPONENT": "Calcium"},
    }
    asked = 0

    def releases(self) -> list[Release]:
        return [Release("http://loinc.org", "2.82")]

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        self.asked += 1
        found = self.properties.get(code)
        return Concept(system, code, "", properties=found) if system == "http://loinc.org" and found else None


def maps_with(wish: UnitWish | None = None, codes: Any = None) -> Maps:
    maps = Maps.open(ROOT)
    maps.sites = {"unit_lab": Site("unit_lab", zone="UTC", units=wish)}
    maps.codes = codes
    return maps


def results(maps: Maps, *obx: str) -> Built:
    head = [
        "MSH|^~\\&|LIS|LAB|HUB|CDR|20260501120000||ORU^R01^ORU_R01|M1|P|2.5.1",
        "PID|1||77^^^LAB^MR||DOE^JO||19700101|F",
        "OBR|1||F1^LIS|GLU^Panel^L|||20260501110000||||||||||||||||||F",
    ]
    lines = [f"OBX|{i}|{line}||||F" for i, line in enumerate(obx, 1)]
    message = parse(("\r".join([*head, *lines]) + "\r").encode())
    built = map_message(message, maps.program("unit_lab"), unkeyed, "test")
    for draft in built.drafts:
        assert list(validate(draft.body)) == []
    return built


def quantities(built: Built) -> list[dict[str, Any]]:
    return [d.body.get("valueQuantity") for d in built.drafts if d.type == "Observation"]


GLUCOSE = "NM|2345-7^Glucose^LN||{}|{}|70-99|N"


def test_the_quantity_as_sent_stays_and_the_conversion_stands_beside_it() -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mmol/L"})), GLUCOSE.format("100", "MG/DL"))
    (quantity,) = quantities(built)
    extension = quantity.pop("extension")
    assert quantity == {"value": Decimal("100"), "unit": "MG/DL", "system": UCUM, "code": "mg/dL"}
    (beside,) = extension
    assert beside["url"] == TRANSLATION
    made = beside["valueQuantity"]
    assert (made["value"], made["unit"], made["system"], made["code"]) == (
        Decimal("5.55"), "mmol/L", UCUM, "mmol/L",
    )  # fmt: skip
    (mark,) = made["extension"]
    assert mark["url"] == "urn:hub:own/id/converted-by"
    assert mark["valueString"].startswith("Glucose: 180.156 g/mol (molar.csv:")


def test_the_reference_range_is_converted_with_it() -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mmol/L"})), GLUCOSE.format("100", "mg/dL"))
    (body,) = [d.body for d in built.drafts if d.type == "Observation"]
    (reference,) = body["referenceRange"]
    assert reference["low"]["value"] == Decimal(70) and reference["low"]["code"] == "mg/dL"
    assert [reference[b]["extension"][0]["valueQuantity"]["value"] for b in ("low", "high")] == [
        Decimal("3.89"),
        Decimal("5.50"),
    ]
    assert reference["text"] == "70-99"


def test_a_limit_stays_a_limit() -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mmol/L"})), GLUCOSE.format("<10", "mg/dL"))
    (quantity,) = quantities(built)
    assert quantity["comparator"] == "<"
    made = quantity["extension"][0]["valueQuantity"]
    assert (made["comparator"], made["value"]) == ("<", Decimal("0.56"))


def test_a_limit_on_a_scale_that_turns_round_is_not_converted() -> None:
    maps = maps_with(UnitWish(convert={"2744-1": "nmol/L"}))
    built = results(maps, "NM|2744-1^pH^LN||<7.0|pH|", "NM|2744-1^pH^LN||7.40|pH|")
    low, exact = quantities(built)
    assert "extension" not in low and exact["extension"][0]["valueQuantity"]["value"] == Decimal("39.8")
    assert [f.code for f in built.flags if "unit" in f.code] == ["unit-not-converted"]


def test_nothing_is_converted_that_nobody_asked_for() -> None:
    (quantity,) = quantities(results(maps_with(), GLUCOSE.format("100", "mg/dL")))
    assert "extension" not in quantity


@pytest.mark.parametrize(
    ("unit", "why"), [("units", "nobody has said"), ("[IU]/L", "measures"), ("mL/min", "measures")]
)
def test_what_cannot_be_converted_is_told(unit: str, why: str) -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mmol/L"})), GLUCOSE.format("100", unit))
    (quantity,) = quantities(built)
    assert "extension" not in quantity and quantity["unit"] == unit
    (flag,) = [f for f in built.flags if f.code == "unit-not-converted"]
    assert why in flag.text and flag.where == "OBX[1]-6" and not flag.work and "100" not in flag.text


def test_the_unit_that_was_asked_for_needs_no_conversion() -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mg/dL"})), GLUCOSE.format("100", "mg/dL"))
    assert "extension" not in quantities(built)[0]


def test_a_word_has_no_unit() -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mmol/L"})), GLUCOSE.format("HEMOLYZED", "mg/dL"))
    assert quantities(built) == [None]
    assert "unit-not-converted" not in {f.code for f in built.flags}


def test_a_unit_that_contradicts_the_code_is_work() -> None:
    built = results(
        maps_with(codes=Loinc()),
        GLUCOSE.format("5.5", "mmol/L"),
        GLUCOSE.format("100", "mg/dL"),
        "NM|14749-6^Glucose^LN||100|mg/dL|",
        "NM|9999-9^No code^LN||100|mg/dL|",
    )
    flags = [(f.where, f.work) for f in built.flags if f.code == "unit-contradicts-code"]
    assert flags == [("OBX[1]-6", True), ("OBX[3]-6", True)]
    assert quantities(built)[0]["code"] == "mmol/L"  # told, not changed


def test_without_a_release_nothing_is_said() -> None:
    built = results(
        maps_with(codes=SimpleNamespace(lookup=lambda *_: None, releases=list)), GLUCOSE.format("5", "mmol/L")
    )
    assert "unit-contradicts-code" not in {f.code for f in built.flags}


def test_the_component_of_a_release_names_the_substance() -> None:
    maps = maps_with(UnitWish(convert={"17861-6": "mmol/L"}), Loinc())
    (quantity,) = quantities(results(maps, "NM|17861-6^Calcium^LN||10.0|mg/dL|"))
    assert quantity["extension"][0]["valueQuantity"]["value"] == Decimal("2.50")


def test_a_code_is_looked_up_once() -> None:
    codes = Loinc()
    maps = maps_with(codes=codes)
    for _ in range(3):
        results(maps, GLUCOSE.format("100", "mg/dL"), GLUCOSE.format("90", "mg/dL"))
    assert codes.asked == 1


def test_a_release_that_is_loaded_later_is_heard() -> None:
    codes = Loinc()
    maps = maps_with(codes=codes)
    known, codes.properties = codes.properties, {}
    results(maps, GLUCOSE.format("5.5", "mmol/L"))
    results(maps, GLUCOSE.format("5.5", "mmol/L"))
    assert codes.asked == 1
    codes.properties = known
    maps.program("unit_lab").quantities._messages = 1000
    built = results(maps, GLUCOSE.format("5.5", "mmol/L"))
    assert "unit-contradicts-code" in {f.code for f in built.flags}


def test_results_of_several_values_are_converted_one_by_one() -> None:
    built = results(maps_with(UnitWish(convert={"2345-7": "mmol/L"})), GLUCOSE.format("100~200", "mg/dL"))
    (body,) = [d.body for d in built.drafts if d.type == "Observation"]
    made = [c["valueQuantity"]["extension"][0]["valueQuantity"]["value"] for c in body["component"]]
    assert made == [Decimal("5.55"), Decimal("11.10")]


def test_a_span_is_converted_bound_by_bound() -> None:
    maps = maps_with(UnitWish(convert={"2345-7": "mmol/L"}))
    built = results(maps, "SN|2345-7^Glucose^LN||^90^-^180|mg/dL|", "SN|2345-7^Glucose^LN||^90^-^180|units|")
    spans = [d.body["valueRange"] for d in built.drafts if d.type == "Observation"]
    made = [spans[0][b]["extension"][0]["valueQuantity"]["value"] for b in ("low", "high")]
    assert made == [Decimal("5.00"), Decimal("9.99")]
    assert spans[0]["low"]["value"] == Decimal(90) and "extension" not in spans[1]["low"]
    assert [f.where for f in built.flags if f.code == "unit-not-converted"] == ["OBX[2]-6"]


def test_a_conversion_is_made_once() -> None:
    maps = maps_with(UnitWish(convert={"2345-7": "mmol/L"}))
    built = results(maps, GLUCOSE.format("100", "mg/dL"))
    maps.program("unit_lab").quantities.add(built)
    (quantity,) = quantities(built)
    assert len(quantity["extension"]) == 1


def test_the_traced_twin_converts_the_same() -> None:
    maps = maps_with(UnitWish(convert={"2345-7": "mmol/L"}))
    fast = results(maps, GLUCOSE.format("100", "mg/dL"))
    text = "\r".join(
        [
            "MSH|^~\\&|LIS|LAB|HUB|CDR|20260501120000||ORU^R01^ORU_R01|M1|P|2.5.1",
            "PID|1||77^^^LAB^MR||DOE^JO||19700101|F",
            "OBR|1||F1^LIS|GLU^Panel^L|||20260501110000||||||||||||||||||F",
            f"OBX|1|{GLUCOSE.format('100', 'mg/dL')}||||F\r",
        ]
    )
    traced = trace_message(parse(text.encode()), maps, "unit_lab", "test")
    assert quantities(traced.built) == quantities(fast)


def test_a_sites_own_table_of_units_comes_first() -> None:
    maps = maps_with(UnitWish(table="unit_lab_units"))
    from engine.terminology.tables import COLUMNS, read_table
    from engine.terminology.translate import Table

    row = f",F,,equal,{UCUM},[degF],,approved,lab,2026-03-02,"
    table = Table("unit_lab_units", read_table(f"{','.join(COLUMNS)}\n{row}\n".encode(), "x.csv"))
    maps.terminology.tables["unit_lab_units"] = table
    (quantity,) = quantities(results(maps, "NM|8310-5^Temperature^LN||98.6|F|"))
    assert (quantity["unit"], quantity["code"]) == ("F", "[degF]")
    (quantity,) = quantities(results(maps_with(), "NM|8310-5^Temperature^LN||98.6|F|"))
    assert quantity == {"value": Decimal("98.6"), "unit": "F"}


def test_a_table_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        maps_with(UnitWish(table="nowhere")).program("unit_lab")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("units: {convert: {2345-8: mmol/L}}", "no LOINC code"),
        ("units: {convert: {2345-7: MMOL/L}}", "no UCUM unit"),
        ("units: {aliases: {F: Cel}}", "does not know aliases"),
        ("units: mmol/L", "does not know mmol/L"),
    ],
)
def test_a_wish_that_cannot_be_followed_is_refused(text: str, why: str) -> None:
    with pytest.raises(MapError, match=why):
        read_units(loads(text, "site.yaml")["units"], "site.yaml:1")


def test_a_wish_is_read() -> None:
    wish = read_units(loads("units: {table: own, convert: {2345-7: mmol/L}}", "s")["units"], "site.yaml:1")
    assert wish == UnitWish("own", {"2345-7": "mmol/L"})
    assert read_units(None, "") is None


@pytest.mark.parametrize("name", ["plain", "measured", "molar", "properties"])
def test_a_damaged_list_is_told_with_its_line_and_the_rest_is_read(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "terminology", tmp_path / "terminology", ignore=shutil.ignore_patterns("releases"))
    (tmp_path / "mappings").mkdir()
    path = tmp_path / f"terminology/units/{name}.csv"
    path.write_bytes(path.read_bytes() + b"furlong\n")
    maps, found = open_what_can_be_read(tmp_path)
    line = path.read_bytes().count(b"\n")
    assert f"terminology/units/{name}.csv:{line}" in {f.place for f in found}
    assert maps is not None and maps.terminology.code_systems and maps.terminology.tables["units"].rows
    assert maps.terminology.tables["units"].translate("mg/dL") is None  # plain texts wait until it is mended
