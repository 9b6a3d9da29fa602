"""The bench that tests of a destination's queue share; its parameter is what stands beside the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project, shipped_maps
from notebook import known
from sending_bench import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A channel of results that delivers to a notebook."""
    more = getattr(request, "param", "")
    root = make_project(tmp_path / "p")
    path = root / "channels/lab_oru.yaml"
    path.write_text(path.read_text() + f"\ndeliver:\n  book: {{notebook: {{page: a}}{more}}}\n")
    with known(monkeypatch) as book:
        hub = Hub.open(root, shipped_maps())
        yield Bench(hub, book)
        hub.close()
