"""The watched twin makes what the traced one makes, and says of every row what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.formats.cda.document import parse as parse_cda
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import HubError
from engine.mapping.convert import headers, trace_arrived, trace_message
from engine.mapping.derived import derived
from engine.mapping.from_x12 import arrivals
from engine.mapping.project import Maps
from engine.mapping.run import TracedRun
from engine.mapping.seen import Frame, RowSeen, Seen, watching
from engine.mapping.traced import plain
from engine.mapping.treearrived import cda_arrived

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_messages"
NAMES = "mappings/hl7v2/datatypes/XPN_HumanName.yaml"
PID = "mappings/hl7v2/segments/PID_Patient.yaml"


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def watched(maps: Maps, sample: str) -> Seen:
    message = parse((SAMPLES / sample).read_bytes())
    site = maps.site_for(headers(message)).name
    done = trace_message(message, maps, site, "urn:hub:entry|0", run=watching(TracedRun))
    assert done.seen is not None
    return done.seen


def row(frame: Frame, maps: Maps, element: str) -> RowSeen:
    m = maps.maps[frame.map]
    place = next(r.place for r in m.rows if r.name == element)
    return frame.rows[place.file, place.line, place.column]


@pytest.mark.parametrize(
    "sample",
    [
        "lab/oru_cmp.hl7",
        "lab/oru_micro.hl7",
        "lab/oru_participants.hl7",
        "lab/oru_sn.hl7",
        "orders/oru_r30_point_of_care.hl7",
    ],
)
def test_watching_changes_nothing(maps: Maps, sample: str) -> None:
    message = parse((SAMPLES / sample).read_bytes())
    site = maps.site_for(headers(message)).name
    before = trace_message(message, maps, site, "urn:hub:entry|0")
    after = trace_message(message, maps, site, "urn:hub:entry|0", run=watching(TracedRun))
    assert [d.body for d in after.built.drafts] == [d.body for d in before.built.drafts]
    assert (after.report, after.built.flags) == (before.report, before.built.flags)


def test_documents_and_claims_are_watched_too(maps: Maps) -> None:
    document = next((SAMPLES / "cda").glob("*.xml"))
    claim = next((SAMPLES / "x12").glob("837*"))
    for arrived in (cda_arrived(parse_cda(document.read_bytes())), next(iter(arrivals(claim.read_bytes())))):
        own = maps.of(arrived.format)
        before = trace_arrived(arrived, own, "standard", "urn:hub:entry|0")
        after = trace_arrived(arrived, own, "standard", "urn:hub:entry|0", run=watching(arrived.traced_run))
        assert [d.body for d in after.built.drafts] == [d.body for d in before.built.drafts]
        assert after.seen is not None and len(after.seen.frames) > 5
        assert any(r.given for f in after.seen.frames for r in f.rows.values())


def test_a_row_tells_its_value_and_the_map_that_made_it(maps: Maps) -> None:
    seen = watched(maps, "lab/oru_cmp.hl7")
    patient = next(f for f in seen.frames if f.map == "PID_Patient")
    assert patient.at == "PID[1]"
    name = row(patient, maps, "name(legal)")
    assert plain(name.given) == [{"family": "Bell", "given": ["Oscar"]}]
    (inner,) = name.inner
    assert (inner.map, inner.at) == ("XPN_HumanName", "PID-5")
    assert [str(a) for a in row(inner, maps, "family").given[0].src] == ["PID[1]-5[1].1.1"]


def test_a_condition_that_is_false_tells_what_it_looked_at(maps: Maps) -> None:
    seen = watched(maps, "lab/oru_cmp.hl7")
    isolate = row(next(f for f in seen.frames if f.map == "OBX_Observation"), maps, "identifier(isolate)")
    assert not isolate.given and not isolate.held
    parts = {p.said: (p.held, p.value) for p in isolate.refused[0]}
    assert parts["OBX-2 = CE|CWE|CNE|ST"] == (False, "NM")


def test_every_observation_has_a_frame_of_its_own(maps: Maps) -> None:
    frames = [f.at for f in watched(maps, "lab/oru_cmp.hl7").frames if f.map == "OBX_Observation"]
    assert frames == [f"OBX[{n}]" for n in range(1, len(frames) + 1)] and len(frames) > 10


def test_changed_text_changes_one_map_and_keeps_what_is_compiled(maps: Maps) -> None:
    watched(maps, "lab/oru_cmp.hl7")
    text = (ROOT / NAMES).read_text()
    other = derived(maps, {NAMES: text.replace("XPN.1.1", "XPN.2", 1)})
    assert other.maps["PID_Patient"] is maps.maps["PID_Patient"]
    assert other.maps["XPN_HumanName"] != maps.maps["XPN_HumanName"]
    seen = watched(other, "lab/oru_cmp.hl7")
    name = row(next(f for f in seen.frames if f.map == "PID_Patient"), maps, "name(legal)")
    assert plain(name.given) == [{"family": "Oscar", "given": ["Oscar"]}]
    program, before = other.program("standard", watch=True).program, maps.program("standard", watch=True)
    assert program.space["M_PID_Patient"].__code__ is before.program.space["M_PID_Patient"].__code__
    assert (
        program.space["D_XPN_HumanName_c"].__code__ is not before.program.space["D_XPN_HumanName_c"].__code__
    )
    assert program.space["M_PID_Patient"].__globals__ is program.space


@pytest.mark.parametrize("site", ["standard", "acme_lab"])
def test_a_derived_project_maps_as_one_read_from_files(maps: Maps, tmp_path: Path, site: str) -> None:
    text = (ROOT / PID).read_text().replace("  gender:", "  # seen\n  gender:", 1)
    assert text != (ROOT / PID).read_text()
    for name in ("mappings", "terminology"):
        (tmp_path / name).mkdir()
    for name in ("mappings/hl7v2", "mappings/sites", "terminology/maps", "terminology/systems"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "terminology/units").symlink_to(ROOT / "terminology/units")
    other = derived(maps, {PID: text})
    assert other.program(site).revision != maps.program(site).revision
    again = derived(other, {PID: (ROOT / PID).read_text()})
    assert again.program(site).revision == Maps.open(tmp_path, maps.identity_base).program(site).revision


def test_text_that_cannot_be_read_names_its_line(maps: Maps) -> None:
    with pytest.raises(HubError) as e:
        derived(maps, {PID: "map: PID_Patient\nfrom: PID\nto: Patient\nrows:\n  gender: {when: x y z}\n"})
    assert e.value.where == f"{PID}:5"


def test_a_map_that_is_taken_out_is_gone(maps: Maps) -> None:
    assert "PID_Patient" not in derived(maps, {PID: None}).maps
