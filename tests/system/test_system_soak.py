"""A hub under a steady load keeps its memory, its open files, the size of what it writes (`bench/soak.py`).

CI says `HUB_SOAK_MINUTES=10`; the run is nearly all waiting, and begins before all other tests so that it
ends before they do (tests/conftest.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hub_process import ROOT


def test_nothing_grows_without_end(tmp_path: Path) -> None:
    minutes = os.environ.get("HUB_SOAK_MINUTES", "0.5")
    every = max(3.0, float(minutes) * 60 / 20)
    how = ["--minutes", minutes, "--rate", "4", "--every", str(every), "--no-pace", "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "bench/soak.py", *how],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, (done.stdout.splitlines() or [""])[-1] + done.stderr[-2000:]
