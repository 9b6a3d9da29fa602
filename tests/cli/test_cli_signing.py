"""`hub key signing`: what it makes, says and never prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.signing import signing_keys


def test_keys_are_made_renewed_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("console: {proxy: 'https://hub.example'}\n")
    assert signing_keys(tmp_path, at_once=False, show=True) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": []}
    assert signing_keys(tmp_path, at_once=False, show=False) == 0
    first = capsys.readouterr().out
    assert "https://hub.example/.well-known/jwks.json" in first and "24 hours" not in first
    assert signing_keys(tmp_path, at_once=False, show=False) == 0
    assert "24 hours" in capsys.readouterr().out
    signing_keys(tmp_path, at_once=False, show=True)
    keys = json.loads(capsys.readouterr().out)["keys"]
    assert [key["alg"] for key in keys] == ["RS384", "ES384", "RS384", "ES384"]
    assert not any("d" in key for key in keys)
