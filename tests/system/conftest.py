"""A hub of its own for a test, killed at its end whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_process import Hub


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long forms out unless they are asked for with `-m soak`."""
    if "soak" in config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("soak")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


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
