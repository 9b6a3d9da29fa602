"""A generated 500 MB 835 in one transaction set: read claim by claim in less than 200 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[3] / "bench/x12_remittance.py"


@pytest.mark.soak
def test_a_long_835_needs_little_memory() -> None:
    told = subprocess.run([sys.executable, BENCH, "--mb", "500"], capture_output=True, check=True, text=True)
    result = json.loads(told.stdout)
    assert result["mb"] >= 500
    assert result["claims"] > 1_000_000
    assert result["rss_mb"] < 200
