"""The only place that asks what time it is, so that everything else can be told."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["iso", "now_ms"]


def now_ms() -> int:
    """Return the time as milliseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000_000


def iso(ms: int) -> str:
    """Write milliseconds since the epoch as a FHIR instant in UTC, e.g. `2026-05-01T14:10:00.123Z`."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
