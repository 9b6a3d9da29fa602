"""Real DICOM systems for tests: dcmtk's programs, and an Orthanc of its own for a test, from Debian.

dcmtk and Orthanc wait 40 ms an image for a delayed acknowledgement unless TCP_NODELAY says otherwise.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


def run(*command: str | Path, patience: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a program of dcmtk."""
    return subprocess.run(
        [str(word) for word in command],
        env=os.environ | {"PATH": PATH, "TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=patience,
    )


def ct(folder: Path, count: int, name: str = "PEER^CT") -> list[Path]:
    """Write small CT images of one study that dcmtk can compress in every way."""
    study, series = generate_uid(), generate_uid()
    out = []
    for n in range(1, count + 1):
        one = Dataset()
        one.SpecificCharacterSet = "ISO_IR 192"
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, generate_uid()
        one.StudyInstanceUID, one.SeriesInstanceUID = study, series
        one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = name, "P1", "19700101", "O"
        one.StudyDate, one.StudyTime, one.AccessionNumber, one.StudyID = "20260501", "120000", "ACC1", "1"
        one.Modality, one.SeriesNumber, one.InstanceNumber = "CT", "1", str(n)
        one.Rows = one.Columns = 32
        one.BitsAllocated = one.BitsStored = 8
        one.HighBit, one.PixelRepresentation, one.SamplesPerPixel = 7, 0, 1
        one.PhotometricInterpretation = "MONOCHROME2"
        one.PixelData = ((np.arange(1024) * n) % 251).astype(np.uint8).tobytes()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{n:03}.dcm"
        one.save_as(path, enforce_file_format=True)
        out.append(path)
    return out


class Orthanc:
    """An Orthanc that knows one node, and its DICOMweb."""

    def __init__(self, folder: Path, port: int, http: int, node: int, web: str, token: str) -> None:
        self.port, self.http, self._folder = port, http, folder
        settings = {
            "Name": "peer",
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": http,
            "DicomPort": port,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "OverwriteInstances": True,
            "Plugins": [PLUGIN],
            "DicomModalities": {
                "node": {
                    "AET": "HUB",
                    "Host": "127.0.0.1",
                    "Port": node,
                    "AllowStorageCommitment": True,
                    "AllowEcho": True,
                    "AllowStore": True,
                }
            },
            "DicomWeb": {
                "Enable": True,
                "Root": "/dicom-web/",
                "Servers": {"hub": {"Url": web, "Username": "orthanc", "Password": token}},
            },
        }
        self._settings = folder / "orthanc.json"
        self._settings.write_text(json.dumps(settings))

    @contextmanager
    def running(self) -> Iterator[Orthanc]:
        """Run it."""
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["Orthanc", str(self._settings)],
                env=os.environ | {"PATH": PATH, "TCP_NODELAY": "1"},
                stdout=log,
                stderr=log,
            )
            try:
                until = time.monotonic() + 30
                while True:
                    assert process.poll() is None and time.monotonic() < until, "Orthanc does not start"
                    with socket.socket() as s:
                        if s.connect_ex(("127.0.0.1", self.http)) == 0:
                            break
                    time.sleep(0.1)
                yield self
            finally:
                process.kill()
                process.wait()

    def ask(self, path: str, body: Any = None, raw: bytes | None = None) -> Any:
        """GET, or POST where there is a body."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
