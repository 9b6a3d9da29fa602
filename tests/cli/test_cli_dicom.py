"""DICOM on the command line: a folder's images become their study; every attribute is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import orjson
import pytest

from engine.channels.message.text import readable
from engine.cli.convert import convert_paths
from engine.cli.parse import parse_paths
from engine.cli.trial import try_file

HERE = Path(__file__).parents[2]
SAMPLES = HERE / "sample_messages/dicom"


def read(path: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for entry in orjson.loads(path.read_bytes())["entry"]:
        found.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return found


def test_images_of_one_study_in_a_folder_become_one_study(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert convert_paths([SAMPLES], out, HERE) == 0
    assert not (out / "ct_2.json").exists()
    (study,) = read(out / "ct_1.json")["ImagingStudy"]
    assert study["numberOfInstances"] == 2
    (other,) = read(out / "us_1.json")["ImagingStudy"]
    assert other["numberOfInstances"] == 1
    step = read(out / "mpps_completed.json")
    assert list(step) == ["Task"]  # what only changes what a receiver has is not sent to it
    report = json.loads((out / "ct_1.report.json").read_text())
    assert (report["source_format"], report["errors"]) == ("dicom", [])


def test_an_image_that_cannot_be_read_costs_its_study_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("ct_1.dcm", "ct_2.dcm"):
        shutil.copy(SAMPLES / name, folder)
    data = (SAMPLES / "ct_2.dcm").read_bytes()
    (folder / "ct_3.dcm").write_bytes(data[:-100])  # it ends within an attribute
    out = tmp_path / "out"
    assert convert_paths([folder], out, HERE) == 1
    assert "ct_3.dcm" in capsys.readouterr().err
    (study,) = read(next(out.glob("ct_1*1.json" if (out / "ct_1.1.json").exists() else "ct_1.json")))[
        "ImagingStudy"
    ]
    assert study["numberOfInstances"] == 2


def test_a_study_converts_alike_in_whatever_order_its_files_are_named(tmp_path: Path) -> None:
    made = []
    for n, names in enumerate((("ct_1.dcm", "ct_2.dcm"), ("ct_2.dcm", "ct_1.dcm"))):
        out = tmp_path / str(n)
        assert convert_paths([SAMPLES / name for name in names], out, HERE) == 0
        (bundle,) = [p for p in out.glob("*.json") if not p.name.endswith(".report.json")]
        made.append(bundle.read_bytes())
    assert made[0] == made[1]


def test_parse_shows_every_attribute_and_gives_the_bytes_back(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert parse_paths([SAMPLES / "ct_1.dcm", SAMPLES / "study_entry.json"], tmp_path) == 0
    image, study = orjson.loads(capsysbinary.readouterr().out)
    assert (image["kind"], image["document_type"], study["kind"]) == ("instance", "CT", "study")
    said = {leaf["place"]: leaf["value"] for leaf in image["leaves"]}
    assert said["/Object/PatientID[1]"] == "100234"
    assert "/Object/PixelData[1]" not in said
    assert (tmp_path / "ct_1.dcm").read_bytes() == (SAMPLES / "ct_1.dcm").read_bytes()


def test_try_shows_what_an_image_would_become(tmp_path: Path) -> None:
    shutil.copy(HERE / "config.yaml", tmp_path)
    for name in ("mappings", "terminology", "channels"):
        shutil.copytree(HERE / name, tmp_path / name)
    (trial,) = try_file(tmp_path, SAMPLES / "ct_1.dcm", "imaging")
    assert (trial.type, trial.refused, trial.parked) == ("dicom CT", "", None)
    assert trial.bundle is not None
    assert trial.bundle["entry"][0]["resource"]["resourceType"] == "ImagingStudy"
    (step,) = try_file(tmp_path, SAMPLES / "mpps_completed.dcm", "imaging")
    assert (step.parked, [f.code for f in step.flags]) == (None, [])


def test_a_message_shown_is_text() -> None:
    shown = readable((SAMPLES / "ct_1.dcm").read_bytes())
    assert "/Object/PatientName[1] = SAMPLE^WREN" in shown
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_doctor_shows_what_is_held_and_no_secret(tmp_path: Path) -> None:
    import shutil

    from engine.channels.definition import load_channels
    from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
    from engine.cli.doctor import examine
    from engine.console.figures import Gauge
    from engine.kernel.config import load_config

    root = tmp_path / "hub"
    (root / "channels").mkdir(parents=True)
    shutil.copy(HERE / "channels/imaging.yaml", root / "channels")
    for name in ("mappings", "terminology"):
        (root / name).symlink_to(HERE / name)
    (root / "config.yaml").write_text(
        "objects: {secret_key: abcdefgh, access_key: ijklmnop}\nterminology: {token: qrstuvwxyz}\n"
    )
    config = load_config(root)
    prepare_folder(config)
    keyring = open_keyring(config)
    open_store(config, keyring).close()
    journal = open_journal(config, keyring)
    gauge = Gauge(load_channels(root), journal, config.core_url)
    assert [c.address for c in gauge.now().channels] == ["dicom://HUB@127.0.0.1:11112"]
    gauge.close()
    journal.close()
    found = examine(root)
    shown = {(f.topic, f.name): f.value for f in found}
    assert shown[("imaging", "held")] == "0 studies, 0 instances"
    assert shown[("imaging", "reconcile")] == "0"
    said = " ".join(f.value for f in found)
    assert not any(secret in said for secret in ("abcdefgh", "ijklmnop", "qrstuvwxyz"))
    assert [f.value for f in found if f.name.endswith("secret_key")] == ["set (config.yaml)"]
