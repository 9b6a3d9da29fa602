"""Fixtures of the listener tests; what they are made of is in listener_bench.py."""

from __future__ import annotations

import pytest
from listener_bench import Bench, MakeBench


@pytest.fixture
def make_bench() -> MakeBench:
    """Make a port under test: `make_bench(AckSettings(...), frame_seconds=5)`."""
    return MakeBench()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """A port under test with default settings."""
    return make_bench()
