"""The channel tests that ship pass; and each word of `expect` says what differs when it does."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from engine.channels.definition import Channel, load_channels
from engine.channels.delivering.rules import Rule
from engine.channels.delivering.when import read_condition
from engine.channels.test_files import ChannelResult, run_channel_tests
from engine.kernel.errors import ConfigError
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


@cache
def channels() -> list[Channel]:
    """The shipped channels; results that are final go to an archive, too."""
    archive = Rule(
        "lab_oru.archive", "file", "original", types=("ORU^R01",), when=read_condition("OBX-11 = F", "")
    )
    return [replace(c, deliver=(archive,)) if c.name == "lab_oru" else c for c in load_channels(ROOT)]


def test_shipped_tests_pass() -> None:
    results = list(run_channel_tests(ROOT, maps(), channels()))
    assert len(results) > 5
    assert [(r.place, r.differences) for r in results if r.differences] == []


def run(tmp_path: Path, test: str, accept: bool = False) -> ChannelResult:
    (tmp_path / "channels").mkdir(exist_ok=True)
    samples = tmp_path / "sample_messages"
    if not samples.exists():
        samples.symlink_to(ROOT / "sample_messages")
    (tmp_path / "channels/lab.test.yaml").write_text(f"channel: lab_oru\ntests:\n  - {test}\n")
    (result,) = run_channel_tests(tmp_path, maps(), channels(), accept=accept)
    return result


SEND = "send: sample_messages/lab/oru_potassium.hl7"


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("expect: {answer: AA, parked: no}", ""),
        ("expect: {answer: AE}", "answer: expected AE, found AA"),
        ("expect: {Observation.value.value: 4.1}", ""),
        ("expect: {Observation.value.value: 4.10}", "Observation.value.value: expected 4.10, found 4.1"),
        ("expect: {Observation.value: absent}", "Observation.value: expected nothing, found"),
        ("expect: {Condition: set}", "Condition: expected something, found nothing"),
        ("expect: {Observation.count(): 2}", "Observation.count(): expected 2, found 1"),
        ("expect: {DiagnosticReport.result: links to every Observation}", ""),
        (
            "expect: {DiagnosticReport.basedOn: links to every Observation}",
            "DiagnosticReport.basedOn: links to 0 of 1 Observation",
        ),
        (
            "expect: {DiagnosticReport.result: links to every Condition}",
            "DiagnosticReport.result: there is no Condition to link to",
        ),
        (
            "expect: {work_queue: [{kind: unmapped code}]}",
            "work_queue: expected {'kind': 'unmapped code'}, found",
        ),
        ("expect: {delivered: 1}", "delivered: is no word of expect"),
        ("expect: {delivers_to: [archive]}", ""),
        ("expect: {delivers_to: []}", "delivers_to: expected nowhere else, found archive"),
        ("change: {OBX-11: P}, expect: {delivers_to: []}", ""),
        ("expect: {Observation.nothing: 1}", "Observation.nothing"),
        ("change: {MSH-9.1: ZZZ}, expect: {answer: AR}", ""),
        ("change: {MSH-10: ''}, expect: {answer: AE}", ""),
        ("change: {MSH-9: ACK}, expect: {answer: none, parked: no}", ""),
        ("change: {MSH-15: NE}, expect: {answer: none}", ""),
        ("change: {MSH-9.1: QBP}, expect: {answer: AR, parked: refused}", ""),
        ("change: {OBX-11: Q9}, expect: {answer: AA, parked: unmapped code}", ""),
        ("change: {OBX-11: Q9}, expect: {parked: no}", "parked: expected no, found unmapped-code"),
        (
            "change: {OBX-11: Q9}, "
            "expect: {work_queue: [{kind: unmapped code, code: Q9, table: ObservationStatus}]}",
            "",
        ),
        ("change: {OBX-3: 'ZZTOP^Mystery^L'}, expect: {Observation.code.coding.code: ZZTOP}", ""),
        ("change: {OBX-3.1: ZZTOP}, expect: {Observation.code.coding.code: [ZZTOP, K]}", ""),
        ("change: {ZZZ-3: x}, expect: {answer: AA}", "change: ZZZ-3 is not in the message"),
    ],
)
def test_words(tmp_path: Path, test: str, told: str) -> None:
    result = run(tmp_path, f"{{{SEND}, {test}}}")
    if told:
        assert len(result.differences) == 1 and told in result.differences[0]
    else:
        assert result.differences == ()


def test_a_sample_that_is_not_there_is_a_difference(tmp_path: Path) -> None:
    result = run(tmp_path, "{send: sample_messages/nothing.hl7, expect: {answer: AA}}")
    assert "cannot be read" in result.differences[0]


def test_an_expected_file_is_compared_and_accepted(tmp_path: Path) -> None:
    test = f"{{{SEND}, expect_file: whole.json}}"
    assert "run again with --accept" in run(tmp_path, test).differences[0]
    assert run(tmp_path, test, accept=True).accepted == "whole.json"
    assert run(tmp_path, test).differences == ()
    bundle = json.loads((tmp_path / "whole.json").read_text())
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Observation":
            entry["resource"]["status"] = "amended"
    (tmp_path / "whole.json").write_text(json.dumps(bundle))
    (told,) = run(tmp_path, test).differences
    assert told == "Observation[0].status: changed, expected amended, found final"


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (f"{{{SEND}}}", "cannot fail"),
        ("{expect: {answer: AA}}", "needs send"),
        (f"{{{SEND}, pretend: x, expect: {{answer: AA}}}}", "does not know the word 'pretend'"),
    ],
)
def test_a_test_that_cannot_be_run_is_an_error(tmp_path: Path, test: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run(tmp_path, test)


def test_a_channel_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/x.test.yaml").write_text("channel: nowhere\ntests: []\n")
    with pytest.raises(ConfigError, match="there is no channel nowhere"):
        list(run_channel_tests(tmp_path, maps(), channels()))


@pytest.mark.parametrize(
    "path", ["/etc/hostname", "../secret.hl7", "sample_messages/../../x", "/dev/zero", "pipe"]
)
@pytest.mark.parametrize("word", ["send", "expect_file"])
def test_a_test_reads_nothing_but_files_of_the_project(tmp_path: Path, path: str, word: str) -> None:
    if path == "pipe":
        os.mkfifo(tmp_path / "pipe")
    (tmp_path.parent / "secret.hl7").write_text("MSH|^~\\&|secret")
    test = f"send: {path}, expect: {{parked: no}}" if word == "send" else f"{SEND}, expect_file: {path}"
    result = run(tmp_path, f"{{{test}}}")
    assert "cannot be used in a test" in result.differences[0], result
