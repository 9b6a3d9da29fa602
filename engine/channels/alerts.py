"""Alarms of a channel: `alert:` lines read, judged by the figures of the moment, told once and not again.

In: the lines of a channel's file, and the hub's figures. Out: which alarms are on, for the status page and
the metrics, and log lines: one when an alarm begins and one when it is over, never more often than
`at_most:` says. Texts name channels and counts, no message and no patient.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.kernel.errors import ConfigError

__all__ = ["Alarm", "Alarms", "AlertRule", "State", "duration_ms", "read_alert"]

log = logging.getLogger("hub.alert")

_TIME = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "year": 31557600}
_OFTEN = {"hourly": 3_600_000, "daily": 86_400_000, "weekly": 604_800_000}
_COUNT = re.compile(r"(held|waiting|unmapped codes) > (\d+)")
_SILENT = re.compile(r"silent for (.+)")
_REMEDY = "write held > 10, waiting > 1000, unmapped codes > 0 or silent for 2 hours"


def duration_ms(text: str, where: str) -> int:
    """Read `30 minutes` or `7 days` as milliseconds. Raises ConfigError."""
    m = re.fullmatch(r"(\d+)\s*(second|minute|hour|day|week|year)s?", text.strip())
    if not m or int(m[1]) < 1:
        raise ConfigError(f"{text!r} is not a time", where=where, remedy="write e.g. 30 minutes or 7 days")
    return int(m[1]) * _TIME[m[2]] * 1000


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One line of `alert:`. `limit` is a count, or milliseconds of silence."""

    kind: str  # held | waiting | unmapped codes | silent
    limit: int
    when: str  # as it was written
    say: str = ""
    at_most_ms: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What an alarm of one channel is judged by. Times are ms since the epoch."""

    held: int = 0
    waiting: int = 0
    unmapped: int = 0  # messages with a code that no table has, in the last 24 hours
    last: int | None = None  # when its newest message came


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm that is on. `value` is the count, or seconds of silence."""

    channel: str
    when: str
    say: str
    value: int
    since: int


def read_alert(line: Mapping[str, object], where: str) -> AlertRule:
    """Read one line, `{when: held > 10, say: ..., at_most: daily}`. Raises ConfigError."""
    unknown = set(line) - {"when", "say", "at_most"}
    if unknown:
        raise ConfigError(
            f"alert: does not know {', '.join(sorted(unknown))}", where=where, remedy="use when, say, at_most"
        )
    when = " ".join(str(line.get("when") or "").split())
    often = str(line.get("at_most") or "")
    at_most = _OFTEN[often] if often in _OFTEN else duration_ms(often, where) if often else 0
    say = str(line.get("say") or "")
    if m := _COUNT.fullmatch(when):
        return AlertRule(m[1], int(m[2]), when, say, at_most)
    if m := _SILENT.fullmatch(when):
        return AlertRule("silent", duration_ms(m[1], where), when, say, at_most)
    raise ConfigError(f"alert: when: {when!r} is not known", where=where, remedy=_REMEDY)


@dataclass(slots=True)
class _Line:
    """Where one alarm stands."""

    on: Alarm | None = None
    told: int = -(1 << 62)  # when it was last said that it is on
    said: bool = False  # the one that is on now was said


@dataclass(slots=True)
class Alarms:
    """The alarms of all channels. `file` keeps what was told over a restart; None: nothing is kept."""

    rules: Mapping[str, Sequence[AlertRule]]
    began: int  # ms; silence of a channel that never had a message counts from here
    file: Path | None = None
    _lines: dict[tuple[str, str], _Line] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for (channel, when), told in _kept(self.file).items():
            self._lines[channel, when] = _Line(told=told)

    def look(self, states: Mapping[str, State], now: int) -> list[Alarm]:
        """Judge every rule, say what begins and what is over, and return the alarms that are on."""
        on: list[Alarm] = []
        changed = False
        for channel, rules in self.rules.items():
            for rule in rules:
                line = self._lines.setdefault((channel, rule.when), _Line())
                before = line.told
                alarm = self._judge(channel, rule, line, states.get(channel, State()), now)
                if alarm is not None:
                    on.append(alarm)
                self._tell(rule, line, alarm, now)
                line.on = alarm
                changed |= before != line.told
        if changed:
            self._keep()
        return on

    def _judge(self, channel: str, rule: AlertRule, line: _Line, state: State, now: int) -> Alarm | None:
        since = line.on.since if line.on is not None else now
        if rule.kind == "silent":
            quiet = now - (state.last if state.last is not None else self.began)
            return Alarm(channel, rule.when, rule.say, quiet // 1000, since) if quiet > rule.limit else None
        value = {"held": state.held, "waiting": state.waiting, "unmapped codes": state.unmapped}[rule.kind]
        return Alarm(channel, rule.when, rule.say, value, since) if value > rule.limit else None

    def _tell(self, rule: AlertRule, line: _Line, alarm: Alarm | None, now: int) -> None:
        if alarm is not None and not line.said and now - line.told >= rule.at_most_ms:
            line.said, line.told = True, now
            words = f": {alarm.say}" if alarm.say else ""
            log.warning("channel %s: %s (now %d)%s", alarm.channel, alarm.when, alarm.value, words)
        elif alarm is None and line.on is not None:
            if line.said:
                log.warning("channel %s: %s is over", line.on.channel, line.on.when)
            line.said = False

    def _keep(self) -> None:
        if self.file is None:
            return
        rows = [[c, w, line.told] for (c, w), line in self._lines.items() if line.told > 0]
        fresh = self.file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(rows), "utf-8")
            os.replace(fresh, self.file)
        except OSError as e:
            log.error("%s cannot be written: %s", self.file.name, e.strerror)


def _kept(file: Path | None) -> dict[tuple[str, str], int]:
    """Return what was told before a restart; nothing where the file is not there or not whole."""
    try:
        rows = json.loads(file.read_text("utf-8")) if file is not None else []
        return {(str(channel), str(when)): int(told) for channel, when, told in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as e:
        log.warning("what was told of alarms before is not known: %s", type(e).__name__)
        return {}
