"""What the tests of backups share: the one secret their project asks for."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SECRET_TX", "a token of the terminology server")
