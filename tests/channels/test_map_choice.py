"""A channel of results of a laboratory and of devices reads each by its own map, as MSH-21 says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hub_project import HERE, Hub, make_project, shipped_maps

from engine.channels.definition import load_channels
from engine.channels.mapchoice import MapChoice, read_map
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import loads
from engine.mapping.derived import derived

PCD = "1.3.6.1.4.1.19376.1.6.1.1.1"
CHOICE = f"{{by: MSH-21, {PCD}|IHE_PCD_001: PCD_ORU_R01, WAVE: WAVES, else: by type}}"


def head(said: str) -> list[str]:
    return [""] * 21 + [said]


@pytest.mark.parametrize(
    ("said", "map_"),
    [
        (f"IHE PCD ORU-R01 2006^HL7^{PCD}^ISO", "PCD_ORU_R01"),
        (f"{PCD}^IHE^x^ISO", "PCD_ORU_R01"),  # IHE's number stood in the first component, too
        (PCD, "PCD_ORU_R01"),
        (f"LAB^HL7^1.2.3^ISO~IHE_PCD_001^IHE PCD^{PCD}^ISO", "PCD_ORU_R01"),  # any repetition
        (
            f"WAVE~IHE_PCD_001^IHE PCD^{PCD}^ISO",
            "PCD_ORU_R01",
        ),  # the first line of the file
        ("WAVE", "WAVES"),
        ("", ""),
        ('""', ""),
        (f"x^{PCD}", ""),  # a name space is no number
        (f"{PCD}.1", ""),
        (f"LAB^^{PCD}0^ISO", ""),
    ],
)
def test_any_repetition_by_number_or_universal_id(said: str, map_: str) -> None:
    choice = read_map(loads(CHOICE, "x"), "x:1")
    assert isinstance(choice, MapChoice)
    assert choice.of(head(said), "^~\\&") == map_
    assert choice.of(head(said.replace("^", "$").replace("~", "%")), "$%\\&") == map_
    assert choice.maps == ("PCD_ORU_R01", "WAVES")


def test_a_header_that_ends_before_it_says_no_profile() -> None:
    choice = read_map(loads('{by: MSH-21, "": NONE, P: SOME, else: REST}', "x"), "x:1")
    assert isinstance(choice, MapChoice)
    assert [choice.of(fields, "^~") for fields in ([], head(""), head("P"), head("Q"))] == [
        "NONE",
        "NONE",
        "SOME",
        "REST",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{by: MSH-9, X: Y, else: by type}", "MSH-21 only"),
        ("{by: MSH-21, X: PCD_ORU_R01}", "else:"),
        ("{by: MSH-21, else: by type}", "a line for a profile"),
        ("{by: MSH-21, X: [A], else: by type}", "the name of a map"),
        ("{by: MSH-21, X|Y: A, Y: B, else: by type}", "two lines are for 'Y'"),
    ],
)
def test_what_is_no_choice(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_map(loads(text, "x"), "x:1")


def test_one_port_for_both(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    for path in (root / "channels").glob("*.yaml"):
        path.unlink()
    (root / "channels" / "both.yaml").write_text(
        f"channel: both\nsteps:\n  - map: {{by: MSH-21, {PCD}: PCD_ORU_R01, else: by type}}\n"
    )
    for name in ("devices", "lab"):
        shutil.copytree(HERE / "sample_messages" / name, root / "sample_messages" / name, dirs_exist_ok=True)
    hub = Hub.open(root, derived(shipped_maps(), {}, root))
    try:
        monitor = hub.take("both", "devices/pcd01_monitor")
        lab = hub.take("both", "lab/oru_potassium")
        kinds = [{kind for kind, *_ in hub.store.written_by(one)} for one in (monitor, lab)]
        assert "DeviceMetric" in kinds[0] and "DiagnosticReport" not in kinds[0]
        assert "DiagnosticReport" in kinds[1] and "Device" not in kinds[1]
    finally:
        hub.close()


def test_every_map_of_a_choice_must_be_there(tmp_path: Path) -> None:
    from engine.channels.definition import agree

    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "x.yaml").write_text(
        "channel: x\nsteps: [{map: {by: MSH-21, P: NO_SUCH, else: by type}}]\n"
    )
    channels = load_channels(tmp_path)
    assert channels[0].maps == ("NO_SUCH",) and channels[0].map == ""
    with pytest.raises(ConfigError, match="no message map NO_SUCH"):
        agree(channels, shipped_maps())
