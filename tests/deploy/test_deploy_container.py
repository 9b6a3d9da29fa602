"""The image and Compose, built and started: `pytest -m soak tests/deploy`. The script says what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("container")


@pytest.mark.soak
def test_the_image_is_built_and_does_its_work(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([SCRIPT, tmp_path / "here"], env=environment, capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0 and "== PROVEN" in done.stdout, done.stdout[-4000:] + done.stderr[-4000:]
    assert not (tmp_path / "here").exists()


def test_without_its_tools_it_says_that_nothing_is_proven(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    for name in ("dirname", "bash", "env"):
        (empty / name).symlink_to(f"/usr/bin/{name}")
    environment = {"PATH": str(empty), "PYTHON": sys.executable}
    done = subprocess.run([SCRIPT, tmp_path / "here"], env=environment, capture_output=True, text=True)
    assert done.returncode == 77 and "NOTHING IS PROVEN" in done.stderr, done.stderr
    assert not (tmp_path / "here").exists()
