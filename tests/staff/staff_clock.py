"""A clock for tests."""

from __future__ import annotations


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_780_000_000_000

    def __call__(self) -> int:
        return self.ms

    def forward(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        self.ms += int((seconds + 60 * minutes + 3600 * hours) * 1000)
