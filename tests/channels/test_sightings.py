"""Which codes of real messages go on the worklist, what stands beside them, and which messages wait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project

from engine.channels.worklist import Worklist
from engine.formats.hl7v2.parse import parse
from engine.kernel.message import Gap
from engine.mapping.convert import headers, map_message
from engine.store.gaps import Sighting

MSH = "MSH|^~\\&|{app}|{facility}|HUB|HOSP|20260501120000||ORU^R01^ORU_R01|{n}|P|2.5.1"
PID = "PID|1||{mrn}^^^NORTH^MR||DOE^JANE||19800101|F"


def oru(n: int, *obx: str, app: str = "ACMELIS", facility: str = "ACME", obr: str = "") -> bytes:
    lines = [
        MSH.format(app=app, facility=facility, n=f"M{n}"),
        PID.format(mrn=f"7{n}"),
        obr or f"OBR|1|P{n}|F{n}|24323-8^CMP^LN|||20260501110000||||||||SER&Serum|||||||20260501||LAB|F",
        *obx,
    ]
    return ("\r".join(lines) + "\r").encode()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path / "project"))
    yield made
    made.close()


def sightings(hub: Hub) -> dict[tuple[str, str], Sighting]:
    return {(s.field, s.code): s for s in hub.store.gaps.all()}


def test_a_code_that_the_senders_table_does_not_know(hub: Hub) -> None:
    for n, unit in ((1, "mg/dL"), (2, "mmol/L")):
        hub.receive("lab_oru", oru(n, f"OBX|1|NM|GLUX^Glucose special^L||5.{n}|{unit}|||||F"))
    hub.receive("lab_oru", oru(3, "OBX|1|NM|K^Potassium^L||4.1|mmol/L|||||F"))  # known
    hub.work()
    assert sorted(sightings(hub)) == [("OBX-3", "GLUX")]
    found = sightings(hub)["OBX-3", "GLUX"]
    assert (found.sender, found.field, found.table) == ("ACMELIS|ACME", "OBX-3", "acme_lab_to_loinc")
    assert (found.system, found.uri, found.code) == ("L", "https://acmelab.example/codes", "GLUX")
    assert (found.text, found.units, found.kinds) == ("Glucose special", ("mg/dL", "mmol/L"), ("NM",))
    assert found.specimens == ("SER Serum",) and found.panels == ("24323-8 CMP",)
    assert (found.count, found.flagged, found.parked) == (2, 2, 0)
    assert found.samples == ((1, "OBX[1]-3"), (2, "OBX[1]-3"))


def test_local_codes_of_a_sender_without_any_table(hub: Hub) -> None:
    obr = "OBR|1|P9|F9|LYTES^Electrolytes^99X|||20260501110000|||||||||||||||20260501||LAB|F"
    codes = (
        "OBX|1|NM|NA1^Sodium^99X||140|mmol/L|||||F",
        "OBX|2|NM|2823-3^Potassium^LN||4.1|mmol/L|||||F",
        "OBX|3|NM|CL^Chloride^99X^2075-0^Chloride^LN||101|mmol/L|||||F",
    )
    hub.receive("lab_oru", oru(9, *codes, app="NEWLIS", facility="NORTH", obr=obr))
    hub.work()
    found = sightings(hub)
    assert set(found) == {("OBX-3", "NA1"), ("OBR-4", "LYTES")}  # what has a standard code needs no other
    sodium = found["OBX-3", "NA1"]
    assert (sodium.table, sodium.rule, sodium.system, sodium.uri) == ("", "keep", "99X", "")
    assert (sodium.flagged, sodium.parked) == (0, 0)  # nobody asked for it: nothing waits
    assert sodium.panels == ("LYTES Electrolytes",)


def test_a_unit_that_nobody_knows_stands_in_its_field(hub: Hub) -> None:
    hub.receive("lab_oru", oru(1, "OBX|1|NM|K^Potassium^L||4.1|furlongs^Furlongs|||||F"))
    hub.work()
    found = sightings(hub)["OBX-6", "furlongs"]
    assert (found.table, found.samples) == ("units", ((1, "OBX[1]-6"),))
    work = Worklist(hub.config, hub.journal, hub.store)
    work.propose(found.id, "cli:ann", "m", system="http://unitsofmeasure.org")
    work.approve([found.id], "cli:ann")
    last = (hub.root / "terminology/maps/units.csv").read_text().splitlines()[-1]
    assert last.startswith(",furlongs,,equivalent,http://unitsofmeasure.org,m,,approved,ann,")
    hub.receive("lab_oru", oru(2, "OBX|1|NM|K^Potassium^L||4.1|furlongs^Furlongs|||||F"))
    hub.work()
    made = hub.store.read("Observation", hub.written(2, "Observation"))
    assert made is not None and made["valueQuantity"]["code"] == "m"


def test_a_code_that_parks_its_message(hub: Hub) -> None:
    obr = "OBR|1|P1|F1|24323-8^CMP^LN|||20260501110000|||||||||||||||20260501||LAB|ZZ"
    number = hub.receive("lab_oru", oru(1, "OBX|1|NM|K^Potassium^L||4.1|mmol/L|||||F", obr=obr))
    hub.work()
    outcome = hub.store.outcome(number)
    assert outcome is not None and (outcome.status, outcome.cause) == ("parked", "unmapped-code")
    found = sightings(hub)["OBR-25", "ZZ"]
    assert (found.table, found.rule, found.parked) == ("ReportStatus", "hold", 1)
    assert hub.store.gaps.waiting([found.id]) == {number: {found.id}}


def test_a_message_whose_codes_are_known_leaves_nothing(hub: Hub) -> None:
    for name in ("lab/oru_potassium", "lab/oru_final"):
        hub.receive("lab_oru", hub.sample(name))
    hub.work()
    with hub.store._database.read() as session:
        known = {s.code for s in hub.store.gaps.all()}
        assert session.all("SELECT count(*) FROM gap_wait") == [(0,)]
    assert "2823-3" not in known and "K" not in known


def test_what_a_field_said_is_remembered_and_told_every_time(hub: Hub) -> None:
    for n in range(1, 6):
        hub.receive("lab_oru", oru(n, "OBX|1|NM|GLUX^Glucose special^L||5|mg/dL|||||F"))
        hub.work()
    assert sightings(hub)["OBX-3", "GLUX"].count == 5


def test_the_codes_first_of_a_message_whose_translation_comes_second(hub: Hub) -> None:
    maps = hub.worker.pipeline.maps
    message = parse(oru(1, "OBX|1|NM|K^Potassium^L||4.1|mmol/L|||||F"))
    site = maps.site_for(headers(message))

    def codes() -> list[str]:
        built = map_message(message, maps.program(site.name), hub.worker.pipeline.identify, "e")
        (made,) = [d.body for d in built.drafts if d.type == "Observation"]
        return [c["code"] for c in made["code"]["coding"]]

    assert codes() == ["2823-3", "K"]
    revision = maps.program(site.name).revision
    path = hub.root / "mappings/sites/acme_lab.yaml"
    path.write_text(path.read_text().replace("timezone:", "translated: second\ntimezone:", 1))
    again = type(maps).open(hub.root)
    built = map_message(message, again.program(site.name), hub.worker.pipeline.identify, "e")
    (made,) = [d.body for d in built.drafts if d.type == "Observation"]
    assert [c["code"] for c in made["code"]["coding"]] == ["K", "2823-3"]
    assert again.program(site.name).revision != revision


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("OBX[3]-3", "OBX-3"),
        ("OBX[1]-3(1).1", "OBX-3"),
        ("PV1[1]-36.2", "PV1-36.2"),
        ("OBX[2] PV1-2(1).1", "PV1-2"),
        ("PID[1] XPN.7", "PID XPN.7"),
    ],
)
def test_where_such_codes_stand_in_any_message(where: str, field: str) -> None:
    assert Gap(where, "", "keep", "x").field == field
