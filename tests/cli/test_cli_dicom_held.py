"""What is held of imaging, on the command line: lists and copies, over real stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from engine.channels.node.ingest import Ingest
from engine.channels.node.opening import open_imaging
from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
from engine.cli.dicomheld import copy, studies
from engine.kernel.config import load_config
from engine.kernel.errors import HubError
from engine.kernel.imaging import Linked, Peer, Received

HERE = Path(__file__).parents[2]
SAMPLE = (HERE / "sample_messages/dicom/ct_1.dcm").read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A project with one image, and another one under its UID."""
    made = tmp_path / "hub"
    (made / "channels").mkdir(parents=True)
    shutil.copy(HERE / "channels/imaging.yaml", made / "channels")
    for name in ("mappings", "terminology"):
        (made / name).symlink_to(HERE / name)
    (made / "config.yaml").write_text("disk_reserve_mb: 1\n")
    config = load_config(made)
    prepare_folder(config)
    keyring = open_keyring(config)
    journal, imaging = open_journal(config, keyring), open_imaging(config, keyring)
    open_store(config, keyring).close()
    ingest = Ingest(imaging.objects, imaging.index, journal.append)
    for data in (SAMPLE, SAMPLE.replace(b"SAMPLE^WREN", b"SAMPLE^OWLS")):
        said = dcmread(BytesIO(data))
        told = Received(Peer("imaging", "CT01"), said.SOPClassUID, said.SOPInstanceUID, "", is_file=True)
        arriving = ingest.begin(told)
        arriving.write(data)
        assert ingest.store(told, arriving) == 0
    imaging.index.tell(said.StudyInstanceUID, 1, 1, Linked("linked"))
    imaging.close()
    journal.close()
    yield made


def test_other_bytes_are_on_the_list_and_are_written_out_when_asked_for(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = dcmread(BytesIO(SAMPLE)).StudyInstanceUID
    assert studies(root, [], True, 10, False) == 0
    shown = capsys.readouterr().out
    assert study in shown and "other-bytes" in shown
    assert copy(root, study, tmp_path / "held", "a look", False) == 0
    assert [dcmread(p).PatientName for p in sorted((tmp_path / "held").iterdir())] == ["SAMPLE^WREN"]
    assert copy(root, study, tmp_path / "others", "a look", False, True) == 0
    assert [dcmread(p).PatientName for p in sorted((tmp_path / "others").iterdir())] == ["SAMPLE^OWLS"]
    with pytest.raises(HubError, match="nothing came with other bytes"):
        copy(root, "1.2.3", tmp_path / "none", "a look", False, True)
