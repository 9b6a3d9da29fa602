"""Times as people write them in a search: `yesterday`, `last 7 days`, `2026-11-20 8:00 to 9:30`.

In: the words from one place on, and the local time of now. Out: the span they mean and how many words that
took, nothing where they mean no time. A date or an hour stands for the whole day or minute. Hours without a
day are today's, after a day that day's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.channels.asked import Received

__all__ = ["BadTime", "span_at"]

_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[tT](\d{1,2}):(\d{2})(?::\d{2})?)?")
_HOUR = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_UNITS = {"minute": 1, "hour": 60, "day": 1440, "week": 10080} | {"min": 1, "h": 60, "d": 1440, "w": 10080}
_SHORT = re.compile(r"(\d{1,4})(min|minutes?|hours?|days?|weeks?|h|d|w)")
_SINCE, _UNTIL, _BETWEEN, _TO = ("since", "from", "after"), ("until", "before"), "between", ("to", "till")
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)


class BadTime(ValueError):
    """Words that begin a time and do not go on as one: `place` says which word, the text says why."""

    def __init__(self, place: int, text: str) -> None:
        super().__init__(text)
        self.place = place


class _Moment(NamedTuple):
    start: datetime
    end: datetime  # of the day or minute it stands for
    words: int
    date: bool  # a bare date


def span_at(words: Sequence[str], now: datetime) -> tuple[Received, int] | None:
    """Return the time that these words begin with, and how many of them it takes. Raises BadTime."""
    first = words[0].casefold() if words else ""
    second = words[1].casefold() if len(words) > 1 else ""
    if first == "last":
        return _last(words, now)
    if first in _SINCE:
        if not _begins(second):
            return None
        moment = _moment(words, 1, now, None)
        end = _to(words, moment.words + 1, moment, now) if first == "from" else None
        if end is not None:
            return _span(moment.start, end, 0)
        return Received(moment.end if first == "after" else moment.start, None), moment.words + 1
    if first in _UNTIL:
        if not _begins(second):
            return None
        moment = _moment(words, 1, now, None)
        return Received(None, moment.start if first == "before" else moment.end), moment.words + 1
    if first == _BETWEEN:
        moment = _moment(words, 1, now, None)
        end = _to(words, moment.words + 1, moment, now, ("and", *_TO))
        if end is None:
            raise BadTime(min(moment.words + 1, len(words) - 1), "between TIME needs `and TIME`")
        return _span(moment.start, end, 0)
    if not _begins(first):
        return None
    moment = _moment(words, 0, now, None)
    used = moment.words
    follows = words[used].casefold() if len(words) > used else ""
    if moment.date and follows in (*_SINCE, *_UNTIL, _BETWEEN) and len(words) > used + 1:
        if _HOUR.fullmatch(words[used + 1]):  # `yesterday since 14:00`: within that day
            inner, more = span_at(words[used:], moment.start) or (None, 0)
            if inner is not None:
                return Received(inner.since or moment.start, inner.until or moment.end), used + more
    end = _to(words, used, moment, now)
    if end is not None:
        return _span(moment.start, end, 0)
    birth = f"{moment.start:%Y%m%d}" if moment.date and first not in ("today", "yesterday") else ""
    return Received(moment.start, moment.end, birth), used


def _span(start: datetime, end: tuple[datetime, int], birth: int) -> tuple[Received, int]:
    until, used = end
    if until <= start:
        raise BadTime(used - 1, "this time ends before it begins")
    return Received(start, until), used


def _begins(word: str) -> bool:
    return word in ("today", "yesterday") or bool(_DATE.fullmatch(word) or _HOUR.fullmatch(word))


def _moment(words: Sequence[str], at: int, now: datetime, day: datetime | None) -> _Moment:
    """Read a day, an hour of it, or an hour of `day` (else today)."""
    word = words[at].casefold() if at < len(words) else ""
    hours = _HOUR.fullmatch(word)
    if hours:
        start = _at_hour(day or _midnight(now), hours, at)
        return _Moment(start, start + _MINUTE, 1, False)
    if word in ("today", "yesterday"):
        start = _midnight(now) - (_DAY if word == "yesterday" else timedelta())
    else:
        date = _DATE.fullmatch(word)
        if date is None:
            raise BadTime(min(at, len(words) - 1), "write a time such as 14:00, 2026-11-20 or yesterday")
        try:
            start = datetime(int(date[1]), int(date[2]), int(date[3]), int(date[4] or 0), int(date[5] or 0))
            if start.year > 9000:
                raise ValueError
        except ValueError:
            raise BadTime(at, "there is no such day") from None
        if date[4]:
            return _Moment(start, start + _MINUTE, 1, False)
    follows = _HOUR.fullmatch(words[at + 1]) if at + 1 < len(words) else None
    if follows:
        start = _at_hour(start, follows, at + 1)
        return _Moment(start, start + _MINUTE, 2, False)
    return _Moment(start, start + _DAY, 1, True)


def _to(
    words: Sequence[str], at: int, begun: _Moment, now: datetime, joints: Sequence[str] = _TO
) -> tuple[datetime, int] | None:
    """Read `to TIME`: where it ends, and how many words it took so far."""
    if at + 1 >= len(words) or words[at].casefold() not in joints or not _begins(words[at + 1].casefold()):
        return None
    moment = _moment(words, at + 1, now, _midnight(begun.start))
    return (moment.end if moment.date else moment.start), at + 1 + moment.words


def _last(words: Sequence[str], now: datetime) -> tuple[Received, int] | None:
    """Read `last 7 days`, `last hour`, `last 24h`."""
    if len(words) < 2:
        return None
    second = words[1].casefold()
    third = words[2].casefold() if len(words) > 2 else ""
    if second.isdecimal() and len(second) <= 4 and third.removesuffix("s") in _UNITS:
        count, unit, used = int(second), third, 3
    elif short := _SHORT.fullmatch(second):
        count, unit, used = int(short[1]), short[2], 2
    elif second in _UNITS:
        count, unit, used = 1, second, 2
    else:
        return None  # somebody's name
    return Received(now - timedelta(minutes=count * _UNITS[unit.removesuffix("s")]), None), used


def _at_hour(day: datetime, hours: re.Match[str], at: int) -> datetime:
    try:
        return day.replace(hour=int(hours[1]), minute=int(hours[2]), second=int(hours[3] or 0))
    except ValueError:
        raise BadTime(at, "there is no such hour") from None


def _midnight(of: datetime) -> datetime:
    return of.replace(hour=0, minute=0, second=0, microsecond=0)
