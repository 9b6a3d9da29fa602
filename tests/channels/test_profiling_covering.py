"""Coverage of a sender's fields by the project's own maps: the four states, from messages of the journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hub_project import HERE, shipped_maps
from sender_samples import Lab

from engine.channels.definition import Channel, load_channels
from engine.channels.profiling.covering import Coverage, cover, sample_of
from engine.channels.profiling.seen import TypeSeen
from engine.channels.profiling.watch import cover_sender


@pytest.fixture(scope="module")
def channel() -> Channel:
    return next(c for c in load_channels(HERE) if c.name == "lab_oru")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab.open(tmp_path)
    made.send(3, lambda m: m.replace("|K^Potassium^L|", "|ZTOP^Zinc^L|") + "ZLK|rerun\r")
    made.read()
    yield made
    made.close()


def test_every_place_has_its_state(lab: Lab, channel: Channel) -> None:
    made, revision = cover(lab.journal, shipped_maps(), channel, [1, 2, 3])
    assert (made.traced, made.failed, made.site) == (3, {}, "standard")
    assert revision == shipped_maps().program("standard", trace=True).revision
    states = {name: c.state for name, c in made.places.items()}
    assert states["PID-5.1"] == "mapped"
    assert states["MSH-5.1"] == "ignored"
    assert states["ZLK-1.1"] == "unmapped"
    assert states["OBX-3.1"] == "code unknown"
    name = made.places["PID-5.1"]
    assert name.states == {"mapped": 3} and name.elements == {"Patient.name.family": 3}
    assert any("XPN_HumanName" in row for row in name.rows)
    assert name.examples == {"mapped": [1, 2, 3]}


def test_what_is_kept_holds_no_value(lab: Lab, channel: Channel) -> None:
    cover_sender(lab.journal, lab.staff.senders, shipped_maps(), channel, lab.staff.senders.lines()[0])
    made, revision, said = lab.staff.senders.coverage(lab.id) or (0, "", {})
    assert made and revision.startswith("standard@")
    assert Coverage.of_json(said).places["PID-5.1"].state == "mapped"
    for value in ("Quillfeather", "MRN1", "ZTOP", "rerun"):
        assert value not in repr(said)


def test_what_cannot_be_mapped_is_counted(lab: Lab, channel: Channel) -> None:
    lab.send(1, lambda m: m.replace("ORU^R01^ORU_R01", "XYZ^Q99"))
    lab.send(1, lambda m: "MSH")
    made, _ = cover(lab.journal, shipped_maps(), replace(channel, site=""), [4, 5, 99])
    assert made.traced == 0
    assert sum(made.failed.values()) == 3
    assert made.failed["the body was deleted"] == 1


def test_rare_types_are_in_the_sample() -> None:
    common = TypeSeen(looked=1000, newest=list(range(1, 61)))
    rare = TypeSeen(looked=2, newest=[100, 101])
    chosen = sample_of({"ORU^R01": common, "ORU^R32": rare}, most=20)
    assert len(chosen) == 21 and chosen[-2:] == [100, 101] and chosen[0] == 42
