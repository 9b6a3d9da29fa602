"""Impact: what a draft would have changed, by the row that causes it; what it cannot reach is skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_project import Hub, make_project, shipped_maps

from engine.channels.definition import load_channels
from engine.channels.draftpaths import built
from engine.channels.impact import Impact, Side, impact_of
from engine.kernel.config import load_config
from engine.mapping.project import Maps

OBX = "mappings/hl7v2/segments/OBX_Observation.yaml"
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
ORU = "mappings/hl7v2/messages/ORU_R01.yaml"
CX = "mappings/hl7v2/datatypes/CX_Identifier.yaml"
STATUS = "terminology/maps/ObservationStatus.csv"
SAMPLES = ("potassium", "preliminary", "final", "corrected", "cmp", "sn")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Six results and an admission in the journal, and what is not mapped beside them."""
    made = Hub.open(make_project(tmp_path_factory.mktemp("impact") / "project"), shipped_maps())
    made.receive("adt", made.sample("adt/adt_a01_admit"))
    for name in SAMPLES:
        made.receive("lab_oru", made.sample(f"lab/oru_{name}"))
    made.receive("lab_oru", b"nonsense", "garbage")
    yield made
    made.close()


def impact(hub: Hub, path: str, old: str, new: str, **options: object) -> Impact:
    """Return the impact of one text in one file."""
    text = (hub.root / path).read_text()
    assert old in text, (path, old)
    config = load_config(hub.root)
    root = built(config, "test", {path: text.replace(old, new, 1)})
    live = Side(shipped_maps(), hub.channels)
    draft = Side(Maps.open(root, config.identity_base), load_channels(root))
    return impact_of(hub.journal, live, draft, hub.keyring.mac16, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "old", "new", "label", "effect"),
    [
        pytest.param(
            OBX,
            "valueQuantity:       OBX-5",
            "valueString:         OBX-5",
            "OBX_Observation/value[x]/NM/valueString",
            "Observation.valueQuantity → valueString",
            id="a choice of another type",
        ),
        pytest.param(
            OBX,
            "interpretation:    {from: OBX-8, code: InterpretationCode}",
            "interpretation:    OBX-8",
            "OBX_Observation/interpretation",
            "Observation.interpretation.coding removed",
            id="a row without its table",
        ),
        pytest.param(
            OBX,
            "  code:              OBX-3\n",
            "  code:              OBX-4\n",
            "OBX_Observation/code",
            "now parked: required-missing at Observation.code",
            id="what parks",
        ),
        pytest.param(
            CX,
            "assigner.display: {from: [CX.4.1, CX.4.2]",
            "assigner.display: {from: [CX.1, CX.4.2]",
            "CX_Identifier/assigner.display",
            "Patient.identifier.assigner.display changed",
            id="a row of a datatype",
        ),
        pytest.param(
            PID,
            "birthDate:",
            "active: {value: =true, assumed: a test}\n  birthDate:",
            "PID_Patient/active",
            "Patient.active added",
            id="a constant, which nothing traces",
        ),
        pytest.param(
            STATUS,
            ",F,",
            ",FX,",
            "table ObservationStatus",
            "now parked: unmapped-code at OBX-11",
            id="a row of a code table",
        ),
    ],
)
def test_the_row_that_causes_it(hub: Hub, path: str, old: str, new: str, label: str, effect: str) -> None:
    found = impact(hub, path, old, new)
    groups = {g.label: [e.what for e in g.effects] for g in found.groups}
    assert label in groups, groups
    assert effect in groups[label], groups
    assert found.changed and found.unreadable == 0
    first = next(e for g in found.groups if g.label == label for e in g.effects if e.what == effect)
    assert first.samples and first.messages >= len(first.samples)
    assert all(hub.journal.get(n) is not None for n in first.samples)
    if effect.startswith("now parked"):
        assert next(g for g in found.groups if g.label == label).fails == first.messages


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (OBX, "map:  OBX_Observation\n", "# a word to the reader\n\nmap:  OBX_Observation\n"),
        (
            "mappings/hl7v2/segments/RXA_Immunization.yaml",
            "rows:\n",
            "rows:\n  isSubpotent: {value: =false, assumed: a test}\n",
        ),
        ("channels/adt.yaml", "purpose: ", "purpose: Tried. "),
    ],
)
def test_what_reaches_nothing_is_skipped(hub: Hub, path: str, old: str, new: str) -> None:
    found = impact(hub, path, old, new)
    assert (found.replayed, found.changed, found.skipped, found.groups) == (0, 0, 7, [])
    assert found.reaches == [] and found.not_reached == ["adt: ADT_A01", "lab_oru: ORU_R01"]


def test_a_channel_reaches_its_own_messages(hub: Hub) -> None:
    found = impact(hub, "channels/lab_oru.yaml", "steps:\n", "authority: demographics\nsteps:\n")
    assert (found.replayed, found.skipped) == (6, 1)
    assert found.reaches == ["lab_oru: ORU_R01"] and found.not_reached == ["adt: ADT_A01"]


def test_how_far_back_and_when_to_stop(hub: Hub) -> None:
    change = (OBX, "interpretation:    {from: OBX-8, code: InterpretationCode}", "interpretation:    OBX-8")
    assert impact(hub, *change, last=2).replayed == 2
    entry = hub.journal.get(1)
    assert entry is not None
    assert impact(hub, *change, since=entry.received + 10 * 60_000).replayed == 0
    told: list[int] = []
    found = impact(hub, *change, progress=lambda done, changed: told.append(done), stop=lambda: bool(told))
    assert found.replayed == told[-1] == 7 and not found.stopped  # it ended before anybody asked
    assert impact(hub, *change, stop=lambda: True).stopped == "stopped by hand"


def test_nothing_is_written(hub: Hub) -> None:
    before = hub.store.watermarks(), hub.journal.head()
    found = impact(hub, OBX, "  code:              OBX-3\n", "  code:              OBX-4\n")
    assert found.changed
    assert (hub.store.watermarks(), hub.journal.head()) == before
    assert hub.store.outcome(1) is None


def test_values_are_for_who_may_see_them(hub: Hub) -> None:
    found = impact(hub, OBX, "valueQuantity:       OBX-5", "valueString:         OBX-5")
    shown, hidden = repr(found.as_json(values=True)), repr(found.as_json(values=False))
    assert "value 4.1" in shown and "value 4.1" not in hidden
    for body in (hub.sample(f"lab/oru_{name}") for name in SAMPLES):
        name = body.split(b"\rPID|")[1].split(b"|")[5 - 1].split(b"^")[0].decode()
        assert not name or name not in hidden


def test_a_cause_is_learned(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.channels.impact.LEARNED", 2)
    change = (OBX, "interpretation:    {from: OBX-8, code: InterpretationCode}", "interpretation:    OBX-8")
    found = impact(hub, *change)
    assert found.traced < found.changed
    assert {g.label for g in found.groups} == {"OBX_Observation/interpretation"}
