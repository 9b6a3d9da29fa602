"""How long orders that went out may be without an answer or a result: the rules of `alerts: orders:`.

In: the settings, an order, how far it is. Out: whether it is late, by the first line that fits it, and what
is missing. Raises ConfigError where a time cannot be read or a line watches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.channels.alerts import duration_ms
from engine.channels.orders.standing import UNANSWERED, WAITED_FOR, Late, after
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError

__all__ = ["Patience", "late_by", "late_of", "patience_of"]


@dataclass(frozen=True, slots=True)
class Patience:
    """One line. Times in ms; None: not watched."""

    to: str
    priority: str
    answered: int | None
    resulted: int | None
    say: str
    urgent: bool

    def fits(self, destination: str, order: Mapping[str, Any]) -> bool:
        """Say whether a line is about an order."""
        return destination == self.to and self.priority in ("", order.get("priority") or "routine")


def patience_of(config: Config) -> tuple[Patience, ...]:
    """Read the lines."""
    where = config.at("alerts.orders")
    lines = []
    for one in config.alerts.orders:
        if not one.answered and not one.resulted:
            raise ConfigError(
                "alerts: orders: a line watches nothing",
                where=where,
                remedy="write `answered: 30 minutes`, `resulted: 24 hours`, or both",
            )
        answered = duration_ms(one.answered, where) if one.answered else None
        resulted = duration_ms(one.resulted, where) if one.resulted else None
        lines.append(Patience(one.to, one.priority, answered, resulted, one.say, one.urgent))
    return tuple(lines)


def late_by(
    lines: Sequence[Patience], destination: str, order: Mapping[str, Any], state: str, age: int
) -> tuple[Patience, str] | None:
    """Return the line that an order is late by, and what is missing: `answer` or `result`; None: in time."""
    line = next((one for one in lines if one.fits(destination, order)), None)
    if line is None or state not in WAITED_FOR:
        return None
    if state in UNANSWERED and line.answered is not None and age >= line.answered:
        return line, "answer"
    if line.resulted is not None and age >= line.resulted:
        return line, "result"
    return None


def late_of(config: Config, otherwise: int) -> Late:
    """Say which orders are overdue: by the line that fits one, else after a time in ms."""
    lines, plain = patience_of(config), after(otherwise)

    def late(destination: str, order: Mapping[str, Any], state: str, age: int) -> bool:
        if any(one.fits(destination, order) for one in lines):
            return late_by(lines, destination, order, state, age) is not None
        return plain(destination, order, state, age)

    return late
