"""Now: is anything wrong? One line a channel, those in trouble first, following what happens.

In: the hub's figures. Out: lines with a word each for how the channel is, no patient data; only channels that
the person's roles cover.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.channels.causes import CAUSES
from engine.channels.rates import Pace, Rates
from engine.console.answers import Goto, Page
from engine.console.door import Door
from engine.console.figures import ChannelFigures, Figures
from engine.console.health import health
from engine.console.visit import Visit

__all__ = ["Line", "add", "lines_of"]

_BEHIND = 60_000  # ms after which a message that still waits is a trouble
_ORDER = ("alarm", "behind", "parked", "slow", "unmapped", "waiting", "ok", "silent", "gone")
_WIDE, _HIGH = 120, 24  # of the little picture of the last hour


@dataclass(frozen=True, slots=True)
class Line:
    """One channel. Times are ms since the epoch; `word` says how it is, `why` says it in more words."""

    name: str
    purpose: str
    address: str
    word: str
    why: str
    last: int | None
    received: int
    waiting: int
    parked: int
    unmapped: int
    oldest: int | None
    pace: Pace  # messages of the last 60 minutes, and what is usual
    minutes: list[int]  # of the last hour, oldest first

    @property
    def picture(self) -> str:
        """Return the points of a line through the minutes."""
        most = max(*self.minutes, 1)
        step = _WIDE / (len(self.minutes) - 1)
        return " ".join(
            f"{i * step:.1f},{_HIGH - 1 - (_HIGH - 2) * n / most:.1f}" for i, n in enumerate(self.minutes)
        )


def lines_of(figures: Figures, visit: Visit) -> list[Line]:
    """Return the channels the person may see, those in trouble first."""
    rates = visit.hub.rates
    rates.look()
    alarms: dict[str, list[str]] = {}
    for alarm in figures.alarms:
        alarms.setdefault(alarm.channel, []).append(alarm.say or alarm.when)
    lines = [
        _line(c, figures.at, alarms.get(c.name, []), rates)
        for c in figures.channels
        if visit.may("see.status", c.name)
    ]
    return sorted(lines, key=lambda line: (_ORDER.index(line.word), line.name))


def _line(c: ChannelFigures, now: int, alarms: list[str], rates: Rates) -> Line:
    pace = rates.pace(c.name)
    usual = pace.usual
    if alarms:
        word, why = "alarm", "; ".join(alarms)
    elif c.oldest is not None and now - c.oldest > _BEHIND:
        word, why = "behind", "messages wait for longer than a minute"
    elif c.parked:
        word, why = "parked", "messages wait for a person"
    elif c.known and usual is not None and pace.count < usual.low:
        word, why = "slow", "fewer messages than is usual for this hour"
    elif c.unmapped:
        word, why = "unmapped", "codes came that no table has"
    elif c.waiting:
        word, why = "waiting", "being worked on"
    elif not c.known:
        word, why = "gone", "its file is gone from channels/; what it received stays"
    else:
        word, why = ("ok", "") if c.last is not None else ("silent", "nothing has come yet")
    return Line(
        *(c.name, c.purpose, c.address, word, why, c.last, c.received, c.waiting, c.parked, c.unmapped),
        *(c.oldest, pace, rates.recent(c.name)),
    )


def _facts(visit: Visit) -> dict[str, object]:
    figures = visit.hub.gauge.now()
    found = health(visit.hub.config, visit.hub.gauge)
    lines = lines_of(figures, visit)
    shown = {line.name for line in lines}
    causes: dict[str, int] = {}
    for (channel, cause), count in figures.parked.items():
        if channel in shown:
            causes[cause] = causes.get(cause, 0) + count
    return {
        "at": figures.at,
        "ok": found.ok,
        "reasons": list(found.reasons),
        "lines": lines,
        "waiting": sum(line.waiting for line in lines),
        "parked": sum(line.parked for line in lines),
        "received": sum(line.received for line in lines),
        "position": figures.position,
        "oldest": min((line.oldest for line in lines if line.oldest is not None), default=None),
        "causes": [
            {"cause": cause, "title": CAUSES.get(cause, (cause or "unknown", ""))[0], "count": count}
            for cause, count in sorted(causes.items(), key=lambda item: -item[1])
        ],
    }


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/", needs="self", twin=False)
    def first(visit: Visit) -> Goto:
        """Lead to the first page the person may see."""
        return Goto("/now" if visit.may("see.status") else "/account")

    @door.get("/now", needs="see.status")
    def now(visit: Visit) -> Page:
        """Show how every channel is."""
        return Page("now.html", _facts(visit), "Now", fragment="now_part.html")

    door.live(
        "/now/events",
        needs="see.status",
        look=lambda visit: door.rendering.html(visit, "now_part.html", _facts(visit)),
    )

    @door.post("/session/stir", needs="self")
    def stir(visit: Visit) -> Page:
        """Keep the session of somebody who is reading."""
        return Page("notice.html", {"status": 200, "text": "", "remedy": ""}, status=200)
