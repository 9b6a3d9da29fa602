"""Alarms of a channel: `alert:` lines read, and judged by the figures of one moment.

In: the lines of a channel's file, and how the channel is. Out: which alarms are on now. What is remembered of
them (raised once, cleared once, who is told) is in `alarms/`. Texts name channels and counts, no message and
no patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.kernel.alert_settings import AlertLine
from engine.kernel.errors import ConfigError

__all__ = ["Alarm", "AlertRule", "State", "duration_ms", "judge", "read_alert", "rules_for_all", "span_words"]

_TIME = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "year": 31557600}
_OFTEN = {"hourly": 3_600_000, "daily": 86_400_000, "weekly": 604_800_000}
_COUNT = re.compile(r"(held|parked|waiting|unmapped codes) > (\d+)")
_SILENT = re.compile(r"silent for (.+)")
_OLDEST = re.compile(r"oldest waiting > (.+)")
_USUAL = "silent against the usual"
_REMEDY = (
    "write held > 10, waiting > 1000, oldest waiting > 10 minutes, unmapped codes > 0, silent for 2 hours "
    "or silent against the usual"
)
MISSED = 5.0
"""So many messages a silence must have left out, by what the hours bring at the least, to be unusual."""


def duration_ms(text: str, where: str) -> int:
    """Read `30 minutes` or `7 days` as milliseconds. Raises ConfigError."""
    m = re.fullmatch(r"(\d+)\s*(second|minute|hour|day|week|year)s?", text.strip())
    if not m or int(m[1]) < 1:
        raise ConfigError(f"{text!r} is not a time", where=where, remedy="write e.g. 30 minutes or 7 days")
    return int(m[1]) * _TIME[m[2]] * 1000


def span_words(seconds: float) -> str:
    """Write a span of time for a person: `2 hours`, `45 minutes`."""
    for name in ("day", "hour", "minute"):
        count = int(seconds // _TIME[name])
        if count >= (2 if name != "minute" else 1):
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{int(seconds)} second{'' if int(seconds) == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One line of `alert:`. `limit` is a count, or milliseconds."""

    kind: str  # held | waiting | oldest waiting | unmapped codes | silent | unusual silence
    limit: int
    when: str  # as it was written
    say: str = ""
    at_most_ms: int = 0
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What an alarm of one channel is judged by. Times are ms since the epoch."""

    held: int = 0
    waiting: int = 0
    unmapped: int = 0  # messages with a code that no table has, in the last 24 hours
    last: int | None = None  # when its newest message came
    oldest: int | None = None  # when the oldest that waits came
    missed: float = 0.0  # messages that the silence since `last` has left out, by what is usual


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm that is on. `value` is a count, or seconds."""

    channel: str
    when: str
    say: str
    value: int
    since: int


def read_alert(line: Mapping[str, object], where: str) -> AlertRule:
    """Read one line, `{when: held > 10, say: ..., at_most: daily, urgent: true}`. Raises ConfigError."""
    unknown = set(line) - {"when", "say", "at_most", "urgent"}
    if unknown:
        raise ConfigError(
            f"alert: does not know {', '.join(sorted(unknown))}",
            where=where,
            remedy="use when, say, at_most, urgent",
        )
    when = " ".join(str(line.get("when") or "").split())
    often = str(line.get("at_most") or "")
    at_most = _OFTEN[often] if often in _OFTEN else duration_ms(often, where) if often else 0
    say, urgent = str(line.get("say") or ""), line.get("urgent") or False
    if not isinstance(urgent, bool):
        raise ConfigError(f"alert: urgent: {urgent!r}", where=where, remedy="write true or false")
    if m := _COUNT.fullmatch(when):
        kind = "held" if m[1] == "parked" else m[1]
        return AlertRule(kind, int(m[2]), when, say, at_most, urgent)
    if m := _OLDEST.fullmatch(when):
        return AlertRule("oldest waiting", duration_ms(m[1], where), when, say, at_most, urgent)
    if when == _USUAL:
        return AlertRule("unusual silence", 0, when, say, at_most, urgent)
    if m := _SILENT.fullmatch(when):
        return AlertRule("silent", duration_ms(m[1], where), when, say, at_most, urgent)
    raise ConfigError(f"alert: when: {when!r} is not known", where=where, remedy=_REMEDY)


def rules_for_all(lines: Iterable[AlertLine], where: str) -> tuple[AlertRule, ...]:
    """Read the lines of `alerts: every_channel:`. Raises ConfigError."""
    return tuple(read_alert(line.model_dump(), where) for line in lines)


def judge(rule: AlertRule, state: State, began: int, now: int) -> int | None:
    """Return the count or the seconds that raise the alarm; None where it is off.

    `began`: silence of a channel that never had a message counts from here.
    """
    if rule.kind == "silent":
        quiet = now - (state.last if state.last is not None else began)
        return quiet // 1000 if quiet > rule.limit else None
    if rule.kind == "unusual silence":
        if state.last is None or state.missed < MISSED:
            return None
        return max(0, now - state.last) // 1000
    if rule.kind == "oldest waiting":
        waits = now - state.oldest if state.oldest is not None else 0
        return waits // 1000 if waits > rule.limit else None
    value = {"held": state.held, "waiting": state.waiting, "unmapped codes": state.unmapped}[rule.kind]
    return value if value > rule.limit else None
