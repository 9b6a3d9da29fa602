"""The bench's back end: values of rows, what differs from live, errors with line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.definition import Channel, load_channels
from engine.channels.liverows import STATES, LiveRow
from engine.channels.trying import Changed, Desk, Tried, body_of_text, names_in, sample_body, samples
from engine.kernel.errors import ConfigError, FormatError
from engine.mapping.project import Maps

ROOT = Path(__file__).resolve().parents[2]
NAMES = "mappings/hl7v2/datatypes/XPN_HumanName.yaml"
PID = "mappings/hl7v2/segments/PID_Patient.yaml"


@pytest.fixture(scope="module")
def live() -> Maps:
    return Maps.open(ROOT)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest.fixture(scope="module")
def lab() -> Channel:
    return next(c for c in load_channels(ROOT) if c.name == "lab_oru")


def tried(desk: Desk, live: Maps, lab: Channel, changed: Changed, **more: object) -> Tried:
    format, body = sample_body(ROOT, "lab/oru_cmp.hl7")
    return desk.tried(body, format, lab, live, changed, **more)  # type: ignore[arg-type]


def find(rows: list[LiveRow], element: str) -> LiveRow:
    return next(r for r in rows if r.element == element and r.depth == 0)


def test_rows_stand_in_the_order_of_the_sheet_with_values_or_reasons(
    desk: Desk, live: Maps, lab: Channel
) -> None:
    found = tried(desk, live, lab, Changed(), first=["PID_Patient"])
    patient = found.maps[0]
    assert (patient.map, patient.at, patient.places) == ("PID_Patient", "PID[1]", ["PID[1]"])
    places = [(r.file, r.line, r.column) for r in patient.rows if r.depth == 0]
    assert places == sorted(places)
    assert {r.state for m in found.maps for r in m.rows} <= STATES.keys()
    gender = find(patient.rows, "gender")
    assert (gender.state, gender.values[0].text, gender.values[0].sources) == (
        "ran",
        "male",
        ("PID[1]-8[1].1",),
    )
    called = find(patient.rows, "name(called)")
    assert (called.state, called.values) == ("source empty", ())
    refused = next(r for r in patient.rows if r.state == "condition false")
    assert "does not hold: it is" in refused.why
    assert found.live is None and found.differences == []


def test_the_rows_of_one_of_many_segments_are_shown(desk: Desk, live: Maps, lab: Channel) -> None:
    third = tried(desk, live, lab, Changed(), first=["OBX_Observation"], at={"OBX_Observation": "OBX[3]"})
    observation = third.maps[0]
    assert observation.at == "OBX[3]" and len(observation.places) > 10
    code = find(observation.rows, "code")
    assert code.values[0].sources[0].startswith("OBX[3]-3")
    assert [m.map for m in code.inside] == ["CWE_CodeableConcept"]


def test_a_changed_map_is_compared_with_what_is_live(desk: Desk, live: Maps, lab: Channel) -> None:
    text = (ROOT / NAMES).read_text().replace("XPN.1.1", "XPN.2", 1)
    found = tried(desk, live, lab, Changed(unsaved=(NAMES, text)), first=["XPN_HumanName"])
    assert [str(d) for d in found.differences] == ['changed Patient[0].name[0].family: "Bell" -> "Oscar"']
    assert found.live is not None and found.live.revision != found.trial.revision
    assert found.maps[0].map == "XPN_HumanName"
    assert found.maps[0].places == ["PID-5 in PID_Patient PID[1]"]


@pytest.mark.parametrize(
    ("was", "now", "line", "says"),
    [
        ("XPN.1.1", "XPN..1", 7, "is not a location"),
        ("XPN.1.1", "{when: XPN.7 is D}", 7, "condition"),
        ("  family:  ", "  fimaly:  ", 7, "unknown element"),
        ("rows:", "rowz:", 6, "does not know the word"),
        ("rows:", "rows: [", None, "YAML"),
    ],
)
def test_errors_name_line_and_column(
    desk: Desk, live: Maps, lab: Channel, was: str, now: str, line: int | None, says: str
) -> None:
    text = (ROOT / NAMES).read_text().replace(was, now, 1)
    found = tried(desk, live, lab, Changed(unsaved=(NAMES, text)))
    assert found.fault is not None and found.trial.bundle is None
    assert found.fault.file == NAMES and says in found.fault.text
    assert found.fault.column >= 1 and (line is None or found.fault.line == line)


def test_a_draft_and_an_unsaved_text_together(desk: Desk, live: Maps, lab: Channel) -> None:
    draft = {NAMES: (ROOT / NAMES).read_text().replace("XPN.1.1", "XPN.2", 1)}
    text = (ROOT / PID).read_text().replace("{from: PID-8", "{from: PID-16", 1)
    assert text != (ROOT / PID).read_text()
    found = tried(desk, live, lab, Changed(draft, unsaved=(PID, text)))
    assert any("name[0].family" in d.path for d in found.differences)
    assert any(d.path.endswith("gender") and d.kind == "removed" for d in found.differences)


def test_what_no_map_reads_changes_nothing(desk: Desk, live: Maps) -> None:
    assert desk.maps(live, Changed({"channels/lab_oru.yaml": "channel: x"})) is live


def test_pasted_text_is_one_message(desk: Desk, live: Maps, lab: Channel) -> None:
    _, body = sample_body(ROOT, "lab/oru_potassium.hl7")
    text = body.decode().replace("\r", "\r\n")
    format, again = body_of_text(f"\n{text}\n\n")
    assert format == "hl7v2"
    found = desk.tried(again, format, lab, live, Changed())
    assert found.trial.type == "ORU^R01" and found.trial.bundle is not None
    with pytest.raises(FormatError):
        body_of_text("what is this?")


def test_samples_are_named_and_nothing_else_is_read() -> None:
    assert "lab/oru_cmp.hl7" in samples(ROOT)
    with pytest.raises(ConfigError):
        sample_body(ROOT, "../config.yaml")


def test_the_maps_that_a_file_holds(live: Maps) -> None:
    assert names_in(NAMES, (ROOT / NAMES).read_text(), live) == ["XPN_HumanName"]
    acme = (ROOT / "mappings/sites/acme_lab.yaml").read_text()
    assert "OBX_Observation" in names_in("mappings/sites/acme_lab.yaml", acme, live)
