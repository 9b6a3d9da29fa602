"""A whole hub against systems that nobody here wrote: dcmtk, Orthanc as a DICOM node and as a web client."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from hub_process import Hub, free_ports, send, wait_for
from imaging_systems import Modality, registered, step_of
from real_peers import Orthanc, ct, run

pytestmark = [pytest.mark.peers, pytest.mark.usefixtures("dicom_peers")]

ORDER = (
    "MSH|^~\\&|RIS|NORTH|HUB|CDR|20261121080000-0500||OMI^O23^OMI_O23|OR1|P|2.5.1|||||||UNICODE UTF-8\r"
    "PID|1||78^^^NORTH^MR||MÜLLER^JÜRGEN||19700101|M\r"
    "ORC|NW|P2^EHR\r"
    "TQ1|1||||||20261121100000-0500||R\r"
    "OBR|1|P2^EHR||24627-2^CT chest^LN\r"
    "IPC|AC78^RIS|RP2^RIS||SPS2^RIS|CT^Computed tomography^DCM|||CT01\r"
).encode()


class Site:
    """A hub with a node and its web side, and an Orthanc that knows it."""

    def __init__(self, folder: Path) -> None:
        (folder / "hub").mkdir()
        (folder / "orthanc").mkdir()
        self.node, self.orders, web, port, http = free_ports(5)
        self.web = f"http://127.0.0.1:{web}/dicomweb"
        self.hub = Hub(
            folder / "hub",
            parts="listeners,workers,dicom,console",
            console=f'{{listen: "127.0.0.1:{web}"}}',
        )
        self.hub.channel(
            "imaging",
            f"channel: imaging\nreceive:\n  dicom:\n    port: {self.node}\n    ae_title: HUB\n"
            "    quiet_seconds: 0.2\n    issuers: {patient: NORTH, accession: RIS}\n"
            "    others: [store, find, retrieve, worklist, mpps]\n"
            f"    peers: [{{ae_title: ORTHANC, host: 127.0.0.1, port: {port}}}]\n",
            0,
        )
        self.hub.channel(
            "orders",
            "channel: orders\nreceive:\n  mllp: {port: 1}\nsender: any\naccept:\n  - {type: OMI^O23}\n",
            self.orders,
        )
        self.hub.start()
        self.token = (folder / "hub/var/token").read_text().strip()
        self.orthanc = Orthanc(folder / "orthanc", port, http, self.node, f"{self.web}/", self.token)

    def get(
        self, path: str, accept: str = "application/dicom+json", data: bytes | None = None, type_: str = ""
    ) -> Any:
        """Ask DICOMweb, as curl does: Basic authentication."""
        basic = base64.b64encode(f"curl:{self.token}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Accept": accept} | (
            {"Content-Type": type_} if type_ else {}
        )
        request = urllib.request.Request(self.web + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()

    def json(self, path: str) -> Any:
        """Ask DICOMweb for JSON."""
        return json.loads(self.get(path)[2])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("peers"))
    yield site
    site.hub.kill()


def test_echoscu(site: Site) -> None:
    done = run("echoscu", "-aet", "CT01", "-aec", "HUB", "127.0.0.1", str(site.node))
    assert done.returncode == 0, done.stderr
    refused = run("echoscu", "-aet", "CT01", "-aec", "NOBODY", "127.0.0.1", str(site.node))
    assert refused.returncode != 0 and "Called AE Title Not Recognized" in refused.stderr


def test_dcmsend_and_what_findscu_then_finds(site: Site, tmp_path: Path) -> None:
    files = ct(tmp_path, 50, "SEND^FIFTY")
    done = run("dcmsend", "-v", "-nuc", "-aet", "CT01", "-aec", "HUB", "127.0.0.1", str(site.node), *files)
    assert re.search(r"with status SUCCESS\s*: 50", done.stdout + done.stderr)
    asked = run(
        *("findscu", "-S", "-aet", "CT01", "-aec", "HUB", "127.0.0.1", str(site.node)),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=SEND*", "-k", "NumberOfStudyRelatedInstances"),
    )
    assert "[50" in asked.stdout + asked.stderr


@pytest.mark.parametrize(
    ("name", "transcode", "propose"),
    [
        ("implicit", ["dcmconv", "+ti"], "-xi"),
        ("explicit little endian", ["dcmconv", "+te"], "-xe"),
        ("explicit big endian", ["dcmconv", "+tb"], "-xb"),
        ("deflated", ["dcmconv", "+td"], "-xd"),
        ("RLE", ["dcmcrle"], "-xr"),
        ("JPEG lossless", ["dcmcjpeg", "+e1"], "-xs"),
        ("JPEG baseline", ["dcmcjpeg", "+eb"], "-xy"),
        ("JPEG-LS lossless", ["dcmcjpls"], "-xt"),
    ],
)
def test_every_transfer_syntax_that_dcmtk_writes_is_kept_as_sent(
    site: Site, tmp_path: Path, name: str, transcode: list[str], propose: str
) -> None:
    (plain,) = ct(tmp_path, 1, f"TS^{name.upper()}")
    made = tmp_path / "made.dcm"
    assert run(*transcode, plain, made).returncode == 0
    assert run("dcmodify", "-nb", "-gin", made).returncode == 0
    sent = run("storescu", propose, "-aet", "CT01", "-aec", "HUB", "127.0.0.1", str(site.node), made)
    assert sent.returncode == 0, sent.stderr
    from pydicom import dcmread

    wanted = dcmread(made)
    where = f"/studies/{wanted.StudyInstanceUID}/series/{wanted.SeriesInstanceUID}"
    where += f"/instances/{wanted.SOPInstanceUID}"
    _, _, body = site.get(where, 'multipart/related; type="application/dicom"; transfer-syntax=*')
    begin = body.index(b"DICM") - 128
    end = body.rindex(b"\r\n--")
    (tmp_path / "back.dcm").write_bytes(body[begin:end])
    back = dcmread(tmp_path / "back.dcm")
    assert back.file_meta.TransferSyntaxUID == wanted.file_meta.TransferSyntaxUID
    assert back == wanted and back.PixelData == wanted.PixelData


def test_findscu_asks_for_a_worklist_with_an_umlaut(site: Site) -> None:
    assert "AA" in send(site.hub.ports["adt"], registered("78", "MÜLLER^JÜRGEN", "19700101", "M"))[0]
    assert "AA" in send(site.orders, ORDER)[0]
    site.hub.drained()
    asked: list[str] = []

    def found() -> bool:
        done = run(
            *("findscu", "-W", "-aet", "CT01", "-aec", "HUB", "127.0.0.1", str(site.node)),
            *("-k", "0008,0005=ISO_IR 192", "-k", "0010,0010=M*", "-k", "0010,0020", "-k", "0020,000d"),
            *("-k", "0008,0050", "-k", "(0040,0100)[0].0008,0060=CT"),
            *("-k", "(0040,0100)[0].0040,0002=20261101-20261130", "-k", "(0040,0100)[0].0040,0009"),
        )
        asked.append(done.stdout + done.stderr)
        return "AC78" in asked[-1]

    wait_for(found, "the order is on no worklist")
    assert "MÜLLER^JÜRGEN" in asked[-1] and "SPS2" in asked[-1]


def test_a_performed_step_that_has_ended_stays(site: Site) -> None:
    with Modality(site.node, "MR01") as scanner:
        (item,) = scanner.worklist(PatientID="78")
        assert scanner.begin("1.2.840.99999.7", step_of(item)) == 0x0000
        assert scanner.end("1.2.840.99999.7") == 0x0000
        assert scanner.end("1.2.840.99999.7") == 0x0110


def test_orthanc_pushes_and_wants_it_committed(site: Site, tmp_path: Path) -> None:
    with site.orthanc.running() as orthanc:
        for file in ct(tmp_path, 10, "PUSH^TEN"):
            orthanc.ask("/instances", raw=file.read_bytes())
        (study,) = orthanc.ask("/studies")
        pushed = orthanc.ask("/modalities/node/store", {"Resources": [study], "Synchronous": True})
        assert (pushed["InstancesCount"], pushed["FailedInstancesCount"]) == (10, 0)
        asked = orthanc.ask("/modalities/node/storage-commitment", {"Resources": [study]})
        until = time.monotonic() + 30
        while (answer := orthanc.ask(f"/storage-commitment/{asked['ID']}"))["Status"] == "Pending":
            assert time.monotonic() < until, "no answer to the storage commitment"
            time.sleep(0.1)
        assert answer["Status"] == "Success" and len(answer["Success"]) == 10 and not answer["Failures"]


def test_orthanc_is_a_web_client_of_ours(site: Site, tmp_path: Path) -> None:
    (file,) = ct(tmp_path, 1, "WEB^CLIENT")
    with site.orthanc.running() as orthanc:
        sent = orthanc.ask("/instances", raw=file.read_bytes())
        stored = orthanc.ask(
            "/dicom-web/servers/hub/stow", {"Resources": [sent["ParentStudy"]], "Synchronous": True}
        )
        assert stored["InstancesCount"] == "1" or stored.get("InstancesCount") == 1
        found = orthanc.ask(
            "/dicom-web/servers/hub/qido", {"Uri": "/studies", "Arguments": {"PatientName": "WEB*"}}
        )
        assert len(found) == 1
        request = urllib.request.Request(
            f"http://127.0.0.1:{orthanc.http}/patients/{sent['ParentPatient']}", method="DELETE"
        )
        urllib.request.urlopen(request, timeout=30).close()
        (ours,) = site.json("/studies?PatientName=WEB*")
        study = ours["0020000D"]["Value"][0]
        back = orthanc.ask("/dicom-web/servers/hub/retrieve", {"Resources": [{"Study": study}]})
        assert int(back["ReceivedInstancesCount"]) == 1
        (instance,) = orthanc.ask("/instances")
        with urllib.request.urlopen(
            f"http://127.0.0.1:{orthanc.http}/instances/{instance}/file", timeout=30
        ) as got:
            (tmp_path / "got.dcm").write_bytes(got.read())
    from pydicom import dcmread

    assert dcmread(tmp_path / "got.dcm").PixelData == dcmread(file).PixelData


def test_curl_stores_searches_and_retrieves(site: Site, tmp_path: Path) -> None:
    files = ct(tmp_path, 5, "CURL^FIVE")
    body = b"".join(
        b"--b1\r\nContent-Type: application/dicom\r\n\r\n" + f.read_bytes() + b"\r\n" for f in files
    )
    kind = 'multipart/related; type="application/dicom"; boundary=b1'
    status, _, answer = site.get("/studies", data=body + b"--b1--\r\n", type_=kind)
    assert status == 200 and len(json.loads(answer)["00081199"]["Value"]) == 5
    (study,) = site.json("/studies?PatientName=CURL*&includefield=00081030&limit=5")
    uid = study["0020000D"]["Value"][0]
    assert study["00080061"]["Value"] == ["CT"] and study["00201208"]["Value"] == [5]
    status, headers, whole = site.get(f"/studies/{uid}", 'multipart/related; type="application/dicom"')
    assert status == 200 and headers.get_content_type() == "multipart/related"
    assert all(f.read_bytes() in whole for f in files)  # what was stored by HTTP is kept byte for byte
    assert len(site.json(f"/studies/{uid}/metadata")) == 5
