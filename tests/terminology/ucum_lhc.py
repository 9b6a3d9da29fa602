"""Asks NLM's ucum-lhc (tests/node), a second opinion on units in another language."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["lhc"]

NODE = Path(__file__).parents[1] / "node"


def lhc(calls: Sequence[tuple[object, ...]]) -> list[object]:
    """Ask all at once: (number, from, to[, options]) is converted, (code,) is its magnitude and dimension."""
    if shutil.which("node") is None or not (NODE / "node_modules/@lhncbc/ucum-lhc").is_dir():
        if os.environ.get("HUB_NODE_TOOLS"):
            pytest.fail("ucum-lhc is missing: npm ci --prefix tests/node")
        pytest.skip("ucum-lhc NOT ASKED: it is not here; npm ci --prefix tests/node")
    run = subprocess.run(
        ["node", str(NODE / "ucum.js")],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=True,
        cwd=NODE,
        timeout=60,
    )
    out: list[object] = json.loads(run.stdout)
    assert len(out) == len(calls)
    return out
