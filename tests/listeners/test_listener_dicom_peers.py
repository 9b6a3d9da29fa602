"""dcmtk against a node: its tools send, query, move and get, in every transfer syntax they can make."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pydicom
import pytest
from dicom_node import CT, EXPLICIT, IMPLICIT, Memory, bundled, serving, until
from pydicom.dataset import Dataset

TOOLS = ("echoscu", "dcmsend", "storescu", "findscu", "movescu", "getscu", "storescp", "dcmconv", "dcmcrle")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(
        bool(MISSING), reason=f"PEERS NOT INSTALLED: {', '.join(MISSING)}: tests/peers/install"
    ),
]
# without it dcmtk waits for a delayed ACK with every object
ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}


def run(*command: str | Path, good: bool = True) -> str:
    done = subprocess.run(
        [str(c) for c in command], env=ENVIRONMENT, capture_output=True, timeout=120, check=False
    )
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert (done.returncode == 0) is good, said
    return said


def address(node) -> tuple[str, ...]:
    return ("-aet", "CT01", "-aec", "HUB", "127.0.0.1", str(node.port))


def test_echo_and_a_title_that_is_not_ours():
    with serving() as (node, _):
        run("echoscu", *address(node))
        run("echoscu", "-aec", "OTHER", "127.0.0.1", str(node.port), good=False)


SYNTAXES = {
    "-xi": ("dcmconv", "+ti"),
    "-xe": ("dcmconv", "+te"),
    "-xb": ("dcmconv", "+tb"),
    "-xd": ("dcmconv", "+td"),
    "-xr": ("dcmcrle",),
    "-xs": ("dcmcjpeg", "+e1"),
    "-xt": ("dcmcjpls",),
}


@pytest.mark.parametrize("proposed", SYNTAXES)
def test_every_transfer_syntax_it_can_make(proposed: str, tmp_path: Path):
    made = tmp_path / "made.dcm"
    run(*SYNTAXES[proposed], bundled("CT_small.dcm"), made)
    with serving() as (node, services):
        run("storescu", proposed, *address(node), made)
    (kept,) = services.stored
    was = pydicom.dcmread(made)
    assert kept.received.transfer_syntax == was.file_meta.TransferSyntaxUID
    assert kept.received.sop_instance == was.SOPInstanceUID
    assert was.get("PixelData") is not None
    if proposed != "-xd":
        assert was.PixelData[:64] in bytes(kept.data)


def test_dcmsend_sends_compressed_files_as_they_are_and_native_ones_explicit():
    names = (
        "CT_small.dcm",
        "MR_small_implicit.dcm",
        "JPEG2000.dcm",
        "SC_rgb_rle.dcm",
        "JPEGLSNearLossless_16.dcm",
    )
    with serving() as (node, services):
        run("dcmsend", "--decompress-never", *address(node), *(bundled(n) for n in names))
    files = [pydicom.dcmread(bundled(n)) for n in names]
    syntaxes = {d.SOPInstanceUID: str(d.file_meta.TransferSyntaxUID) for d in files}
    kept = {k.received.sop_instance: k.received.transfer_syntax for k in services.stored}
    assert kept == {uid: EXPLICIT if s == IMPLICIT else s for uid, s in syntaxes.items()}


def test_an_object_that_is_refused_is_told(tmp_path: Path):
    with serving(Memory(room=100)) as (node, services):
        said = run("storescu", "-v", *address(node), bundled("CT_small.dcm"), good=False)
        assert "Refused: OutOfResources" in said
        assert services.stored == []


def test_worklist_and_study_queries_in_utf_8():
    found = Dataset()
    found.SpecificCharacterSet, found.PatientName = "ISO_IR 192", "Müller^Jürgen"
    step = Dataset()
    step.Modality, step.ScheduledProcedureStepID = "CT", "SPS1"
    found.ScheduledProcedureStepSequence = [step]
    keys = ("-k", "0008,0005=ISO_IR 192", "-k", "0010,0010=M*", "-k", "(0040,0100)[0].0008,0060=CT")
    with serving(Memory(answers=[found])) as (node, services):
        said = run("findscu", "-W", *address(node), *keys)
        assert "Müller^Jürgen" in said and "SPS1" in said
        said = run("findscu", "-S", *address(node), "-k", "QueryRetrieveLevel=STUDY", "-k", "0010,0010")
        assert "Müller^Jürgen" in said
    assert [a[0] for a in services.asked] == ["worklist", "find"]
    assert services.asked[0][2].ScheduledProcedureStepSequence[0].Modality == "CT"


def test_getscu_is_given_what_is_held(tmp_path: Path):
    services = Memory()
    held = services.hold(bundled("CT_small.dcm"))
    with serving(services) as (node, _):
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={held.study}")
        run("getscu", "-S", *address(node), "-od", tmp_path, *keys)
    (got,) = map(pydicom.dcmread, tmp_path.iterdir())
    assert got.SOPInstanceUID == held.sop_instance
    assert got.PixelData == pydicom.dcmread(bundled("CT_small.dcm")).PixelData


@pytest.mark.parametrize("takes", ["+xa", "+xi"])
def test_movescu_has_objects_sent_to_storescp(tmp_path: Path, takes: str):
    services = Memory()
    held = services.hold(bundled("CT_small.dcm"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    scp = subprocess.Popen(
        ["storescp", "-aet", "VIEWER", takes, "-od", str(tmp_path), str(port)], env=ENVIRONMENT
    )
    try:

        def listens() -> bool:
            echo = ["echoscu", "-q", "-aec", "VIEWER", "127.0.0.1", str(port)]
            return subprocess.run(echo, env=ENVIRONMENT, capture_output=True).returncode == 0

        assert until(listens)
        peers = [{"ae_title": "VIEWER", "host": "127.0.0.1", "port": port}]
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={held.study}")
        with serving(services, peers=peers) as (node, _):
            run("movescu", "-S", *address(node), "-aem", "VIEWER", *keys)
            run("movescu", "-S", *address(node), "-aem", "NOBODY", *keys, good=False)
    finally:
        scp.terminate()
        scp.wait(10)
    (got,) = map(pydicom.dcmread, tmp_path.iterdir())
    assert (got.SOPClassUID, got.SOPInstanceUID) == (CT, held.sop_instance)
    assert (got.file_meta.TransferSyntaxUID == IMPLICIT) is (takes == "+xi")
    assert got.PixelData == pydicom.dcmread(bundled("CT_small.dcm")).PixelData
