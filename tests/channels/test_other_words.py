"""Words of a channel for documents, claims, prescriptions: each does something, or is refused in its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.definition import Channel, load_channels
from engine.kernel.errors import ConfigError

WEB = "channel: other\nreceive: {http: {port: 8460, path: /x}}\n"


def channel(root: Path, text: str, head: str = WEB) -> Channel:
    (root / "channels").mkdir(exist_ok=True)
    (root / "channels/other.yaml").write_text(head + text)
    (found,) = load_channels(root)
    return found


def test_what_a_channel_takes(tmp_path: Path) -> None:
    made = channel(tmp_path, "accept: [x12 837P|835, cda, {type: ORU^R01}]")
    assert made.receives is not None
    rules = made.receives.rules
    assert [(t.format, t.kinds) for t in rules.others] == [("x12", ("837P", "835")), ("cda", ())]
    assert rules.v2 and [a.type for a in rules.accept] == ["ORU^R01"]
    alone = channel(tmp_path, "accept: [cda]").receives
    assert alone is not None and not alone.rules.v2
    plain = channel(tmp_path, "").receives
    assert plain is not None and plain.rules.v2 and not plain.rules.others


def test_answers_to_files_go_where_they_are_said_to(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    head = "channel: other\nreceive: {folder: {path: in, pattern: '*.x12'}}\n"
    inside = channel(tmp_path, "accept: [x12]", head).receives
    assert inside is not None and inside.rules.x12.into == str(tmp_path / "in/answers")
    given = channel(tmp_path, "accept: [x12]\nacknowledge: {x12: {into: out/acks}}", head).receives
    assert given is not None and given.rules.x12.into == str(tmp_path / "out/acks")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("accept: [edifact]", "'edifact' is no format"),
        ("accept: [x12 837P,]\nacknowledge: {script: {status: '000'}}", "speaks of ncpdp"),
        ("accept: [cda]\nacknowledge: {x12: {reject: errors}}", "speaks of x12"),
        ("accept: [cda]\nacknowledge: original", "speaks of hl7v2"),
        ("accept: [x12]\nacknowledge: {x12: {reject: some}}", "x12"),
        ("accept: [x12]\nacknowledge: {x12: {into: out}}", "is for files"),
        ("accept: [x12]\nacknowledge: {x13: {}}", "does not know 'x13'"),
        ("accept: [cda]\nstrict: true", "speaks of HL7 v2"),
    ],
)
def test_what_does_nothing_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        channel(tmp_path, text)
    assert told in str(found.value) and found.value.where.startswith("channels/other.yaml:")


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("channel: other\nreceive: {mllp: {port: 2999}}\n", "over MLLP comes HL7 v2 alone"),
        ("channel: other\nreceive: {folder: {path: in}}\n", "which files are taken?"),
    ],
)
def test_ways_in_that_do_not_fit(head: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", "[?]")):
        channel(tmp_path, "accept: [cda]", head)
