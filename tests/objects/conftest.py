from __future__ import annotations

from pathlib import Path

import pytest

from engine.security.keys import Keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "hub.key", existing_data=False)
