"""`deliver:` in channel files and `destinations:` in config.yaml: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.definition import Channel, load_channels
from engine.channels.delivering.places import destinations_of
from engine.channels.delivering.when import holds, read_condition
from engine.formats.hl7v2.parse import parse
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError, MapError

CHANNEL = "channel: lab\nreceive: {mllp: {port: 2999}}\nsteps: [{decode: hl7v2}, {map: by type}]\n"


FILE = "{file: {path: '/a/{entry}'}"


def project(root: Path, deliver: str, config: str = "") -> list[Channel]:
    (root / "channels").mkdir(exist_ok=True)
    (root / "mappings/sites").mkdir(parents=True, exist_ok=True)
    (root / "channels/lab.yaml").write_text(CHANNEL + deliver)
    (root / "config.yaml").write_text("hub: Test\n" + config)
    return load_channels(root)


SHARED = "destinations:\n  archive: {file: {path: '/a/{entry}'}, retry: {for: 4 hours, then: wait}}\n"


@pytest.mark.parametrize(
    ("deliver", "config", "names"),
    [
        ("", "", {}),
        ("deliver: core store\n", "", {}),
        ("deliver: [core store, archive]\n", SHARED, {"archive": "original"}),
        ("deliver:\n  archive: {when: OBR-24 = MB, body: original}\n", SHARED, {"archive": "original"}),
        ("deliver:\n  mine: {file: {path: '/a/{entry}'}}\n", "", {"lab.mine": "original"}),
        (
            "deliver:\n  archive:\n  mine: {file: {path: '/a/{entry}'}}\n",
            SHARED,
            {"archive": "original", "lab.mine": "original"},
        ),
    ],
)
def test_what_is_read(tmp_path: Path, deliver: str, config: str, names: dict[str, str]) -> None:
    (channel,) = project(tmp_path, deliver, config)
    assert {rule.to: rule.body for rule in channel.deliver} == names
    places = destinations_of(load_config(tmp_path), [channel])
    assert set(names) <= set(places)
    for name in names:
        assert set(places[name].rules) == {"lab"}


def test_settings_beside_the_kind_are_taken(tmp_path: Path) -> None:
    channels = project(tmp_path, "deliver: archive\n", SHARED)
    place = destinations_of(load_config(tmp_path), channels)["archive"]
    assert (place.retry.for_ms, place.retry.then, place.order) == (4 * 3_600_000, "wait", "by patient")


@pytest.mark.parametrize(
    ("deliver", "config", "told"),
    [
        ("deliver: ehr\n", "", "there is no destination ehr"),
        ("deliver:\n  ehr: {pigeon: {}}\n", "", "ehr: does not know 'pigeon'"),
        ("deliver:\n  ehr: {retry: {for: 1 hour}}\n", "", "says no kind of destination"),
        ("deliver:\n  EHR: {file: {path: '/a'}}\n", "", "'EHR' is no name of a destination"),
        ("deliver:\n  archive: {file: {path: '/a'}}\n", SHARED, "is a destination of config.yaml already"),
        (f"deliver:\n  a: {FILE}, when: OBR-24 ~ MB}}\n", "", "deliver: a: when:"),
        (f"deliver:\n  a: {FILE}, when: status set}}\n", "", "cannot be asked of a whole message"),
        (f"deliver:\n  a: {FILE}, types: {{a: b}}}}\n", "", "types: takes message types"),
        (f"deliver:\n  a: {FILE}, with: content}}\n", "", "with: takes content, and only of an event"),
        (f"deliver:\n  a: {FILE}, set: HUB}}\n", "", "set: takes {sender: HUB, ...}"),
        (f"deliver:\n  a: {FILE}, body: 'a b'}}\n", "", "file takes no a b"),
        ("deliver:\n  a: {file: {colour: red}}\n", "", "lab.a: file"),
        (f"deliver:\n  a: {FILE}, retry: 5}}\n", "", "retry: takes {for, then}"),
        (f"deliver:\n  a: {FILE}, retry: {{then: cry}}}}\n", "", "then: 'cry' is not known"),
        (f"deliver:\n  a: {FILE}, retry: {{for: ever}}}}\n", "", "'ever' is not a time"),
        (f"deliver:\n  a: {FILE}, order: by name}}\n", "", "order: 'by name' is not known"),
        (f"deliver:\n  a: {FILE}, at_once: 0}}\n", "", "at_once: takes 1 to 64"),
        (f"deliver:\n  a: {FILE}, order: as they come, at_once: 2}}\n", "", "contradict each other"),
        ("", "destinations:\n  A b: {file: {path: '/a'}}\n", "'A b' is no name"),
        ("", "destinations:\n  a: {file: {path: '/a/{entry}'}, colour: red}\n", "does not know 'colour'"),
        ("deliver:\n  a: {file: {path: '${secret:NOT_SET}/{entry}'}}\n", "", "secret NOT_SET is not set"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, deliver: str, config: str, told: str) -> None:
    with pytest.raises(ConfigError) as e:
        _all(tmp_path, deliver, config)
    assert told in str(e.value)
    assert "yaml:" in e.value.where


def _all(root: Path, deliver: str, config: str) -> None:
    channels = project(root, deliver, config)
    destinations_of(load_config(root), channels)


OBR = b"OBR|1|||A^x^L" + b"|" * 20 + b'""|F'
MESSAGE = b"\r".join(
    [
        b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5.1",
        b"PID|1||7^^^X^MR",
        b"PV1|1|O",
        OBR,
        b"OBX|1|NM|K^^L||4.1||||||F",
        b"OBR|2|||B",
        b"OBX|1|ST|N^^L||low",
        b"",
    ]
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("OBR-4.1 = A", True),
        ("OBR-4.1 = B|C", True),
        ("OBR-4.1 = C", False),
        ("OBR-4.1 != C", True),
        ("OBR-4.1 != A", False),
        ("PV1-2 valued and PV1-3 not valued", True),
        ("PV1-3 valued or OBX-11 = F", True),
        ("not OBX-11 = F", False),
        ("count(OBX) = 2", True),
        ("count(OBX) > 2", False),
        ("OBX-5 > 4", True),
        ("OBX-5 < 4", False),
        ("OBX-5 looks like number", True),
        ("OBR-24 cleared", True),
        ("OBR-24 valued", False),
        ("length(PID-3.1) = 1", True),
    ],
)
def test_conditions_are_asked_of_the_whole_message(text: str, answer: bool) -> None:
    assert holds(read_condition(text, "x.yaml:1"), parse(MESSAGE)) is answer


@pytest.mark.parametrize(
    "text", ["XPN.1 valued", "status not set", "TIMING_ENCODED valued", "OBX-5 looks like duck"]
)
def test_conditions_that_ask_something_else_are_refused(text: str) -> None:
    with pytest.raises(MapError):
        read_condition(text, "x.yaml:1")
