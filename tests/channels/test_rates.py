"""What came in each minute and hour, and what is usual for this hour of this weekday."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.channels.rates import HOUR, MINUTE, Pace, Rates, Usual
from engine.journal.sql import SqlJournal
from engine.kernel.message import NewEntry
from engine.security.keys import Keyring
from engine.staff.staff import Staff

ZONE = ZoneInfo("Europe/Berlin")
NOW = int(datetime(2026, 6, 24, 10, 30, tzinfo=ZONE).timestamp() * 1000)  # a Wednesday
DAY, WEEK = 24 * HOUR, 168 * HOUR


class Feed:
    """A journal that takes messages at any time, and the rates of it."""

    def __init__(self, journal: SqlJournal, staff: Staff) -> None:
        self.journal, self.staff, self.at = journal, staff, NOW

    def now(self) -> int:
        return self.at

    def rates(self) -> Rates:
        made = Rates(self.journal, self.staff.hours, ZONE, self.now)
        made.look()
        return made

    def take(self, at: int, count: int = 1, channel: str = "lab", kind: str = "message") -> None:
        self.journal.append(
            [
                NewEntry(channel=channel, body=b"MSH|", received=at, sender=f"s{n % 2}", kind=kind)
                for n in range(count)
            ]
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Feed]:
    keyring = Keyring.open(tmp_path / "hub.key", existing_data=False)
    urls = [f"sqlite:///{tmp_path / name}" for name in ("journal.db", "staff.db")]
    if request.param == "postgresql":
        urls = [str(request.getfixturevalue("postgres_database"))] * 2
    journal, staff = SqlJournal.open(urls[0], keyring), Staff.open(urls[1], keyring)
    yield Feed(journal, staff)
    staff.close()
    journal.close()


def test_every_message_from_outside_is_counted_once(feed: Feed) -> None:
    feed.take(NOW - 2 * HOUR, 3)
    feed.take(NOW - 59 * MINUTE, 4)
    feed.take(NOW - MINUTE, 2)
    feed.take(NOW, 5, kind="replay")
    rates = feed.rates()
    feed.take(NOW, 1)
    rates.look()
    rates.look()
    assert rates.recent("lab", 60) == [4, *[0] * 57, 2, 1]
    assert rates.day("lab", 3) == [3, 4, 3]
    rates.write()
    again = feed.rates()  # after a restart
    assert again.recent("lab", 60) == [4, *[0] * 57, 2, 1] and again.day("lab", 3) == [3, 4, 3]
    assert again.recent("nobody") == [0] * 60


def test_two_processes_count_nothing_twice(feed: Feed) -> None:
    feed.take(NOW, 7)
    one, two = feed.rates(), feed.rates()
    feed.take(NOW, 2)
    two.look()
    one.write()
    two.write()
    one.look()
    two.look()
    one.write()
    two.write()
    assert feed.rates().day("lab", 1) == [9]


def test_an_older_journal_in_its_place_is_gone_on_from(feed: Feed) -> None:
    assert feed.staff.hours.add(0, 50, {("lab", NOW // HOUR): 50})
    feed.take(NOW, 3)
    rates = feed.rates()
    feed.take(NOW, 2)
    rates.look()
    rates.write()
    assert feed.rates().day("lab", 1) == [52]


@pytest.mark.parametrize(
    ("weeks", "expected"),
    [
        ([10, 12, 11, 10, 14, 13, 0, 500], Usual(11.5, 10, 14)),  # one odd week on either side is left out
        ([4, 6, 5, 7, 5], Usual(5, 4, 7)),  # the week in which it began does not count
        ([0] * 8, Usual(0, 0, 0)),
    ],
)
def test_the_same_hour_of_the_weeks_before(feed: Feed, weeks: list[int], expected: Usual) -> None:
    began = (NOW - (len(weeks) + 1) * WEEK) // HOUR
    counts = {("lab", (NOW - n * WEEK) // HOUR): count for n, count in enumerate(weeks, 1)}
    feed.staff.hours.add(0, 0, {("lab", began): 1, ("other", (NOW - 2 * DAY) // HOUR): 99, **counts})
    rates = feed.rates()
    assert rates.usual("lab", NOW) == expected
    assert rates.usual("other", NOW) is None  # two days say nothing
    assert rates.usual("nobody", NOW) is None


def test_a_young_channel_is_compared_with_days_of_the_same_kind(feed: Feed) -> None:
    first = NOW - 9 * DAY
    feed.staff.hours.add(0, 0, {("lab", first // HOUR): 1})
    for n in range(1, 9):  # weekends bring nothing
        at = NOW - n * DAY
        if datetime.fromtimestamp(at / 1000, ZONE).weekday() < 5:
            feed.staff.hours.add(0, 0, {("lab", at // HOUR): 20 + n})
    rates = feed.rates()
    assert rates.usual("lab", NOW) == Usual(25.5, 22, 27)
    assert rates.usual("lab", NOW - 3 * DAY) is None  # one weekend is too little


def test_the_clock_on_the_wall_counts_when_summer_time_begins(feed: Feed) -> None:
    feed.at = int(datetime(2026, 4, 1, 10, 30, tzinfo=ZONE).timestamp() * 1000)  # began on 29 March
    hours = {}
    for n in range(1, 10):
        days = datetime(2026, 4, 1, 10, 30, tzinfo=ZONE).toordinal() - 7 * n
        at = datetime.combine(datetime.fromordinal(days).date(), datetime.min.time(), ZONE).replace(hour=10)
        hours["lab", int(at.timestamp()) // 3600] = 30
    feed.staff.hours.add(0, 0, hours)
    assert feed.rates().usual("lab", feed.at) == Usual(30, 30, 30)


@pytest.fixture
def steady(feed: Feed) -> Callable[[], Rates]:
    """60 messages in every hour of daytime, none at night, for 9 weeks."""
    hours = {}
    for hour in range((NOW - 9 * WEEK) // HOUR, NOW // HOUR):
        if 7 <= datetime.fromtimestamp(hour * 3600, ZONE).hour < 19:
            hours["lab", hour] = 60
    feed.staff.hours.add(0, 0, hours)
    return feed.rates


def test_what_a_silence_has_left_out(steady: Callable[[], Rates]) -> None:
    rates = steady()
    assert rates.missed("lab", NOW - 10 * MINUTE, NOW) == pytest.approx(10)
    assert rates.missed("lab", NOW - 90 * MINUTE, NOW) == pytest.approx(90)
    night = NOW - int(10.5 * HOUR)
    assert rates.missed("lab", night, night + 6 * HOUR) == 0
    assert rates.missed("nobody", NOW - DAY, NOW) == 0


def test_the_last_hour_against_what_it_usually_brings(feed: Feed, steady: Callable[[], Rates]) -> None:
    feed.take(NOW - 30 * MINUTE, 12)
    assert steady().pace("lab") == Pace(12, Usual(60, 60, 60))
    assert steady().pace("nobody") == Pace(0, None)
