"""A wheel on its own, without a clone: it carries a project, `hub init` writes it, and that one starts and
converts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from hub_process import ROOT, Hub, free_ports, send, wait_for
from system_messages import result

from engine.cli.project import PARTS


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command as a stranger would: nothing of this checkout on the path."""
    bare = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=bare, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Installed(Hub):
    """The installed `hub` in a project that it has written itself."""

    def __init__(self, root: Path, hub: Path) -> None:
        self.root, self.hub, self.parts, self.process = root, hub, "listeners,workers,console", None
        self.log = root / "serve.log"
        web, lab, adt = free_ports(3)
        self.ports = {"lab_oru": lab, "adt": adt}
        for name, port in self.ports.items():
            self.channel(name, (root / f"channels/{name}.yaml").read_text(), port)
        with (root / "config.yaml").open("a") as config:
            config.write(f"console: {{listen: '127.0.0.1:{web}'}}\ndisk_reserve_mb: 0\n")

    def command(self) -> list[str]:
        return ["env", "-u", "PYTHONPATH", str(self.hub), "serve"]


@pytest.mark.soak
def test_a_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("engine/_project/")}
    assert {name.split("/")[2] for name in names} == set(PARTS)
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if n.startswith(("tests/", "bench/", "var/"))]

    venv.create(tmp_path / "env", with_pip=True)
    run(tmp_path / "env/bin/python", "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    hub = tmp_path / "env/bin/hub"
    assert "_project" not in run(hub, "version", cwd=tmp_path)

    empty = tmp_path / "empty"
    empty.mkdir()
    refused = subprocess.run([hub, "serve"], cwd=empty, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    assert "`hub init`" in refused.stderr and list(empty.iterdir()) == []

    assert "next:" in run(hub, "init", "mine", cwd=tmp_path)
    mine = tmp_path / "mine"
    assert {str(p.relative_to(mine)) for p in mine.rglob("*") if p.is_file()} == {
        name.removeprefix("engine/_project/") for name in names
    }
    sample = mine / "sample_messages/lab/oru_potassium.hl7"
    for folder in (mine, empty):  # with a project, and with the maps of the package
        run(hub, "convert", sample, "--out", "out", cwd=folder)
        assert (folder / "out/oru_potassium.json").is_file()

    served = Installed(mine, hub)
    served.start()
    try:
        assert send(served.ports["lab_oru"], result("W1", "1", 1)) == ["AA"]
        wait_for(lambda: "done" in run(hub, "msg", "find", "W1", cwd=mine), "W1 is not worked off")
        address = f"mllp://127.0.0.1:{served.ports['lab_oru']}"
        assert re.search(r"create\s+Observation/", run(hub, "send", sample, "--to", address, cwd=mine))
        assert run(hub, "audit", "verify", cwd=mine).startswith("OK: ")
        assert served.stop() == 0
    finally:
        served.kill()
