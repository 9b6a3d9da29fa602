"""A hub of its own for a test, killed at its end whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_process import Hub


@pytest.fixture
def make_hub(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    """Make hubs in folders of their own."""
    made: list[Hub] = []

    def maker(**options: Any) -> Hub:
        folder = tmp_path / f"hub{len(made)}"
        folder.mkdir()
        made.append(Hub(folder, **options))
        return made[-1]

    yield maker
    for hub in made:
        hub.kill()
