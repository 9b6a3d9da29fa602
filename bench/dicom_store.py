"""How many images a second a DICOM node takes, durably, against other systems with the same sender.

python bench/dicom_store.py [--images 200] [--rounds 4] [--associations 1 4] [--only ours dcmtk] [--big 1000]

Sends CT images of 525 KB with dcmtk's dcmsend. The rounds alternate between `hub serve --only dicom`, the
storescp application of pynetdicom, dcmtk's storescp and Orthanc, so that all see the same neighbours; those
that are not installed are left out. Every round sends images of its own: no system is given one twice.
`--big` sends one multi-frame image of so many megabytes to ours and says how much memory the process had at
most.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_under_test import HubUnderTest, free_port, fsync_times, report
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.3"
# without it dcmtk waits for a delayed ACK with every image: 22 a second
QUICK = os.environ | {"TCP_NODELAY": "1"}
_TICK = os.sysconf("SC_CLK_TCK")
_ROOT = "2.25.1462"


@dataclass
class Scp:
    """A system under test: its port and the process that works."""

    name: str
    port: int
    pid: int
    title: str

    def cpu(self) -> float:
        """Return the CPU seconds of the process and its ended children."""
        text = Path(f"/proc/{self.pid}/stat").read_text()
        return sum(map(int, text[text.rindex(")") + 2 :].split()[11:15])) / _TICK

    def most_memory(self) -> int:
        """Return the most megabytes it had in memory."""
        said = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+)", said)
        return int(found[1]) >> 10 if found else 0


def image(number: int, study: str, pixels: bytes) -> Dataset:
    """Make one CT image of 512 x 512."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT, f"{study}.{number + 1}"
    ds.StudyDate, ds.StudyTime, ds.Modality = "20260105", "101500", "CT"
    ds.AccessionNumber, ds.PatientName, ds.PatientID = "BENCH1", "BENCH^IMAGES", "BENCH"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.0"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", "1", str(number + 1)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = 512
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels
    return _as_file(ds)


def _as_file(ds: Dataset) -> Dataset:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def make_images(folder: Path, count: int, serial: int, parts: int) -> list[Path]:
    """Make images that nobody has; one folder for each association."""
    study = f"{_ROOT}.{serial}"
    folders = [folder / str(n) for n in range(parts)]
    for one in folders:
        one.mkdir(parents=True)
    noise = os.urandom(512 * 512 * 2 + count)  # pixels of no two images are the same, none compress
    for number in range(count):
        pixels = noise[number : number + 512 * 512 * 2]
        image(number, study, pixels).save_as(
            folders[number % parts] / f"{number}.dcm", enforce_file_format=True
        )
    return folders


def make_big(path: Path, megabytes: int, serial: int) -> None:
    """Write a multi-frame image without having it in memory."""
    ds = image(0, f"{_ROOT}.{serial}", b"")
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MULTIFRAME
    ds.NumberOfFrames = str(megabytes * 2)
    del ds.PixelData
    ds.save_as(path, enforce_file_format=True)
    frame = os.urandom(512 * 512 * 2)
    with path.open("ab") as f:
        f.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, megabytes * 2 * len(frame)))
        for _ in range(megabytes * 2):
            f.write(frame)


def send(scp: Scp, folders: list[Path]) -> float:
    """Send each folder over an association of its own, all at once; return the seconds."""
    command = ["dcmsend", "-q", "+sd", "+r", "-aet", "CT01", "-aec", scp.title, "127.0.0.1", str(scp.port)]
    begun = time.perf_counter()
    senders = [subprocess.Popen([*command, str(folder)], env=QUICK) for folder in folders]
    failed = [s.wait() for s in senders]
    took = time.perf_counter() - begun
    if any(failed):
        raise RuntimeError(f"{scp.name}: dcmsend ended with {failed}")
    return took


def listening(port: int, title: str) -> bool:
    """Say whether a C-ECHO is answered."""
    command = ["echoscu", "-q", "-aec", title, "127.0.0.1", str(port)]
    return subprocess.run(command, env=QUICK, capture_output=True).returncode == 0


@contextmanager
def process(name: str, command: list[str], port: int, title: str) -> Iterator[Scp]:
    """Run another system until it answers."""
    child = subprocess.Popen(command, env=QUICK, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not listening(port, title):
            if child.poll() is not None:
                raise RuntimeError(f"{name} did not start")
            time.sleep(0.1)
        yield Scp(name, port, child.pid, title)
    finally:
        child.terminate()
        child.wait(30)


@contextmanager
def ours(folder: Path) -> Iterator[Scp]:
    """Run this hub."""
    port = free_port()
    with HubUnderTest(parts="dicom", folder=folder, dicom_port=port) as hub:
        task = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text().split()
        pid = next(int(p) for p in task if "dicom" in Path(f"/proc/{p}/comm").read_text())
        yield Scp("hub", port, pid, "HUB")


@contextmanager
def pynetdicom(folder: Path) -> Iterator[Scp]:
    """Run the storescp application of pynetdicom."""
    port = free_port()
    out = folder / "pynetdicom"
    command = [
        sys.executable,
        "-m",
        "pynetdicom",
        "storescp",
        str(port),
        "-q",
        "-aet",
        "PYNET",
        "-od",
        str(out),
    ]
    with process("pynetdicom storescp", command, port, "PYNET") as scp:
        yield scp


@contextmanager
def dcmtk(folder: Path) -> Iterator[Scp]:
    """Run dcmtk's storescp, a process for each association."""
    port = free_port()
    out = folder / "dcmtk"
    out.mkdir()
    command = ["storescp", "--fork", "-B", "-aet", "DCMTK", "-od", str(out), str(port)]
    with process("dcmtk storescp", command, port, "DCMTK") as scp:
        yield scp


@contextmanager
def orthanc(folder: Path) -> Iterator[Scp]:
    """Run Orthanc with its SQLite index."""
    port, out = free_port(), folder / "orthanc"
    out.mkdir()
    settings: dict[str, Any] = {
        "StorageDirectory": str(out),
        "IndexDirectory": str(out),
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    binary = shutil.which("Orthanc", path=os.environ["PATH"] + ":/usr/sbin")
    with process("Orthanc", [str(binary), str(folder / "orthanc.json")], port, "ORTHANC") as scp:
        yield scp


SYSTEMS = {"ours": ours, "pynetdicom": pynetdicom, "dcmtk": dcmtk, "orthanc": orthanc}


def installed(name: str) -> bool:
    """Say whether a system is here."""
    program = {"dcmtk": "storescp", "orthanc": "Orthanc"}.get(name, "dcmsend")
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") is not None


def measure_big(folder: Path, megabytes: int) -> None:
    """Send one image of many megabytes to ours."""
    source = folder / "big"
    source.mkdir()
    make_big(source / "big.dcm", megabytes, 999_999)
    with ours(folder) as scp:
        before = scp.most_memory()
        took = send(scp, [source])
        report(
            "dicom big",
            megabytes=megabytes,
            mb_per_second=megabytes / took,
            rss_before_mb=before,
            rss_most_mb=scp.most_memory(),
        )


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--images", type=int, default=200)
    ask.add_argument("--rounds", type=int, default=4)
    ask.add_argument("--associations", type=int, nargs="+", default=[1, 4])
    ask.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    ask.add_argument("--big", type=int, default=0, help="megabytes of one image; nothing else is measured")
    given = ask.parse_args()
    if shutil.which("dcmsend") is None:
        sys.exit("dcmsend is not installed: apt-get install dcmtk")
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as name:
        folder = Path(name)
        p50, p99 = fsync_times(folder)
        report("fsync", p50_ms=p50, p99_ms=p99)
        if given.big:
            measure_big(folder, given.big)
            return
        figures: dict[tuple[str, int], list[tuple[float, float, int]]] = {}
        serial = 0
        for _ in range(given.rounds):
            for system in filter(installed, given.only):
                serial += 1
                (here := folder / f"r{serial}").mkdir()
                with SYSTEMS[system](here) as scp:
                    send(scp, make_images(here / "warm", 10, serial * 100, 1))
                    for number in given.associations:
                        images = make_images(here / f"a{number}", given.images, serial * 100 + number, number)
                        before = scp.cpu()
                        took = send(scp, images)
                        kept = figures.setdefault((scp.name, number), [])
                        kept.append((given.images / took, scp.cpu() - before, scp.most_memory()))
                shutil.rmtree(here)
        for (scp_name, number), rows in figures.items():
            rates = [rate for rate, _, _ in rows]
            report(
                "dicom store",
                scp=scp_name,
                associations=number,
                per_second=statistics.median(rates),
                best=max(rates),
                mb_per_second=statistics.median(rates) * 0.525,
                cpu_s=min(cpu for _, cpu, _ in rows),
                rss_most_mb=max(memory for _, _, memory in rows),
            )


if __name__ == "__main__":
    main()
