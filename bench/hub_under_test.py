"""A hub for a benchmark: any checkout, in a fresh project of its own, with its processes measured.

In: a checkout (default: this one), settings for config.yaml, which parts to start. Out: the running hub, the
CPU seconds and memory of each of its processes, the size of its files, and fsync of the disk below it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).resolve().parents[1]
_TICK = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def fsync_times(folder: Path, rounds: int = 300) -> tuple[float, float]:
    """Return the median and the 99th percentile of writing 1.3 KB and fdatasync, in milliseconds."""
    path = folder / "fsync.probe"
    times = []
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(rounds):
            begun = time.perf_counter()
            os.write(handle, b"x" * 1300)
            os.fdatasync(handle)
            times.append((time.perf_counter() - begun) * 1000)
    finally:
        os.close(handle)
        path.unlink()
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]


@dataclass(slots=True)
class Usage:
    """CPU seconds and resident megabytes of one process."""

    cpu: float
    rss: int


@dataclass
class HubUnderTest:
    """One start of `hub serve`; use it in a `with`."""

    checkout: Path = HERE
    parts: str = "listeners,workers"
    settings: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    dicom_port: int = 0
    deliver: str = ""  # what follows `deliver:` in lab_oru.yaml

    def __enter__(self) -> HubUnderTest:
        self.root = Path(tempfile.mkdtemp(prefix="hub-bench-", dir=self.folder))
        for name in ("mappings", "terminology", "channels"):
            shutil.copytree(self.checkout / name, self.root / name)
        self.port = free_port()
        for path in (self.root / "channels").glob("*.yaml"):
            port = self.port if path.name == "lab_oru.yaml" else free_port()
            text = re.sub(r"(mllp|http): \{port: \d+", rf"\1: {{port: {port}", path.read_text())
            if self.deliver and path.name == "lab_oru.yaml":
                text += f"\ndeliver: {self.deliver}\n"
            path.write_text(re.sub(r"port:     11112\b", f"port: {self.dicom_port or free_port()}", text))
        lines = {"hub": "Bench", "disk_reserve_mb": "0", "console": f"{{listen: '127.0.0.1:{free_port()}'}}"}
        if "load_shipped" in (self.checkout / "engine/kernel/config.py").read_text():  # not while we measure
            lines["terminology"] = "{load_shipped: false}"
        text = "".join(f"{key}: {value}\n" for key, value in (lines | self.settings).items())
        (self.root / "config.yaml").write_text(text)
        self.prepared(self.root)
        self.log = (self.root / "serve.log").open("wb")
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", "serve", "--only", self.parts],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.checkout)},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        while not re.search(rb"\bready in", (self.root / "serve.log").read_bytes()):
            if self.process.poll() is not None or time.perf_counter() - begun > 60:
                raise RuntimeError((self.root / "serve.log").read_text())
            time.sleep(0.01)
        self.started_in = time.perf_counter() - begun
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.log.close()
            shutil.rmtree(self.root)

    def prepared(self, root: Path) -> None:
        """Do what is to be done in the project before the hub starts."""

    def usage(self) -> dict[str, Usage]:
        """Return what every process has used so far, by name."""
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = {}
        for pid in task:
            stat = Path(f"/proc/{pid}/stat").read_text()
            name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            cpu = (int(fields[11]) + int(fields[12])) / _TICK
            name = name.removeprefix("hub ")
            found[name if name not in found else f"{name} {pid}"] = Usage(cpu, pages * 4096 >> 20)
        return found

    def stored(self) -> int:
        """Return the bytes of the databases, without the logs that are written over and over."""
        data = self.root / "var"
        return sum(path.stat().st_size for path in data.glob("*.db"))


def report(name: str, **figures: object) -> None:
    """Print one line of JSON for a machine and a person."""
    print(
        json.dumps(
            {"bench": name} | {k: round(v, 2) if isinstance(v, float) else v for k, v in figures.items()}
        ),
        flush=True,
    )
