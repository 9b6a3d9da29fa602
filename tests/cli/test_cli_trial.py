"""`hub try`, `hub doctor`, `hub demo`: nothing stored, everything said; invented patients map cleanly."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hub_project import Hub, make_project
from typer.testing import CliRunner

from engine.cli.demo import addresses
from engine.cli.doctor import examine
from engine.cli.main import app
from engine.cli.synthetic import admission, patient, result
from engine.cli.trial import try_file
from engine.kernel.errors import ConfigError, FormatError


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("trial") / "project")


def typed(project: Path, *arguments: str) -> Any:
    with contextlib.chdir(project):
        return CliRunner().invoke(app, arguments)


def test_a_trial_gives_resources_and_every_leafs_way(project: Path) -> None:
    (trial,) = try_file(project, project / "sample_messages/lab/oru_potassium.hl7", "lab_oru")
    assert trial.bundle is not None and trial.parked is None and not trial.refused
    assert "Observation" in [e["resource"]["resourceType"] for e in trial.bundle["entry"]]
    way = {m.source: m for m in trial.report.mapped}["OBX[1]-5[1].1"]
    assert way.target == "Observation.valueQuantity.value"
    file, line = re.search(r"\((mappings/\S+\.yaml):(\d+)\)", way.row).groups()  # type: ignore[union-attr]
    assert (project / file).read_text().splitlines()[int(line) - 1].strip()
    assert not (project / "var").exists()  # nothing stored


def test_a_trial_prints_what_it_found(project: Path) -> None:
    sample = "sample_messages/lab/oru_potassium.hl7"
    traced = typed(project, "try", sample, "--channel", "lab_oru", "--trace")
    assert traced.exit_code == 0
    assert re.search(r"OBX\[1\]-5\[1\]\.1\s+Observation\.valueQuantity\.value\s.*\.yaml:\d+", traced.output)
    plain = typed(project, "try", sample, "--channel", "lab_oru")
    assert '"resourceType": "Observation"' in plain.output
    (as_json,) = json.loads(typed(project, "try", sample, "--channel", "lab_oru", "--json").output)
    assert as_json["type"] == "ORU^R01" and as_json["report"]["mapped"]


def test_a_trial_says_what_would_be_parked_or_cannot_be_tried(project: Path, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.hl7"
    unknown.write_bytes(b"MSH|^~\\&|A|B|C|D|20260501||XYZ^X01|1|P|2.5.1\rPID|1||7^^^N^MR\r")
    (trial,) = try_file(project, unknown, "lab_oru")
    assert "no map for XYZ^X01" in trial.refused
    assert typed(project, "try", str(unknown), "--channel", "lab_oru").exit_code == 1
    with pytest.raises(ConfigError, match="Channels are: adt, lab_oru"):
        try_file(project, unknown, "nowhere")
    nothing = tmp_path / "nothing.hl7"
    nothing.write_bytes(b"hello")
    with pytest.raises(FormatError, match="no HL7 message"):
        try_file(project, nothing, "lab_oru")


def test_every_message_of_a_file_is_tried(project: Path) -> None:
    trials = try_file(project, project / "sample_messages/lab/batch_two_results.hl7", "lab_oru")
    assert [t.number for t in trials] == [1, 2]


# -- doctor -----------------------------------------------------------------------------------------------


def test_the_doctor_before_the_first_start(project: Path) -> None:
    found = {(f.topic, f.name): f for f in examine(project)}
    assert found["hub", "root"].value == str(project.resolve())
    assert found["config", "hub"].value.endswith("(config.yaml)")
    assert found["config", "profile"].value == "development (default)"
    assert found["data", "journal"].state == "look"
    assert "is free" in found["ports", "channel lab_oru"].value
    assert not (project / "var").exists()


def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    hub = Hub.open(make_project(tmp_path / "project"))
    hub.take("lab_oru", "lab/oru_potassium")
    hub.receive("lab_oru", hub.sample("lab/oru_rp"), "refused", "not accepted")
    hub.work()
    hub.close()
    found = {(f.topic, f.name): f for f in examine(hub.root)}
    assert found["data", "key file"].state == "ok" and "mode 600" in found["data", "key file"].value
    assert found["data", "journal"].value.startswith("2 entries")
    assert (found["data", "parked"].value, found["data", "parked"].state) == ("1", "look")
    assert typed(hub.root, "doctor").exit_code == 0
    os.chmod(hub.config.key_file, 0o644)
    found = {(f.topic, f.name): f for f in examine(hub.root)}
    assert found["data", "key file"].state == "wrong" and "chmod 600" in found["data", "key file"].remedy
    hub.config.key_file.unlink()
    output = typed(hub.root, "doctor", "--json")
    assert output.exit_code == 1
    wrong = [f for f in json.loads(output.output) if f["state"] == "wrong"]
    assert wrong and not hub.config.key_file.exists()  # a lost key is never made anew


def test_the_doctor_tells_of_a_config_that_cannot_be_read(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    (root / "config.yaml").write_text("hub: X\nworkers: many\n")
    (wrong,) = [f for f in examine(root) if f.state == "wrong"]
    assert "config.yaml:2" in wrong.value and "workers" in wrong.value


def test_the_doctor_shows_no_secret(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "project")
    with (root / "config.yaml").open("a") as file:
        file.write("key: ${secret:DATA_KEY}\njournal: postgresql://hub:tiptop@127.0.0.1:1/hub\n")
    monkeypatch.setenv("HUB_SECRET_DATA_KEY", "very-secret-" * 4)
    text = str(examine(root))
    assert "very-secret" not in text and "tiptop" not in text and "supplied" in text


# -- demo -------------------------------------------------------------------------------------------------


def test_invented_messages_map_without_a_complaint_and_are_valid(project: Path, tmp_path: Path) -> None:
    r, at = random.Random(1), datetime(2026, 5, 1, 8, 30, tzinfo=UTC)
    people = [patient(n) for n in range(15)]
    made = {
        "adt": [admission(who, f"A{who.number}", at) for who in people],
        "lab_oru": [result(who, f"R{who.number}", at, r) for who in people],
    }
    for channel, messages in made.items():
        path = tmp_path / f"{channel}.hl7"
        path.write_bytes(b"".join(messages))
        trials = try_file(project, path, channel)
        assert len(trials) == len(people)
        for trial in trials:
            assert not trial.refused and trial.parked is None
            assert [f for f in trial.flags if f.work or f.code == "invalid"] == []


def test_a_patient_is_always_the_same_person() -> None:
    assert [patient(n) for n in range(50)] == [patient(n) for n in range(50)]
    assert len({(p.family, p.given, p.born) for p in map(patient, range(200))}) == 200


def test_a_demo_knows_the_channels_of_its_project(project: Path) -> None:
    adt, oru = addresses(project)
    assert adt != oru
    text = (project / "channels/adt.yaml").read_text()
    assert adt.rpartition(":")[2] in text  # the channel that may change patients


def test_a_demo_without_a_hub_says_so(project: Path) -> None:
    failed = typed(project, "demo", "--count", "1")
    assert failed.exit_code != 0 and "cannot connect" in str(failed.exception)
